//! What a stop owes the clients.

use service_kit::testing::{Connection, Running, Signal, wait_until};

use crate::support::start;

const OK: &[u8] = b"GET /ok HTTP/1.1\r\nHost: test\r\n\r\n";

#[test]
fn a_stop_signal_ends_the_process_with_code_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut service = start(&[]);
        let mut idle = service.connect();
        assert_eq!(idle.get("/ok").status, 200);
        service.signal(signal);
        assert_eq!(service.wait().code(), Some(0));
        assert!(idle.is_closed());
    }
}

#[test]
fn while_it_settles_it_answers_and_closes_each_connection() {
    let mut service = start(&[("SETTLE_MS", "60000")]);
    let mut kept = service.connect();
    assert_eq!(kept.get("/ok").header("connection"), None);
    service.signal(Signal::TERM);
    wait_until("readiness fails", || service.admin("/readyz").status == 503);
    assert_eq!(service.admin("/livez").status, 200, "liveness does not");
    assert_eq!(service.get("/readyz").status, 503);
    let last = kept.get("/ok");
    assert_eq!(
        (last.status, last.header("connection")),
        (200, Some("close"))
    );
    assert!(kept.is_closed());
    assert_eq!(service.get("/ok").status, 200, "new connections are served");
    service.signal(Signal::TERM);
    assert_eq!(
        service.wait().code(),
        Some(0),
        "a second signal ends the settling"
    );
}

#[test]
fn requests_that_wait_in_the_kernel_when_the_stop_comes_are_answered() {
    for waiting in [1, 50, 400] {
        let mut service = start(&[("WORKERS", "1")]);
        // Held still, so that all of it is there before anything is read.
        service.signal(Signal::STOP);
        let mut connections: Vec<_> = (0..waiting).map(|_| service.connect()).collect();
        for connection in &mut connections {
            connection.send(OK);
        }
        service.signal(Signal::INT);
        service.signal(Signal::CONT);
        for (number, connection) in connections.iter_mut().enumerate() {
            let answer = connection.reply();
            let answer = answer.unwrap_or_else(|error| panic!("{number} of {waiting}: {error}"));
            assert_eq!(answer.text(), "Hello, World!");
        }
        assert_eq!(service.wait().code(), Some(0));
    }
}

#[test]
fn under_steady_load_a_stop_signal_loses_no_request() {
    let mut service = start(&[("SETTLE_MS", "300")]);
    let addr = service.listen_addr;
    let clients: Vec<_> = (0..8)
        .map(|_| {
            std::thread::spawn(move || {
                let mut answered = 0;
                let mut connection = Connection::open(addr);
                // Until the reply that closes the connection; what was asked before is answered.
                loop {
                    let answer = connection.get("/ok");
                    assert_eq!(answer.text(), "Hello, World!");
                    answered += 1;
                    if answer.header("connection") == Some("close") {
                        return answered;
                    }
                }
            })
        })
        .collect();
    wait_until("all clients ask", || {
        service.metric("null_requests_total{outcome=\"ok\"}") > 100.0
    });
    service.signal(Signal::TERM);
    let answered: u32 = clients
        .into_iter()
        .map(|client| client.join().expect("no request is lost"))
        .sum();
    assert!(answered > 100);
    assert_eq!(service.wait().code(), Some(0));
}

#[test]
fn a_request_in_hand_is_finished_before_the_process_ends() {
    let mut service = start(&[("WORKERS", "1")]);
    let mut slow = service.connect();
    slow.send(b"GET /slow?ms=3000 HTTP/1.1\r\nHost: test\r\n\r\n");
    wait_until("the request is in hand", || {
        service.metric("null_requests_in_flight") > 0.5
    });
    service.signal(Signal::TERM);
    assert_eq!(slow.reply().unwrap().text(), "slow");
    assert_eq!(service.wait().code(), Some(0));
}

#[test]
fn a_request_that_outlasts_the_drain_is_cut() {
    let mut service = start(&[("WORKERS", "1"), ("DRAIN_MS", "50")]);
    let mut slow = service.connect();
    slow.send(b"GET /slow?ms=60000 HTTP/1.1\r\nHost: test\r\n\r\n");
    wait_until("the request is in hand", || {
        service.metric("null_requests_in_flight") > 0.5
    });
    service.signal(Signal::TERM);
    assert_eq!(service.wait().code(), Some(0));
    assert!(slow.is_closed());
}

#[test]
fn the_metrics_tell_the_phase() {
    let mut service = start(&[("SETTLE_MS", "600000"), ("DRAIN_MS", "600000")]);
    let phase = |service: &Running, phase: &str| {
        service.metric(&format!("null_phase{{phase=\"{phase}\"}}")) > 0.5
    };
    assert!(phase(&service, "serving"));
    let mut slow = service.connect();
    slow.send(b"GET /slow?ms=600000 HTTP/1.1\r\nHost: test\r\n\r\n");
    service.signal(Signal::TERM);
    wait_until("it settles", || phase(&service, "settling"));
    assert!(!phase(&service, "serving"));
    // A second signal cuts the settling short; the request in hand goes on.
    wait_until("the request is in hand", || {
        service.metric("null_requests_in_flight") > 0.5
    });
    service.signal(Signal::TERM);
    wait_until("it drains", || phase(&service, "draining"));
    // A third one ends it.
    service.signal(Signal::TERM);
    assert_eq!(service.wait().code(), Some(0));
}

#[test]
fn a_crash_leaves_no_core_dump() {
    let service = start(&[]);
    let file = format!("/proc/{}/limits", service.pid());
    let limits = std::fs::read_to_string(file).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let words: Vec<_> = core.unwrap().split_whitespace().collect();
    assert_eq!(words[4..6], ["0", "0"], "soft and hard");
}
