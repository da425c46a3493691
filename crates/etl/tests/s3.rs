//! All zones in a bucket, on an S3 server that the test starts: `moto_server`, which
//! `TRIPOD_TEST_S3_SERVER` names or the path holds. `cargo xtask test` installs it. Without it a
//! test says that it is skipped, and fails with `CI=true`.

#![expect(clippy::unwrap_used, reason = "a test whose data is wrong must fail")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

const SECRET: &str = "not-to-be-told-9f8e7d";
const KEY: &str = "AKIANOTTOBETOLD";
const BUCKET: &str = "tripod-zones";

/// A server with one bucket, ended when dropped.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    fn start() -> Option<Self> {
        let Some(program) = program() else {
            let is_ci = std::env::var("CI").as_deref() == Ok("true");
            assert!(!is_ci, "moto_server is not there; run `cargo xtask test`");
            println!("SKIPPED: no S3 server; set TRIPOD_TEST_S3_SERVER to moto_server");
            return None;
        };
        let mut process = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", "0"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let address = lines.by_ref().map(Result::unwrap).find_map(|line| {
            let (_, rest) = line.split_once("Running on http://")?;
            Some(rest.split_whitespace().next()?.to_owned())
        });
        // It logs every request, and must not be held up by that.
        std::thread::spawn(move || lines.for_each(drop));
        let server = Self {
            process,
            address: address.unwrap(),
        };
        assert!(server.ask("PUT", "", b"").starts_with("HTTP/1.1 200"));
        Some(server)
    }

    /// One plain request about an object of the bucket.
    fn ask(&self, method: &str, name: &str, body: &[u8]) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let wait = Some(Duration::from_mins(1));
        stream.set_read_timeout(wait).unwrap();
        let head = format!(
            "{method} /{BUCKET}/{name} HTTP/1.1\r\nHost: {}\r\nAuthorization: AWS any:any\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn put(&self, name: &str, body: &[u8]) {
        let answer = self.ask("PUT", name, body);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_etl"));
        command
            .args(words)
            .env_remove("DATABASE_URL")
            .env("AWS_ENDPOINT", format!("http://{}", self.address))
            .env("AWS_ALLOW_HTTP", "true")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET);
        command
    }

    fn etl(&self, words: &[&str]) -> Output {
        let output = self.command(words).output().unwrap();
        for stream in [&output.stdout, &output.stderr] {
            let text = String::from_utf8_lossy(stream);
            assert!(!text.contains(SECRET) && !text.contains(KEY), "{text}");
        }
        output
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn program() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("TRIPOD_TEST_S3_SERVER") {
        return Some(named.into());
    }
    let path = std::env::var_os("PATH")?;
    let files = std::env::split_paths(&path).map(|folder| folder.join("moto_server"));
    files.into_iter().find(|file| file.is_file())
}

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("s3-{name}"));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn data(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../twitter-core/tests/data")
        .join(file)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn zone(name: &str) -> String {
    format!("s3://{BUCKET}/{name}")
}

/// Lines of tweets whose facts do not shrink: more than one part of an upload.
fn large_lines() -> Vec<u8> {
    let mut state = 1u64;
    let mut text = || -> String {
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            char::from(b'!' + 1 + u8::try_from(state >> 58).unwrap())
        };
        (0..900_000)
            .map(|_| next())
            .filter(|letter| *letter != '\\')
            .collect()
    };
    let lines = (1..=20).map(|id| {
        let text = text();
        let line = serde_json::json!({
            "id": id, "created_at": "Mon Apr 14 10:00:00 +0000 2014", "text": text, "lang": "en",
            "user": {"id": 7}, "in_reply_to_user_id": 8,
            "entities": {"hashtags": [{"text": "a"}]},
        });
        format!("{line}\n")
    });
    lines.collect::<String>().into_bytes()
}

