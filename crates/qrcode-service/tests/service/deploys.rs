//! Deploys lose nothing.

use service_kit::testing::{self, Known, SETTLE};

use crate::start;

#[test]
fn deploys_lose_no_request() {
    let service = start(&[]);
    let mut connection = service.connect();
    let known: Vec<Known> = (0..100)
        .map(|number| {
            let target = format!("/qrcode?type=encode&data=message%20{number}");
            let body = connection.get(&target).body;
            (target, body)
        })
        .collect();
    drop(connection);
    let report = testing::deploys(5, &known, || start(&[SETTLE, ("WORKERS", "2")]));
    eprintln!("qrcode: {report:?}");
    assert!(report.answered >= 500, "{report:?}");
}
