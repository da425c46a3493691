//! Killed at any moment and run again, the outcome is that of a run that nobody disturbed.

#![expect(clippy::unwrap_used, reason = "a test whose data is wrong must fail")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use etl::generate;
use etl::zones::lock::Lock;
use etl::zones::place::Place;

/// Kills of each command. More are asked for with `TRIPOD_KILLS`.
const KILLS: u32 = 12;

struct Case {
    root: PathBuf,
}

impl Case {
    /// Several files in the landing zone, with tweets that occur in two of them.
    fn new(name: &str) -> Self {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("kill-{name}"));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(root.join("landing")).unwrap();
        for (number, seed) in [1, 2, 3, 2, 4, 5].into_iter().enumerate() {
            let options = generate::Options {
                users: 150,
                tweets: 700,
                seed,
                ..generate::Options::default()
            };
            let mut lines = Vec::new();
            generate::write(&options, &mut lines).unwrap();
            fs::write(root.join(format!("landing/part-{number}.jsonl")), lines).unwrap();
        }
        fs::write(root.join("popular"), "zipcode\n").unwrap();
        Self { root }
    }

    fn words(&self, command: &str, zones: &str) -> Vec<String> {
        let place = |name: &str| self.root.join(name).to_str().unwrap().to_owned();
        let working = place(&format!("{zones}-working"));
        let processed = place(&format!("{zones}-processed"));
        let database = format!("sqlite://{}", place(&format!("{zones}.db")));
        let mut words = vec![command.to_owned(), "--working".to_owned(), working];
        let mut add = |name: &str, value: String| words.extend([name.to_owned(), value]);
        if command != "score" {
            add("--landing", place("landing"));
        }
        if command != "clean" {
            add("--processed", processed);
            add("--popular", place("popular"));
            add("--engine", "memory".to_owned());
        }
        if command == "run" {
            add("--database", database);
        }
        words
    }

    fn etl(&self, command: &str, zones: &str) -> Output {
        let output = etl(&self.words(command, zones)).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{stderr}");
        output
    }

    /// All files of the zones, with their bytes.
    fn files(&self, zones: &str) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        for zone in ["working", "processed"] {
            let root = self.root.join(format!("{zones}-{zone}"));
            collect(&root, zone, &mut files);
        }
        files
    }

    fn rows(&self, zones: &str) -> Vec<u8> {
        let database = format!(
            "sqlite://{}",
            self.root.join(format!("{zones}.db")).display()
        );
        let words = ["rows", "--out", "-", "--database", &database].map(str::to_owned);
        let output = etl(&words).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        output.stdout
    }
}

fn collect(folder: &Path, name: &str, files: &mut BTreeMap<String, Vec<u8>>) {
    let Ok(listed) = fs::read_dir(folder) else {
        return;
    };
    for entry in listed.map(Result::unwrap) {
        let own = entry.file_name().into_string().unwrap();
        let name = format!("{name}/{own}");
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), &name, files);
        } else if own != ".lock" && own != "report.json" {
            // The report tells how long each step took.
            let mut bytes = fs::read(entry.path()).unwrap();
            if own == "run.json" {
                // It names the working zone, which each run has for itself.
                let mut run: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
                assert!(run["working"].take().is_string());
                bytes = run.to_string().into_bytes();
            }
            files.insert(name, bytes);
        }
    }
}

fn etl(words: &[String]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_etl"));
    command.args(words).env_remove("DATABASE_URL");
    command
}

/// Starts a command and kills it after a while, unless it ends before. Whether it was killed.
#[expect(
    clippy::disallowed_methods,
    reason = "there is no condition to wait for: the moment is what is chosen"
)]
fn kill_after(words: &[String], pause: Duration) -> bool {
    let mut process = etl(words)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let end = Instant::now() + pause;
    while Instant::now() < end {
        if let Some(status) = process.try_wait().unwrap() {
            assert!(status.success(), "{status}");
            return false;
        }
        sleep(Duration::from_micros(300));
    }
    process.kill().unwrap();
    !process.wait().unwrap().success()
}

fn kills() -> u32 {
    let wanted = std::env::var("TRIPOD_KILLS").ok();
    wanted.map_or(KILLS, |wanted| wanted.parse().unwrap())
}

/// Kills a command at moments spread over the time it takes, each time from nothing, then lets it
/// end, and compares.
fn disturb(case: &Case, command: &str, prepare: impl Fn(&str), compare: impl Fn(&str)) {
    prepare("whole");
    let begin = Instant::now();
    case.etl(command, "whole");
    let whole = begin.elapsed();
    let mut killed = 0;
    let mut moments = 0..kills();
    let mut pause = whole;
    // A machine that stood still for a moment makes the whole take long once, and most kills come too
    // late: then more follow, each after half the time, until one must meet the program.
    for kill in 0..kills() + 32 {
        match moments.next() {
            Some(moment) => pause = whole * (2 * moment + 1) / (2 * kills()),
            None if killed >= kills() / 2 => break,
            None => pause /= 2,
        }
        let zones = format!("kill-{kill}");
        prepare(&zones);
        // Twice, so that what the first left is met by one that is killed too.
        killed += u32::from(kill_after(&case.words(command, &zones), pause));
        killed += u32::from(kill_after(&case.words(command, &zones), pause / 2));
        case.etl(command, &zones);
        compare(&zones);
    }
    assert!(killed >= kills() / 2, "only {killed} kills met the program");
}

#[test]
fn clean_is_not_disturbed_by_kills() {
    let case = Case::new("clean");
    let compare = |zones: &str| assert!(case.files(zones) == case.files("whole"), "{zones}");
    disturb(&case, "clean", |_| {}, compare);
}

#[test]
fn score_is_not_disturbed_by_kills() {
    let case = Case::new("score");
    let compare = |zones: &str| assert!(case.files(zones) == case.files("whole"), "{zones}");
    disturb(
        &case,
        "score",
        |zones| drop(case.etl("clean", zones)),
        compare,
    );
}

#[test]
fn run_is_not_disturbed_by_kills() {
    let case = Case::new("run");
    let compare = |zones: &str| {
        assert!(case.files(zones) == case.files("whole"), "{zones}");
        assert!(case.rows(zones) == case.rows("whole"), "{zones}");
    };
    disturb(&case, "run", |_| {}, compare);
}

#[test]
fn a_second_run_in_the_same_zone_is_refused() {
    let case = Case::new("busy");
    let working = Place::local(case.root.join("one-working"));
    let held = Lock::exclusive(&working).unwrap();
    for command in ["clean", "run"] {
        let output = etl(&case.words(command, "one")).output().unwrap();
        assert_eq!(output.status.code(), Some(75), "{output:?}");
        let line = String::from_utf8_lossy(&output.stderr).into_owned();
        let holder = format!("process {} on ", std::process::id());
        assert!(
            line.contains(&holder) && line.lines().count() == 1,
            "{line}"
        );
    }
    drop(held);
    case.etl("clean", "one");
    let held = Lock::shared(&working).unwrap();
    case.etl("score", "one");
    let output = etl(&case.words("clean", "one")).output().unwrap();
    assert_eq!(output.status.code(), Some(75), "{output:?}");
    drop(held);
}
