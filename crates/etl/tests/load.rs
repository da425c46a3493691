//! A processed zone into the table: whole, by changes, refused, interrupted.
//!
//! SQLite always; MySQL or MariaDB on the server that `TRIPOD_TEST_MYSQL_URL` names, see `mysql.rs`.

#![expect(clippy::unwrap_used, reason = "a test whose data is wrong must fail")]

#[path = "support/zones.rs"]
mod zones;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use etl::failure::{Failure, FailureKind};
use etl::load::{Mode, Written};
use etl::read::for_each_pack;
use etl::report::Run;

use crate::zones::{Database, Zones, block_on, wide};

/// Content of the table: user, bytes of the pack.
fn content(database: &Database) -> Vec<(u64, Vec<u8>)> {
    let mut packs = Vec::new();
    let address = database.address();
    let read = for_each_pack(&address, None, |pack| {
        packs.push((pack.as_pack().user_id(), pack.as_bytes().to_vec()));
        Ok(())
    });
    block_on(read).unwrap();
    packs
}

#[test]
fn changes_alone_come_to_the_same_as_a_load_of_everything() {
    for database in Database::each("changes") {
        let zones = Zones::new(&format!("changes-{}", database.kind()));
        zones.put("part-0.jsonl", 1, 3000);
        zones.put("part-1.jsonl", 2, 3000);
        zones.score();
        let first = zones.load(&database, Mode::Changes).unwrap();
        assert_eq!(first.written, Written::Everything, "there was no table");
        let again = zones.load(&database, Mode::Changes).unwrap();
        assert_eq!(again.written, Written::Nothing);
        assert_eq!(again.meta, first.meta);

        // New tweets, few users.
        zones.put("part-2.jsonl", 3, 60);
        zones.score();
        let second = zones.load(&database, Mode::Changes).unwrap();
        let Written::Changes { replaced, .. } = second.written else {
            panic!("{:?}", second.written);
        };
        assert!(replaced > 0 && replaced < second.meta.users, "{replaced}");
        let changed = content(&database);
        let whole = zones.load(&database, Mode::Full).unwrap();
        assert_eq!(whole.written, Written::Everything);
        assert_eq!(whole.meta.packs_checksum, second.meta.packs_checksum);
        assert_eq!(
            (whole.meta.users, whole.meta.rows),
            (second.meta.users, second.meta.rows)
        );
        assert!(content(&database) == changed, "packs differ");

        // And back: users vanish.
        zones.remove("part-2.jsonl");
        zones.score();
        let third = zones.load(&database, Mode::Changes).unwrap();
        assert!(
            matches!(third.written, Written::Changes { .. }),
            "{:?}",
            third.written
        );
        assert_eq!(third.meta.packs_checksum, first.meta.packs_checksum);
        assert_eq!(
            (third.meta.users, third.meta.rows),
            (first.meta.users, first.meta.rows)
        );
    }
}

#[test]
fn most_changes_are_a_load_of_everything() {
    for database in Database::each("most") {
        let zones = Zones::new(&format!("most-{}", database.kind()));
        zones.put("part-0.jsonl", 1, 12_000);
        zones.score();
        zones.load(&database, Mode::Changes).unwrap();
        zones.put("part-0.jsonl", 9, 12_000);
        zones.score();
        let second = zones.load(&database, Mode::Changes).unwrap();
        assert_eq!(second.written, Written::Everything);
        let old = database.tables();
        assert_eq!(old, ["user_pack", "user_pack_old"], "the way back stays");
    }
}

#[test]
fn a_celebrity_with_200_000_contacts_and_many_parts_is_loaded() {
    for database in Database::each("celebrity") {
        let zones = Zones::new(&format!("celebrity-{}", database.kind()));
        let rows = wide(&zones, 200_000);
        let published = zones.load(&database, Mode::Full).unwrap();
        assert_eq!((published.meta.users, published.meta.rows), (200_001, rows));
        assert!(published.bytes > 8 << 20, "more than eight parts");
        let same = zones.load(&database, Mode::Changes).unwrap();
        assert_eq!(same.written, Written::Nothing);
    }
}

