//! What the load tools take themselves.

use anyhow::Result;
use serde_json::Value;

use super::{Bench, stop};
use crate::bench::load;
use crate::bench::measure::{CONNECTIONS, Row, Series};
use crate::bench::server::ended_children_cpu_seconds;

impl Bench {
    /// loadgen and wrk in closed loop on the same constant reply: processor time of the tool.
    ///
    /// wrk sends one constant request, which is the cheapest that it can do; loadgen does
    /// what it does always.
    pub(super) async fn tool(&self) -> Result<Value> {
        let raw = self.yardstick("raw").await?;
        let loadgen = self.programs.join("loadgen");
        let targets = self.targets("short");
        let report = self.folder.join("closed-loop.json");
        let seconds = self.pace.seconds;
        let mut series = ["loadgen", "wrk"].map(|name| Series {
            name: name.to_owned(),
            ..Series::default()
        });
        for round in 0..=self.pace.rounds {
            for index in [[0, 1], [1, 0]][usize::from(round % 2 == 1)] {
                let before = ended_children_cpu_seconds()?;
                let burst = if index == 0 {
                    let address = raw.address;
                    load::closed_loop(&loadgen, address, &targets, CONNECTIONS, seconds, &report)
                        .await?
                } else {
                    self.wrk.constant(raw.address, CONNECTIONS, seconds).await?
                };
                let taken = ended_children_cpu_seconds()? - before;
                // The first round does not count.
                if round > 0 {
                    let series = &mut series[index];
                    series.micros.push(taken * 1e6 / burst.requests);
                    series.rates.push(burst.rate);
                    series.p99_ms.push(burst.p99_ms);
                }
            }
        }
        let mut row = Row::new(series.into());
        row.ratio("loadgen", "wrk");
        stop([raw]).await;
        Ok(row.to_json())
    }
}
