//! Clients that mean no good: each gets the contract's answer or a clean 4xx, and nobody else
//! notices.

mod beside;

use std::io::{ErrorKind, Read as _, Write as _};
use std::time::Duration;

use service_kit::testing::{Answer, Connection, PATIENCE, Running, Signal, wait_until};

use self::beside::connections;
use crate::support::start;

const OK: &[u8] = b"GET /ok HTTP/1.1\r\nHost: test\r\n\r\n";
const HALF: &[u8] = b"GET /ok HTTP/1.1\r\nHo";

/// Sends bytes, ends its side and gives the status of each reply until the peer closes.
fn statuses(connection: &mut Connection, bytes: &[u8]) -> Vec<u16> {
    // The peer may have seen enough before it has all.
    if connection.try_send(bytes).is_ok() {
        connection.finish_sending();
    }
    let mut statuses = Vec::new();
    while let Ok(answer) = connection.reply() {
        assert_eq!(answer.status == 200, answer.text() == "Hello, World!");
        statuses.push(answer.status);
    }
    statuses
}

#[test]
fn large_half_heads_make_room_when_there_are_too_many_of_them() {
    let service = start(&[("WORKERS", "1"), ("KEEP_ALIVE_MS", "600000")]);
    let before = service.peak_memory();
    let filler = "x".repeat(120_000);
    let half = format!("GET /ok HTTP/1.1\r\nHost: test\r\nX: {filler}");
    let whole = format!("{half}\r\n\r\n");
    let count = connections();
    let mut slow: Vec<_> = (0..count)
        .map(|number| {
            let mut connection = service.connect();
            connection.send(half.as_bytes());
            if number % 50 == 0 {
                let mut good = service.connect();
                good.send(whole.as_bytes());
                assert_eq!(good.reply().unwrap().status, 200);
            }
            connection
        })
        .collect();
    let kept = |service: &Running| service.metric("null_connections");
    // All may take 24 MiB, and each has room for 128 KiB.
    wait_until("most made room", || kept(&service) < 200.0);
    assert!(slow.iter_mut().take(count - 200).all(Connection::is_closed));
    assert!(kept(&service) > 100.0, "no more of them than needed");
    let newest = slow.last_mut().expect("there are many");
    assert!(newest.is_quiet(), "the oldest go first");
    newest.send(b"\r\n\r\n");
    assert_eq!(newest.reply().unwrap().status, 200);
    let grown = (service.peak_memory() - before) >> 20;
    eprintln!("{grown} MiB for {count} half heads of 117 KiB");
    assert!(grown < 80, "{grown} MiB");
}

#[test]
fn half_heads_make_room_when_others_wait_for_a_place() {
    let settings = [
        ("WORKERS", "1"),
        ("MAX_CONNECTIONS", "20"),
        ("KEEP_ALIVE_MS", "600000"),
        ("CROWDED_IDLE_MS", "100"),
    ];
    let service = start(&settings);
    let mut busy = service.connect();
    busy.send(b"GET /slow?ms=4000 HTTP/1.1\r\nHost: test\r\n\r\n");
    wait_until("the slow request is in hand", || {
        service.metric("null_requests_in_flight") > 0.5
    });
    let mut slow: Vec<_> = (0..19)
        .map(|_| {
            let mut connection = service.connect();
            connection.send(HALF);
            connection
        })
        .collect();
    for _ in 0..5 {
        assert_eq!(service.get("/ok").status, 200);
    }
    assert_eq!(busy.reply().unwrap().text(), "slow", "work is not cut");
    assert!(slow[0].is_closed(), "the oldest goes first");
}

#[test]
fn half_a_head_does_not_hold_a_stop_up() {
    let settings = [("DRAIN_MS", "600000"), ("KEEP_ALIVE_MS", "600000")];
    let mut service = start(&settings);
    let mut half = service.connect();
    half.send(HALF);
    let mut used = service.connect();
    assert_eq!(used.get("/ok").status, 200);
    used.send(HALF);
    let mut working = service.connect();
    working.send(b"GET /slow?ms=2500 HTTP/1.1\r\nHost: test\r\n\r\n");
    wait_until("the slow request is in hand", || {
        service.metric("null_requests_in_flight") > 0.5
    });
    service.signal(Signal::TERM);
    assert_eq!(working.reply().unwrap().text(), "slow");
    assert_eq!(service.wait().code(), Some(0));
    assert!(half.is_closed() && used.is_closed());
}