fn refusal(zones: &Zones, database: &Database) -> Failure {
    zones.load(database, Mode::Changes).unwrap_err()
}

#[test]
fn a_zone_that_is_not_what_its_manifest_says_is_refused() {
    let database = Database::sqlite("refused");
    let zones = Zones::new("refused");
    zones.put("part-0.jsonl", 1, 800);
    zones.score();
    zones.load(&database, Mode::Full).unwrap();
    let before = content(&database);
    let run = zones.processed("run.json");
    let manifest = fs::read_to_string(&run).unwrap();
    let broken = |from: &str, to: &str| {
        assert!(manifest.contains(from), "{from}");
        fs::write(&run, manifest.replace(from, to)).unwrap();
        let failure = refusal(&zones, &database);
        fs::write(&run, &manifest).unwrap();
        failure
    };
    let version = broken("\"processed_version\": 1", "\"processed_version\": 7");
    assert_eq!(version.kind, FailureKind::Input);
    assert!(version.line.contains("version 7"), "{version}");
    let rows = broken("\"table_rows\": ", "\"table_rows\": 1");
    assert_eq!(rows.kind, FailureKind::Check, "{rows}");
    assert!(rows.line.contains("rows"), "{rows}");
    let excluded = broken("\"excluded_sha256\": \"", "\"excluded_sha256\": \"0");
    assert_eq!(excluded.kind, FailureKind::Check, "{excluded}");

    let file = zones.processed("rows/part-00000.parquet");
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() - 9]).unwrap();
    let cut = refusal(&zones, &database);
    assert_eq!(cut.kind, FailureKind::Input);
    assert!(cut.line.contains("part-00000.parquet"), "{cut}");
    let mut garbled = whole.clone();
    garbled[whole.len() / 3] ^= 0x55;
    fs::write(&file, &garbled).unwrap();
    let garbled = refusal(&zones, &database);
    assert!(
        matches!(garbled.kind, FailureKind::Input | FailureKind::Check),
        "{garbled}"
    );
    fs::remove_file(&file).unwrap();
    assert_eq!(refusal(&zones, &database).kind, FailureKind::Input);
    fs::remove_file(&run).unwrap();
    assert!(refusal(&zones, &database).line.contains("no finished run"));
    assert!(content(&database) == before, "nothing was published");
}

#[test]
fn facts_that_changed_since_the_run_are_noticed() {
    let database = Database::sqlite("facts");
    let zones = Zones::new("facts");
    zones.put("part-0.jsonl", 1, 400);
    zones.score();
    zones.put("part-1.jsonl", 2, 400);
    zones.clean();
    let failure = refusal(&zones, &database);
    assert_eq!(failure.kind, FailureKind::Check);
    assert!(failure.line.contains("inputs"), "{failure}");
}

#[test]
fn facts_that_were_moved_must_be_named_and_are_checked_all_the_same() {
    let database = Database::sqlite("moved");
    let zones = Zones::new("moved");
    zones.put("part-0.jsonl", 1, 400);
    zones.score();
    let moved = zones.path("elsewhere");
    fs::rename(zones.path("working"), &moved).unwrap();
    let lost = program(&zones, &database.url(), &[]).output().unwrap();
    let said = String::from_utf8_lossy(&lost.stderr).into_owned();
    assert_eq!(lost.status.code(), Some(65), "{said}");
    assert!(
        said.contains("--working") && said.contains("facts"),
        "{said}"
    );

    let json = zones.path("report.json");
    let words = [
        "--working",
        moved.to_str().unwrap(),
        "--json",
        json.to_str().unwrap(),
    ];
    let loaded = program(&zones, &database.url(), &words).output().unwrap();
    let said = String::from_utf8_lossy(&loaded.stderr).into_owned();
    assert!(loaded.status.success(), "{said}");
    let report: serde_json::Value = serde_json::from_slice(&fs::read(json).unwrap()).unwrap();
    for check in report["checks"].as_array().unwrap() {
        assert_eq!(check["verdict"], "held", "{check}");
    }

    // Another list than the rows were made with does not pass either.
    let other = zones.path("other");
    fs::write(&other, "zipcode\n").unwrap();
    let words = [
        "--working",
        moved.to_str().unwrap(),
        "--popular",
        other.to_str().unwrap(),
    ];
    let refused = program(&zones, &database.url(), &words).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("excluded tags"), "{said}");
}

