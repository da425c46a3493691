//! Faults on purpose, through the admin port.

use service_kit::testing::{Answer, Connection, Running, wait_until};

use crate::support::{command, start};

const ON: &[(&str, &str)] = &[("FAULT_INJECTION", "on"), ("WORKERS", "1")];

fn admin(service: &Running, method: &str, query: &str) -> Answer {
    let mut connection = Connection::open(service.admin_addr);
    let request =
        format!("{method} /faults{query} HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n");
    connection.send(request.as_bytes());
    connection.reply().expect("a whole reply")
}

#[test]
fn nobody_can_break_a_service_that_does_not_allow_it() {
    let service = start(&[]);
    assert_eq!(admin(&service, "PUT", "?error_percent=100").status, 404);
    assert_eq!(service.get("/ok").status, 200);
    let allowed = start(ON);
    let put = b"PUT /faults?error_percent=100 HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n";
    let mut traffic = allowed.connect();
    traffic.send(put);
    assert_eq!(
        traffic.reply().expect("a reply").status,
        404,
        "traffic port"
    );
    assert_eq!(allowed.get("/ok").status, 200);
    let wrong = command(&[("FAULT_INJECTION", "maybe")]).output();
    let wrong = wrong.expect("the program runs");
    assert_eq!(wrong.status.code(), Some(64));
}

#[test]
fn a_share_of_the_requests_is_refused_until_that_is_ended() {
    let service = start(ON);
    let answer = admin(&service, "PUT", "?error_percent=50&seconds=3600");
    assert_eq!(answer.status, 200);
    let shown: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(shown["error_percent"], 50.0);
    let mut connection = service.connect();
    let refused = (0..200).filter(|_| connection.get("/ok").status == 503);
    let refused = refused.count();
    assert!((50..150).contains(&refused), "{refused}");
    // Neither the load balancer's check nor the admin port.
    assert_eq!(service.get("/readyz").status, 200);
    assert_eq!(service.admin("/metrics").status, 200);
    #[expect(clippy::cast_precision_loss, reason = "a small count")]
    let counted = service.metric("null_faults_injected_total{fault=\"error\"}") - refused as f64;
    assert!(counted.abs() < f64::EPSILON, "{counted}");
    let ended = admin(&service, "DELETE", "");
    assert_eq!(ended.text(), "{\"on\":false}\n");
    assert!((0..100).all(|_| connection.get("/ok").status == 200));
    let log = service.log().join("\n");
    assert!(log.contains("faults are injected") && log.contains("no faults are injected any more"));
}

#[test]
fn requests_are_cut_and_delayed() {
    let service = start(ON);
    assert_eq!(admin(&service, "PUT", "?cut_percent=100").status, 200);
    let mut cut = service.connect();
    cut.send(b"GET /ok HTTP/1.1\r\nHost: test\r\n\r\n");
    assert!(cut.is_closed());
    assert_eq!(admin(&service, "PUT", "?latency_ms=60000").status, 200);
    let mut late = service.connect();
    late.send(b"GET /ok HTTP/1.1\r\nHost: test\r\n\r\n");
    wait_until("it waits", || {
        service.metric("null_faults_injected_total{fault=\"latency\"}") > 0.5
    });
    assert!(late.is_quiet());
    assert_eq!(admin(&service, "PUT", "?latency_ms=60001").status, 400);
    assert_eq!(admin(&service, "POST", "").status, 405);
}

#[test]
fn faults_end_by_themselves() {
    let service = start(ON);
    assert_eq!(
        admin(&service, "PUT", "?error_percent=100&seconds=1").status,
        200
    );
    wait_until("it is over", || {
        admin(&service, "GET", "").text() == "{\"on\":false}\n"
    });
    assert_eq!(service.get("/ok").status, 200);
}