#[test]
fn a_head_that_is_complete_after_the_stop_began_is_answered() {
    let mut service = start(&[("WORKERS", "1"), ("DRAIN_MS", "600000")]);
    let mut half = service.connect();
    half.send(HALF);
    wait_until("it is accepted", || {
        service.metric("null_connections") > 0.5
    });
    service.signal(Signal::TERM);
    half.send(b"st: test\r\n\r\n");
    assert_eq!(half.reply().unwrap().text(), "Hello, World!");
    assert_eq!(service.wait().code(), Some(0));
}

#[test]
fn one_byte_at_a_time_is_a_request_like_any_other() {
    let service = start(&[]);
    let mut connection = service.connect();
    for _ in 0..3 {
        for byte in OK {
            connection.send(&[*byte]);
            std::thread::yield_now();
        }
        assert_eq!(connection.reply().unwrap().text(), "Hello, World!");
    }
}

#[test]
fn a_burst_of_a_thousand_is_answered_in_order_also_to_one_that_reads_late() {
    let service = start(&[("WORKERS", "1")]);
    for path in ["/ok", "/nowhere"] {
        let mut connection = service.connect();
        let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n");
        connection.send(request.repeat(1_000).as_bytes());
        assert_eq!(service.get("/ok").status, 200, "others are served");
        let expected = if path == "/ok" { 200 } else { 404 };
        for _ in 0..1_000 {
            assert_eq!(connection.reply().unwrap().status, expected);
        }
    }
}

#[test]
fn who_takes_replies_by_the_drop_is_cut_and_others_are_not() {
    let service = start(&[("WORKERS", "1"), ("SEND_DEADLINE_MS", "1500")]);
    let mut good = service.connect();
    let mut trickle = std::net::TcpStream::connect(service.listen_addr).unwrap();
    trickle.set_read_timeout(Some(PATIENCE)).unwrap();
    // 60 MB: far more than the kernel takes on both sides.
    let requests = "GET /big HTTP/1.1\r\nHost: test\r\n\r\n".repeat(600);
    trickle.write_all(requests.as_bytes()).unwrap();
    let mut drop = [0; 1_000];
    let mut taken = 0;
    let mut asked = 0;
    wait_until("it is cut", || {
        // As long as it is open it takes some, so that no time-out of the kernel ends it.
        taken += trickle.read(&mut drop).unwrap_or(0);
        assert_eq!(good.get("/big").body.len(), 100_000);
        asked += 1;
        service.metric("null_connections") < 1.5
    });
    assert_eq!(good.get("/ok").status, 200);
    eprintln!("{taken} bytes taken; {asked} good replies beside it");
    assert!(taken < 60_000_000);
}

#[test]
fn who_asks_for_much_and_never_reads_holds_little_and_nobody_up() {
    let service = start(&[("WORKERS", "1")]);
    let greedy: Vec<_> = (0..20)
        .map(|_| {
            let mut connection = service.connect();
            // 100 KB each; the socket takes some, the rest is not even worked on.
            for _ in 0..200 {
                connection.send(b"GET /big HTTP/1.1\r\nHost: test\r\n\r\n");
            }
            connection
        })
        .collect();
    wait_until("the sockets are full", || {
        let before = service.metric("null_requests_total{outcome=\"ok\"}");
        std::thread::park_timeout(Duration::from_millis(100));
        let after = service.metric("null_requests_total{outcome=\"ok\"}");
        (after - before).abs() < 0.5
    });
    let worked = service.metric("null_requests_total{outcome=\"ok\"}");
    assert!(worked < 4_000.0 * 0.9, "{worked} of 4000 replies are made");
    assert_eq!(service.get("/ok").status, 200);
    drop(greedy);
    wait_until("their connections are gone", || {
        service.metric("null_connections") < 0.5
    });
}

