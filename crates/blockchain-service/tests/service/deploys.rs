//! Deploys lose nothing.

use service_kit::testing::{self, Known, Settling};

use crate::chain::requests;
use crate::start;

#[test]
fn deploys_lose_no_request() {
    let service = start(&[]);
    let mut connection = service.connect();
    let known: Vec<Known> = requests("generated_valid.jsonl")
        .into_iter()
        .take(40)
        .map(|cc| {
            let target = format!("/blockchain?cc={cc}");
            let body = connection.get(&target).body;
            (target, body)
        })
        .collect();
    drop(connection);
    for (handovers, settling) in [(5, Settling::Signal), (1, Settling::Time)] {
        let report = testing::deploys(handovers, &known, settling, |settle| {
            start(&[settle, ("WORKERS", "2")])
        });
        assert!(report.answered >= handovers * 100, "{report:?}");
    }
}