fn said(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_run_over_a_bucket_gives_the_known_rows() {
    let Some(server) = Server::start() else {
        return;
    };
    let folder = folder("run");
    let database = format!("sqlite://{}", folder.join("t.db").display());
    let tiny = fs::read(data("tiny.jsonl")).unwrap();
    server.put("landing/a/tiny.jsonl.gz", &gzip(&tiny));
    server.put("landing/notes.txt", b"not raw");
    let popular = data("tiny_popular_hashtags.txt");
    let (landing, working, processed) = (zone("landing"), zone("working"), zone("processed"));
    let clean = ["clean", "--landing", &landing, "--working", &working];
    let mut run = clean.to_vec();
    run[0] = "run";
    run.extend(["--processed", &processed, "--engine", "memory"]);
    run.extend(["--popular", popular.to_str().unwrap()]);
    run.extend(["--database", &database]);
    let dry = said(&server.etl(&[&run, ["--dry-run"].as_slice()].concat()));
    let is_right = dry.contains("a/tiny.jsonl.gz") && !dry.contains("notes.txt");
    assert!(is_right, "{dry}");
    said(&server.etl(&run));
    let rows = said(&server.etl(&["rows", "--out", "-", "--database", &database]));
    let known = fs::read_to_string(data("tiny_rows.tsv")).unwrap();
    assert_eq!(rows, known);
    // All is done, and the lock is gone.
    let again = said(&server.etl(&clean));
    assert!(again.starts_with("0 of 1 inputs cleaned"), "{again}");
    let lock = server.ask("GET", "working/.lock", b"");
    assert!(lock.starts_with("HTTP/1.1 404"), "{lock}");
}

#[test]
fn files_of_several_parts_are_those_of_a_folder() {
    let Some(server) = Server::start() else {
        return;
    };
    let folder = folder("parts");
    let lines = large_lines();
    server.put("landing/large.jsonl", &lines);
    fs::create_dir_all(folder.join("landing")).unwrap();
    fs::write(folder.join("landing/large.jsonl"), &lines).unwrap();
    let popular = data("tiny_popular_hashtags.txt");
    let popular = popular.to_str().unwrap();
    let local = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let places: [&dyn Fn(&str) -> String; 2] = [&zone, &local];
    for place in places {
        let (landing, working) = (place("landing"), place("working"));
        let clean = ["clean", "--landing", &landing, "--working", &working];
        let cleaned = said(&server.etl(&clean));
        assert!(cleaned.starts_with("1 of 1 inputs cleaned"), "{cleaned}");
        let processed = place("processed");
        let mut score = vec!["score", "--working", &working, "--popular", popular];
        score.extend(["--processed", &processed, "--engine", "memory"]);
        said(&server.etl(&score));
    }
    let part = "processed/rows/part-00000.parquet";
    let local = fs::read(folder.join(part)).unwrap();
    assert!(local.len() > 2 * (8 << 20), "{}", local.len());
    let answer = server.ask("HEAD", part, b"");
    let length = format!("content-length: {}\r\n", local.len());
    assert!(answer.to_lowercase().contains(&length), "{answer}");
}

#[test]
fn what_a_bucket_refuses_is_told_in_one_line_without_credentials() {
    let Some(server) = Server::start() else {
        return;
    };
    let working = zone("working");
    let clean = |landing: &str| server.etl(&["clean", "--landing", landing, "--working", &working]);
    let absent = clean("s3://no-such-bucket-here/landing");
    assert!(matches!(absent.status.code(), Some(65 | 69)), "{absent:?}");
    let empty = clean(&zone("landing"));
    assert_eq!(empty.status.code(), Some(65), "{empty:?}");
    server.put("landing/cut.gz", &gzip(b"{}\n")[..20]);
    let cut = clean(&zone("landing"));
    assert_eq!(cut.status.code(), Some(65), "{cut:?}");
    assert!(stderr(&cut).contains("landing/cut.gz"), "{cut:?}");
    // Somebody else is at work; then a process of this host that is gone.
    server.put("working/.lock", b"process 1 on another-host\n");
    server.put("landing/cut.gz", &gzip(b"{}\n"));
    let busy = clean(&zone("landing"));
    assert_eq!(busy.status.code(), Some(75), "{busy:?}");
    assert!(
        stderr(&busy).contains("process 1 on another-host"),
        "{busy:?}"
    );
    let mut ended = Command::new("true").spawn().unwrap();
    let gone = ended.id();
    ended.wait().unwrap();
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let holder = format!("process {gone} on {}\n", host.trim());
    server.put("working/.lock", holder.as_bytes());
    let taken = clean(&zone("landing"));
    assert_eq!(taken.status.code(), Some(0), "{taken:?}");
    for output in [absent, empty, cut, busy] {
        assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
    }
}
