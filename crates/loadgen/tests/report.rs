//! Reports are what `report.schema.json` says.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

#[path = "support/made.rs"]
mod made;
#[path = "support/schema.rs"]
mod schema;

use std::time::{Duration, SystemTime};

use loadgen::check::Wrong;
use loadgen::client::Failure;
use loadgen::corpus::{Depth, Expect};
use loadgen::plan::Load;
use loadgen::record::{Departure, End, Lateness, Record};
use loadgen::report::{Report, html, json, text};
use loadgen::run::Outcome;
use loadgen::schedule::Schedule;
use made::plan;
use schema::Schema;
use serde_json::Value;

const SCHEMA: &str = include_str!("../report.schema.json");

fn outcome() -> Outcome {
    let ms = Duration::from_millis;
    let mut one = Record::default();
    let expect = Expect::Rest(b"\nright".to_vec());
    let wrong = End::Wrong {
        wrong: Wrong::Bytes,
        target: "/qrcode?x",
        expect: &expect,
        body: b"TEAM,1\nother",
    };
    let ends = [
        End::Good(Depth::Exact),
        wrong,
        End::Status(503),
        End::Failed(Failure::Timeout),
    ];
    for (number, end) in (0..).zip(ends) {
        one.add(ms(number), ms(number + 1), ms(number + 11), end);
    }
    one.finish();
    let mut lateness = Lateness::default();
    let departure = Departure {
        due: ms(0),
        released: ms(0),
        free: ms(0),
        sent: ms(100),
    };
    lateness.add(departure, ms(5));
    Outcome {
        records: vec![one, Record::default()],
        lateness,
        stages: Vec::new(),
        started: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000)),
        elapsed: ms(2000),
        cpu: ms(100),
        busy: 0.05,
        max_pause: ms(7),
        cut: 1,
        stopped: true,
    }
}

fn open() -> Load {
    Load::Open(Schedule::new(
        "10".parse().unwrap(),
        Duration::from_secs(2),
        None,
    ))
}

const CLOSED: Load = Load::Closed {
    duration: Duration::from_secs(2),
    requests: None,
};

#[test]
fn reports_of_both_loops_fit_the_schema() {
    let schema = Schema::parse(SCHEMA);
    let limits = ["p99>1us".parse().unwrap(), "two.rate<0".parse().unwrap()];
    for load in [open(), CLOSED] {
        let report = Report::new(&plan(load.clone()), &outcome(), &limits);
        let json: Value = serde_json::from_str(&json::write(&report).unwrap()).unwrap();
        schema.check(&json).unwrap();
        assert_eq!(json["total"]["error_share"], 0.75);
        assert_eq!(json["total"]["checked_share"], 1.0);
        let longest = json["total"]["response"]["max_ms"].as_f64().unwrap();
        // From when it was due, and to three digits.
        assert!((10.9..11.1).contains(&longest), "{longest}");
        assert_eq!(json["thresholds"][0]["failed"], true);
        assert_eq!(json["thresholds"][1]["failed"], false);
        assert_eq!(json["valid"], load == CLOSED);
        assert!(report.failed());
    }
}

#[test]
fn a_closed_loop_that_the_tool_limited_says_so() {
    let notes = |load, busy| {
        let outcome = Outcome { busy, ..outcome() };
        let report = Report::new(&plan(load), &outcome, &[]);
        (text::write(&report), report.notes)
    };
    let (text, said) = notes(CLOSED, 0.99);
    assert!(
        text.contains("Note: a thread of the tool computed 99 % of the time"),
        "{text}"
    );
    assert_eq!(said.len(), 1);
    assert!(notes(CLOSED, 0.5).1.is_empty());
    // An open loop is invalid then, which says more.
    assert!(notes(open(), 0.99).1.is_empty());
}

#[test]
fn the_pause_of_all_is_not_that_of_one_scenario() {
    let report = Report::new(&plan(CLOSED), &outcome(), &[]);
    assert!((report.total.max_pause_ms - 7.0).abs() < 1e-9);
    assert!((report.scenarios[0].max_pause_ms - 11.0).abs() < 1e-9);
}

#[test]
fn an_example_of_a_mix_is_shown_once() {
    let page = html::write(&Report::new(&plan(CLOSED), &outcome(), &[]));
    assert_eq!(page.matches("Wrong (other bytes)").count(), 1);
}

#[test]
fn the_schema_notices_what_does_not_fit() {
    let schema = Schema::parse(SCHEMA);
    let report = Report::new(&plan(CLOSED), &outcome(), &[]);
    let right: Value = serde_json::from_str(&json::write(&report).unwrap()).unwrap();
    for (pointer, value) in [
        ("/format", Value::from("other")),
        ("/cut", Value::from(-1)),
        ("/plan/load", Value::from("half")),
        ("/scenarios", Value::from(Vec::<Value>::new())),
        ("/total/statuses/503", Value::from("x")),
        ("/total/response/percentiles/0", Value::from(vec![1])),
        ("/host", serde_json::json!({})),
        ("/lateness", Value::from(1)),
    ] {
        let mut wrong = right.clone();
        *wrong.pointer_mut(pointer).unwrap() = value;
        assert!(schema.check(&wrong).is_err(), "{pointer}");
    }
    let mut wrong = right;
    wrong["more"] = Value::from(1);
    assert!(schema.check(&wrong).is_err());
}

#[test]
fn required_keys_are_all_keys() {
    Schema::parse(SCHEMA).assert_requires_all_keys();
}

#[test]
fn people_read_a_table_with_the_usual_columns() {
    let limits = ["errors>1%".parse().unwrap()];
    let shown = text::write(&Report::new(&plan(open()), &outcome(), &limits));
    for part in [
        "open loop, 10 requests a second, 2 connections, 1 threads, 2.000 s, stopped with 1",
        "Label      Samples   Average    Median       90%       95%       99%     99.9%",
        "Error %  Throughput      KB/s Max pause    Intended",
        "\none ",
        "\nTOTAL ",
        "status 503: 1, other bytes: 1, timeout: 1",
        "Schedule: 1 sent, 1 over 5 ms late, 1 of them by the tool",
        "Wrong (other bytes): /qrcode?x\n  => TEAM,1\\nother\n  expected (team line)\\nright",
        "Limit errors>1%: FAILED (75.000%)",
        "INVALID RUN: the tool fell behind: 1 of 1 sends were over 5 ms late because of the tool",
    ] {
        assert!(shown.contains(part), "{part}\nis not in\n{shown}");
    }
    let closed = text::write(&Report::new(&plan(CLOSED), &outcome(), &[]));
    assert!(
        !closed.contains("Schedule") && !closed.contains("INVALID"),
        "{closed}"
    );
}