#[test]
fn a_second_load_at_the_same_time_is_refused() {
    for database in Database::each("twice") {
        let zones = Zones::new(&format!("twice-{}", database.kind()));
        zones.put("part-0.jsonl", 1, 400);
        zones.score();
        let second = Mutex::new(None);
        // In the middle of the first, and in a thread of its own, since that has its own runtime.
        let between = |_| {
            second.lock().unwrap().get_or_insert_with(|| {
                let load = || zones.load(&database, Mode::Full);
                thread::scope(|scope| scope.spawn(load).join().unwrap())
            });
        };
        let (folder, mut report) = (std::env::temp_dir(), Run::default());
        let first = zones.load_with(&database, Mode::Full, &folder, &mut report, &between);
        first.unwrap();
        let refused = second.into_inner().unwrap().unwrap().unwrap_err();
        assert_eq!(refused.kind, FailureKind::Unavailable, "{refused}");
        zones.load(&database, Mode::Full).unwrap();
    }
}

#[test]
fn no_room_for_temporary_files_is_told_and_changes_nothing() {
    let database = Database::sqlite("spill");
    let zones = Zones::new("spill");
    zones.put("part-0.jsonl", 1, 400);
    zones.score();
    zones.load(&database, Mode::Changes).unwrap();
    let before = content(&database);
    zones.put("part-1.jsonl", 2, 20);
    zones.score();
    let absent = zones.processed("no-such-folder");
    let load = |mode| zones.load_with(&database, mode, &absent, &mut Run::default(), &|_| ());
    let failure = load(Mode::Changes).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Disk, "{failure}");
    assert!(failure.line.contains("--spill"), "{failure}");
    assert!(content(&database) == before);
}

/// The words of `etl load` for this zone and database.
fn program(zones: &Zones, url: &str, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_etl"));
    command
        .arg("load")
        .args(["--processed".as_ref(), zones.processed("").as_os_str()])
        .args(["--database", url])
        .args(more)
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

#[test]
fn killed_at_any_moment_the_old_content_or_the_new_is_in_force() {
    for database in Database::each("kill") {
        for mode in [&[][..], &["--full"][..]] {
            let zones = Zones::new(&format!("kill-{}-{}", database.kind(), mode.len()));
            zones.put("part-0.jsonl", 1, 4000);
            zones.score();
            zones.load(&database, Mode::Full).unwrap();
            let old = content(&database);
            zones.put("part-1.jsonl", 2, 100);
            zones.score();
            let reference = Database::sqlite("kill-reference");
            zones.load(&reference, Mode::Full).unwrap();
            let new = content(&reference);
            let started = Instant::now();
            let mut done = program(&zones, &reference.url(), mode).spawn().unwrap();
            assert!(done.wait().unwrap().success());
            let whole = started.elapsed();
            for kill in 0..10u32 {
                let mut child = program(&zones, &database.url(), mode).spawn().unwrap();
                // Moments all over the time that a load takes, and somewhat beyond.
                thread::park_timeout(whole * (kill * 7 % 11) / 9);
                child.kill().unwrap();
                child.wait().unwrap();
                let found = content(&database);
                assert!(found == old || found == new, "kill {kill}");
            }
            let output = program(&zones, &database.url(), mode).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{said}");
            assert!(content(&database) == new);
        }
    }
}

/// Passes bytes on between a client and the server, until so many went to the server.
fn cut_after(server: &str, bytes: usize) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = server.to_owned();
    thread::spawn(move || {
        for client in listener.incoming() {
            let (Ok(client), Ok(server)) = (client, TcpStream::connect(&server)) else {
                return;
            };
            let pass = |mut from: TcpStream, mut to: TcpStream, limit: usize| {
                thread::spawn(move || {
                    let (mut passed, mut buffer) = (0, vec![0; 16 << 10]);
                    while let Ok(count) = from.read(&mut buffer) {
                        passed += count;
                        if count == 0 || passed > limit || to.write_all(&buffer[..count]).is_err() {
                            break;
                        }
                    }
                    let _ = from.shutdown(std::net::Shutdown::Both);
                    let _ = to.shutdown(std::net::Shutdown::Both);
                });
            };
            let (back, forth) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            pass(client, forth, bytes);
            pass(server, back, usize::MAX);
        }
    });
    port
}

