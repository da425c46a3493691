//! The commands between the zones as an operator runs them.

#![expect(clippy::unwrap_used, reason = "a test whose data is wrong must fail")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use etl::generate;

/// Zones of their own, with the hand-made tweets in the landing zone.
struct Case {
    root: PathBuf,
}

fn data(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../twitter-core/tests/data")
        .join(file)
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_etl"));
    command.env_remove("DATABASE_URL");
    command
}

fn generated(seed: u64) -> Vec<u8> {
    let options = generate::Options {
        users: 100,
        tweets: 800,
        seed,
        ..generate::Options::default()
    };
    let mut lines = Vec::new();
    generate::write(&options, &mut lines).unwrap();
    lines
}

impl Case {
    fn new(name: &str) -> Self {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("zones-{name}"));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(root.join("landing")).unwrap();
        fs::copy(data("tiny.jsonl"), root.join("landing/tiny.jsonl")).unwrap();
        Self { root }
    }

    fn path(&self, name: &str) -> String {
        self.root.join(name).to_str().unwrap().to_owned()
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        fs::write(self.root.join("landing").join(name), bytes).unwrap();
    }

    fn clean_words(&self, working: &str) -> Vec<String> {
        let landing = self.path("landing");
        ["clean", "--landing", &landing, "--working", working]
            .map(str::to_owned)
            .to_vec()
    }

    fn score_words(&self, processed: &str) -> Vec<String> {
        let popular = data("tiny_popular_hashtags.txt")
            .to_str()
            .unwrap()
            .to_owned();
        let working = self.path("working");
        [
            "score",
            "--working",
            &working,
            "--processed",
            processed,
            "--popular",
            &popular,
            "--engine",
            "memory",
        ]
        .map(str::to_owned)
        .to_vec()
    }

    fn run_words(&self, zones: &str) -> Vec<String> {
        let popular = data("tiny_popular_hashtags.txt")
            .to_str()
            .unwrap()
            .to_owned();
        let database = format!("sqlite://{}", self.path(&format!("{zones}.db")));
        let working = self.path(&format!("{zones}-working"));
        let processed = self.path(&format!("{zones}-processed"));
        [
            "run",
            "--landing",
            &self.path("landing"),
            "--working",
            &working,
            "--processed",
            &processed,
            "--popular",
            &popular,
            "--database",
            &database,
            "--engine",
            "memory",
        ]
        .map(str::to_owned)
        .to_vec()
    }

    fn rows(&self, zones: &str) -> Vec<u8> {
        let database = format!("sqlite://{}", self.path(&format!("{zones}.db")));
        let output = etl(&["rows", "--out", "-", "--database", &database]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        output.stdout
    }
}

fn etl(words: &[impl AsRef<std::ffi::OsStr>]) -> Output {
    program().args(words).output().unwrap()
}

