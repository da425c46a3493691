//! A day in the life, in short: steady requests while the database goes away and comes back, the
//! password is rotated and the log level changes. Nothing is wrong, nothing leaks.
//!
//! `cargo xtask torture soak` sets `TRIPOD_TORTURE_SOAK` to the seconds that it lasts. Then all three
//! services are asked, at 60 % of what they can do together, and the database is a server that is
//! really stopped and started each minute.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use service_kit::testing::{Connection, Fault, Proxy, Running, wait_until};

use crate::contacts::targets;
use crate::mysql::{Database, Login};
use crate::server::Server;
use crate::sick::upstream;
use crate::start_ready;
use crate::table::data;

const CLIENTS: u32 = 4;

/// The share of the most that is asked for.
const LOAD: f64 = 0.6;

/// By how much the memory of a service may grow once it is warm.
const GROWTH_KB: u64 = 8 * 1024;

/// Descriptors that may be open afterwards and were not before: of the few connections with the database
/// some may not have been needed until then.
const MORE_DESCRIPTORS: usize = 6;

/// Connections whose requests warm a service: enough for each worker to get some.
const WARMING: usize = 16;

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
        let count = |name: &str| fs::read_dir(folder.join(name)).map_or(0, Iterator::count);
        Self {
            resident_kb: storm::resident_kb(service.pid()).expect("a running process"),
            descriptors: count("fd"),
            threads: count("task"),
        }
    }
}

/// A service, and its requests with their replies.
struct Asked {
    name: &'static str,
    service: Running,
    known: Vec<(String, String)>,
    before: Held,
}

impl Asked {
    fn new(name: &'static str, service: Running, known: Vec<(String, String)>) -> Self {
        for _ in 0..WARMING {
            let mut connection = service.connect();
            for (target, reply) in &known {
                assert_eq!(connection.get(target).text(), *reply, "{target}");
            }
        }
        Self {
            name,
            before: Held::by(&service),
            service,
            known,
        }
    }

    fn held(&self) -> String {
        let Self { name, before, .. } = self;
        let now = Held::by(&self.service);
        format!(
            "{name}: {} kB at first, {} kB; {} descriptors, {}; {} threads, {}",
            before.resident_kb,
            now.resident_kb,
            before.descriptors,
            now.descriptors,
            before.threads,
            now.threads
        )
    }

    /// All is given back but for what pools and allocators keep.
    fn check(&self) {
        let Self { name, before, .. } = self;
        let metric = |what: &str| self.service.metric(&format!("{name}_{what}"));
        wait_until("requests, descriptors and threads are given back", || {
            let now = Held::by(&self.service);
            now.descriptors <= before.descriptors + MORE_DESCRIPTORS
                && now.threads <= before.threads + 2
                && metric("requests_in_flight") < 0.5
                && metric("connections") < 0.5
        });
        let held = self.held();
        eprintln!("{held}");
        assert!(
            Held::by(&self.service).resident_kb < before.resident_kb + GROWTH_KB,
            "{held}"
        );
    }
}

/// What takes the database away for a moment.
enum Outage {
    /// In the suite: a proxy before a server that others use too.
    Proxy(Proxy),
    /// A server of its own.
    Server(Box<Server>),
}

impl Outage {
    fn addr(&self) -> SocketAddr {
        match self {
            Self::Proxy(proxy) => proxy.addr,
            Self::Server(server) => server.addr(),
        }
    }

    /// Away and back, with another password.
    fn pass(&mut self, round: usize, login: &Login<'_>, password: &str) {
        match self {
            Self::Proxy(proxy) => {
                login.rotate(password);
                proxy.set_and_cut(match round % 3 {
                    0 => Fault::BlackHole,
                    1 => Fault::Refuse,
                    _ => Fault::Reset,
                });
                std::thread::park_timeout(Duration::from_millis(300));
                proxy.set(Fault::None);
            }
            Self::Server(server) => {
                server.stop();
                server.run(&login.rotation(password));
            }
        }
    }
}

/// A program that `cargo xtask torture soak` has built beside this service's.
fn beside(name: &str) -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_twitter-service")).with_file_name(name);
    assert!(
        program.exists(),
        "{name} is not built; run `cargo xtask torture soak`"
    );
    program
}

/// Requests of the other services, as their own tests have them.
fn vectors(file: &str, field: &str, count: usize) -> Vec<(String, serde_json::Value)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    let text = fs::read_to_string(path).expect("vectors are readable");
    let lines = text.lines().take(count).map(|line| {
        let vector: serde_json::Value = serde_json::from_str(line).expect("vectors are JSON");
        (
            vector[field].as_str().expect("a request").to_owned(),
            vector,
        )
    });
    lines.collect()
}

fn blockchain() -> Asked {
    let service = Running::start(beside("blockchain-service"), &[("WORKERS", "2")]);
    let mut known = Vec::new();
    for file in ["generated_valid.jsonl", "generated_invalid.jsonl"] {
        let file = format!("blockchain-core/tests/data/{file}");
        for (packed, vector) in vectors(&file, "cc", 30) {
            let target = format!("/blockchain?cc={packed}");
            // What is right is for that service's tests to say; here, that it stays so.
            let reply = service.get(&target).text();
            let is_invalid = reply == "TEAMID,AWSACCOUNT\nINVALID";
            assert_eq!(is_invalid, vector["expect"] == "INVALID", "{target}");
            known.push((target, reply));
        }
    }
    Asked::new("blockchain", service, known)
}

