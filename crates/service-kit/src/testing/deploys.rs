//! Deploys under load: instances replace each other while clients ask at a steady rate over
//! connections that they keep, as a load balancer does, and every request must be answered right.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use super::{Connection, PATIENCE, Running, Signal, request, wait_until};

/// Set to the number of handovers by `cargo xtask torture deploys`.
pub const DEPLOYS: &str = "TRIPOD_TORTURE_DEPLOYS";

/// Clients, each with one connection at a time.
const CLIENTS: usize = 8;
/// Time between two requests of one client: 400 requests a second in all.
const PACE: Duration = Duration::from_millis(20);
/// Requests between two handovers, at least.
const BETWEEN: u64 = 100;
/// How often the targets' readiness is looked at, as a load balancer does, only faster.
const LOOK: Duration = Duration::from_millis(25);
/// How long a client may take from seeing that its connection is open to having sent its request. One
/// that was held up for longer, and lost its connection, has met the end of an idle connection: an
/// excuse that a test on a busy machine needs, and a long run must do without.
const HELD_UP: Duration = Duration::from_millis(100);

/// A request and the whole body of its only right reply.
pub type Known = (String, Vec<u8>);

/// What happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Instances that were replaced.
    pub handovers: u64,
    /// Requests that were answered right.
    pub answered: u64,
    /// Connections that clients opened.
    pub connections: u64,
    /// Requests that were lost because this machine held their client up.
    pub held_up: u64,
}

/// How an instance that is to be replaced gets from settling to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settling {
    /// By a second signal, which is sent when the look-out has seen that it is unready, so that no
    /// time-out of a busy machine decides.
    Signal,
    /// By itself, when its time is over: much longer than a busy machine keeps the look-out from looking.
    Time,
}

impl Settling {
    const fn setting(self) -> (&'static str, &'static str) {
        let settle = match self {
            Self::Signal => "3600000",
            Self::Time => "2500",
        };
        ("SETTLE_MS", settle)
    }
}

/// What clients count.
#[derive(Debug, Default)]
struct Counts {
    answered: AtomicU64,
    connections: AtomicU64,
    held_up: AtomicU64,
}

/// The instances that new connections go to, and whether they are ready.
#[derive(Debug, Default)]
struct Targets(RwLock<Vec<(SocketAddr, bool)>>);

impl Targets {
    fn read(&self) -> RwLockReadGuard<'_, Vec<(SocketAddr, bool)>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Vec<(SocketAddr, bool)>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at all.
    fn check(&self) {
        let addrs: Vec<_> = self.read().iter().map(|(addr, _)| *addr).collect();
        for addr in addrs {
            let ready = Connection::try_open(addr)
                .and_then(|mut connection| connection.try_get("/readyz"))
                .is_ok_and(|answer| answer.status == 200);
            let mut targets = self.write();
            if let Some(target) = targets.iter_mut().find(|(known, _)| *known == addr) {
                target.1 = ready;
            }
        }
    }

    fn is_ready(&self, addr: SocketAddr) -> bool {
        self.read().contains(&(addr, true))
    }

