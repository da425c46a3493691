//! Commands that make several runs or read reports, from end to end.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

#[path = "support/server.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{Answer, Server, loadgen, right};

/// A folder of its own for each test.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("loadgen-{name}"));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// A server that refuses what comes faster than so many a second, but for a burst of a tenth.
fn limited(per_second: f64) -> Server {
    let state = Mutex::new((Instant::now(), per_second / 10.0));
    Server::start(move |target| {
        let mut state = state.lock().unwrap();
        let (last, tokens) = *state;
        let now = Instant::now();
        let earned = now.duration_since(last).as_secs_f64() * per_second;
        let tokens = (tokens + earned).min(per_second / 10.0);
        let is_served = tokens >= 1.0;
        *state = (now, if is_served { tokens - 1.0 } else { tokens });
        drop(state);
        if is_served {
            right(target)
        } else {
            Answer::Status(503)
        }
    })
}

#[test]
fn find_max_never_passes_the_knee_and_says_who_was_the_limit() {
    let server = limited(200.0);
    let folder = folder("find-max");
    let json = folder.join("answer.json");
    let (code, out, err) = loadgen(&[
        "find-max",
        "--target",
        &server.url(),
        "--scenario",
        "qrcode,size=20",
        "--slo",
        "errors<1%,p99<60s",
        "--from",
        "25",
        "--to",
        "1600",
        "--step",
        "400ms",
        "--precision",
        "30%",
        // A busy machine is none of this test's concern.
        "--max-late",
        "100%",
        "--timeout",
        "10s",
        "--json",
        json.to_str().unwrap(),
    ]);
    let answer = read(&json);
    let steps = answer["steps"].as_array().unwrap();
    assert!(steps.len() >= 3 && out.contains("Objective"), "{out}{err}");
    assert_eq!(answer["slo"], "errors<1%,p99<60s");
    for step in steps {
        let (rate, result) = (step["rate"].as_f64().unwrap(), &step["cause"]["result"]);
        // Of 0.4 s at over four times the rate the burst is a small part.
        assert!(rate < 800.0 || result != "met", "{out}");
    }
    match answer["rate"].as_f64() {
        // A machine that stalls makes bursts of its own, at any rate.
        None => assert_eq!(code, 1, "{out}{err}"),
        Some(rate) => {
            assert!(rate < 800.0 && out.contains("Knee: "), "{out}");
            assert_eq!(code, 0, "{out}{err}");
        }
    }
    assert_eq!(answer["limit"], "server", "{out}");
}

#[test]
fn a_target_that_goes_away_in_a_search_is_its_limit() {
    let server = Server::start(right);
    let url = server.url();
    let folder = folder("gone");
    let json = folder.join("answer.json");
    let child = support::spawn(&[
        "find-max",
        "--quiet",
        "--target",
        &url,
        "--scenario",
        "qrcode,size=20",
        "--slo",
        "errors<1%",
        "--from",
        "50",
        "--to",
        "400",
        "--step",
        "500ms",
        "--precision",
        "50%",
        "--max-late",
        "100%",
        "--timeout",
        "1s",
        "--json",
        json.to_str().unwrap(),
    ]);
    // In the second step.
    support::wait_until(|| server.requests() > 30);
    server.vanish();
    let output = child.wait_with_output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    let answer = read(&json);
    assert_eq!(answer["limit"], "server", "{out}");
    assert!(out.contains("does not accept connections"), "{out}");
    assert_ne!(output.status.code(), Some(69), "{out}");
}

#[test]
fn a_search_refuses_objectives_about_nobody() {
    let arguments = [
        "find-max",
        "--target",
        "http://127.0.0.1:1",
        "--scenario",
        "qrcode",
        "--slo",
    ];
    for slo in ["other.p99<1s", "p99", ""] {
        let (code, _, err) = loadgen(&[&arguments[..], &[slo]].concat());
        assert_eq!(code, 64, "{slo}: {err}");
    }
}