fn qrcode() -> Asked {
    let service = Running::start(beside("qrcode-service"), &[("WORKERS", "2")]);
    let mut known = Vec::new();
    for file in ["random_encode.jsonl", "random_decode.jsonl"] {
        let file = format!("qrcode-core/tests/data/{file}");
        for (target, vector) in vectors(&file, "request", 30) {
            let reply = vector["reply"].as_str().expect("a reply");
            known.push((target, format!("TEAMID,AWSACCOUNT\n{reply}")));
        }
    }
    Asked::new("qrcode", service, known)
}

/// Asks each service in turn until it is over, so many requests a second at most.
fn client(all: &[Asked], over: &AtomicBool, answered: &AtomicU64, rate: Option<f64>) {
    let rounds = all.iter().map(|asked| asked.known.len()).max().unwrap_or(0);
    let mut due = Instant::now();
    while !over.load(Ordering::Relaxed) {
        // New connections for each round: they come and go as well.
        let mut connections: Vec<Connection> =
            all.iter().map(|asked| asked.service.connect()).collect();
        for number in 0..rounds {
            if over.load(Ordering::Relaxed) {
                return;
            }
            for (asked, connection) in all.iter().zip(&mut connections) {
                if let Some(rate) = rate {
                    due += Duration::from_secs_f64(1.0 / rate);
                    std::thread::park_timeout(due.saturating_duration_since(Instant::now()));
                }
                let (target, reply) = &asked.known[number % asked.known.len()];
                let answer = connection.get(target);
                // Each worker knows all users by now, so nobody is refused while the database is away.
                assert!(
                    answer.status == 200 && answer.text() == *reply,
                    "{target}: {answer:?}"
                );
                answered.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// Lets clients ask while something is done, and gives the right replies a second.
fn under_load(
    all: &[Asked],
    rate: Option<f64>,
    mut act: impl FnMut(&dyn Fn() -> bool),
) -> (u64, f64) {
    let (answered, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let started = Instant::now();
    std::thread::scope(|scope| {
        let rate = rate.map(|rate| rate / f64::from(CLIENTS));
        let (answered, over) = (&answered, &over);
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| scope.spawn(move || client(all, over, answered, rate)))
            .collect();
        act(&|| clients.iter().all(|client| !client.is_finished()));
        over.store(true, Ordering::Relaxed);
        for client in clients {
            client.join().expect("no reply is wrong");
        }
    });
    let answered = answered.into_inner();
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let rate = answered as f64 / started.elapsed().as_secs_f64();
    (answered, rate)
}

fn set_log_level(service: &Running, level: &str) {
    let mut admin = Connection::open(service.admin_addr);
    admin.send(format!("PUT /log-level?level={level} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes());
    assert_eq!(admin.reply().expect("a reply").status, 200);
}

#[test]
fn nothing_leaks_and_nothing_is_wrong_while_the_database_comes_and_goes() {
    let torture = std::env::var("TRIPOD_TORTURE_SOAK").ok();
    let length = torture
        .as_ref()
        .map_or(4, |text| text.parse().expect("seconds"));
    let length = Duration::from_secs(length);
    let (database, mut outage) = if torture.is_some() {
        let Some(server) = Server::start("soak") else {
            return;
        };
        let database = Database::create(server.url(), "soak", None);
        (database, Outage::Server(Box::new(server)))
    } else {
        let Some(database) = Database::load("TRIPOD_TEST_MYSQL_URL", "soak") else {
            return;
        };
        let proxy = Proxy::start(upstream(&database));
        (database, Outage::Proxy(proxy))
    };
    let login = database.login("soak", "soak0", "");
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("soak");
    fs::write(&file, "soak0\n").expect("a file");
    let settings = [
        ("DATABASE_PASSWORD_FILE", file.to_str().expect("a path")),
        ("WORKERS", "2"),
        ("CACHE_TTL_MS", "50"),
        ("DATABASE_CONNECTIONS", "4"),
    ];
    let service = start_ready(&login.url(outage.addr(), None), &settings);
    let known = targets(&data("tiny_requests.jsonl"), "tiny");
    let mut all = vec![Asked::new("twitter", service, known)];
    if torture.is_some() {
        all.extend([blockchain(), qrcode()]);
    }

    let calibration = (length / 10).min(Duration::from_secs(20));
    let wait = |time: Duration, goes_on: &dyn Fn() -> bool| {
        let started = Instant::now();
        while started.elapsed() < time && goes_on() {
            std::thread::park_timeout(Duration::from_millis(50));
        }
    };
    let (_, most) = under_load(&all, None, |goes_on| wait(calibration, goes_on));
    for asked in &mut all {
        asked.before = Held::by(&asked.service);
    }
    let period = if torture.is_some() {
        Duration::from_mins(1)
    } else {
        Duration::from_secs(1)
    };
    let started = Instant::now();
    let mut restarts = 0;
    let (answered, rate) = under_load(&all, Some(LOAD * most), |goes_on| {
        while started.elapsed() < length && goes_on() {
            let next = started.elapsed() + period;
            restarts += 1;
            let password = format!("soak{restarts}");
            // The file first: what is open stays so, what is new is refused until the user has it.
            fs::write(&file, format!("{password}\n")).expect("a file");
            outage.pass(restarts, &login, &password);
            for asked in &all {
                set_log_level(&asked.service, ["info", "warn"][restarts % 2]);
                if torture.is_some() {
                    eprintln!("{:>5} s {}", started.elapsed().as_secs(), asked.held());
                }
            }
            wait(next.saturating_sub(started.elapsed()), goes_on);
        }
    });
    eprintln!(
        "soak: {answered} right replies, {rate:.0} a second of at most {most:.0}, {restarts} restarts in {:?}",
        started.elapsed()
    );
    assert!(answered > 100, "{answered}");
    for asked in &all {
        let (target, reply) = &asked.known[0];
        wait_until("all is well again", || {
            asked.service.get(target).text() == *reply
        });
        asked.check();
    }
}
