//! The program from end to end, against servers inside the test.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

#[path = "support/server.rs"]
mod support;

use serde_json::Value;
use support::{Answer, Server, loadgen, right};

/// Runs with a JSON report; the exit code, the report and what was printed.
fn run(server: &Server, arguments: &[&str]) -> (i32, Value, String) {
    let file = std::env::temp_dir().join(format!(
        "loadgen-{}-{}.json",
        std::process::id(),
        server.port()
    ));
    let url = server.url();
    let mut all = vec![
        "run",
        "--quiet",
        "--target",
        &url,
        "--json",
        file.to_str().unwrap(),
    ];
    all.extend(arguments);
    let (code, out, err) = loadgen(&all);
    let json = std::fs::read_to_string(&file).unwrap_or_else(|_| panic!("{code} {out} {err}"));
    std::fs::remove_file(&file).unwrap();
    (code, serde_json::from_str(&json).unwrap(), out)
}

#[test]
fn closed_loop_sends_so_many_requests_and_finds_all_answers_right() {
    let server = Server::start(right);
    let mix = [
        "--scenario",
        "qrcode,weight=3",
        "--scenario",
        "blockchain",
        "--requests",
        "400",
        "--connections",
        "4",
        "--size",
        "40",
        "--duration",
        "1m",
        "--closed",
        "--check",
        "all",
    ];
    let (code, report, out) = run(&server, &mix);
    assert_eq!(code, 0, "{out}");
    assert_eq!(report["total"]["requests"], 400, "{out}");
    assert_eq!(report["total"]["errors"], 0, "{out}");
    assert_eq!(report["total"]["checked_share"], 1.0);
    assert_eq!(report["plan"]["load"], "closed");
    assert_eq!(report["scenarios"][0]["team_line"], "TEAM,1");
    let share = report["scenarios"][0]["requests"].as_u64().unwrap();
    assert!((250..350).contains(&share), "3 of 4 are {share} of 400");
    assert_eq!(server.requests(), 400);
    for word in ["qrcode", "blockchain", "TOTAL", "Median", "99.9%"] {
        assert!(out.contains(word), "{word} in\n{out}");
    }
}

#[test]
fn open_loop_sends_what_the_schedule_says() {
    let server = Server::start(right);
    let (code, report, out) = run(
        &server,
        &[
            "--scenario",
            "qrcode",
            "--rate",
            "100",
            "--duration",
            "500ms",
            "--threads",
            "2",
            // A busy machine is none of this test's concern.
            "--max-late",
            "100%",
        ],
    );
    assert!(code == 0, "{out}");
    assert_eq!(report["total"]["requests"], 50, "{out}");
    assert_eq!(report["lateness"]["sent"], 50);
    assert_eq!(report["plan"]["rate"], 100.0);
    assert!(report["elapsed_s"].as_f64().unwrap() >= 0.48, "{out}");
    assert!(
        out.contains("Response time, from when a request was due"),
        "{out}"
    );
}

#[test]
fn a_tool_that_spins_sends_what_is_due_and_is_not_too_busy() {
    let server = Server::start(right);
    let (code, report, out) = run(
        &server,
        &[
            "--scenario",
            "qrcode",
            "--rate",
            "200",
            "--requests",
            "100",
            "--spin",
            // A busy machine is none of this test's concern.
            "--max-late",
            "100%",
        ],
    );
    assert!(code == 0, "{out}");
    assert_eq!(report["total"]["requests"], 100, "{out}");
    assert_eq!(report["valid"], true, "it computes all the time: {out}");
}

