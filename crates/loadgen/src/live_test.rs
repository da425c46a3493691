//! The scoreboard of the original live tests: every service alone, then all at once; throughput,
//! latency, correctness and errors of each.

use std::fmt::Write as _;

use cost_model::{Original, Service, original};
use serde::{Deserialize, Serialize};

use crate::report::{Host, Report, Row, Version, count};

/// The name of the format, with its version; `scoreboard.schema.json` of this crate describes it.
pub const FORMAT: &str = "tripod-loadgen-scoreboard/2";

/// Requests a second of services at once that leave each within its own original rate, in the shares of
/// the original mixed test.
pub fn original_rate(services: &[Service]) -> f64 {
    let originals = || services.iter().map(|service| original(*service));
    let weights: u64 = originals().map(|original| original.weight).sum();
    let each = originals().map(|original| original.rate / count(original.weight));
    each.reduce(f64::min).unwrap_or(0.0) * count(weights)
}

/// One test of one service.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Score {
    /// `alone` or `mixed`.
    pub test: String,
    /// The service.
    pub service: String,
    /// Requests that ended.
    pub requests: u64,
    /// The same, a second.
    pub rate: f64,
    /// Mean latency.
    pub mean_ms: f64,
    /// Median.
    pub p50_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// Share of the checked replies that are right, as far as was checked; nothing when none was.
    pub correctness: Option<f64>,
    /// Share of the replies with status 200 that were compared with their answers.
    pub checked_share: f64,
    /// Share of those of which only the shape was checked.
    pub shape_share: f64,
    /// Share of the requests with another status or without a reply.
    pub error_share: f64,
    /// Bytes of a request and its reply.
    pub bytes: f64,
    /// The largest share of its time that a thread of the tool computed in this test.
    pub busiest_thread: f64,
    /// Requests a second of the original test; nothing in the mixed one.
    pub original_rate: Option<f64>,
    /// Mean latency of the original test.
    pub original_ms: Option<f64>,
}

/// The scoreboard.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scoreboard {
    /// [`FORMAT`].
    pub format: String,
    /// The version of the tool.
    pub version: String,
    /// The machine the tool ran on.
    pub host: Host,
    /// What the targets say of themselves.
    pub targets: Vec<Version>,
    /// How load was made.
    pub load: String,
    /// Connections to each service.
    pub connections: usize,
    /// Length of each test, in seconds.
    pub duration_s: f64,
    /// One for each service and test.
    pub scores: Vec<Score>,
    /// What a reader should know: services left out, tests that say nothing.
    pub notes: Vec<String>,
}

impl Scoreboard {
    /// An empty one.
    pub fn new(load: String, connections: u16, duration_s: f64) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            host: Host::this(),
            targets: Vec::new(),
            load,
            connections: usize::from(connections),
            duration_s,
            scores: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Adds what came of a test; scenarios are called as their services.
    pub fn add(&mut self, test: &str, report: &Report) {
        for row in &report.scenarios {
            let service = row.label.parse::<Service>().ok();
            // Of the original mixed test only the shares of the services are known.
            let original = service.filter(|_| test == "alone").map(original);
            self.scores
                .push(Score::new(test, row, original, report.busiest_thread));
        }
        if let Some(reason) = &report.invalid_reason {
            let note = format!("{test}: the tool was the limit, not the target: {reason}");
            self.notes.push(note);
        }
        let notes = report.notes.iter().map(|note| format!("{test}: {note}"));
        self.notes.extend(notes);
    }

    /// Whether any reply was wrong, or a test had no good reply at all or none.
    pub fn failed(&self) -> bool {
        let is_bad = |score: &Score| {
            score.correctness.is_some_and(|share| share < 1.0)
                || score.error_share >= 1.0
                || score.requests == 0
        };
        self.scores.iter().any(is_bad)
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(
            out,
            "{}, {} connections to each service, {} s each\n",
            self.load, self.connections, self.duration_s
        );
        let _ = writeln!(
            out,
            "{:<6} {:<11} {:>11} {:>10} {:>10} {:>10} {:>13} {:>8} {:>11} {:>8} {:>12}",
            "Test",
            "Service",
            "Throughput",
            "Average",
            "Median",
            "99%",
            "Correctness",
            "Error %",
            "Original",
            "of it",
            "its average"
        );
        for score in &self.scores {
            let correctness = match score.correctness {
                // Who only looks at the shape cannot say that an answer is right.
                Some(share) if score.shape_share > 0.0 => format!("{:.2}% shape", share * 100.0),
                Some(share) => format!("{:.2}%", share * 100.0),
                None => "-".to_owned(),
            };
            let _ = write!(
                out,
                "{:<6} {:<11} {:>9.0}/s {:>8.2}ms {:>8.2}ms {:>8.2}ms {correctness:>13} {:>8.3}",
                score.test,
                score.service,
                score.rate,
                score.mean_ms,
                score.p50_ms,
                score.p99_ms,
                score.error_share * 100.0
            );
            let _ = match (score.original_rate, score.original_ms) {
                (Some(rate), Some(ms)) => writeln!(
                    out,
                    " {rate:>9.0}/s {:>7.1}% {ms:>10.1}ms",
                    score.rate / rate * 100.0
                ),
                _ => writeln!(out, " {:>11} {:>8} {:>12}", "-", "-", "-"),
            };
        }
        let tool = self.scores.iter().map(|score| score.busiest_thread);
        let _ = writeln!(
            out,
            "Tool: busiest thread {:.0} %, on {} x {}",
            tool.fold(0.0, f64::max) * 100.0,
            self.host.cpus,
            self.host.cpu.as_deref().unwrap_or(&self.host.arch)
        );
        for target in &self.targets {
            if let Some(version) = &target.version {
                let _ = writeln!(out, "Target: {} says {version}", target.asked);
            }
        }
        for note in &self.notes {
            let _ = writeln!(out, "Note: {note}");
        }
        out
    }
}

impl Score {
    fn new(test: &str, row: &Row, original: Option<Original>, busiest_thread: f64) -> Self {
        let wrong: u64 = row.wrong.values().sum();
        let checked = row.checked + row.shape_checked;
        let lost = row.errors - wrong.min(row.errors);
        Self {
            test: test.to_owned(),
            service: row.label.clone(),
            requests: row.requests,
            rate: row.rate,
            mean_ms: row.response.mean_ms,
            p50_ms: row.response.at(50.0),
            p99_ms: row.response.at(99.0),
            correctness: (checked > 0).then(|| 1.0 - count(wrong) / count(checked)),
            checked_share: row.checked_share,
            shape_share: row.shape_share,
            error_share: count(lost) / count(row.requests.max(1)),
            bytes: count(row.bytes_in + row.bytes_out) / count(row.requests.max(1)),
            busiest_thread,
            original_rate: original.map(|original| original.rate),
            original_ms: original.map(|original| original.latency_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Service, original_rate};

    #[test]
    fn a_mix_leaves_every_service_within_its_original_rate() {
        assert!((original_rate(&[Service::Qrcode]) - 99_059.0).abs() < 1e-6);
        // 1 : 1.12 : 0.18, and /twitter's 5,119 are what it is measured by.
        let all = original_rate(&[Service::Blockchain, Service::Qrcode, Service::Twitter]);
        assert!((all - 5119.0 / 0.18 * 2.3).abs() < 1e-6, "{all}");
        assert!(original_rate(&[]).abs() < 1e-9);
    }
}