fn done(words: &[String]) -> String {
    let output = etl(words);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// The one line of a refusal with this exit code.
fn refused(output: &Output, code: i32) -> String {
    let line = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{line}");
    assert_eq!(line.lines().count(), 1, "{line}");
    line
}

#[test]
fn a_run_gives_the_known_rows_and_counts_step_by_step_or_at_once() {
    let case = Case::new("run");
    let stats = case.path("stats.json");
    let mut words = case.run_words("run");
    words.extend(["--stats".to_owned(), stats.clone()]);
    let dry = done(&[words.clone(), vec!["--dry-run".to_owned()]].concat());
    assert!(dry.starts_with("clean: 1 of 1 files, "), "{dry}");
    assert!(
        dry.contains("\n  tiny.jsonl ") && dry.contains("score: engine memory"),
        "{dry}"
    );
    for name in ["run-working", "run-processed", "run.db", "stats.json"] {
        assert!(!case.root.join(name).exists(), "{name}");
    }
    done(&words);
    assert_eq!(case.rows("run"), fs::read(data("tiny_rows.tsv")).unwrap());
    let known = fs::read_to_string(data("tiny_stats.json")).unwrap();
    assert_eq!(fs::read_to_string(stats).unwrap(), known);
    let dry = done(&[words, vec!["--dry-run".to_owned()]].concat());
    assert!(
        dry.starts_with("clean: 0 of 1 files, ") && dry.contains("is up to date"),
        "{dry}"
    );

    let said = done(&case.clean_words(&case.path("working")));
    assert!(said.starts_with("1 of 1 inputs cleaned, "), "{said}");
    let processed = case.path("processed");
    done(&case.score_words(&processed));
    let said = done(&case.score_words(&processed));
    assert!(said.ends_with("is up to date\n"), "{said}");
    let part = "rows/part-00000.parquet";
    let own = fs::read(case.root.join("processed").join(part)).unwrap();
    let all = fs::read(case.root.join("run-processed").join(part)).unwrap();
    assert!(own == all);
}

#[test]
fn new_files_alone_are_cleaned_and_the_outcome_is_that_of_a_full_run() {
    let case = Case::new("incremental");
    case.put("a.jsonl", &generated(1));
    done(&case.run_words("steps"));
    let manifest = case.root.join("steps-working/manifests/a.jsonl.json");
    let before = fs::metadata(&manifest).unwrap().modified().unwrap();
    // One that comes before the others in input order, and one that repeats tweets of another.
    case.put("0.jsonl", &generated(2));
    case.put("b.jsonl", &generated(1));
    done(&case.run_words("steps"));
    assert_eq!(fs::metadata(&manifest).unwrap().modified().unwrap(), before);
    done(&case.run_words("once"));
    assert!(case.rows("steps") == case.rows("once"));
    let run = |zones: &str| {
        let path = case.root.join(format!("{zones}-processed/run.json"));
        let mut run: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        let working = run["working"].take();
        let own = case.root.join(format!("{zones}-working"));
        assert_eq!(
            Path::new(working.as_str().unwrap()),
            fs::canonicalize(own).unwrap()
        );
        run
    };
    assert_eq!(run("steps"), run("once"));
    let run = run("once");
    let repeated = |at: usize| run["inputs"][at]["repeated_tweets"].as_u64().unwrap();
    assert_eq!(run["inputs"][2]["input"], "b.jsonl");
    assert!(repeated(0) == 0 && repeated(2) > 0, "{run}");
}

#[test]
fn every_refusal_is_one_line_with_its_exit_code_and_publishes_nothing() {
    let case = Case::new("refusals");
    done(&case.run_words("run"));
    let rows = case.rows("run");
    let landing = case.root.join("landing");
    // A cut gzip, one of no bytes, and a raw file that is gone.
    for bytes in [&b"\x1f\x8b\x08\x00"[..], b"", b"plain"] {
        case.put("cut.gz", bytes);
        let line = refused(&etl(&case.run_words("run")), 65);
        assert!(line.contains("cut.gz"), "{line}");
        assert_eq!(case.rows("run"), rows);
    }
    fs::remove_file(landing.join("cut.gz")).unwrap();
    fs::rename(landing.join("tiny.jsonl"), case.root.join("tiny.jsonl")).unwrap();
    case.put("other.jsonl", b"");
    let line = refused(&etl(&case.run_words("run")), 65);
    assert!(
        line.contains("tiny.jsonl") && line.contains("--gone"),
        "{line}"
    );
    fs::rename(case.root.join("tiny.jsonl"), landing.join("tiny.jsonl")).unwrap();
    done(&case.run_words("run"));
    assert_eq!(case.rows("run"), rows);

    // Other versions of the zones.
    for (file, key) in [
        ("run-working/manifests/tiny.jsonl.json", "working_version"),
        ("run-processed/run.json", "processed_version"),
    ] {
        let path = case.root.join(file);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(
            &path,
            text.replace(&format!("\"{key}\": 1"), &format!("\"{key}\": 9")),
        )
        .unwrap();
        let line = refused(&etl(&case.run_words("run")), 65);
        assert!(line.contains("version 9"), "{line}");
        fs::write(&path, text).unwrap();
    }

    // Zones in each other, no landing zone, no tags, no engine.
    let inside = case.path("landing/working");
    refused(&etl(&case.clean_words(&inside)), 64);
    assert!(!landing.join("working").exists());
    let mut words = case.clean_words(&case.path("working"));
    words[2] = case.path("absent");
    refused(&etl(&words), 65);
    assert!(!case.root.join("working").exists());
    refused(&etl(&case.score_words(&case.path("processed"))), 65);
    done(&case.clean_words(&case.path("working")));
    let mut words = case.score_words(&case.path("processed"));
    words[6] = case.path("absent");
    refused(&etl(&words), 65);
    let mut words = case.score_words(&case.path("processed"));
    words[8] = "datafusion".to_owned();
    let alone = case.root.join("bin");
    fs::create_dir_all(&alone).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_etl"), alone.join("etl")).unwrap();
    let mut command = Command::new(alone.join("etl"));
    let line = refused(
        &command.args(&words).env("PATH", &alone).output().unwrap(),
        64,
    );
    assert!(line.contains("etl-score"), "{line}");
    let mut words = case.score_words(&case.path("processed"));
    words.extend(["--memory".to_owned(), "1K".to_owned()]);
    refused(&etl(&words), 64);
}

#[test]
fn a_place_that_cannot_be_written_is_told() {
    let case = Case::new("disk");
    case.put("a.jsonl", &generated(1));
    fs::write(case.root.join("file"), "").unwrap();
    for working in [case.path("file/working"), "/proc/etl-working".to_owned()] {
        refused(&etl(&case.clean_words(&working)), 74);
    }
    done(&case.clean_words(&case.path("working")));
    refused(&etl(&case.score_words("/proc/etl-processed")), 74);

    // A disk that takes no more: files may have 8 KiB.
    let limited = |words: &[String]| {
        let script = "trap '' XFSZ; ulimit -f 8; exec \"$0\" \"$@\"";
        let mut command = Command::new("bash");
        command
            .args(["-c", script, env!("CARGO_BIN_EXE_etl")])
            .args(words);
        command.env_remove("DATABASE_URL").output().unwrap()
    };
    let full = case.path("full");
    let line = refused(&limited(&case.clean_words(&full)), 74);
    assert!(line.contains("cannot write "), "{line}");
    let left = |folder: &Path| -> Vec<String> {
        let listed = fs::read_dir(folder).unwrap();
        listed
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    };
    // The small file may have been done before; of the other nothing is left.
    let left = left(&Path::new(&full).join("contact_tweets"));
    let is_small = |name: &String| name == "tiny.jsonl.parquet";
    assert!(left.iter().all(is_small), "{left:?}");
    refused(&limited(&case.score_words(&case.path("processed"))), 74);
    assert!(!case.root.join("processed/run.json").exists());
    // Once there is room it goes on.
    done(&case.clean_words(&full));
    done(&case.score_words(&case.path("processed")));
}

#[test]
fn build_leaves_nothing_behind() {
    let case = Case::new("build");
    let temporary = case.root.join("tmp");
    fs::create_dir_all(&temporary).unwrap();
    let database = format!("sqlite://{}", case.path("t.db"));
    let popular = data("tiny_popular_hashtags.txt");
    let build = |input: &Path| {
        let mut command = program();
        command
            .env("TMPDIR", &temporary)
            .arg("build")
            .arg("--input")
            .arg(input);
        command
            .arg("--popular")
            .arg(&popular)
            .args(["--database", &database]);
        command.output().unwrap()
    };
    let output = build(&data("tiny.jsonl"));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    refused(&build(&case.root.join("absent")), 65);
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0);
}

#[test]
fn a_single_bit_that_changed_in_the_facts_is_noticed() {
    let case = Case::new("flipped");
    case.put("a.jsonl", &generated(1));
    case.put("b.jsonl", &generated(2));
    done(&case.run_words("run"));
    let before = case.rows("run");
    case.put("c.jsonl", &generated(3));
    for table in ["tweets", "contact_tweets", "tag_uses", "sightings"] {
        let file = case
            .root
            .join(format!("run-working/{table}/a.jsonl.parquet"));
        let whole = fs::read(&file).unwrap();
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 1;
        fs::write(&file, flipped).unwrap();
        let line = refused(&etl(&case.run_words("run")), 65);
        assert!(line.contains(&format!("{table}/a.jsonl.parquet")), "{line}");
        fs::write(&file, whole).unwrap();
    }
    assert!(case.rows("run") == before, "nothing was published");
    done(&case.run_words("run"));
    assert!(case.rows("run") != before);
}
