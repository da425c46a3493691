//! The tail in open loop.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::Bench;
use crate::bench::load;
use crate::bench::measure::{Pace, Row, Subject, alternate, median, rounded};

/// Turns that a run of the open loop takes: a tail needs more requests than a mean.
const TURNS: u32 = 2;

impl Bench {
    pub(super) async fn latency(&self) -> Result<Value> {
        let mut row = Row::new(Vec::new());
        let loadgen = self.programs.join("loadgen");
        let raw = self.yardstick("raw").await?;
        for (name, server, targets) in self.services().await? {
            let subjects = [Subject::new(name, &server, &targets)];
            let report = self.folder.join("open-loop.json");
            let time = Duration::from_secs(u64::from(self.pace.seconds * TURNS));
            let (mut tested, mut limit) = (Runs::default(), Runs::default());
            let (mut rates, mut micros) = (Vec::new(), Vec::new());
            for round in 0..self.pace.rounds {
                // Each round asks for what can be done in that minute: where a processor is shared, 70 % of
                // what it did some minutes ago may be more than all of it.
                let pace = Pace {
                    rounds: 1,
                    seconds: self.pace.seconds,
                };
                let saturated = alternate(&self.wrk, &subjects, pace).await?;
                let saturated = saturated.first().context("one subject")?;
                let rate = median(&saturated.rates) * 0.7;
                rates.push(rate);
                micros.extend_from_slice(&saturated.micros);
                let mut turns = [(&server, &mut tested), (&raw, &mut limit)];
                if round % 2 == 1 {
                    turns.reverse();
                }
                for (asked, runs) in turns {
                    let before = asked.cpu_seconds()?;
                    let told =
                        load::constant_rate(&loadgen, asked.address, &targets, rate, time, &report);
                    let told = told.await?;
                    runs.add(&told, asked.cpu_seconds()? - before)?;
                }
            }
            let service_ms = median(&micros) / 1000.0;
            row.note(
                &format!("{name}_runs"),
                json!({
                    "rate": median(&rates).round(),
                    "processor_busy": rounded(median(&tested.busy)),
                    "valid": tested.p99_ms.len(),
                    "valid_of_raw": limit.p99_ms.len(),
                    "of": self.pace.rounds,
                    "bytes": rounded(tested.bytes),
                }),
            );
            if let Some(p99) = limit.p99() {
                row.figure(&format!("raw p99 at the rate of {name}, ms"), p99);
            }
            if let Some(p99) = tested.p99() {
                row.figure(&format!("{name} p99, ms"), p99);
                row.figure(&format!("{name} p99 / service time"), p99 / service_ms);
            }
            server.stop().await;
        }
        raw.stop().await;
        Ok(row.to_json())
    }
}

/// Runs of one server at one rate.
#[derive(Debug, Default)]
struct Runs {
    /// Of the valid ones only: a tool that fell behind its schedule measured itself.
    p99_ms: Vec<f64>,
    of: usize,
    /// Processors that the server used.
    busy: Vec<f64>,
    /// Of a request and its reply, in the last run.
    bytes: f64,
}

impl Runs {
    /// Counts loadgen's report of a run in which the server worked for so many seconds.
    fn add(&mut self, told: &Value, cpu_seconds: f64) -> Result<()> {
        let total = &told["total"];
        let p99 = load::percentile(&total["response"], 99.0);
        let p99 = p99.context("a report has its 99th percentile")?;
        self.of += 1;
        if told["valid"].as_bool() == Some(true) {
            self.p99_ms.push(p99);
        }
        let number = |key: &str| total[key].as_f64().unwrap_or(0.0);
        let elapsed = told["elapsed_s"].as_f64();
        let elapsed = elapsed.context("a report says how long it took")?;
        self.busy.push(cpu_seconds / elapsed);
        self.bytes = (number("bytes_in") + number("bytes_out")) / number("requests").max(1.0);
        Ok(())
    }

    /// The middle one of the valid runs, as a neighbour's burst on one of two cores is a tail of
    /// its own. Nothing when most were invalid: those that are left are the lucky ones.
    fn p99(&self) -> Option<f64> {
        (self.p99_ms.len() * 2 > self.of).then(|| median(&self.p99_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(p99_ms: f64, is_valid: bool) -> Value {
        json!({
            "valid": is_valid,
            "elapsed_s": 2.0,
            "total": {
                "requests": 10, "bytes_in": 900, "bytes_out": 100,
                "response": { "percentiles": [[99.0, p99_ms]] },
            },
        })
    }

    #[test]
    fn only_valid_runs_count_and_most_must_be_valid() {
        let mut runs = Runs::default();
        assert_eq!(runs.p99(), None);
        for (p99_ms, is_valid) in [(1.0, true), (900.0, false), (3.0, true)] {
            runs.add(&told(p99_ms, is_valid), 1.0).unwrap();
        }
        assert_eq!((runs.p99(), runs.bytes), (Some(2.0), 100.0));
        runs.add(&told(900.0, false), 1.0).unwrap();
        assert_eq!(runs.p99(), None);
        assert_eq!(runs.busy, [0.5; 4]);
        assert!(runs.add(&json!({}), 1.0).is_err());
    }
}
