//! What every service owes its clients, through a real socket.

use service_kit::testing::{Connection, wait_until};

use crate::support::{self, start};

const OK: &[u8] = b"GET /ok HTTP/1.1\r\nHost: test\r\n\r\n";

#[test]
fn keeps_the_connection_and_answers_pipelined_requests_in_order() {
    let service = start(&[]);
    let mut connection = service.connect();
    assert_eq!(connection.get("/ok").text(), "Hello, World!");
    let mut burst = Vec::new();
    for _ in 0..100 {
        burst.extend_from_slice(OK);
        burst.extend_from_slice(b"GET /nowhere HTTP/1.1\r\nHost: test\r\n\r\n");
    }
    connection.send(&burst);
    for _ in 0..100 {
        assert_eq!(connection.reply().unwrap().status, 200);
        assert_eq!(connection.reply().unwrap().status, 404);
    }
}

#[test]
fn a_reply_does_not_wait_for_the_rest_of_a_pipelined_request() {
    let service = start(&[]);
    let mut connection = service.connect();
    connection.send(&[OK, &OK[..10]].concat());
    assert_eq!(connection.reply().unwrap().status, 200);
    connection.send(&OK[10..]);
    assert_eq!(connection.reply().unwrap().status, 200);
}

#[test]
fn takes_a_request_split_at_every_byte() {
    let service = start(&[]);
    for at in 1..OK.len() {
        let mut connection = service.connect();
        connection.send(&OK[..at]);
        connection.send(&OK[at..]);
        assert_eq!(connection.reply().unwrap().text(), "Hello, World!");
    }
}

#[test]
fn head_gets_the_same_head_without_a_body() {
    let service = start(&[]);
    let mut connection = service.connect();
    connection.send(b"HEAD /ok HTTP/1.1\r\nHost: test\r\n\r\n");
    let head = connection.head().unwrap();
    assert_eq!(head.status, 200);
    assert_eq!(head.header("content-length"), Some("13"));
    assert_eq!(head.header("content-type"), Some("text/plain"));
    assert_eq!(
        connection.get("/ok").text(),
        "Hello, World!",
        "no body was in between"
    );
}

#[test]
fn other_methods_are_refused_with_the_allowed_ones() {
    let service = start(&[]);
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "FOO"] {
        let mut connection = service.connect();
        let request = format!("{method} /ok HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n");
        connection.send(request.as_bytes());
        let answer = connection.reply().unwrap();
        assert_eq!(answer.status, 405, "{method}");
        assert_eq!(answer.header("allow"), Some("GET, HEAD"), "{method}");
    }
}

#[test]
fn unknown_paths_are_404_whatever_the_method() {
    let service = start(&[]);
    for target in ["/", "/ok/", "/okay", "/OK", "/%6fk", "*"] {
        assert_eq!(service.get(target).status, 404, "{target}");
    }
}

#[test]
fn a_long_target_is_414_and_a_long_head_431() {
    let service = start(&[]);
    let target = |length: usize| format!("/ok?{}", "a".repeat(length - 4));
    assert_eq!(service.get(&target(1024)).status, 200);
    assert_eq!(service.get(&target(1025)).status, 414);
    assert_eq!(service.get(&target(60_000)).status, 414);
    assert_eq!(service.get(&target(100_000)).status, 414);
    let absolute = format!("http://h{}", target(1016));
    assert_eq!(service.get(&absolute).status, 200);
    assert_eq!(service.get(&format!("{absolute}a")).status, 414);

    let mut connection = service.connect();
    let fields = "X-Filler: 1\r\n".repeat(101);
    connection.send(format!("GET /ok HTTP/1.1\r\nHost: test\r\n{fields}\r\n").as_bytes());
    assert_eq!(connection.reply().unwrap().status, 431, "too many fields");

    let mut connection = service.connect();
    let value = "v".repeat(140_000);
    let request = format!("GET /ok HTTP/1.1\r\nHost: test\r\nX-Filler: {value}\r\n\r\n");
    connection.send(request.as_bytes());
    assert_eq!(connection.reply().unwrap().status, 431, "too many bytes");
}

