//! Reports that are made up, so that their figures are known.

#![allow(dead_code, reason = "not every test file uses all of it")]

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use loadgen::check::TeamLine;
use loadgen::client::Failure;
use loadgen::corpus::{Depth, Recipe, qrcode};
use loadgen::plan::{Load, Plan, Prepared, Scenario, Shard, Share};
use loadgen::record::{End, Record};
use loadgen::report::Report;
use loadgen::run::Outcome;
use loadgen::schedule::Schedule;

/// A plan of two scenarios, `one` and `two`.
pub(crate) fn plan(load: Load) -> Arc<Plan> {
    let recipe = Recipe {
        seed: 1,
        size: 2,
        invalid: 0.0,
    };
    let scenario = |label: &str| {
        let items = qrcode::generate(recipe).into_iter();
        Scenario {
            label: label.to_owned(),
            weight: 1,
            url: "http://localhost".to_owned(),
            address: 0,
            items: items
                .map(|item| Prepared::new(item, "localhost", ""))
                .collect(),
            team: TeamLine::new(Some("TEAM,1")),
        }
    };
    Arc::new(Plan {
        scenarios: vec![scenario("one"), scenario("two")].into(),
        addresses: vec![([127, 0, 0, 1], 80).into()],
        load,
        connections: 2,
        threads: 1,
        timeout: Duration::from_secs(1),
        check: Share::Sample(2),
        seed: 1,
        shard: Shard::WHOLE,
        tolerance: Duration::from_millis(5),
        max_late: 0.01,
        spin: false,
    })
}

/// A run of so many seconds that began so many seconds after 1970: in each, a hundred requests of
/// scenario `one`, request `i` of second `s` after `micros(s, i)`, and one of scenario `two` that
/// timed out.
pub(crate) fn report(began_s: u64, seconds: u64, micros: impl Fn(u64, u64) -> u64) -> Report {
    let (mut one, mut two) = (Record::default(), Record::default());
    for second in 0..seconds {
        for request in 0..100 {
            let due = Duration::from_millis(second * 1000 + request * 9);
            let ended = due + Duration::from_micros(micros(second, request));
            one.roll_to(ended);
            one.add_bytes(200, 1000);
            one.add(due, due, ended, End::Good(Depth::Exact));
        }
        let due = Duration::from_secs(second);
        let ended = due + Duration::from_millis(990);
        two.add(due, due, ended, End::Failed(Failure::Timeout));
    }
    one.finish();
    two.finish();
    let schedule = Schedule::new("101".parse().unwrap(), Duration::from_secs(seconds), None);
    let outcome = Outcome {
        records: vec![one, two],
        started: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(began_s)),
        elapsed: Duration::from_secs(seconds),
        cpu: Duration::from_millis(10),
        ..Outcome::default()
    };
    Report::new(&plan(Load::Open(schedule)), &outcome, &[])
}
