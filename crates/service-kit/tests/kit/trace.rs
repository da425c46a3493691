//! Traces, as the collector gets them.

use std::net::SocketAddr;

use service_kit::testing::{Answer, Behaviour, Collector, Connection, Running, Signal, wait_until};
use socket2::{Domain, Socket, Type};

use crate::support::{command, start};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

fn traced(collector: &Collector, share: &str) -> Running {
    start(&[
        ("OTLP_ENDPOINT", &collector.endpoint()),
        ("TRACE_SAMPLE", share),
        ("WORKERS", "2"),
    ])
}

fn get(service: &Running, target: &str, header: &str) -> Answer {
    let mut connection = service.connect();
    connection.send(format!("GET {target} HTTP/1.1\r\nHost: test\r\n{header}\r\n\r\n").as_bytes());
    connection.reply().expect("a whole reply")
}

fn traceparent(flags: &str) -> String {
    format!("traceparent: 00-{TRACE}-{CALLER}-{flags}")
}

fn spans(service: &Running, result: &str) -> f64 {
    service.metric(&format!("null_trace_spans_total{{result=\"{result}\"}}"))
}

#[test]
fn a_caller_who_traces_is_followed_though_we_sample_none() {
    let collector = Collector::start(Behaviour::Takes);
    let service = traced(&collector, "0");
    assert_eq!(
        get(&service, "/ok?data=secret", &traceparent("01")).status,
        200
    );
    let span = collector.one_span();
    assert_eq!(span.text("traceId"), TRACE);
    assert_eq!(span.text("parentSpanId"), CALLER);
    assert_ne!(span.text("spanId"), CALLER);
    assert_eq!(span.text("name"), "GET /ok");
    assert_eq!(span.fact("http.request.method"), "GET");
    assert_eq!(span.fact("http.route"), "/ok");
    assert_eq!(span.fact("http.response.status_code"), "200");
    assert_eq!(span.fact("tripod.outcome"), "ok");
    assert_eq!(span.resource("service.name"), "null-service");
    assert!(!span.everything().contains("secret"), "{span:?}");
    wait_until("the span is counted", || spans(&service, "exported") > 0.5);
}