#[test]
fn shards_send_the_whole_load_once_and_their_reports_merge() {
    let server = Server::start(right);
    let folder = folder("shards");
    let mut reports = Vec::new();
    for shard in ["0/3", "1/3", "2/3"] {
        let path = folder.join(format!("{}.json", &shard[..1]));
        let path = path.to_str().unwrap().to_owned();
        let (code, out, err) = loadgen(&[
            "run",
            "--quiet",
            "--target",
            &server.url(),
            "--scenario",
            "qrcode,size=20",
            "--stages",
            "100:200ms,200:400ms",
            "--shard",
            shard,
            "--max-late",
            "100%",
            "--json",
            &path,
        ]);
        assert_eq!(code, 0, "{out}{err}");
        reports.push(path);
    }
    // 20 and 80 requests, dealt out to three.
    assert_eq!(server.requests(), 100);
    let paths: Vec<&str> = reports.iter().map(String::as_str).collect();
    let (whole, page) = (folder.join("whole.json"), folder.join("whole.html"));
    let files = [
        "--json",
        whole.to_str().unwrap(),
        "--html",
        page.to_str().unwrap(),
    ];
    let (code, out, err) = loadgen(&[&["merge"], &paths[..], &files].concat());
    assert_eq!(code, 0, "{out}{err}");
    assert!(
        out.contains("3 reports merged") && out.contains("Stages, by when"),
        "{out}"
    );
    let merged = read(&whole);
    assert_eq!(merged["total"]["requests"], 100);
    assert_eq!(merged["stages"][0]["requests"], 20);
    assert_eq!(merged["stages"][1]["requests"], 80);
    assert!(page.exists());
    let limit = ["--fail-if", "rate>0"];
    let (code, ..) = loadgen(&[&["merge"], &paths[..], &limit].concat());
    assert_eq!(code, 1);
    let limit = ["--fail-if", "qrcod.rate>0"];
    let (code, _, err) = loadgen(&[&["merge"], &paths[..], &limit].concat());
    assert!(
        code == 64 && err.contains("no scenario qrcod"),
        "{code} {err}"
    );
    // What was merged can be compared; it is the same as itself, or too short to tell.
    let whole = whole.to_str().unwrap();
    let (code, out, err) = loadgen(&["compare", whole, whole]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("p99.9") && out.contains("too short"), "{out}");
}

