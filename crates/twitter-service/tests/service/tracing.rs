//! Traces of look-ups, as a collector gets them.

use std::cell::Cell;

use service_kit::testing::{Behaviour, Collector, Running, Span, wait_until};

use crate::table::{load_tiny, sqlite};
use crate::{start, start_ready};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
/// One of the hand-made users.
const KNOWN: &str = "/twitter?user_id=25513&type=both&phrase=hello%20cc&hashtag=cmu";

fn traced(database: &str, collector: &Collector) -> Running {
    start_ready(
        database,
        &[
            ("OTLP_ENDPOINT", &collector.endpoint()),
            ("TRACE_SAMPLE", "0"),
            ("WORKERS", "1"),
        ],
    )
}

fn ask(service: &Running, target: &str, flags: &str) -> u16 {
    let mut connection = service.connect();
    let head = format!(
        "GET {target} HTTP/1.1\r\nHost: test\r\ntraceparent: 00-{TRACE}-00f067aa0ba902b7-{flags}\r\n\r\n"
    );
    connection.send(head.as_bytes());
    connection.reply().expect("a whole reply").status
}

/// Waits for so many spans of requests; gives those of look-ups that came with them or before.
fn spans(collector: &Collector, requests: u32) -> (Vec<Span>, Vec<Span>) {
    let is_look_up = |span: &Span| span.text("name").starts_with("SELECT");
    let apart = || collector.spans().into_iter().partition(is_look_up);
    wait_until("the spans of the requests come", || {
        let (_, others): (Vec<_>, Vec<_>) = apart();
        others.len() == requests as usize
    });
    apart()
}

#[test]
fn a_look_up_in_the_table_is_a_span_within_that_of_its_request() {
    let database = sqlite("tracing-within");
    load_tiny(&database);
    let collector = Collector::start(Behaviour::Takes);
    let service = traced(&database, &collector);
    assert_eq!(ask(&service, KNOWN, "01"), 200);
    let (asked, requests) = spans(&collector, 1);
    let [look_up] = asked.as_slice() else {
        panic!("one look-up, not {asked:?}");
    };
    assert_eq!(look_up.text("name"), "SELECT user_pack");
    assert_eq!(look_up.text("traceId"), TRACE);
    assert_eq!(look_up.text("parentSpanId"), requests[0].text("spanId"));
    assert_eq!(look_up.fact("db.system.name"), "sqlite");
    assert_eq!(look_up.fact("db.operation.name"), "SELECT");
    assert_eq!(look_up.fact("db.collection.name"), "user_pack");
    assert_eq!(look_up.status(), 0);
    assert!(!look_up.everything().contains("25513"), "{look_up:?}");
}

#[test]
fn what_is_not_sampled_or_in_the_cache_or_invalid_looks_nothing_up() {
    let database = sqlite("tracing-none");
    load_tiny(&database);
    let collector = Collector::start(Behaviour::Takes);
    let service = traced(&database, &collector);
    // Fills the cache, and is not sampled.
    assert_eq!(ask(&service, KNOWN, "00"), 200);
    assert_eq!(ask(&service, KNOWN, "01"), 200);
    assert_eq!(ask(&service, "/twitter?user_id=x", "01"), 200);
    let (asked, _) = spans(&collector, 2);
    assert!(asked.is_empty(), "{asked:?}");
}

#[test]
fn a_look_up_that_fails_says_of_what_kind_and_one_that_is_not_tried_is_none() {
    let collector = Collector::start(Behaviour::Takes);
    let service = start(
        "mysql://nobody@127.0.0.1:1/none?ssl-mode=DISABLED",
        &[
            ("OTLP_ENDPOINT", &collector.endpoint()),
            ("TRACE_SAMPLE", "0"),
            ("WORKERS", "1"),
        ],
    );
    let refused = || service.metric("twitter_store_errors_total{kind=\"sick\"}");
    let asked = Cell::new(0);
    wait_until("a look-up is not tried", || {
        assert_eq!(ask(&service, KNOWN, "01"), 503);
        asked.set(asked.get() + 1);
        refused() > 0.5
    });
    let (look_ups, requests) = spans(&collector, asked.get());
    assert!(!look_ups.is_empty());
    let tried = f64::from(asked.get()) - refused();
    let sent = f64::from(u32::try_from(look_ups.len()).expect("few"));
    assert!((sent - tried).abs() < 0.5, "{sent} of {tried}");
    for look_up in look_ups {
        let parent = look_up.text("parentSpanId");
        assert!(requests.iter().any(|span| span.text("spanId") == parent));
        assert_eq!(look_up.fact("db.system.name"), "mysql");
        assert_eq!(look_up.fact("error.type"), "failed");
        assert_eq!(look_up.status(), 2);
    }
}