#[test]
fn a_database_lost_in_the_middle_is_told_by_the_exit_code() {
    let Some(database) = Database::mysql("lost") else {
        return;
    };
    let zones = Zones::new("lost");
    zones.put("part-0.jsonl", 1, 6000);
    zones.score();
    zones.load(&database, Mode::Full).unwrap();
    let before = content(&database);
    let url = database.url();
    let (login, rest) = url.rsplit_once('@').unwrap();
    let (host, name) = rest.split_once('/').unwrap();
    for bytes in [600, 100_000] {
        let port = cut_after(host, bytes);
        let url = format!("{login}@127.0.0.1:{port}/{name}");
        let output = program(&zones, &url, &["--full"]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(69), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(content(&database) == before);
    }
    zones.load(&database, Mode::Full).unwrap();
}

#[test]
fn reports_hold_the_figures_and_need_nothing_else() {
    let database = Database::sqlite("report");
    let zones = Zones::new("report");
    zones.put("part-0.jsonl", 1, 2000);
    zones.put("part-<1>.jsonl", 2, 2000);
    zones.score();
    let (page, json) = (zones.path("report.html"), zones.path("report.json"));
    let words = [
        "--report",
        page.to_str().unwrap(),
        "--json",
        json.to_str().unwrap(),
    ];
    for _ in 0..2 {
        let output = program(&zones, &database.url(), &words).output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let report: serde_json::Value = serde_json::from_slice(&fs::read(json).unwrap()).unwrap();
    zones::check_schema(&report);
    assert_eq!(report["outcome"], "published");
    assert_eq!(report["published"]["written"], "nothing");
    assert_eq!(report["repeated"], true);
    assert_eq!(report["reasons"]["valid"]["change"], 0.0);
    for check in report["checks"].as_array().unwrap() {
        assert_eq!(check["verdict"], "held", "{check}");
    }
    let page = fs::read_to_string(page).unwrap();
    assert_eq!(page.matches("<svg").count(), 4);
    assert!(
        !page.contains("<script") && !page.contains("http"),
        "works offline"
    );
    assert!(page.contains("part-&lt;1&gt;"), "names are escaped");
}

#[test]
fn a_failed_run_is_reported_too() {
    let database = Database::sqlite("report-failed");
    let zones = Zones::new("report-failed");
    zones.put("part-0.jsonl", 1, 500);
    zones.score();
    let run = zones.processed("run.json");
    let manifest = fs::read_to_string(&run).unwrap();
    fs::write(
        &run,
        manifest.replace("\"contact_tweets\": ", "\"contact_tweets\": 1"),
    )
    .unwrap();
    let json = zones.path("report.json");
    let words = ["--json", json.to_str().unwrap()];
    let output = program(&zones, &database.url(), &words).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&fs::read(json).unwrap()).unwrap();
    zones::check_schema(&report);
    assert_eq!(report["outcome"], "failed");
    assert_eq!(report["published"], serde_json::Value::Null);
}
