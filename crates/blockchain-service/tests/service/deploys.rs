//! Deploys lose nothing.

use service_kit::testing::{self, Known, SETTLE};

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
    let report = testing::deploys(5, &known, || start(&[SETTLE, ("WORKERS", "2")]));
    eprintln!("blockchain: {report:?}");
    assert!(report.answered >= 500, "{report:?}");
}
