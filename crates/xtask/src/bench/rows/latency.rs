//! The tail in open loop.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::Bench;
use crate::bench::load;
use crate::bench::measure::{Row, Subject, median};

impl Bench {
    pub(super) async fn latency(&self) -> Result<Value> {
        let mut row = Row::new(Vec::new());
        let loadgen = self.programs.join("loadgen");
        let raw = self.yardstick("raw").await?;
        for (name, server, targets) in self.services().await? {
            let subjects = [Subject::new(name, &server, &targets)];
            let saturated = self.alternate(&subjects).await?;
            let saturated = saturated.first().context("one subject")?;
            let (rate, micros) = (median(&saturated.rates), median(&saturated.micros));
            let report = self.folder.join("open-loop.json");
            let time = Duration::from_secs(4);
            let (mut runs, mut limits) = (Vec::new(), Vec::new());
            // A neighbour's burst on one of two cores is a tail of its own: the middle run counts.
            for _ in 0..3 {
                let rate = rate * 0.7;
                for (address, found) in [(server.address, &mut runs), (raw.address, &mut limits)] {
                    let told =
                        load::constant_rate(&loadgen, address, &targets, rate, time, &report)
                            .await?;
                    let p99 = load::percentile(&told["total"]["response"], 99.0);
                    found.push((
                        p99.context("a report has its 99th percentile")?,
                        told["valid"].as_bool() == Some(true),
                    ));
                }
            }
            let valid = runs.iter().filter(|(_, valid)| *valid).count();
            row.note(
                &format!("{name}_runs"),
                json!({ "rate": (rate * 0.7).round(), "valid": valid, "of": runs.len() }),
            );
            let all: Vec<f64> = runs.iter().map(|(p99, _)| *p99).collect();
            let limits: Vec<f64> = limits.iter().map(|(p99, _)| *p99).collect();
            row.figure(
                &format!("raw p99 at the rate of {name}, ms"),
                median(&limits),
            );
            // A tool that fell behind its schedule measured itself.
            if valid * 2 > runs.len() {
                row.figure(&format!("{name} p99, ms"), median(&all));
                row.figure(
                    &format!("{name} p99 / service time"),
                    median(&all) * 1000.0 / micros,
                );
            }
            server.stop().await;
        }
        raw.stop().await;
        Ok(row.to_json())
    }
}