#[test]
fn the_live_test_fills_a_scoreboard_that_plans_cost() {
    let server = Server::start(right);
    let folder = folder("live-test");
    let board = folder.join("board.json");
    let (code, out, err) = loadgen(&[
        "live-test",
        "--quiet",
        "--target",
        &server.url(),
        "--duration",
        "300ms",
        "--connections",
        "2",
        "--json",
        board.to_str().unwrap(),
    ]);
    assert_eq!(code, 0, "{out}{err}");
    for part in [
        "Throughput",
        "Correctness",
        "mixed",
        "99059",
        "twitter is left out",
    ] {
        assert!(out.contains(part), "{part} in\n{out}");
    }
    let scores = read(&board);
    let scores = scores["scores"].as_array().unwrap();
    let tests: Vec<String> = scores
        .iter()
        .map(|score| format!("{} {}", score["test"], score["service"]).replace('"', ""))
        .collect();
    assert_eq!(
        tests,
        [
            "alone qrcode",
            "alone blockchain",
            "mixed qrcode",
            "mixed blockchain"
        ]
    );
    for score in scores {
        assert_eq!(score["correctness"], 1.0, "{out}");
        assert!(score["requests"].as_u64().unwrap() > 0, "{out}");
    }
    let prices = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cost-model/tests/data/prices.toml");
    let (code, out, err) = loadgen(&[
        "plan",
        "--budget",
        "1000000",
        "--prices",
        prices.to_str().unwrap(),
        "--node",
        "small",
        "--measured",
        board.to_str().unwrap(),
        "--server-vcpus",
        "1",
    ]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(
        out.contains("blockchain alone") && out.contains("all at once"),
        "{out}"
    );
}

#[test]
fn a_plan_says_what_is_over_the_budget() {
    let prices = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cost-model/tests/data/prices.toml");
    let arguments = [
        "plan",
        "--prices",
        prices.to_str().unwrap(),
        "--node",
        "small",
        "--per-vcpu",
        "qrcode=50000",
        "--load",
        "qrcode=1000",
        "--budget",
    ];
    let (code, out, _) = loadgen(&[&arguments[..], &["1.28"]].concat());
    assert_eq!(code, 0, "{out}");
    assert!(
        out.contains("qrcode alone") && !out.contains("all at once"),
        "{out}"
    );
    let (code, out, _) = loadgen(&[&arguments[..], &["0.5"]].concat());
    assert!(code == 1 && out.contains("over"), "{code} {out}");
    let (code, _, err) = loadgen(&["plan", "--budget", "1", "--prices", "/no/such/file"]);
    assert!(code == 64 && err.contains("--prices FILE"), "{code} {err}");
}

#[test]
fn a_budget_alone_is_enough_for_a_plan_in_any_folder() {
    // The tests run in the crate's folder, where there is no price file.
    let (code, out, err) = loadgen(&["plan", "--budget", "100000"]);
    assert_eq!(code, 0, "{out}{err}");
    for part in [
        "blockchain alone",
        "qrcode alone",
        "twitter alone",
        "measured 20",
        "all at once",
    ] {
        assert!(out.contains(part), "{part} in\n{out}");
    }
    let (code, out, err) = loadgen(&["plan", "--budget", "0.01"]);
    assert!(code == 1 && out.contains("over"), "{out}{err}");
}

#[test]
fn every_format_is_written_and_a_plan_file_is_followed() {
    let server = Server::start(right);
    let folder = folder("formats");
    let plan = folder.join("plan.toml");
    let text = format!(
        "target = \"{}\"\nmax_late = \"100%\"\nrate = 100\nduration = \"300ms\"\n\
         [[scenario]]\nkind = \"qrcode\"\nname = \"a\"\nsize = 10\n",
        server.url()
    );
    std::fs::write(&plan, text).unwrap();
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let plan = plan.to_str().unwrap();
    let (code, out, err) = loadgen(&[
        "run",
        "--plan",
        plan,
        "--json",
        &path("r.json"),
        "--csv",
        &path("r.csv"),
        "--hlog",
        &path("r.hlog"),
        "--html",
        &path("r.html"),
    ]);
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(server.requests(), 30);
    assert_eq!(read(&folder.join("r.json"))["scenarios"][0]["label"], "a");
    for name in ["r.csv", "r.hlog", "r.html"] {
        assert!(
            std::fs::metadata(folder.join(name)).unwrap().len() > 100,
            "{name}"
        );
    }
    // What is typed wins.
    let (code, out, err) = loadgen(&["run", "--quiet", "--plan", plan, "--rate", "10"]);
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(server.requests(), 33);
    let (code, _, err) = loadgen(&["run", "--plan", plan, "--rate", "10", "--closed"]);
    assert!(code == 64 && err.contains("--closed"), "{err}");
}

#[test]
fn without_a_rate_the_loop_is_open_and_says_so() {
    let server = Server::start(right);
    let (code, out, err) = loadgen(&[
        "run",
        "--quiet",
        "--target",
        &server.url(),
        "--scenario",
        "qrcode",
        "--duration",
        "200ms",
        "--max-late",
        "100%",
    ]);
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(server.requests(), 20);
    assert!(
        out.contains("open loop, 100 requests a second") && out.contains("--closed"),
        "{out}"
    );
}

#[test]
fn an_interrupt_ends_a_search_and_a_live_test_with_what_is_known() {
    let commands: [&[&str]; 2] = [
        &[
            "find-max",
            "--scenario",
            "qrcode",
            "--slo",
            "p99<60s",
            "--step",
            "10m",
        ],
        &["live-test", "--quiet", "--duration", "10m"],
    ];
    for command in commands {
        let server = Server::start(right);
        let url = server.url();
        let child = support::spawn(&[command, &["--target", &url]].concat());
        support::wait_until(|| server.requests() > 20);
        let sent = Instant::now();
        support::interrupt(&child);
        let output = child.wait_with_output().unwrap();
        let out = String::from_utf8(output.stdout).unwrap();
        assert!(out.contains("stopped before"), "{out}");
        assert!(
            sent.elapsed() < Duration::from_mins(2),
            "not after ten minutes"
        );
    }
}

#[test]
fn help_names_every_command_and_its_exit_codes() {
    let (code, out, _) = loadgen(&["--help"]);
    assert_eq!(code, 0);
    let names: Vec<&str> = out
        .lines()
        .skip_while(|line| !line.starts_with("Commands:"))
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(
        names,
        [
            "run",
            "smoke",
            "find-max",
            "live-test",
            "compare",
            "merge",
            "plan",
            "help"
        ]
    );
    assert!(out.contains("Load for the three services"), "{out}");
}