#[test]
fn wrong_bytes_are_errors_with_examples() {
    let server = Server::start(|target| match right(target) {
        Answer::Ok(mut body) if target.contains("encode") => {
            let last = body.len() - 1;
            body[last] ^= 1;
            Answer::Ok(body)
        }
        answer => answer,
    });
    let (code, report, out) = run(
        &server,
        &[
            "--scenario",
            "qrcode",
            "--closed",
            "--requests",
            "100",
            "--connections",
            "1",
        ],
    );
    assert_eq!(code, 1, "{out}");
    let wrong = report["total"]["wrong"]["other bytes"].as_u64().unwrap();
    assert!(wrong > 10, "{out}");
    assert_eq!(report["total"]["errors"], wrong);
    let examples = report["scenarios"][0]["examples"].as_array().unwrap();
    assert!(!examples.is_empty() && examples.len() <= 10);
    assert!(
        out.contains("Wrong (other bytes): /qrcode?type=encode"),
        "{out}"
    );
    // Nobody looks, nothing is found.
    let (code, report, _) = run(
        &server,
        &[
            "--scenario",
            "qrcode",
            "--closed",
            "--requests",
            "100",
            "--check",
            "none",
        ],
    );
    assert_eq!((code, &report["total"]["checked"]), (0, &Value::from(0)));
}

#[test]
fn another_team_line_than_the_given_one_is_wrong() {
    let server = Server::start(right);
    let arguments = [
        "--scenario",
        "qrcode",
        "--closed",
        "--requests",
        "20",
        "--team-line",
    ];
    let (code, ..) = run(&server, &[&arguments[..], &["TEAM,1"]].concat());
    assert_eq!(code, 0);
    let (code, report, _) = run(&server, &[&arguments[..], &["TEAM,2"]].concat());
    assert_eq!(code, 1);
    assert_eq!(report["total"]["wrong"]["another team line"], 20);
}

#[test]
fn a_sample_of_replies_is_checked_and_its_share_reported() {
    let server = Server::start(right);
    let (_, report, _) = run(
        &server,
        &[
            "--scenario",
            "qrcode",
            "--closed",
            "--requests",
            "1000",
            "--check",
            "sample:4",
        ],
    );
    let share = report["total"]["checked_share"].as_f64().unwrap();
    assert!((0.15..0.35).contains(&share), "{share}");
}

#[test]
fn other_statuses_and_closed_connections_are_counted_and_limits_fail() {
    let server = Server::start(|target| match target.len() % 3 {
        0 => Answer::Status(503),
        1 => Answer::Close,
        _ => right(target),
    });
    let arguments = [
        "--scenario",
        "qrcode",
        "--closed",
        "--requests",
        "300",
        "--connections",
        "3",
    ];
    let (code, report, out) = run(&server, &arguments);
    assert_eq!(code, 0, "{out}");
    let total = &report["total"];
    let refused = total["statuses"]["503"].as_u64().unwrap();
    let closed = total["failures"]["closed"].as_u64().unwrap();
    assert!(refused > 20 && closed > 20, "{out}");
    assert_eq!(total["errors"], refused + closed);
    let limit = ["--fail-if", "errors>1%", "--fail-if", "p50>1h"];
    let (code, _, err) =
        loadgen(&[&["run", "--target", &server.url()], &arguments[..], &limit].concat());
    assert_eq!(code, 64, "hours are no unit of a limit: {err}");
    let limit = ["--fail-if", "errors>1%", "--fail-if", "qrcode.p50>600s"];
    let (code, report, out) = run(&server, &[&arguments[..], &limit].concat());
    assert_eq!(code, 1, "{out}");
    assert_eq!(report["thresholds"][0]["failed"], true);
    assert_eq!(report["thresholds"][1]["failed"], false);
}

#[test]
fn a_target_that_answers_nothing_right_fails_the_run() {
    let server = Server::start(|_| Answer::Status(500));
    let (code, ..) = run(
        &server,
        &["--scenario", "qrcode", "--closed", "--requests", "5"],
    );
    assert_eq!(code, 1);
}

