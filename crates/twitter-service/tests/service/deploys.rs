//! Deploys lose nothing.

use service_kit::testing::{self, Known, SETTLE};

use crate::contacts::targets;
use crate::start;
use crate::table::{data, load_tiny, sqlite};

#[test]
fn deploys_lose_no_request() {
    let database = sqlite("deploys");
    load_tiny(&database);
    let known: Vec<Known> = targets(&data("tiny_requests.jsonl"), "tiny")
        .into_iter()
        .map(|(target, reply)| (target, reply.into_bytes()))
        .collect();
    let report = testing::deploys(5, &known, || start(&database, &[SETTLE, ("WORKERS", "2")]));
    eprintln!("twitter: {report:?}");
    assert!(report.answered >= 500, "{report:?}");
}
