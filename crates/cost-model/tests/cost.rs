//! From requests a second to dollars, with sums that were done by hand.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::collections::BTreeMap;

use cost_model::{self as cost, Load, Prices, Request};

const PRICES: &str = include_str!("data/prices.toml");

fn request(budget: f64) -> Request {
    let loads =
        |texts: &[&str]| -> Vec<Load> { texts.iter().map(|text| text.parse().unwrap()).collect() };
    Request {
        budget,
        per_vcpu: loads(&["blockchain=10000", "qrcode=50000"]),
        source: "made up".to_owned(),
        bytes: BTreeMap::from([("qrcode".to_owned(), 1000.0)]),
        loads: loads(&["blockchain=70000", "qrcode=70000"]),
        node: "small".to_owned(),
        database: Some("db.r7g.xlarge".to_owned()),
        utilisation: 0.7,
        reserved_vcpus: 0.0,
        min_nodes: 2,
    }
}

#[test]
fn needs_are_what_the_sums_say() {
    let plan = cost::plan(&request(1.28), &Prices::parse(PRICES).unwrap()).unwrap();
    // 70,000 / (10,000 * 0.7) = 10 vCPUs, five nodes of two; 0.65 an hour stand beside them.
    let blockchain = &plan.needs[0];
    assert!((blockchain.vcpus - 10.0).abs() < 1e-9);
    assert_eq!((blockchain.pods, blockchain.nodes), (10, 5));
    assert!((blockchain.dollars_per_hour - 1.15).abs() < 1e-9);
    assert!(blockchain.is_within && blockchain.traffic_per_hour.is_none());
    assert_eq!(blockchain.verdict(), "within without traffic");
    // 2 vCPUs would fit in one node, but one may fail. 70 MB a second are 252 GB an hour, which
    // are 126 units.
    let qrcode = &plan.needs[1];
    assert_eq!((qrcode.pods, qrcode.nodes), (2, 2));
    assert!((qrcode.traffic_per_hour.unwrap() - 1.26).abs() < 1e-9);
    // 0.85 an hour stand, and 1.26 come on top: too much only while the load lasts.
    assert!((qrcode.total_per_hour - 2.11).abs() < 1e-9);
    assert!(qrcode.is_idle_within && !qrcode.is_within);
    assert_eq!(qrcode.verdict(), "over by traffic");
    let all = &plan.needs[2];
    assert_eq!(
        (all.test.as_str(), all.nodes, all.pods),
        ("all at once", 6, 12)
    );
    assert!((all.dollars_per_hour - 1.25).abs() < 1e-9 && all.is_within);
    // 1.28 - 0.65 pays for six nodes.
    assert_eq!(plan.affordable_nodes, 6);
    assert!((plan.affordable[0].1 - 84_000.0).abs() < 1e-6);
    // One node does 70,000 of /qrcode, and what is left pays for the traffic of 0.53 / 1.26 of that.
    assert!((plan.affordable[1].1 - 70_000.0 * 0.53 / 1.26).abs() < 1e-3);
    let text = plan.text();
    for part in [
        "2000-01-01, nowhere, USD",
        "all at once",
        "within",
        "6 nodes of small",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
}

#[test]
fn a_smaller_budget_and_the_systems_share_count() {
    let prices = Prices::parse(PRICES).unwrap();
    let plan = cost::plan(&request(1.2), &prices).unwrap();
    assert!(!plan.needs[2].is_within && plan.affordable_nodes == 5);
    let mut tight = request(1.28);
    tight.reserved_vcpus = 0.5;
    // Nodes have room for two pods of 0.75 vCPUs each; 14 such pods.
    let need = cost::plan(&tight, &prices).unwrap().needs[0].clone();
    assert_eq!((need.pods, need.nodes), (14, 7));
    let mut without = request(1.28);
    without.database = None;
    let plan = cost::plan(&without, &prices).unwrap();
    assert!((plan.needs[0].dollars_per_hour - 0.65).abs() < 1e-9);
    let plan = cost::plan(&request(0.1), &prices).unwrap();
    assert_eq!(plan.affordable_nodes, 0);
}

#[test]
fn pods_are_put_into_nodes_whole() {
    let prices = Prices::parse(PRICES).unwrap();
    let mut request = request(10.0);
    request.reserved_vcpus = 0.4;
    request.per_vcpu.push("twitter=10000".parse().unwrap());
    let loads = ["blockchain=11340", "qrcode=37800", "twitter=7560"];
    request.loads = loads.map(|load| load.parse().unwrap()).to_vec();
    let all = cost::plan(&request, &prices).unwrap().needs[3].clone();
    // 1.62, 1.08 and 1.08 vCPUs fill less than three nodes of 1.6, but seven pods of 0.54 take four:
    // no node has room for a third.
    assert!((all.vcpus - 3.78).abs() < 1e-9 && (all.pod_vcpus - 0.54).abs() < 1e-9);
    assert_eq!((all.pods, all.nodes), (7, 4));
}

#[test]
fn the_projects_own_prices_and_figures_plan_the_original_loads() {
    let prices = Prices::built_in().unwrap();
    let rates = cost::Rates::built_in().unwrap();
    let loads = cost::Service::ALL.map(|service| Load {
        service,
        rate: cost::original(service).rate,
    });
    let request = Request {
        budget: 1.28,
        per_vcpu: rates.per_vcpu(),
        source: rates.source(),
        bytes: rates.bytes.clone(),
        loads: loads.to_vec(),
        node: "c8g.large".to_owned(),
        database: Some("db.r7g.xlarge".to_owned()),
        utilisation: 0.7,
        reserved_vcpus: 0.2,
        min_nodes: 2,
    };
    let plan = cost::plan(&request, &prices).unwrap();
    assert_eq!(plan.needs.len(), 4);
    assert!(plan.text().contains(&rates.host));
}

#[test]
fn what_is_missing_is_named() {
    let prices = Prices::parse(PRICES).unwrap();
    let error = |request: &Request| format!("{:#}", cost::plan(request, &prices).unwrap_err());
    let mut wrong = request(1.0);
    wrong.node = "huge".to_owned();
    assert!(error(&wrong).contains("no node huge; there are small"));
    let mut wrong = request(1.0);
    wrong.database = Some("db.none".to_owned());
    assert!(error(&wrong).contains("no price of db.none"));
    let mut wrong = request(1.0);
    wrong.per_vcpu.clear();
    assert!(error(&wrong).contains("--per-vcpu blockchain=RATE"));
    let mut wrong = request(1.0);
    wrong.reserved_vcpus = 2.0;
    assert!(error(&wrong).contains("all of them reserved"));
    let mut huge = request(1.0);
    huge.loads[0].rate = 1e300;
    assert!(error(&huge).contains("needs over 10000 vCPUs"));
    wrong.loads.clear();
    assert!(error(&wrong).contains("--measured FILE"));
}

#[test]
fn price_files_that_make_no_sense_are_refused() {
    for (from, to) in [
        ("small\" = 0.1", "small\" = -0.1"),
        ("vcpus = 2", "vcpus = 0"),
        ("gb_per_hour = 2.0", "gb_per_hour = nan"),
        ("region = \"nowhere\"\n", ""),
        ("[hourly]", "[weekly]"),
    ] {
        let text = PRICES.replacen(from, to, 1);
        assert!(text != PRICES && Prices::parse(&text).is_err(), "{from}");
    }
    for text in [
        "",
        "qrcode",
        "qrcode=0",
        "qrcode=x",
        "other=1",
        "qrcode=inf",
    ] {
        assert!(text.parse::<Load>().is_err(), "{text}");
    }
}