#[test]
fn slow_replies_time_out_and_later_requests_have_waited() {
    let server = Server::start(|_| Answer::Never);
    let (code, report, out) = run(
        &server,
        &[
            "--scenario",
            "qrcode",
            "--rate",
            "20",
            "--duration",
            "500ms",
            "--connections",
            "1",
            "--timeout",
            "200ms",
            "--max-late",
            "100%",
        ],
    );
    assert_eq!(code, 1, "{out}");
    let failures = &report["total"]["failures"];
    let timeouts = failures["timeout"].as_u64().unwrap();
    let unsent = failures["unsent"].as_u64().unwrap_or(0);
    assert_eq!(timeouts + unsent, 10, "{out}");
    // Each took 0.2 s from when it was sent, but there is one every 0.05 s.
    let response = report["total"]["response"]["max_ms"].as_f64().unwrap();
    assert!(response > 350.0, "{out}");
    assert!(report["lateness"]["late"].as_u64().unwrap() > 0, "{out}");
}

#[test]
fn a_tool_that_falls_behind_says_so() {
    let server = Server::start(right);
    // No machine sends ten million requests a second from one thread.
    let (code, report, out) = run(
        &server,
        &[
            "--scenario",
            "qrcode",
            "--rate",
            "10000000",
            "--duration",
            "100ms",
            "--timeout",
            "100ms",
            "--late-after",
            "1us",
            "--max-late",
            "0%",
            "--connections",
            "200",
        ],
    );
    assert_eq!(code, 3, "{out}");
    assert_eq!(report["valid"], false);
    assert!(out.contains("INVALID RUN"), "{out}");
}

