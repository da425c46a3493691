//! The program as an operator runs it.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;

/// A folder of its own for each test, emptied when the test begins.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cli-{name}"));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

fn data(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../twitter-core/tests/data")
        .join(file)
}

fn etl(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_etl"))
        .args(words)
        .env_remove("DATABASE_URL")
        .output()
        .expect("the program runs")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("paths of tests are text")
}

fn build(input: &Path, database: &str) -> Output {
    let popular = data("tiny_popular_hashtags.txt");
    let words = ["build", "--input", text(input), "--popular", text(&popular)];
    etl(&[&words, ["--database", database].as_slice()].concat())
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn assert_tiny_rows(database: &str, folder: &Path) {
    let out = folder.join("rows.tsv");
    let output = etl(&["rows", "--database", database, "--out", text(&out)]);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    let rows = fs::read(&out).expect("rows were written");
    assert_eq!(rows, fs::read(data("tiny_rows.tsv")).expect("vectors"));
}

#[test]
fn builds_a_table_whose_rows_and_counts_are_the_known_ones() {
    let folder = folder("build");
    let database = format!("sqlite://{}", text(&folder.join("a b%c.db")));
    let stats = folder.join("stats.json");
    let tiny = data("tiny.jsonl");
    let popular = data("tiny_popular_hashtags.txt");
    let output = etl(&[
        "build",
        "--input",
        text(&tiny),
        "--popular",
        text(&popular),
        "--database",
        &database,
        "--stats",
        text(&stats),
    ]);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    let counts = fs::read_to_string(stats).expect("counts were written");
    let known = fs::read_to_string(data("tiny_stats.json")).expect("vectors");
    assert_eq!(counts, known);
    assert_tiny_rows(&database, &folder);
}

#[test]
fn a_second_run_replaces_the_first() {
    let folder = folder("twice");
    let database = format!("sqlite://{}", text(&folder.join("t.db")));
    let generated = folder.join("g.jsonl");
    let words = [
        "generate",
        "--users",
        "100",
        "--tweets",
        "2000",
        "--out",
        text(&generated),
    ];
    assert_eq!(code(&etl(&words)), Some(0));
    assert_eq!(code(&build(&generated, &database)), Some(0));
    assert_eq!(code(&build(&data("tiny.jsonl"), &database)), Some(0));
    assert_tiny_rows(&database, &folder);
}

#[test]
fn takes_gzip_and_refuses_a_cut_one_without_publishing() {
    let folder = folder("gzip");
    let database = format!("sqlite://{}", text(&folder.join("t.db")));
    let plain = fs::read(data("tiny.jsonl")).expect("vectors");
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&plain).expect("memory");
    let gzip = gzip.finish().expect("memory");
    let whole = folder.join("tiny.jsonl.gz");
    fs::write(&whole, &gzip).expect("a file");
    assert_eq!(code(&build(&whole, &database)), Some(0));
    assert_tiny_rows(&database, &folder);
    for length in [0, 5, gzip.len() / 2, gzip.len() - 4] {
        let cut = folder.join("cut.gz");
        fs::write(&cut, &gzip[..length]).expect("a file");
        let output = build(&cut, &database);
        if length > 0 {
            assert_eq!(code(&output), Some(65), "{length}");
            assert!(stderr(&output).contains("cut.gz"), "{}", stderr(&output));
            assert_tiny_rows(&database, &folder);
        }
    }
}

