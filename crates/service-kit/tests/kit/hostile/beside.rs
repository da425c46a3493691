//! Good clients beside hostile ones: what their requests take alone and beside them, in turn.
//!
//! What counts is what the service makes of it. So it has a processor of its own where there are two,
//! and hostile clients, who use the same one as the good, stand back for them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::setpriority_process;
use rustix::thread::{CpuSet, gettid, sched_getaffinity, sched_setaffinity};
use service_kit::testing::{Running, wait_until};

use super::{HALF, OK, talk};
use crate::support::start;

/// Set to the number of hostile connections by `cargo xtask torture hostile`.
const CONNECTIONS: &str = "TRIPOD_TORTURE_CONNECTIONS";

/// 5,000 in `cargo xtask torture hostile`; the suite makes do with what any limit of open files allows.
pub(super) fn connections() -> usize {
    let count = std::env::var(CONNECTIONS).ok();
    count.map_or(700, |text| text.parse().expect("a number"))
}

/// Two services on one processor, one of them for good clients only, and the test on the others.
struct Apart {
    alone: Running,
    beside: Running,
    all: CpuSet,
}

impl Apart {
    fn start() -> Self {
        let all = sched_getaffinity(None).expect("the processors of this thread");
        let mut ours = all;
        let first = (0..CpuSet::MAX_CPU).find(|processor| all.is_set(*processor));
        if let Some(first) = first
            && all.count() > 1
        {
            let mut theirs = CpuSet::new();
            theirs.set(first);
            ours.unset(first);
            // Inherited by what is started.
            sched_setaffinity(None, &theirs).expect("one of them is allowed");
        }
        let settings = [("WORKERS", "1")];
        let (alone, beside) = (start(&settings), start(&settings));
        sched_setaffinity(None, &ours).expect("the others are allowed");
        Self { alone, beside, all }
    }

    /// A good client beside others takes no more than twice what it does alone. In the suite a test must bear
    /// a busy machine; in the torture the usual one of many turns counts.
    fn assert_undisturbed(&self, others: &str, mut hostile: impl FnMut(&mut dyn FnMut())) {
        let is_torture = std::env::var_os(CONNECTIONS).is_some();
        let turns = if is_torture { 31 } else { 1 };
        let mut ratios: Vec<f64> = (0..turns)
            .map(|_| {
                let alone = high_quantile(&self.alone);
                let mut beside = Duration::MAX;
                hostile(&mut || beside = high_quantile(&self.beside));
                eprintln!("p99 of good clients: {alone:?} alone, {beside:?} beside {others}");
                if !is_torture {
                    assert!(beside <= alone * 20 + Duration::from_secs(1), "{beside:?}");
                }
                beside.as_secs_f64() / alone.as_secs_f64()
            })
            .collect();
        ratios.sort_by(f64::total_cmp);
        let ratio = ratios[turns / 2];
        eprintln!("{ratio:.2} times as long beside {others}");
        assert!(
            !is_torture || ratio <= 2.0,
            "{ratio:.2} times beside {others}"
        );
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        // The next test may be on this thread.
        let _ = sched_setaffinity(None, &self.all);
    }
}

/// What 99 of 100 requests on one connection take at most.
fn high_quantile(service: &Running) -> Duration {
    let mut connection = service.connect();
    let mut times: Vec<_> = (0..1_000)
        .map(|_| {
            let started = Instant::now();
            assert_eq!(connection.get("/ok").status, 200);
            started.elapsed()
        })
        .collect();
    times.sort();
    times[990]
}

/// Lets one client do something again and again, and a good one ask beside it.
fn again_and_again(what: &str, hostile: impl Fn(&Running) + Sync) {
    let apart = Apart::start();
    apart.assert_undisturbed(what, |good| {
        let (is_over, rounds) = (AtomicBool::new(false), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            let _ending = Ending(&is_over);
            scope.spawn(|| {
                // Of this thread and those that it starts.
                setpriority_process(Some(gettid()), 19).expect("anyone may stand back");
                while !is_over.load(Ordering::Relaxed) {
                    hostile(&apart.beside);
                    rounds.fetch_add(1, Ordering::Relaxed);
                }
            });
            wait_until("it has begun", || rounds.load(Ordering::Relaxed) > 0);
            good();
        });
        eprintln!("{} times {what}", rounds.load(Ordering::Relaxed));
    });
}

/// Says that it is over also when a check fails: a scope waits for its threads.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn slow_heads_hold_nobody_up() {
    let apart = Apart::start();
    let service = &apart.beside;
    let count = connections();
    let mut slow: Vec<_> = (0..count)
        .map(|_| {
            let mut connection = service.connect();
            connection.send(HALF);
            connection
        })
        .collect();
    let mut good = service.connect();
    for _ in 0..100 {
        assert_eq!(good.get("/ok").status, 200);
        assert_eq!(service.get("/ok").status, 200);
    }
    apart.assert_undisturbed(&format!("{count} half heads"), |good| good());
    for connection in slow.iter_mut().step_by(97) {
        connection.send(b"st: test\r\n\r\n");
        assert_eq!(connection.reply().unwrap().status, 200);
    }
}

#[test]
fn bursts_of_a_thousand_hold_nobody_up() {
    let burst = OK.repeat(1_000);
    again_and_again("bursts of 1,000", |service| {
        let mut connection = service.connect();
        connection.send(&burst);
        assert!((0..1_000).all(|_| connection.reply().unwrap().status == 200));
    });
}

#[test]
fn bodies_that_nobody_reads_hold_nobody_up() {
    let head = "GET /ok HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000\r\n\r\n";
    let request = format!("{head}{}", "x".repeat(1_000_000));
    again_and_again("bodies of 1 MB", |service| {
        let (answers, _) = talk(service, request.as_bytes());
        assert_eq!(answers[0].status, 200);
    });
}

#[test]
fn heads_that_are_too_long_hold_nobody_up() {
    let head = format!("GET /ok HTTP/1.1\r\nX: {}", "x".repeat(1_000_000));
    again_and_again("heads of 1 MB", |service| {
        let (answers, _) = talk(service, head.as_bytes());
        assert_eq!(answers[0].status, 431);
    });
}