#[test]
fn recorded_requests_are_sent_in_order_and_compared() {
    let server = Server::start(|target| match target {
        "/a" => Answer::Ok(b"one\ttwo\n".to_vec()),
        "/b" => Answer::Ok(b"T,9\n1\tx".to_vec()),
        _ => Answer::Status(404),
    });
    let file = std::env::temp_dir().join(format!("loadgen-{}.tsv", std::process::id()));
    let corpus = [
        "--corpus",
        file.to_str().unwrap(),
        "--closed",
        "--requests",
        "4",
        "--connections",
        "1",
    ];
    std::fs::write(
        &file,
        "# twice\n/a\tone\\ttwo\\n\n/b\tTEAMID,AWSACCOUNT\\n1\\tx\n",
    )
    .unwrap();
    let (code, report, out) = run(&server, &corpus);
    assert_eq!(
        (code, &report["total"]["errors"]),
        (0, &Value::from(0)),
        "{out}"
    );
    std::fs::write(&file, "/a\tother\n/b\n/c\n").unwrap();
    let (code, report, out) = run(&server, &corpus);
    assert_eq!(code, 1, "{out}");
    assert_eq!(report["total"]["wrong"]["other bytes"], 2, "{out}");
    assert_eq!(report["total"]["statuses"]["404"], 1, "{out}");
    // A reply whose right one is not recorded is not checked.
    assert_eq!(report["total"]["checked"], 2, "{out}");
    assert!(out.contains("66.7 % of the replies checked"), "{out}");
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn replies_of_which_only_the_shape_is_known_are_not_called_checked() {
    let server = Server::start(|_| Answer::Ok(b"T,1\n15\tname\t\ttext".to_vec()));
    let file = std::env::temp_dir().join(format!("loadgen-users-{}", std::process::id()));
    std::fs::write(&file, "15\n16\n").unwrap();
    let scenario = format!("twitter,invalid=0%,users={}", file.display());
    let arguments = ["--closed", "--requests", "20", "--check", "all"];
    let (code, report, out) = run(
        &server,
        &[&["--scenario", &scenario], &arguments[..]].concat(),
    );
    assert_eq!(code, 0, "{out}");
    assert_eq!(report["total"]["checked_share"], 0.0);
    assert_eq!(report["total"]["shape_checked"], 20);
    assert!(
        out.contains("0.0 % of the replies checked, 100.0 % by shape only"),
        "{out}"
    );
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn an_interrupt_counts_what_was_due_and_not_yet_sent() {
    let server = Server::start(|_| Answer::Never);
    let file = std::env::temp_dir().join(format!("loadgen-cut-{}.json", std::process::id()));
    let url = server.url();
    let child = support::spawn(&[
        "run",
        "--quiet",
        "--target",
        &url,
        "--scenario",
        "qrcode",
        "--rate",
        "200",
        "--duration",
        "10m",
        "--timeout",
        "10m",
        "--connections",
        "1",
        "--json",
        file.to_str().unwrap(),
    ]);
    support::wait_until(|| server.requests() > 0);
    let sent = std::time::Instant::now();
    support::wait_until(|| sent.elapsed() > std::time::Duration::from_millis(500));
    support::interrupt(&child);
    let output = child.wait_with_output().unwrap();
    let report: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    // A hundred became due behind the one that is never answered.
    assert!(report["cut"].as_u64().unwrap() > 20, "{}", report["cut"]);
    // On a machine that has no time for the tool, that is what it says.
    let expected = if report["valid"] == true { 1 } else { 3 };
    assert_eq!(
        output.status.code(),
        Some(expected),
        "not one request ended"
    );
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(out.contains("FAILED: not one request ended"), "{out}");
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn a_report_is_written_though_nobody_reads_what_is_printed() {
    let server = Server::start(right);
    let file = std::env::temp_dir().join(format!("loadgen-pipe-{}.json", std::process::id()));
    std::fs::write(&file, "what was there before, and longer than nothing").unwrap();
    let url = server.url();
    let mut child = support::spawn(&[
        "run",
        "--quiet",
        "--target",
        &url,
        "--scenario",
        "qrcode",
        "--closed",
        "--requests",
        "10",
        "--json",
        file.to_str().unwrap(),
    ]);
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(74));
    let report: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(report["total"]["requests"], 10);
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn a_report_without_a_place_is_refused_before_anything_is_sent() {
    let server = Server::start(right);
    let (code, _, err) = loadgen(&[
        "run",
        "--target",
        &server.url(),
        "--scenario",
        "qrcode",
        "--csv",
        "/no/such/folder/a.csv",
    ]);
    assert!(
        code == 74 && err.contains("/no/such/folder/a.csv"),
        "{code} {err}"
    );
    assert_eq!(server.requests(), 0);
}

#[test]
fn an_interrupt_ends_a_run_with_its_report() {
    let server = Server::start(right);
    let url = server.url();
    let child = support::spawn(&[
        "run",
        "--target",
        &url,
        "--scenario",
        "qrcode",
        "--duration",
        "10m",
        "--closed",
    ]);
    support::wait_until(|| server.requests() > 50);
    support::interrupt(&child);
    let output = child.wait_with_output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{out}");
    assert!(
        out.contains("stopped with") && out.contains("qrcode"),
        "{out}"
    );
}

#[test]
fn nonsense_and_strangers_are_refused_before_anything_is_sent() {
    let (code, _, err) = loadgen(&[
        "run",
        "--target",
        "http://192.0.2.1",
        "--scenario",
        "qrcode",
    ]);
    assert_eq!(code, 64);
    assert!(err.contains("--allow-remote"), "{err}");
    for arguments in [
        &["run"][..],
        &["run", "--target", "http://127.0.0.1:1"],
        &["run", "--scenario", "qrcode"],
        &[
            "run",
            "--target",
            "http://127.0.0.1:1",
            "--corpus",
            "/no/such/file",
        ],
        &[
            "run",
            "--target",
            "http://127.0.0.1:1",
            "--scenario",
            "qrcode",
            "--rate",
            "0",
        ],
        &[
            "run",
            "--target",
            "http://127.0.0.1:1",
            "--scenario",
            "qrcode",
            "--fail-if",
            "x.avg>1s",
        ],
        &["walk"],
    ] {
        let (code, out, err) = loadgen(arguments);
        assert_eq!(code, 64, "{arguments:?}: {out}{err}");
    }
}

#[test]
fn a_target_that_is_not_there_has_an_exit_code_of_its_own() {
    let port = support::free_port();
    let url = format!("http://127.0.0.1:{port}");
    let (code, _, err) = loadgen(&["run", "--target", &url, "--scenario", "qrcode"]);
    assert_eq!(code, 69, "{err}");
}
