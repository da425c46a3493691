//! The scoreboard of the original live tests: every service alone, then all at once; throughput,
//! latency, correctness and errors of each.

use std::fmt::Write as _;

use cost_model::{Original, Service, original};
use serde::{Deserialize, Serialize};

use crate::report::{Report, Row, count};

/// The name of the format, with its version.
pub const FORMAT: &str = "tripod-loadgen-scoreboard/1";

/// One test of one service.
#[derive(Clone, Debug, Serialize, Deserialize)]
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
    /// Share of the checked replies that are right; nothing when none was checked.
    pub correctness: Option<f64>,
    /// Share of the replies with status 200 that were checked.
    pub checked_share: f64,
    /// Share of the requests with another status or without a reply.
    pub error_share: f64,
    /// Bytes of a request and its reply.
    pub bytes: f64,
    /// Requests a second of the original test; nothing in the mixed one.
    pub original_rate: Option<f64>,
    /// Mean latency of the original test.
    pub original_ms: Option<f64>,
}

/// The scoreboard.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Scoreboard {
    /// [`FORMAT`].
    pub format: String,
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
            // How the original tests mixed is not known.
            let original = service.filter(|_| test == "alone").map(original);
            self.scores.push(Score::new(test, row, original));
        }
        if let Some(reason) = &report.invalid_reason {
            let note = format!("{test}: the tool was the limit, not the target: {reason}");
            self.notes.push(note);
        }
    }

    /// Whether any reply was wrong, or a test had no good reply at all.
    pub fn failed(&self) -> bool {
        let is_bad = |score: &Score| {
            score.correctness.is_some_and(|share| share < 1.0) || score.error_share >= 1.0
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
            "{:<6} {:<11} {:>11} {:>10} {:>10} {:>10} {:>12} {:>8} {:>11} {:>8} {:>12}",
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
                Some(share) => format!("{:.2}%", share * 100.0),
                None => "-".to_owned(),
            };
            let _ = write!(
                out,
                "{:<6} {:<11} {:>9.0}/s {:>8.2}ms {:>8.2}ms {:>8.2}ms {correctness:>12} {:>8.3}",
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
        for note in &self.notes {
            let _ = writeln!(out, "Note: {note}");
        }
        out
    }
}

impl Score {
    fn new(test: &str, row: &Row, original: Option<Original>) -> Self {
        let wrong: u64 = row.wrong.values().sum();
        let lost = row.errors - wrong.min(row.errors);
        Self {
            test: test.to_owned(),
            service: row.label.clone(),
            requests: row.requests,
            rate: row.rate,
            mean_ms: row.response.mean_ms,
            p50_ms: row.response.at(50.0),
            p99_ms: row.response.at(99.0),
            correctness: (row.checked > 0).then(|| 1.0 - count(wrong) / count(row.checked)),
            checked_share: row.checked_share,
            error_share: count(lost) / count(row.requests.max(1)),
            bytes: count(row.bytes_in + row.bytes_out) / count(row.requests.max(1)),
            original_rate: original.map(|original| original.rate),
            original_ms: original.map(|original| original.latency_ms),
        }
    }
}
