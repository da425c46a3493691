//! Both zones in a bucket, on an S3 server that the test starts: `moto_server`, which
//! `TRIPOD_TEST_S3_SERVER` names or the path holds. `cargo xtask test` installs it. Without it the
//! test says that it is skipped, and fails with `CI=true`.

#![expect(clippy::unwrap_used, reason = "a test whose data is wrong must fail")]

#[path = "support/vectors.rs"]
mod vectors;
#[path = "support/world.rs"]
mod world;

use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use etl::zones::place::Place;
use etl::zones::processed::RunManifest;

use crate::vectors::{all, assert_rows};
use crate::world::{World, assert_same_run, run};

const BUCKET: &str = "tripod-score";

/// A server with one bucket, ended when dropped.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    fn start() -> Option<Self> {
        let Some(program) = program() else {
            let is_ci = env::var("CI").as_deref() == Ok("true");
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
        server.ask("PUT", "", b"");
        Some(server)
    }

    /// One plain request about an object of the bucket. Returns the body of the answer.
    fn ask(&self, method: &str, name: &str, body: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_mins(1)))
            .unwrap();
        let head = format!(
            "{method} /{BUCKET}/{name} HTTP/1.1\r\nHost: {}\r\nAuthorization: AWS any:any\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{method} {name}");
        let end = answer
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .unwrap();
        answer.split_off(end + 4)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn program() -> Option<PathBuf> {
    if let Some(named) = env::var_os("TRIPOD_TEST_S3_SERVER") {
        return Some(named.into());
    }
    let path = env::var_os("PATH")?;
    let files = env::split_paths(&path).map(|folder| folder.join("moto_server"));
    files.into_iter().find(|file| file.is_file())
}

#[test]
fn zones_in_a_bucket_give_the_known_rows() {
    let Some(server) = Server::start() else {
        return;
    };
    for set in all() {
        let world = World::new();
        world.popular(&set.popular);
        world.put("part-0.jsonl", &set.lines);
        world.clean();
        let working = Place::local(world.path("working"));
        for entry in working.list("").unwrap() {
            let bytes = fs::read(world.path("working").join(&entry.name)).unwrap();
            server.ask(
                "PUT",
                &format!("{}/working/{}", set.name, entry.name),
                &bytes,
            );
        }
        // Twice: the second takes the place of the first.
        for _ in 0..2 {
            let output = Command::new(env!("CARGO_BIN_EXE_etl-score"))
                .env("AWS_ENDPOINT", format!("http://{}", server.address))
                .env("AWS_ALLOW_HTTP", "true")
                .env("AWS_REGION", "us-east-1")
                .env("AWS_ACCESS_KEY_ID", "any")
                .env("AWS_SECRET_ACCESS_KEY", "any")
                .args(["--memory", "1G", "--jobs", "2", "--working"])
                .arg(format!("s3://{BUCKET}/{}/working", set.name))
                .arg("--processed")
                .arg(format!("s3://{BUCKET}/{}/processed", set.name))
                .arg("--popular")
                .arg(world.path("popular"))
                .arg("--scratch")
                .arg(world.path("scratch"))
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(0), "{said}");
        }
        let folder = world.path("fetched");
        fs::create_dir_all(folder.join("rows")).unwrap();
        let manifest = server.ask("GET", &format!("{}/processed/run.json", set.name), b"");
        fs::write(folder.join("run.json"), &manifest).unwrap();
        let manifest: RunManifest = serde_json::from_slice(&manifest).unwrap();
        for file in &manifest.rows {
            let name = format!("{}/processed/rows/{}", set.name, file.name);
            fs::write(
                folder.join("rows").join(&file.name),
                server.ask("GET", &name, b""),
            )
            .unwrap();
        }
        assert_rows(set.name, &world.rows("fetched"), &set.rows);
        let (local, _) = run(&world.options("processed")).unwrap();
        assert_same_run(&manifest, &local.manifest);
        assert_same_run(&world.in_memory(&world.clean().inputs, "memory"), &manifest);
        set.assert_tally(&manifest.tally);
    }
}
