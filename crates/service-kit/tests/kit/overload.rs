//! Overload is shed, not suffered.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::Scope;
use std::time::{Duration, Instant};

use service_kit::testing::{Connection, Running, wait_until};

use crate::support::start;

/// Clients that ask for one thing again and again until they are told to stop.
#[derive(Debug, Default)]
struct Storm {
    is_over: AtomicBool,
    good: AtomicUsize,
    refused: AtomicUsize,
}

impl Storm {
    /// Sends so many clients on their way.
    fn rage<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        service: &'scope Running,
        target: &'scope str,
        clients: usize,
    ) {
        for _ in 0..clients {
            let mut connection = service.connect();
            scope.spawn(move || {
                while !self.is_over.load(Ordering::Relaxed) {
                    let answer = connection.get(target);
                    let counted = match answer.status {
                        200 => &self.good,
                        503 => {
                            assert_eq!(answer.header("retry-after"), Some("1"));
                            &self.refused
                        }
                        status => panic!("{status}: {}", answer.text()),
                    };
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    }

    fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// Ends a storm also when a check fails: a scope waits for its threads.
struct Ending<'a>(&'a Storm);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

#[test]
fn more_than_a_dependency_can_do_is_refused_at_once_and_no_longer_than_needed() {
    let settings = [
        ("WORKERS", "1"),
        ("MIN_IN_FLIGHT", "8"),
        ("ACCESS_LOG_SLOW_MS", "600000"),
    ];
    let service = start(&settings);
    let limit = || service.metric("null_requests_waiting_limit");
    // A worker may begin a moment after the service is ready.
    wait_until("the worker has begun", || limit() > 4000.0);
    let most = limit();
    let storm = Storm::default();
    std::thread::scope(|scope| {
        // Four at a time are worked on for 20 ms each: 64 clients would wait 16 times as long.
        let _ending = Ending(&storm);
        storm.rage(scope, &service, "/queue?ms=20", 64);
        wait_until("the limit comes down", || limit() < 48.0);
        let refused = storm.refused.load(Ordering::Relaxed);
        let good = storm.good.load(Ordering::Relaxed);
        wait_until("some are refused and others served", || {
            storm.refused.load(Ordering::Relaxed) > refused + 100
                && storm.good.load(Ordering::Relaxed) > good + 100
        });
        // What needs no waiting is not refused.
        assert_eq!(service.get("/ok").status, 200);
        assert_eq!(service.admin("/readyz").status, 200);
    });
    // By the service's own clock, from the head to the reply; the machine may be busy, but not for
    // half of them.
    let mut took: Vec<u64> = service
        .log()
        .iter()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|line| line["message"] == "request" && line["outcome"] == "shed")
        .filter_map(|line| line["took_us"].as_u64())
        .collect();
    took.sort_unstable();
    assert!(took.len() >= 20, "{took:?}");
    assert!(took[took.len() / 2] < 50_000, "{took:?}");
    wait_until("the limit is what it was", || {
        let mut connection = service.connect();
        for _ in 0..20 {
            assert_eq!(connection.get("/queue?ms=1").status, 200);
        }
        limit() >= most
    });
}

#[test]
fn a_limit_that_is_turned_off_stays_where_it_is() {
    let settings = [
        ("WORKERS", "1"),
        ("MAX_IN_FLIGHT", "64"),
        ("MIN_IN_FLIGHT", "64"),
    ];
    let service = start(&settings);
    let storm = Storm::default();
    std::thread::scope(|scope| {
        let _ending = Ending(&storm);
        storm.rage(scope, &service, "/queue?ms=20", 32);
        wait_until("many have waited", || {
            storm.good.load(Ordering::Relaxed) > 300
        });
    });
    assert_eq!(storm.refused.load(Ordering::Relaxed), 0);
    let limit = service.metric("null_requests_waiting_limit");
    assert!((limit - 64.0).abs() < f64::EPSILON, "{limit}");
}

#[test]
fn the_admin_port_answers_while_all_workers_are_at_work() {
    let service = start(&[("WORKERS", "1")]);
    let mut busy = service.connect();
    busy.send(b"GET /spin?ms=20000 HTTP/1.1\r\nHost: test\r\n\r\n");
    // Answers only before the worker began, if it has not yet.
    wait_until("the worker is at work", || {
        let mut probe = service.connect();
        probe.send(b"GET /ok HTTP/1.1\r\nHost: test\r\n\r\n");
        std::thread::park_timeout(Duration::from_millis(100));
        probe.is_quiet()
    });
    // 100 ms are promised, and held to by `cargo xtask torture overload`; a test must bear a busy machine.
    for target in ["/livez", "/readyz", "/metrics", "/version", "/log-level"] {
        let asked = Instant::now();
        assert_eq!(service.admin(target).status, 200, "{target}");
        let took = asked.elapsed();
        assert!(took < Duration::from_secs(2), "{target}: {took:?}");
    }
    assert!(busy.is_quiet(), "the worker is at it still");
}

/// Clients that keep a worker busy for 20 ms each: all together for longer than any of them is
/// supposed to wait.
const SPINNERS: usize = 40;
const SPIN: &str = "/spin?ms=20";

#[test]
fn a_saturated_worker_leaves_requests_unread_and_drops_those_nobody_waits_for() {
    // A worker that reads whatever comes would answer all of them.
    let unread = "null_read_pauses_total{end=\"hung_up\"}";
    let paused = "null_read_pauses_total{end=\"read\"}";
    let service = start(&[("WORKERS", "1")]);
    // Connected, and known to the worker, before the storm.
    let impatient: Vec<Connection> = (0..50)
        .map(|_| {
            let mut connection = service.connect();
            assert_eq!(connection.get("/ok").status, 200);
            connection
        })
        .collect();
    let storm = Storm::default();
    std::thread::scope(|scope| {
        let _ending = Ending(&storm);
        storm.rage(scope, &service, SPIN, SPINNERS);
        wait_until("sockets wait their turn", || {
            service.metric("null_reads_paused") > 10.0 && service.metric(paused) > 100.0
        });
        for mut connection in impatient {
            connection.send(format!("GET {SPIN} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes());
        }
        wait_until("they are closed unread", || service.metric(unread) > 25.0);
        assert_eq!(service.admin("/livez").status, 200);
    });
    // Everybody who waited was answered, and now there is nothing to wait for.
    wait_until("nobody waits", || service.metric("null_reads_paused") < 0.5);
    assert!(storm.good.load(Ordering::Relaxed) > SPINNERS);
    assert_eq!(storm.refused.load(Ordering::Relaxed), 0, "none was refused");
    assert_eq!(service.get("/ok").status, 200);
}

#[test]
fn a_new_connection_gets_through_to_a_saturated_worker() {
    let service = start(&[("WORKERS", "1")]);
    let storm = Storm::default();
    std::thread::scope(|scope| {
        let _ending = Ending(&storm);
        storm.rage(scope, &service, SPIN, SPINNERS);
        wait_until("sockets wait their turn", || {
            service.metric("null_reads_paused") > 10.0
        });
        // As a load balancer's health check does.
        assert_eq!(service.get("/readyz").status, 200);
    });
}

#[test]
fn a_saturated_worker_that_stops_answers_what_was_sent() {
    let mut service = start(&[("WORKERS", "1"), ("DRAIN_MS", "60000")]);
    let storm = Storm::default();
    let mut waiting: Vec<Connection> = (0..10).map(|_| service.connect()).collect();
    for connection in &mut waiting {
        assert_eq!(connection.get("/ok").status, 200);
    }
    std::thread::scope(|scope| {
        let _ending = Ending(&storm);
        storm.rage(scope, &service, SPIN, SPINNERS);
        wait_until("sockets wait their turn", || {
            service.metric("null_reads_paused") > 10.0
        });
        for connection in &mut waiting {
            connection.send(b"GET /ok HTTP/1.1\r\nHost: test\r\n\r\n");
        }
        storm.end();
    });
    service.signal(service_kit::testing::Signal::INT);
    for connection in &mut waiting {
        assert_eq!(connection.reply().expect("an answer").status, 200);
    }
    assert_eq!(service.wait().code(), Some(0));
}