#[test]
fn a_scraper_that_knows_exemplars_gets_the_trace_of_a_request() {
    let collector = Collector::start(Behaviour::Takes);
    let service = traced(&collector, "0");
    assert_eq!(service.get("/ok").status, 200);
    let scrape = |accept: &str| {
        let mut connection = Connection::open(service.admin_addr);
        let request = format!("GET /metrics HTTP/1.1\r\nHost: test\r\nAccept: {accept}\r\n\r\n");
        connection.send(request.as_bytes());
        connection.reply().expect("a whole reply")
    };
    // As Prometheus asks.
    let open =
        "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
    let untraced = scrape(open);
    assert!(!untraced.text().contains("trace_id"));
    assert_eq!(
        untraced.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    assert!(untraced.text().ends_with("\n# EOF\n"));
    assert_eq!(get(&service, "/ok", &traceparent("01")).status, 200);
    let traced = scrape(open).text();
    let mut lines = traced.lines();
    let line = lines.find(|line| line.contains(&format!(" # {{trace_id=\"{TRACE}\"}} ")));
    let line = line.unwrap_or_else(|| panic!("no exemplar in\n{traced}"));
    assert!(
        line.starts_with("null_request_duration_seconds_bucket{"),
        "{line}"
    );
    let text = scrape("text/plain;version=0.0.4");
    assert!(!text.text().contains("trace_id"));
    assert_eq!(
        text.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
}

#[test]
fn a_caller_who_does_not_trace_is_followed_though_we_sample_all() {
    let collector = Collector::start(Behaviour::Takes);
    let service = traced(&collector, "1");
    assert_eq!(get(&service, "/ok", &traceparent("00")).status, 200);
    let field = "X-Amzn-Trace-Id: Root=1-67891233-abcdef012345678912345678;Sampled=0";
    assert_eq!(get(&service, "/ok", field).status, 200);
    // Neither of the two, nor a probe, but this one.
    assert_eq!(service.get("/readyz").status, 200);
    assert_eq!(service.get("/nothing").status, 404);
    let span = collector.one_span();
    assert_eq!(span.text("name"), "GET");
    assert_eq!(span.fact("url.path"), "/nothing");
    assert_eq!(span.fact("tripod.outcome"), "not_found");
    assert_eq!(span.text("parentSpanId"), "");
}

#[test]
fn the_load_balancers_name_for_a_request_is_its_trace() {
    let collector = Collector::start(Behaviour::Takes);
    let service = traced(&collector, "1");
    let field = "X-Amzn-Trace-Id: Root=1-67891233-abcdef012345678912345678";
    assert_eq!(get(&service, "/ok", field).status, 200);
    let span = collector.one_span();
    assert_eq!(span.text("traceId"), "67891233abcdef012345678912345678");
}

#[test]
fn a_traced_request_that_panics_is_told_from_one_that_was_answered() {
    let collector = Collector::start(Behaviour::Takes);
    let service = traced(&collector, "0");
    let mut connection = service.connect();
    let header = traceparent("01");
    connection.send(format!("GET /panic HTTP/1.1\r\nHost: test\r\n{header}\r\n\r\n").as_bytes());
    assert!(connection.is_closed());
    let span = collector.one_span();
    assert_eq!(span.fact("tripod.outcome"), "panic");
    assert_eq!(span.status(), 2);
    wait_until("the log names the trace", || {
        let is_it = |line: &String| line.contains("panic: one request") && line.contains(TRACE);
        service.log().iter().any(is_it)
    });
}

#[test]
fn the_access_log_names_the_trace() {
    let collector = Collector::start(Behaviour::Takes);
    let service = traced(&collector, "0");
    let headers = format!("{}\r\nX-Request-Timeout-Ms: 20", traceparent("01"));
    assert_eq!(get(&service, "/slow?ms=600000", &headers).status, 503);
    wait_until("the line names the trace", || {
        let is_it =
            |line: &String| line.contains(r#""outcome":"deadline""#) && line.contains(TRACE);
        service.log().iter().any(is_it)
    });
}

#[test]
fn what_was_not_sent_is_sent_at_the_stop() {
    let collector = Collector::start(Behaviour::Takes);
    let mut service = traced(&collector, "1");
    let mut connection = service.connect();
    for _ in 0..20 {
        assert_eq!(connection.get("/ok").status, 200);
    }
    service.signal(Signal::TERM);
    assert_eq!(service.wait().code(), Some(0));
    assert_eq!(collector.spans().len(), 20);
}

#[test]
fn an_overloaded_collector_is_asked_again() {
    let collector = Collector::start(Behaviour::IsBusyOnce);
    let service = traced(&collector, "1");
    assert_eq!(service.get("/ok").status, 200);
    wait_until("the span is taken", || spans(&service, "exported") > 0.5);
    assert_eq!(collector.one_span().text("name"), "GET /ok");
}

#[test]
fn a_collector_that_refuses_is_not_asked_again() {
    let collector = Collector::start(Behaviour::Refuses);
    let service = traced(&collector, "1");
    assert_eq!(service.get("/ok").status, 200);
    wait_until("the span is refused", || spans(&service, "refused") > 0.5);
    assert!(spans(&service, "exported") < 0.5);
}

#[test]
fn a_collector_that_hangs_costs_spans_and_no_request() {
    let collector = Collector::start(Behaviour::Hangs);
    let mut service = traced(&collector, "1");
    let mut connection = service.connect();
    let mut asked = 0;
    // More than the queue and one batch hold, at the latest.
    wait_until("the queue is full", || {
        for _ in 0..500 {
            assert_eq!(connection.get("/ok").text(), "Hello, World!");
        }
        asked += 500;
        spans(&service, "dropped") > 0.5
    });
    assert!(asked >= 2000, "dropped after {asked}");
    service.signal(Signal::TERM);
    assert_eq!(service.wait().code(), Some(0));
}

#[test]
fn a_collector_that_is_away_costs_spans_and_no_request() {
    // Bound, so that nobody else gets the port, and not listening.
    let reserved = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    reserved.bind(&loopback.into()).expect("loopback");
    let addr = reserved.local_addr().expect("a bound socket").as_socket();
    let endpoint = format!("http://{}", addr.expect("an address of the internet"));
    let service = start(&[("OTLP_ENDPOINT", &endpoint), ("TRACE_SAMPLE", "1")]);
    assert_eq!(service.get("/ok").text(), "Hello, World!");
    wait_until("the span is given up", || spans(&service, "failed") > 0.5);
    let told = || {
        let log = service.log();
        let is_it = |line: &&String| line.contains("traces are lost");
        log.iter().filter(is_it).count()
    };
    // The log comes through a pipe.
    wait_until("the log says so", || told() > 0);
    assert_eq!(service.get("/ok").text(), "Hello, World!");
    wait_until("another one is given up", || {
        spans(&service, "failed") > 1.5
    });
    assert_eq!(told(), 1);
}

#[test]
fn without_a_collector_nothing_is_traced() {
    let service = start(&[("TRACE_SAMPLE", "1")]);
    assert_eq!(get(&service, "/ok", &traceparent("01")).status, 200);
    assert!(!service.admin("/metrics").text().contains("trace_spans"));
}

#[test]
fn says_what_is_wrong_with_the_settings() {
    let settings = [("OTLP_ENDPOINT", "https://otel"), ("TRACE_SAMPLE", "2")];
    let output = command(&settings).arg("--check-config").output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("OTLP_ENDPOINT (--otlp-endpoint) is \"https://otel\""),
        "{said}"
    );
    assert!(
        said.contains("TRACE_SAMPLE (--trace-sample) is \"2\""),
        "{said}"
    );
}
