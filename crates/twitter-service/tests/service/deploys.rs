//! Deploys lose nothing.

use service_kit::testing::{self, Known, Settling};

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
    for (handovers, settling) in [(5, Settling::Signal), (1, Settling::Time)] {
        let report = testing::deploys(handovers, &known, settling, |settle| {
            start(&database, &[settle, ("WORKERS", "2")])
        });
        assert!(report.answered >= handovers * 100, "{report:?}");
    }
}