    /// A connection to one that is ready. While it is opened, none becomes unready.
    fn connect(&self, number: usize) -> Connection {
        let started = Instant::now();
        loop {
            let targets = self.read();
            let mut ready = targets.iter().filter(|(_, ready)| *ready);
            let count = ready.clone().count();
            if let Some((addr, _)) = ready.nth(number % count.max(1)) {
                return Connection::open(*addr);
            }
            drop(targets);
            assert!(started.elapsed() < PATIENCE, "no instance is ready");
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }
}

/// Replaces instances under load, as often as [`DEPLOYS`] says or else `handovers` times. Each stop
/// comes at a moment of its own. Instances are started with a setting more.
///
/// # Panics
///
/// When a request gets no reply, or a wrong one, or an instance does not end well.
pub fn deploys(
    handovers: u64,
    known: &[Known],
    settling: Settling,
    start: impl Fn((&'static str, &'static str)) -> Running,
) -> Report {
    let start = || start(settling.setting());
    assert!(!known.is_empty(), "requests to ask");
    let asked_for = std::env::var(DEPLOYS).ok();
    let is_long = asked_for.is_some();
    let handovers = asked_for.map_or(handovers, |text| text.parse().expect("a number of runs"));
    let targets = Targets::default();
    let over = AtomicBool::new(false);
    let counts = Counts::default();
    std::thread::scope(|scope| {
        let mut old = start();
        old.wait_ready();
        targets.write().push((old.listen_addr, true));
        let checker = scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                targets.check();
                std::thread::park_timeout(LOOK);
            }
        });
        // Ends everybody when a handover fails, so that the failure is seen.
        let end = End(&over);
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (targets, over, counts) = (&targets, &over, &counts);
                scope.spawn(move || ask(client, known, targets, over, counts))
            })
            .collect();
        for number in 0..handovers {
            let new = start();
            new.wait_ready();
            targets.write().push((new.listen_addr, false));
            wait_until("the successor is seen", || {
                targets.is_ready(new.listen_addr)
            });
            let so_far = counts.answered.load(Ordering::SeqCst);
            wait_until("the load goes on", || {
                counts.answered.load(Ordering::SeqCst) >= so_far + BETWEEN
            });
            // A moment that has nothing to do with the pace of the requests.
            let moment = Duration::from_micros(number.wrapping_mul(7_919) % 60_000);
            std::thread::park_timeout(moment);
            old.signal(Signal::TERM);
            wait_until("the stop is seen", || !targets.is_ready(old.listen_addr));
            if settling == Settling::Signal {
                old.signal(Signal::TERM);
            }
            assert_eq!(old.wait().code(), Some(0), "handover {number}");
            targets.write().retain(|(addr, _)| *addr != old.listen_addr);
            old = new;
        }
        drop(end);
        checker.join().expect("the checker ends");
        for client in clients {
            client.join().expect("every request is answered right");
        }
        assert_eq!(old.get("/readyz").status, 200);
    });
    let report = Report {
        handovers,
        answered: counts.answered.into_inner(),
        connections: counts.connections.into_inner(),
        held_up: counts.held_up.into_inner(),
    };
    eprintln!("{settling:?}: {report:?}");
    assert!(
        !is_long || report.held_up == 0,
        "lost by clients that were held up: {report:?}"
    );
    report
}

/// Says that it is over when it is dropped.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// One client: asks when a request is due, whatever became of the one before.
fn ask(client: usize, known: &[Known], targets: &Targets, over: &AtomicBool, counts: &Counts) {
    let mut connection: Option<Connection> = None;
    let mut due = Instant::now();
    let mut number = client;
    while !over.load(Ordering::SeqCst) {
        due += PACE;
        while let Some(early) = due.checked_duration_since(Instant::now()) {
            std::thread::park_timeout(early);
        }
        // What the peer closed while it idled is replaced; what it has not closed must answer.
        let looked = Instant::now();
        let (mut kept, is_kept) = match connection.take() {
            Some(kept) if kept.is_quiet() => (kept, true),
            _ => {
                counts.connections.fetch_add(1, Ordering::SeqCst);
                (targets.connect(number), false)
            }
        };
        let (target, body) = &known[number % known.len()];
        let sent = kept.try_send(request(target).as_bytes());
        let held_up = looked.elapsed() > HELD_UP;
        let answer = match sent.and_then(|()| kept.reply()) {
            Ok(answer) => answer,
            Err(_) if is_kept && held_up => {
                counts.held_up.fetch_add(1, Ordering::SeqCst);
                continue;
            }
            Err(error) => panic!("{target}: {error}"),
        };
        assert_eq!(answer.status, 200, "{target}");
        assert_eq!(answer.body, *body, "{target}");
        counts.answered.fetch_add(1, Ordering::SeqCst);
        number += CLIENTS + 1;
        if answer.header("connection") != Some("close") {
            connection = Some(kept);
        }
    }
}
