//! A day in the life, in short: steady requests while the database goes away and comes back, the
//! password is rotated and the log level changes. Nothing is wrong, nothing leaks.
//!
//! `cargo xtask torture soak` sets `TRIPOD_TORTURE_SOAK` to the seconds that it lasts.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use service_kit::testing::{Connection, Fault, Proxy, Running, wait_until};

use crate::contacts::targets;
use crate::mysql::Database;
use crate::sick::upstream;
use crate::start_ready;
use crate::table::data;

/// What a process holds.
#[derive(Clone, Copy, Debug)]
struct Held {
    resident_kb: u64,
    descriptors: usize,
    threads: usize,
}

impl Held {
    fn by(service: &Running) -> Self {
        let folder = Path::new("/proc").join(service.pid().to_string());
        let status = fs::read_to_string(folder.join("status")).expect("a running process");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident = resident.and_then(|text| text.trim().strip_suffix(" kB")?.parse().ok());
        let count = |name: &str| fs::read_dir(folder.join(name)).map_or(0, Iterator::count);
        Self {
            resident_kb: resident.expect("a number of kB"),
            descriptors: count("fd"),
            threads: count("task"),
        }
    }
}

#[test]
fn nothing_leaks_and_nothing_is_wrong_while_the_database_comes_and_goes() {
    let Some(database) = Database::load("TRIPOD_TEST_MYSQL_URL", "soak") else {
        return;
    };
    let seconds = std::env::var("TRIPOD_TORTURE_SOAK").ok();
    let seconds = seconds.map_or(4, |text| text.parse().expect("a number of seconds"));
    let user = format!("soak_{}", std::process::id());
    database.run(&format!(
        "CREATE USER {user}@'%' IDENTIFIED BY 'soak0'; GRANT SELECT ON {}.* TO {user}@'%'",
        database.name
    ));
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("soak");
    fs::write(&file, "soak0\n").expect("a file");
    let proxy = Proxy::start(upstream(&database));
    let url = format!("mysql://{user}@{}/{}", proxy.addr, database.name);
    let settings = [
        ("DATABASE_PASSWORD_FILE", file.to_str().expect("a path")),
        ("WORKERS", "2"),
        ("CACHE_TTL_MS", "50"),
    ];
    let service = start_ready(&url, &settings);
    let known = targets(&data("tiny_requests.jsonl"), "tiny");
    let round = |answered: &AtomicU64, connection: &mut Connection| {
        for (target, reply) in &known {
            let answer = connection.get(target);
            // What nobody asked for before the database went is refused, never wrong.
            assert!(
                answer.status == 503 || (answer.status == 200 && answer.text() == *reply),
                "{target}: {answer:?}"
            );
            answered.fetch_add(u64::from(answer.status == 200), Ordering::Relaxed);
        }
    };
    let answered = AtomicU64::new(0);
    round(&answered, &mut service.connect());
    let before = Held::by(&service);
    let over = AtomicBool::new(false);
    let mut restarts = 0;
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        // A new connection for each round: they come and go as well.
                        round(&answered, &mut service.connect());
                    }
                })
            })
            .collect();
        let started = Instant::now();
        let length = Duration::from_secs(seconds);
        while started.elapsed() < length && clients.iter().all(|client| !client.is_finished()) {
            restarts += 1;
            let password = format!("soak{restarts}");
            database.run(&format!("ALTER USER {user}@'%' IDENTIFIED BY '{password}'"));
            fs::write(&file, format!("{password}\n")).expect("a file");
            proxy.set_and_cut(match restarts % 3 {
                0 => Fault::BlackHole,
                1 => Fault::Refuse,
                _ => Fault::Reset,
            });
            let level = ["info", "warn"][restarts % 2];
            let mut admin = Connection::open(service.admin_addr);
            admin.send(
                format!("PUT /log-level?level={level} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes(),
            );
            assert_eq!(admin.reply().expect("a reply").status, 200);
            std::thread::park_timeout(Duration::from_millis(300));
            proxy.set(Fault::None);
            std::thread::park_timeout(Duration::from_millis(700));
        }
        over.store(true, Ordering::Relaxed);
        for client in clients {
            client.join().expect("no reply is wrong");
        }
    });
    wait_until("all is well again", || {
        service.get(&known[0].0).text() == known[0].1
    });
    let mut after = Held::by(&service);
    wait_until("descriptors and threads are given back", || {
        after = Held::by(&service);
        // Connections of the pool; threads that the runtime keeps for a while.
        after.descriptors <= before.descriptors + 24 && after.threads <= before.threads + 8
    });
    database.run(&format!("DROP USER {user}@'%'"));
    let answered = answered.into_inner();
    eprintln!("soak: {answered} right replies, {restarts} restarts, {before:?}, {after:?}");
    assert!(answered > 100, "{answered}");
    let grown = after.resident_kb.saturating_sub(before.resident_kb);
    assert!(grown < 64 * 1024, "{before:?} {after:?}");
}