#[test]
fn large_replies_that_nobody_takes_are_refused_when_there_are_too_many() {
    // The kernel takes less than half of 8 MB. 16 MiB may wait for it.
    const HUGE: &str = "/big?kb=8000";
    let service = start(&[("WORKERS", "1"), ("SEND_DEADLINE_MS", "600000")]);
    let before = service.peak_memory();
    let mut greedy: Vec<_> = (0..40)
        .map(|_| {
            let mut connection = service.connect();
            connection.send(format!("GET {HUGE} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes());
            connection
        })
        .collect();
    assert_eq!(service.get("/ok").status, 200);
    let mut refused = 0;
    for connection in &mut greedy {
        let head = connection.head().unwrap();
        if head.status == 503 {
            assert_eq!(head.header("retry-after"), Some("1"));
            refused += 1;
        }
    }
    assert!((30..40).contains(&refused), "{refused} of 40");
    // Those who never read make room for one who does, long before the send deadline.
    wait_until("a large reply is made", || {
        let answer = service.get(HUGE);
        answer.status == 200 && answer.body.len() == 8_000_000
    });
    let grown = (service.peak_memory() - before) >> 20;
    eprintln!("{grown} MiB for 40 replies of 8 MB, {refused} of them refused");
    assert!(grown < 80, "{grown} MiB");
}

#[test]
fn half_open_and_half_closed_connections_leave_nothing_behind() {
    let service = start(&[("WORKERS", "1")]);
    for number in 0..300 {
        let mut connection = service.connect();
        match number % 5 {
            0 => connection.finish_sending(),
            1 => connection.send(HALF),
            2 => {
                connection.send(OK);
                connection.finish_sending();
                assert_eq!(connection.reply().unwrap().status, 200);
            }
            3 => {
                connection.send(OK);
                connection.reset();
                continue;
            }
            _ => {
                connection.send(HALF);
                connection.reset();
                continue;
            }
        }
        drop(connection);
    }
    wait_until("all are gone", || service.metric("null_connections") < 0.5);
    assert_eq!(service.get("/ok").status, 200);
}

/// Requests whose end is open to interpretation. `/smuggled` must never be answered on its own:
/// the reply would be a 404 that the client before us takes for somebody else's.
const SMUGGLING: &[(&str, &str)] = &[
    (
        "both lengths",
        "Content-Length: 43\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "both lengths, the other way round",
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    ),
    (
        "two lengths",
        "Content-Length: 0\r\nContent-Length: 38\r\n\r\n",
    ),
    ("a list of lengths", "Content-Length: 0, 38\r\n\r\n"),
    ("a signed length", "Content-Length: +0\r\n\r\n"),
    ("a negative length", "Content-Length: -1\r\n\r\n"),
    ("a hex length", "Content-Length: 0x0\r\n\r\n"),
    (
        "a length over 64 bits",
        "Content-Length: 18446744073709551616\r\n\r\n",
    ),
    ("a length with a space", "Content-Length : 0\r\n\r\n"),
    ("a folded length", "Content-Length:\r\n 0\r\n\r\n"),
    (
        "a length after a bare CR",
        "X: 1\rContent-Length: 0\r\n\r\n",
    ),
    ("a length after NUL", "X: 1\0Content-Length: 0\r\n\r\n"),
    ("an unknown coding", "Transfer-Encoding: xchunked\r\n\r\n"),
    (
        "chunked not last",
        "Transfer-Encoding: chunked, identity\r\n\r\n",
    ),
    (
        "chunked twice",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n",
    ),
    (
        "a tab before chunked",
        "Transfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "a chunk size that overflows",
        "Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n",
    ),
    (
        "a chunk with an extension and a bare LF",
        "Transfer-Encoding: chunked\r\n\r\n0;a=\n\r\n",
    ),
    (
        "a chunk size with a sign",
        "Transfer-Encoding: chunked\r\n\r\n-0\r\n\r\n",
    ),
    (
        "a trailer that is a request",
        "Transfer-Encoding: chunked\r\n\r\n0\r\nX: 1\r\n\r\n",
    ),
    ("a body by length", "Content-Length: 5\r\n\r\nhello"),
    (
        "a body by chunks",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ),
    (
        "waiting for leave",
        "Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
    ),
];

#[test]
fn nothing_behind_a_doubtful_body_is_taken_for_a_request() {
    let service = start(&[]);
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n";
    for method in ["GET", "POST"] {
        for (what, rest) in SMUGGLING {
            let bytes = format!("{method} /ok HTTP/1.1\r\nHost: test\r\n{rest}{smuggled}");
            let mut connection = service.connect();
            let got = statuses(&mut connection, bytes.as_bytes());
            let answered = if method == "GET" { 200 } else { 405 };
            assert!(
                got == [answered] || got == [400],
                "{method}, {what}: {got:?}"
            );
        }
    }
    assert_eq!(service.get("/ok").status, 200);
}

/// Sends all of it, as far as the peer takes it, while reading: gives the replies, and whether the
/// connection ended without a reset.
fn talk(service: &Running, bytes: &[u8]) -> (Vec<Answer>, bool) {
    let mut connection = service.connect();
    let sender = connection.sender();
    std::thread::scope(|scope| {
        // Not all at once: the kernel lets nobody else on this processor while it takes a megabyte.
        scope.spawn(move || {
            let mut pieces = bytes.chunks(4096);
            pieces.try_for_each(|piece| (&sender).write_all(piece))
        });
        let mut answers = Vec::new();
        loop {
            match connection.reply() {
                Ok(answer) => answers.push(answer),
                Err(error) => return (answers, error.kind() == ErrorKind::UnexpectedEof),
            }
        }
    })
}

#[test]
fn who_sends_more_than_is_read_gets_its_whole_reply_and_a_clean_end() {
    let service = start(&[("WORKERS", "1")]);
    let large = "x".repeat(4_000_000);
    for (what, head, expected) in [
        (
            "a body by length",
            "GET /big HTTP/1.1\r\nHost: test\r\nContent-Length: 4000000\r\n\r\n",
            200,
        ),
        (
            "a body by chunks",
            "GET /big HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n3d0900\r\n",
            200,
        ),
        (
            "a body for a path that there is not",
            "POST /nowhere HTTP/1.1\r\nHost: test\r\nContent-Length: 4000000\r\n\r\n",
            404,
        ),
        ("a head", "GET /ok HTTP/1.1\r\nHost: test\r\nX: ", 431),
        ("a broken head", "GET  /ok HTTP/1.1\r\nHost: test\r\n", 400),
        (
            "requests behind the last",
            "GET /big HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n",
            200,
        ),
    ] {
        let (answers, is_clean) = talk(&service, format!("{head}{large}").as_bytes());
        let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [expected], "{what}");
        assert!(is_clean, "{what}: a reset");
        if expected == 200 {
            assert_eq!(answers[0].body.len(), 100_000, "{what}");
        }
    }
    wait_until("nobody is heard out for ever", || {
        service.metric("null_connections") < 0.5
    });
}

#[test]
fn each_form_of_a_request_line_has_one_answer() {
    let service = start(&[]);
    for (line, expected) in [
        ("GET http://test/ok HTTP/1.1", 200),
        ("GET http://other/nowhere HTTP/1.1", 404),
        ("GET https://test:443/ok?x HTTP/1.1", 200),
        ("CONNECT test:443 HTTP/1.1", 404),
        ("OPTIONS * HTTP/1.1", 404),
        ("GET ok HTTP/1.1", 404),
        ("GET //ok HTTP/1.1", 404),
        ("GET /ok/../ok HTTP/1.1", 404),
        ("GET /%00 HTTP/1.1", 404),
        ("GET /ok?%00 HTTP/1.1", 200),
        ("GET /ok#f HTTP/1.1", 200),
        ("GET /ok HTTP/1.2", 400),
        ("GET /ok HTTP/2.0", 400),
        ("GET /ok", 400),
        ("GET  /ok HTTP/1.1", 400),
        ("GET /ok  HTTP/1.1", 400),
        ("GET /o k HTTP/1.1", 400),
        ("G\u{7f}T /ok HTTP/1.1", 400),
        ("PRI * HTTP/2.0", 400),
        ("\u{16}\u{3}\u{1} HTTP/1.1", 400),
    ] {
        let mut connection = service.connect();
        let bytes = format!("{line}\r\nHost: test\r\nConnection: close\r\n\r\n");
        let got = statuses(&mut connection, bytes.as_bytes());
        assert_eq!(got, [expected], "{line:?}");
    }
}

#[test]
fn line_ends_and_field_names_out_of_order_are_refused_or_harmless() {
    let service = start(&[]);
    for (bytes, expected) in [
        // RFC 9112, 2.2 lets a server take a bare LF for a line's end.
        (
            &b"GET /ok HTTP/1.1\nHost: test\nConnection: close\n\n"[..],
            200,
        ),
        (b"\r\nGET /ok HTTP/1.1\r\nConnection: close\r\n\r\n", 200),
        (b"GET /ok HTTP/1.1\rHost: test\r\r", 400),
        (b"GET /ok HTTP/1.1\r\nHost\r\n\r\n", 400),
        (b"GET /ok HTTP/1.1\r\n: test\r\n\r\n", 400),
        (b"GET /ok HTTP/1.1\r\nHo st: test\r\n\r\n", 400),
        (b"GET /ok HTTP/1.1\r\n Host: test\r\n\r\n", 400),
        (b"GET /ok HTTP/1.1\r\nX: \x01\r\n\r\n", 400),
        (b"GET /ok HTTP/1.1\r\nX: \0\r\n\r\n", 400),
    ] {
        let mut connection = service.connect();
        let got = statuses(&mut connection, bytes);
        assert_eq!(got, [expected], "{}", String::from_utf8_lossy(bytes));
    }
}
