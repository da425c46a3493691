//! What commands write as JSON is what their schemas say.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

#[path = "support/made.rs"]
mod made;
#[path = "support/schema.rs"]
mod schema;

use loadgen::compare::compare;
use loadgen::find_max::{Answer, Cause, Limit, Step};
use loadgen::live_test::Scoreboard;
use loadgen::report::Version;
use schema::Schema;
use serde_json::{Value, json};

const SCOREBOARD: &str = include_str!("../scoreboard.schema.json");
const FIND_MAX: &str = include_str!("../find-max.schema.json");
const COMPARE: &str = include_str!("../compare.schema.json");
const PLAN: &str = include_str!("../plan.schema.json");

/// A value fits its schema, and no longer when it says more or lacks a key.
fn assert_fits(schema: &str, value: &Value) {
    let schema = Schema::parse(schema);
    schema.assert_requires_all_keys();
    schema.check(value).unwrap();
    let mut more = value.clone();
    more["more"] = json!(1);
    schema.check(&more).unwrap_err();
    for name in value.as_object().unwrap().keys() {
        let mut less = value.clone();
        less.as_object_mut().unwrap().remove(name);
        schema.check(&less).unwrap_err();
    }
}

#[test]
fn a_scoreboard_fits_its_schema() {
    let mut report = made::report(1, 6, |_, _| 10);
    report.scenarios[0].label = "qrcode".to_owned();
    let mut board = Scoreboard::new("closed loop".to_owned(), 64, 10.0);
    board.targets.push(Version {
        asked: "http://127.0.0.1:9090/version".to_owned(),
        version: None,
    });
    board.add("alone", &report);
    board.add("mixed", &report);
    assert_fits(SCOREBOARD, &serde_json::to_value(&board).unwrap());
}

#[test]
fn a_scoreboard_says_where_only_the_shape_was_checked() {
    let mut report = made::report(1, 6, |_, _| 10);
    let mut board = Scoreboard::new("closed loop".to_owned(), 64, 10.0);
    board.add("alone", &report);
    assert!(!board.text().contains("shape"), "{}", board.text());
    report.scenarios[0].shape_checked = report.scenarios[0].checked;
    report.scenarios[0].shape_share = 1.0;
    board.add("alone", &report);
    assert!(board.text().contains("100.00% shape"), "{}", board.text());
}

#[test]
fn the_answer_of_a_search_fits_its_schema() {
    let step = |cause| Step {
        rate: 100.0,
        achieved: 99.0,
        p50_ms: 1.0,
        p99_ms: 2.0,
        p99_9_ms: 3.0,
        max_ms: 4.0,
        error_share: 0.0,
        lag_p99_ms: 0.1,
        busiest_thread: 0.2,
        cause,
    };
    let why = || "why".to_owned();
    let causes = [Cause::Met, Cause::Server(why()), Cause::Tool(why())];
    for (rate, limit) in [
        (Some(100.0), Limit::Server),
        (None, Limit::Tool),
        (Some(1.0), Limit::HighestRate),
        (None, Limit::Time),
        (None, Limit::Stopped),
    ] {
        let answer = Answer {
            format: loadgen::find_max::FORMAT.to_owned(),
            slo: "p99<1ms".to_owned(),
            rate,
            limit,
            steps: causes.clone().map(step).to_vec(),
        };
        assert_fits(FIND_MAX, &serde_json::to_value(&answer).unwrap());
    }
}

#[test]
fn a_comparison_fits_its_schema_and_has_each_scenario() {
    for seconds in [3, 30] {
        let report = made::report(1, seconds, |_, _| 10);
        let value = serde_json::to_value(compare(&report, &report, 0.05)).unwrap();
        assert_fits(COMPARE, &value);
        let figures = value["figures"].as_array().unwrap().iter();
        let names: Vec<&str> = figures
            .map(|figure| figure["name"].as_str().unwrap())
            .collect();
        for name in ["p99", "errors", "one.p99", "two.rate"] {
            assert!(names.contains(&name), "{names:?}");
        }
    }
}

#[test]
fn a_plan_fits_its_schema() {
    let rates = cost_model::Rates::built_in().unwrap();
    let request = cost_model::Request {
        budget: 1.28,
        per_vcpu: rates.per_vcpu(),
        source: rates.source(),
        bytes: [("qrcode".to_owned(), 400.0)].into(),
        loads: vec![
            "qrcode=1000".parse().unwrap(),
            "twitter=1000".parse().unwrap(),
        ],
        node: "c8g.large".to_owned(),
        database: None,
        utilisation: 0.7,
        reserved_vcpus: 0.2,
        min_nodes: 2,
    };
    let prices = cost_model::Prices::built_in().unwrap();
    let plan = cost_model::plan(&request, &prices).unwrap();
    assert_fits(PLAN, &serde_json::to_value(&plan).unwrap());
}
