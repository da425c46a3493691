//! What one core does of each service, and what that makes of the original live tests' loads.

use std::fmt::Write as _;

use anyhow::Result;
use cost_model::{Load, Prices, Rates, Request, Service, original};
use serde_json::Value;

/// What `loadgen plan` is built with, relative to the workspace.
pub(super) const RATES: &str = "benches/rates.toml";
/// Dollars an hour for the whole platform in the original live tests.
const BUDGET: f64 = 1.28;
/// As `loadgen plan` has them when nothing is said.
const NODE: &str = "c8g.large";
const DATABASE: &str = "db.r7g.xlarge";
const UTILISATION: f64 = 0.7;
const RESERVED_VCPUS: f64 = 0.2;
const MIN_NODES: u64 = 2;

/// The figures that plans are made of.
pub(super) fn rates(results: &Value) -> Rates {
    let cpu_us = |row: &str, name: &str| {
        let series = results["rows"][row]["series"].as_array()?;
        let series = series.iter().find(|series| series["name"] == name)?;
        series["cpu_us"].as_f64().filter(|micros| *micros > 0.0)
    };
    // As many symbols are drawn as read; users are looked up in the database.
    let qrcode = cpu_us("qrcode", "encode").zip(cpu_us("qrcode", "decode"));
    let micros = [
        (Service::Blockchain, cpu_us("blockchain", "mix")),
        (
            Service::Qrcode,
            qrcode.map(|(encode, decode)| f64::midpoint(encode, decode)),
        ),
        (Service::Twitter, cpu_us("twitter-misses", "twitter")),
    ];
    let of_all = |figure: &dyn Fn(Service) -> Option<f64>| {
        let known = Service::ALL.into_iter();
        let known = known.filter_map(|service| Some((service.name().to_owned(), figure(service)?)));
        known.collect()
    };
    let latency = &results["rows"]["latency"];
    let text = |value: &Value| value.as_str().unwrap_or("unknown").to_owned();
    Rates {
        as_of: text(&results["rows"]["blockchain"]["measured"]["date"]),
        host: text(&results["host"]["processor"]),
        per_core: of_all(&|service| {
            let (_, micros) = micros.iter().find(|(known, _)| *known == service)?;
            micros.map(|micros| (1e6 / micros).round())
        }),
        bytes: of_all(&|service| {
            let runs = &latency[format!("{}_runs", service.name())];
            Some(
                runs["bytes"]
                    .as_f64()
                    .filter(|bytes| *bytes >= 1.0)?
                    .round(),
            )
        }),
    }
}

/// The page's section: what the original loads take, and what the budget pays for.
pub(super) fn section(rates: &Rates) -> Result<String> {
    let per_vcpu = rates.per_vcpu();
    if per_vcpu.is_empty() {
        return Ok("Not known: no service was measured.\n".to_owned());
    }
    let loads = per_vcpu.iter().map(|known| Load {
        service: known.service,
        rate: original(known.service).rate,
    });
    let plan = cost_model::plan(
        &Request {
            budget: BUDGET,
            loads: loads.collect(),
            source: rates.source(),
            bytes: rates.bytes.clone(),
            per_vcpu,
            node: NODE.to_owned(),
            database: Some(DATABASE.to_owned()),
            utilisation: UTILISATION,
            reserved_vcpus: RESERVED_VCPUS,
            min_nodes: MIN_NODES,
        },
        &Prices::built_in()?,
    )?;
    let mut text = format!(
        "`loadgen plan --budget {BUDGET}`: what the loads of the original live tests take, which had 14 vCPUs in seven nodes. A \
         vCPU of a {NODE} is taken to do {}, which is an assumption until it is measured there, and is kept {:.0} % busy; pods \
         are put into nodes that keep {RESERVED_VCPUS} vCPUs for the system. `/twitter` is planned as if no user were cached. Prices: \
         {} (`benches/prices.toml`). Dollars an hour: {}, {:.4} a node. Traffic is the load balancer's capacity units for \
         an hour of the full load; a load that lasts minutes costs as many sixtieths of it.\n\n\
         | load | requests/s | a vCPU does | vCPUs | pods | nodes | $/hour | traffic $/hour | all | budget {BUDGET} |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
        plan.source,
        UTILISATION * 100.0,
        plan.prices,
        plan.fixed
            .iter()
            .map(|(name, dollars)| format!("{dollars:.4} {name}"))
            .collect::<Vec<_>>()
            .join(", "),
        plan.node_per_hour,
    );
    for (number, need) in plan.needs.iter().enumerate() {
        let rate = plan.per_vcpu.get(number);
        let _ = writeln!(
            text,
            "| {} | {:.0} | {} | {:.2} | {} of {:.2} | {} | {:.4} | {} | {:.4} | {} |",
            need.test,
            need.rate,
            rate.map_or("-".to_owned(), |(_, rate)| format!("{rate:.0}")),
            need.vcpus,
            need.pods,
            need.pod_vcpus,
            need.nodes,
            need.dollars_per_hour,
            need.traffic_per_hour
                .map_or("not measured".to_owned(), |dollars| format!("{dollars:.4}")),
            need.total_per_hour,
            need.verdict(),
        );
    }
    let rates = plan.affordable.iter();
    let rates = rates.map(|(service, rate)| format!("{rate:.0} a second of `/{service}`"));
    let _ = writeln!(
        text,
        "\nThe budget pays for {} nodes while nothing is sent; traffic paid too, for {}, each alone.",
        plan.affordable_nodes,
        rates.collect::<Vec<_>>().join(", "),
    );
    Ok(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rates_are_those_of_a_core_and_missing_rows_are_left_out() {
        let series = |name: &str, micros: f64| json!({ "name": name, "cpu_us": micros });
        let results = json!({
            "host": { "processor": "p" },
            "rows": {
                "blockchain": { "measured": { "date": "2026-01-01" }, "series": [series("mix", 40.0)] },
                "qrcode": { "series": [series("encode", 8.0), series("decode", 12.0)] },
                "latency": { "qrcode_runs": { "bytes": 512.4 } },
            },
        });
        let rates = rates(&results);
        assert_eq!(
            (rates.host.as_str(), rates.as_of.as_str()),
            ("p", "2026-01-01")
        );
        let per_core = [("blockchain", 25_000.0), ("qrcode", 100_000.0)];
        assert_eq!(
            rates.per_core,
            per_core.map(|(name, rate)| (name.to_owned(), rate)).into()
        );
        assert_eq!(rates.bytes, [("qrcode".to_owned(), 512.0)].into());
        let text = section(&rates).unwrap();
        assert!(
            text.contains("| blockchain alone | 46906 | 12500 | 5.36 |"),
            "{text}"
        );
        assert!(text.contains("not measured"), "{text}");
    }

    #[test]
    fn without_results_there_is_no_table() {
        assert!(section(&rates(&Value::Null)).unwrap().contains("Not known"));
    }
}