#[test]
fn bytes_that_no_target_may_have_are_400() {
    let service = start(&[]);
    for byte in [b'<', b'>', b'"', 0x01, 0x7f, 0xff] {
        let mut connection = service.connect();
        let mut request = b"GET /ok?a=".to_vec();
        request.push(byte);
        request.extend_from_slice(b" HTTP/1.1\r\nHost: test\r\n\r\n");
        connection.send(&request);
        assert_eq!(connection.reply().unwrap().status, 400, "{byte:#x}");
    }
    wait_until("they are counted", || {
        service.metric("null_requests_total{outcome=\"bad_head\"}") > 5.5
    });
}

#[test]
fn a_body_on_get_does_not_disturb() {
    let service = start(&[]);
    let mut connection = service.connect();
    connection.send(b"GET /ok HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(connection.reply().unwrap().text(), "Hello, World!");
    // Kept or closed, but never taken for a request.
    if connection.try_send(OK).is_ok()
        && let Ok(answer) = connection.reply()
    {
        assert_eq!(answer.text(), "Hello, World!");
    }
}

#[test]
fn a_client_that_shuts_its_side_after_asking_still_gets_its_reply() {
    let service = start(&[]);
    let mut connection = service.connect();
    connection.send(OK);
    connection.finish_sending();
    assert_eq!(connection.reply().unwrap().text(), "Hello, World!");
    assert!(connection.is_closed());
}

#[test]
fn a_panic_costs_one_connection_and_one_metric() {
    let service = start(&[("WORKERS", "1")]);
    let mut bystander = service.connect();
    assert_eq!(bystander.get("/ok").status, 200);
    let mut connection = service.connect();
    connection.send(b"GET /panic HTTP/1.1\r\nHost: test\r\n\r\n");
    assert!(connection.is_closed());
    assert_eq!(bystander.get("/ok").status, 200);
    let panics = "null_requests_total{outcome=\"panic\"}";
    assert!((service.metric(panics) - 1.0).abs() < f64::EPSILON);
    assert_eq!(service.get("/ok").status, 200);
}

#[test]
fn more_requests_in_hand_than_allowed_are_refused_at_once() {
    let service = start(&[("WORKERS", "1"), ("MAX_IN_FLIGHT", "1")]);
    let mut slow = service.connect();
    slow.send(b"GET /slow?ms=3000 HTTP/1.1\r\nHost: test\r\n\r\n");
    wait_until("the slow request is in hand", || {
        service.metric("null_requests_in_flight") > 0.5
    });
    let refused = service.get("/ok");
    assert_eq!(refused.status, 503);
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(slow.reply().unwrap().text(), "slow");
    assert_eq!(service.get("/ok").status, 200, "there is room again");
}

#[test]
fn a_reply_that_takes_too_long_is_503() {
    let service = start(&[("REQUEST_DEADLINE_MS", "50")]);
    let late = service.get("/slow?ms=20000");
    assert_eq!(late.status, 503);
    assert_eq!(late.header("retry-after"), Some("1"));
}

#[test]
fn a_client_that_goes_away_leaves_nothing_behind() {
    let service = start(&[("WORKERS", "1")]);
    let mut slow = service.connect();
    slow.send(b"GET /slow?ms=1500 HTTP/1.1\r\nHost: test\r\n\r\n");
    wait_until("the request is in hand", || {
        service.metric("null_requests_in_flight") > 0.5
    });
    drop(slow);
    wait_until("the request has ended", || {
        service.metric("null_requests_in_flight") < 0.5 && service.metric("null_connections") < 0.5
    });
    assert!(service.metric("null_requests_total{outcome=\"ok\"}") > 0.5);
}

#[test]
fn a_connection_over_the_cap_waits_until_one_closes() {
    let settings = [
        ("WORKERS", "1"),
        ("MAX_CONNECTIONS", "1"),
        ("CROWDED_IDLE_MS", "600000"),
    ];
    let service = start(&settings);
    let mut first = service.connect();
    assert_eq!(first.get("/ok").status, 200);
    let mut second = service.connect();
    second.send(OK);
    let accepted = service.metric("null_connections_accepted_total{listener=\"traffic\"}");
    assert!(
        (accepted - 1.0).abs() < f64::EPSILON,
        "the second one waits"
    );
    assert_eq!(
        first.get("/ok").status,
        200,
        "the first one is not disturbed"
    );
    drop(first);
    assert_eq!(second.reply().unwrap().status, 200);
}

#[test]
fn a_connection_that_sends_no_head_is_closed() {
    let service = start(&[("KEEP_ALIVE_MS", "1500")]);
    let mut used = service.connect();
    assert_eq!(used.get("/ok").status, 200);
    let mut silent = service.connect();
    let mut half = service.connect();
    half.send(b"GET /ok HTT");
    assert!(silent.is_closed());
    assert!(half.is_closed());
    assert!(used.is_closed(), "idle after a reply counts too");
}

#[test]
fn the_admin_port_tells_what_runs() {
    let service = start(&[]);
    assert_eq!(service.admin("/livez").status, 200);
    service.wait_ready();
    assert_eq!(service.get("/readyz").status, 200);
    let verbose = service.admin("/readyz?verbose").text();
    assert_eq!(
        verbose,
        "{\"latches\":{},\"phase\":\"serving\",\"ready\":true}\n"
    );
    let version: serde_json::Value =
        serde_json::from_slice(&service.admin("/version").body).unwrap();
    assert_eq!(version["listen_addr"], service.listen_addr.to_string());
    assert_eq!(version["admin_addr"], service.admin_addr.to_string());
    assert_eq!(version["allocator"], "mimalloc");
    assert_eq!(version["features"], "fault-injection,test-util");
    assert!(
        !version["target_cpu"]
            .as_str()
            .unwrap_or_default()
            .is_empty()
    );
    let log = service.log();
    let started = log.iter().find(|line| line.contains("\"listening\""));
    let started: serde_json::Value = serde_json::from_str(started.unwrap()).unwrap();
    for fact in ["version", "commit", "target_cpu", "allocator", "features"] {
        assert_eq!(started[fact], version[fact], "{fact}");
    }
    service.get("/ok");
    let metrics = service.admin("/metrics");
    assert_eq!(
        metrics.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    assert!(metrics.text().contains("null_build_info{"));
    assert!(metrics.text().contains("allocator=\"mimalloc\""));
    assert!(service.metric("null_requests_total{outcome=\"ok\"}") > 0.5);
    assert!(service.metric("null_request_duration_seconds_count") > 0.5);
    assert_eq!(service.admin("/nowhere").status, 404);
    let mut post = Connection::open(service.admin_addr);
    post.send(b"POST /metrics HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(post.reply().unwrap().status, 405);
}

#[test]
fn replies_larger_than_the_socket_buffers_come_whole() {
    let service = start(&[]);
    let mut connection = service.connect();
    for _ in 0..20 {
        connection.send(b"GET /big HTTP/1.1\r\nHost: test\r\n\r\n");
    }
    for _ in 0..20 {
        assert_eq!(connection.reply().unwrap().body.len(), 100_000);
    }
}

#[test]
fn two_services_do_not_share_a_port() {
    let service = start(&[]);
    let addr = service.listen_addr.to_string();
    let output = support::command(&[("LISTEN_ADDR", &addr)])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let log = String::from_utf8_lossy(&output.stdout);
    assert!(log.contains(&format!("LISTEN_ADDR={addr}")), "{log}");
    drop(service);
}
