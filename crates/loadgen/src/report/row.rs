//! A row of the aggregate table: a scenario, or all together.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{count, millis, times_ms};
use crate::record::{Record, Second, Times};

/// The percentiles of every report.
const PERCENTILES: [f64; 12] = [
    1.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.99, 100.0,
];

/// Times of one kind.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimesReport {
    /// The mean.
    pub mean_ms: f64,
    /// The shortest.
    pub min_ms: f64,
    /// The longest.
    pub max_ms: f64,
    /// Pairs of a percentile and its time in milliseconds.
    pub percentiles: Vec<(f64, f64)>,
    /// All of them, in nanoseconds.
    pub histogram: Times,
}

impl TimesReport {
    /// The figures of some times.
    pub fn new(times: &Times) -> Self {
        let percentiles =
            PERCENTILES.map(|percentile| (percentile, times.percentile_ms(percentile)));
        let (mean_ms, min_ms, max_ms) = times_ms(times);
        Self {
            mean_ms,
            min_ms,
            max_ms,
            percentiles: percentiles.to_vec(),
            histogram: times.clone(),
        }
    }

    /// Any percentile, from 0 to 100.
    pub fn at(&self, percentile: f64) -> f64 {
        self.histogram.percentile_ms(percentile)
    }

    /// Adds other times.
    pub fn merge(&mut self, other: &Self) {
        let mut times = std::mem::take(&mut self.histogram);
        times.merge(&other.histogram);
        *self = Self::new(&times);
    }
}

/// A scenario, or all together.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// The scenario's name.
    pub label: String,
    /// Where it went.
    pub url: Option<String>,
    /// The line its replies began with, once known.
    pub team_line: Option<String>,
    /// Requests that ended, well or not.
    pub requests: u64,
    /// Those that did not end well.
    pub errors: u64,
    /// Their share.
    pub error_share: f64,
    /// Requests a second that were due; nothing in closed loop.
    pub intended_rate: Option<f64>,
    /// Requests that ended, a second.
    pub rate: f64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// Bytes received, a second.
    pub bytes_in_per_s: f64,
    /// Bytes sent, a second.
    pub bytes_out_per_s: f64,
    /// Replies that were compared with their answers.
    pub checked: u64,
    /// Their share of the replies with status 200.
    pub checked_share: f64,
    /// Replies of which only the shape was checked.
    pub shape_checked: u64,
    /// Their share of the replies with status 200.
    pub shape_share: f64,
    /// The longest time in which nothing ended, on one thread.
    pub max_pause_ms: f64,
    /// Wrong replies with status 200, by reason.
    pub wrong: BTreeMap<String, u64>,
    /// Replies with other statuses.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests without a whole reply, by kind.
    pub failures: BTreeMap<String, u64>,
    /// From when requests were due; in closed loop the same as `service`.
    pub response: TimesReport,
    /// From when they were sent.
    pub service: TimesReport,
    /// A few wrong replies.
    pub examples: Vec<ExampleReport>,
    /// What happened in each second.
    pub timeline: Vec<Second>,
}

/// A wrong reply.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExampleReport {
    /// What was asked.
    pub target: String,
    /// Why it is wrong.
    pub reason: String,
    /// The beginning of what a right body is.
    pub expected: String,
    /// The beginning of the body.
    pub body: String,
}

impl Row {
    /// The row of a record.
    pub fn new(label: &str, record: &Record, elapsed_s: f64) -> Self {
        let examples = record.examples.iter().map(|example| ExampleReport {
            target: example.target.clone(),
            reason: example.reason.to_owned(),
            expected: example.expected.clone(),
            body: example.body.clone(),
        });
        let named = |counts: &BTreeMap<&'static str, u64>| {
            let counts = counts.iter();
            counts
                .map(|(name, count)| ((*name).to_owned(), *count))
                .collect()
        };
        let mut row = Self {
            label: label.to_owned(),
            url: None,
            team_line: None,
            requests: record.done(),
            errors: record.errors(),
            error_share: 0.0,
            intended_rate: None,
            rate: 0.0,
            bytes_in: record.bytes_in,
            bytes_out: record.bytes_out,
            bytes_in_per_s: 0.0,
            bytes_out_per_s: 0.0,
            checked: record.checked,
            checked_share: 0.0,
            shape_checked: record.shape_checked,
            shape_share: 0.0,
            max_pause_ms: millis(record.max_pause),
            wrong: named(&record.wrong),
            statuses: record.statuses.clone(),
            failures: named(&record.failures),
            response: TimesReport::new(&record.response),
            service: TimesReport::new(&record.service),
            examples: examples.collect(),
            timeline: record.timeline.clone(),
        };
        row.derive(elapsed_s);
        row
    }

    /// Works out the shares and what there was a second.
    pub(super) fn derive(&mut self, elapsed_s: f64) {
        let share = |part: u64, whole: u64| count(part) / count(whole.max(1));
        let wrong: u64 = self.wrong.values().sum();
        let good = self.requests - self.errors;
        self.error_share = share(self.errors, self.requests);
        self.checked_share = share(self.checked, good + wrong);
        self.shape_share = share(self.shape_checked, good + wrong);
        self.rate = count(self.requests) / elapsed_s;
        self.bytes_in_per_s = count(self.bytes_in) / elapsed_s;
        self.bytes_out_per_s = count(self.bytes_out) / elapsed_s;
    }

    /// How many replies were checked, for people.
    pub(super) fn checked(&self) -> String {
        let exact = format!("{:.1} % of the replies checked", self.checked_share * 100.0);
        match self.shape_checked {
            0 => exact,
            _ => format!("{exact}, {:.1} % by shape only", self.shape_share * 100.0),
        }
    }

    /// Any percentile of the response time.
    pub fn response_percentile_ms(&self, percentile: f64) -> f64 {
        self.response.at(percentile)
    }
}
