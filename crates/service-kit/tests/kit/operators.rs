//! What those who run a service ask of it.

use service_kit::testing::{Answer, Connection, Running, wait_until};

use crate::support::start;

fn get(service: &Running, target: &str, header: &str) -> Answer {
    let mut connection = service.connect();
    connection.send(format!("GET {target} HTTP/1.1\r\nHost: test\r\n{header}\r\n\r\n").as_bytes());
    connection.reply().expect("a whole reply")
}

/// Lines of the access log so far.
fn lines(service: &Running, outcome: &str) -> Vec<serde_json::Value> {
    let log = service.log();
    let lines = log
        .iter()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    lines
        .filter(|line| line["message"] == "request" && line["outcome"] == outcome)
        .collect()
}

#[test]
fn a_caller_who_will_not_wait_is_told_so_at_its_deadline() {
    let service = start(&[]);
    for millis in ["0", "50"] {
        let header = format!("X-Request-Timeout-Ms: {millis}");
        let late = get(&service, "/slow?ms=600000", &header);
        assert_eq!(late.status, 503);
        assert_eq!(late.header("retry-after"), Some("1"));
    }
    assert_eq!(
        get(&service, "/ok", "X-Request-Timeout-Ms: 60000").status,
        200
    );
    let deadline = service.metric("null_requests_total{outcome=\"deadline\"}");
    assert!((deadline - 2.0).abs() < f64::EPSILON);
}

#[test]
fn failed_and_slow_requests_are_logged_and_others_one_in_so_many() {
    let settings = [
        ("WORKERS", "1"),
        ("ACCESS_LOG_SLOW_MS", "200"),
        ("ACCESS_LOG_ONE_IN", "10"),
    ];
    let service = start(&settings);
    let mut connection = service.connect();
    for _ in 0..100 {
        connection.get("/ok?data=secret");
    }
    wait_until("one in ten is logged", || lines(&service, "ok").len() >= 10);
    get(&service, "/slow?ms=600000", "X-Request-Timeout-Ms: 20");
    wait_until("a failed one is logged", || {
        lines(&service, "deadline").len() == 1
    });
    let failed = &lines(&service, "deadline")[0];
    assert_eq!(failed["status"], 503);
    assert!(failed["took_us"].as_u64() >= Some(20_000), "{failed}");
    get(&service, "/slow?ms=300", "X: 1");
    wait_until("a slow one is logged", || {
        lines(&service, "ok")
            .iter()
            .any(|line| line["took_us"].as_u64() >= Some(300_000))
    });
    assert!(!service.log().join("\n").contains("secret"));
}

#[test]
fn a_storm_of_errors_is_no_storm_of_lines() {
    let service = start(&[("WORKERS", "1")]);
    let mut connection = service.connect();
    let refused = b"GET /ok HTTP/1.1\r\nHost: test\r\nX-Request-Timeout-Ms: 0\r\n\r\n";
    for _ in 0..20 {
        connection.send(&refused.repeat(500));
        for _ in 0..500 {
            assert_eq!(connection.reply().expect("a reply").status, 503);
        }
    }
    let dropped = service.metric("null_log_lines_dropped_total{log=\"access\"}");
    assert!(dropped > 1.0, "{dropped}");
    #[expect(clippy::cast_precision_loss, reason = "a small count")]
    let logged = lines(&service, "deadline").len() as f64;
    assert!(logged + dropped <= 10_000.0, "{logged} + {dropped}");
}

#[test]
fn a_change_of_the_log_level_is_logged_also_where_nothing_else_is() {
    // But for the line that says where it listens.
    let service = start(&[("LOG_LEVEL", "off,service_kit::program=info")]);
    let mut connection = Connection::open(service.admin_addr);
    connection
        .send(b"PUT /log-level?level=error HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(connection.reply().expect("a whole reply").status, 200);
    wait_until("it is logged", || {
        let log = service.log();
        log.iter().any(|line| line.contains("log level changed"))
    });
}

#[test]
fn the_log_level_changes_on_the_admin_port_for_a_while() {
    let service = start(&[]);
    let put = |query: &str| {
        let mut connection = Connection::open(service.admin_addr);
        connection.send(
            format!("PUT /log-level{query} HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n")
                .as_bytes(),
        );
        connection.reply().expect("a whole reply")
    };
    assert_eq!(service.admin("/log-level").text(), "info\n");
    let changed = put("?level=service_kit%3Ddebug,warn&minutes=5");
    assert_eq!(
        (changed.status, changed.text().contains("5 minutes")),
        (200, true)
    );
    assert!(
        service
            .admin("/log-level")
            .text()
            .contains("service_kit=debug")
    );
    let mut broken = service.connect();
    broken.send(b"nonsense\r\n\r\n");
    assert_eq!(broken.reply().expect("a reply").status, 400);
    wait_until("debug lines are written", || {
        let log = service.log();
        log.iter()
            .any(|line| line.contains("connection ended early"))
    });
    assert!(
        service
            .log()
            .iter()
            .any(|line| line.contains("log level changed"))
    );
    for wrong in [
        "",
        "?level=loud",
        "?level=debug&minutes=0",
        "?level=debug&minutes=1441",
    ] {
        assert_eq!(put(wrong).status, 400, "{wrong}");
    }
    // Not on the traffic port.
    assert_eq!(service.get("/log-level").status, 404);
}