#[test]
fn show_lists_a_user_and_says_when_there_is_none() {
    let folder = folder("show");
    let database = format!("sqlite://{}", text(&folder.join("t.db")));
    assert_eq!(code(&build(&data("tiny.jsonl"), &database)), Some(0));
    let shown = etl(&["show", "301", "--database", &database]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(
        shown.starts_with("user 301: 7 rows with 1 contacts"),
        "{shown}"
    );
    assert!(shown.contains("4 replies, 3 retweets"), "{shown}");
    let nobody = etl(&["show", "1234567", "--database", &database]);
    assert_eq!(code(&nobody), Some(0));
    assert_eq!(nobody.stdout, b"user 1234567: no contacts\n");
}

#[test]
fn generates_the_same_lines_for_the_same_seed_plain_and_gzip() {
    let folder = folder("generate");
    let write = |name: &str, seed: &str| {
        let out = folder.join(name);
        let words = [
            "generate", "--users", "50", "--tweets", "500", "--seed", seed, "--out",
        ];
        let output = etl(&[&words, [text(&out)].as_slice()].concat());
        assert_eq!(code(&output), Some(0), "{}", stderr(&output));
        fs::read(out).expect("lines were written")
    };
    let lines = write("a.jsonl", "7");
    assert_eq!(lines, write("b.jsonl", "7"));
    assert_ne!(lines, write("c.jsonl", "8"));
    let gzip = write("d.jsonl.gz", "7");
    let mut inflated = Vec::new();
    let mut reader = flate2::read::MultiGzDecoder::new(gzip.as_slice());
    reader.read_to_end(&mut inflated).expect("gzip");
    assert_eq!(inflated, lines);
}

#[test]
fn tells_whose_fault_it_was() {
    let folder = folder("codes");
    let database = format!("sqlite://{}", text(&folder.join("t.db")));
    let tiny = data("tiny.jsonl");
    assert_eq!(code(&etl(&["build"])), Some(64));
    assert_eq!(
        code(&etl(&["generate", "--malformed-share", "2", "--out", "-"])),
        Some(64)
    );
    assert_eq!(code(&etl(&["--help"])), Some(0));
    assert_eq!(code(&build(&tiny, "postgres://x/y")), Some(64));
    let absent = build(&folder.join("absent.jsonl"), &database);
    assert_eq!(code(&absent), Some(65));
    assert!(stderr(&absent).contains("absent.jsonl"));
    // Nobody listens on port 1.
    let away = build(&tiny, "mysql://app:s3cret@127.0.0.1:1/tripod");
    assert_eq!(code(&away), Some(69));
    assert!(!stderr(&away).contains("s3cret"), "{}", stderr(&away));
    let nowhere = format!("sqlite://{}", text(&folder.join("no/such/folder/t.db")));
    assert_eq!(code(&build(&tiny, &nowhere)), Some(74));
    let full = etl(&["generate", "--tweets", "5000", "--out", "/dev/full"]);
    assert_eq!(code(&full), Some(74));
    for output in [absent, away, full] {
        assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
    }
}

#[test]
fn an_output_that_takes_no_more_is_told_by_the_exit_code() {
    let folder = folder("outputs");
    let path = folder.join("t.db");
    let database = format!("sqlite://{}", text(&path));
    let tiny = data("tiny.jsonl");
    let popular = data("tiny_popular_hashtags.txt");
    let build_words = [
        "build",
        "--input",
        text(&tiny),
        "--popular",
        text(&popular),
        "--database",
        &database,
    ];
    let into = |words: &[&str], out: Stdio, errors: Stdio| {
        Command::new(env!("CARGO_BIN_EXE_etl"))
            .args(words)
            .env_remove("DATABASE_URL")
            .stdout(out)
            .stderr(errors)
            .status()
            .expect("the program runs")
            .code()
    };
    let full = || Stdio::from(File::create("/dev/full").expect("a device"));
    let gone = || {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        Stdio::from(writer)
    };
    // Counts that cannot be told end the run before anything is published.
    assert_eq!(into(&build_words, full(), Stdio::null()), Some(74));
    assert!(!path.exists());
    assert_eq!(into(&build_words, gone(), Stdio::null()), Some(0));
    let show = ["show", "301", "--database", &database];
    assert_eq!(into(&show, full(), Stdio::null()), Some(74));
    assert_eq!(into(&show, gone(), Stdio::null()), Some(0));
    assert_eq!(into(&show, full(), full()), Some(74));
}

#[test]
fn a_database_that_is_not_there_is_told_before_the_input_is_read() {
    let folder = folder("probe");
    let absent = folder.join("absent.jsonl");
    let away = build(&absent, "mysql://app@127.0.0.1:1/tripod");
    assert_eq!(code(&away), Some(69), "{}", stderr(&away));
    let path = folder.join("none.db");
    let database = format!("sqlite://{}", text(&path));
    for words in [["show", "301"], ["rows", "--out=-"]] {
        let output = etl(&[&words, ["--database", &database].as_slice()].concat());
        assert_eq!(code(&output), Some(69), "{}", stderr(&output));
        assert!(stderr(&output).contains("none.db"), "{}", stderr(&output));
    }
    assert!(!path.exists());
}
