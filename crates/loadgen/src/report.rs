//! The figures of a run, for people and programs.

pub mod text;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::plan::{Load, Plan, Share};
use crate::record::{Record, Times};
use crate::run::Outcome;
use crate::threshold::Threshold;

/// The name of the format, with its version; `report.schema.json` of this crate describes it.
pub const FORMAT: &str = "tripod-loadgen-report/1";
/// The percentiles of every report.
const PERCENTILES: [f64; 12] = [
    1.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.99, 100.0,
];

/// Everything that is reported.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// [`FORMAT`].
    pub format: &'static str,
    /// The version of the tool.
    pub version: &'static str,
    /// Whether the figures are those of the target.
    pub valid: bool,
    /// Why not.
    pub invalid_reason: Option<String>,
    /// Whether the user stopped the run.
    pub stopped: bool,
    /// Requests without an end when it was stopped.
    pub cut: u64,
    /// The machine the tool ran on.
    pub host: Host,
    /// What was asked for.
    pub plan: PlanReport,
    /// From the first send to the last end.
    pub elapsed_s: f64,
    /// Processor time of the tool.
    pub cpu_s: f64,
    /// The same for each request.
    pub cpu_us_per_request: f64,
    /// The largest share of its time that a thread of the tool computed.
    pub busiest_thread: f64,
    /// Did the tool keep its schedule; nothing in closed loop.
    pub lateness: Option<LatenessReport>,
    /// One row for each scenario.
    pub scenarios: Vec<Row>,
    /// All together.
    pub total: Row,
    /// The limits and what became of them.
    pub thresholds: Vec<Verdict>,
}

/// A machine.
#[derive(Clone, Debug, Serialize)]
pub struct Host {
    /// The architecture.
    pub arch: &'static str,
    /// Processors that the tool may use.
    pub cpus: usize,
    /// The processor's name, if the system tells.
    pub cpu: Option<String>,
    /// The kernel's version, if the system tells.
    pub kernel: Option<String>,
}

/// What was asked for.
#[derive(Clone, Debug, Serialize)]
pub struct PlanReport {
    /// `open` or `closed`.
    pub load: &'static str,
    /// Requests a second; nothing in closed loop.
    pub rate: Option<f64>,
    /// Requests in all, if that is limited.
    pub requests: Option<u64>,
    /// Length of the schedule, or limit of a closed loop.
    pub duration_s: f64,
    /// Connections to each address.
    pub connections: usize,
    /// Threads of the tool.
    pub threads: usize,
    /// For each request.
    pub timeout_s: f64,
    /// `all`, `none` or `sample:N`.
    pub check: String,
    /// Of the order, and of generated corpora.
    pub seed: u64,
}

/// Did the tool keep its schedule.
#[derive(Clone, Debug, Serialize)]
pub struct LatenessReport {
    /// Requests that were sent.
    pub sent: u64,
    /// Sends over the tolerance late.
    pub late: u64,
    /// Those that the tool made late by as much.
    pub late_by_tool: u64,
    /// The tolerance.
    pub tolerance_ms: f64,
    /// The tool's part of the time from due to sent.
    pub lag: TimesReport,
}

/// Times of one kind.
#[derive(Clone, Debug, Serialize)]
pub struct TimesReport {
    /// The mean.
    pub mean_ms: f64,
    /// The shortest.
    pub min_ms: f64,
    /// The longest.
    pub max_ms: f64,
    /// Pairs of a percentile and its time in milliseconds.
    pub percentiles: Vec<(f64, f64)>,
}

/// A scenario, or all together.
#[derive(Clone, Debug, Serialize)]
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
    /// Requests that ended, a second.
    pub rate: f64,
    /// Bytes received, a second.
    pub bytes_in_per_s: f64,
    /// Bytes sent, a second.
    pub bytes_out_per_s: f64,
    /// Replies that were checked.
    pub checked: u64,
    /// Their share of the replies with status 200.
    pub checked_share: f64,
    /// Wrong replies with status 200, by reason.
    pub wrong: BTreeMap<&'static str, u64>,
    /// Replies with other statuses.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests without a whole reply, by kind.
    pub failures: BTreeMap<&'static str, u64>,
    /// From when requests were due; in closed loop the same as `service`.
    pub response: TimesReport,
    /// From when they were sent.
    pub service: TimesReport,
    /// A few wrong replies.
    pub examples: Vec<ExampleReport>,
    /// What happened in each second.
    pub timeline: Vec<SecondReport>,
    /// For limits on any percentile.
    #[serde(skip)]
    response_times: Times,
}

/// A wrong reply.
#[derive(Clone, Debug, Serialize)]
pub struct ExampleReport {
    /// What was asked.
    pub target: String,
    /// Why it is wrong.
    pub reason: &'static str,
    /// The beginning of the body.
    pub body: String,
}

/// One second.
#[derive(Clone, Debug, Serialize)]
pub struct SecondReport {
    /// Requests that ended.
    pub done: u64,
    /// Those that did not end well.
    pub errors: u64,
    /// The longest response time.
    pub max_ms: f64,
}

/// A limit and what became of it.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// As the user wrote it.
    pub limit: String,
    /// What the figure was.
    pub value: String,
    /// Whether the run fails because of it.
    pub failed: bool,
}

impl Report {
    /// The report of a run; limits are about scenarios of the plan.
    pub fn new(plan: &Plan, outcome: &Outcome, thresholds: &[Threshold]) -> Self {
        let total = outcome.total();
        let elapsed_s = outcome.elapsed.as_secs_f64().max(1e-9);
        let scenarios: Vec<Row> = plan
            .scenarios
            .iter()
            .zip(&outcome.records)
            .map(|(scenario, record)| {
                let mut row = Row::new(&scenario.label, record, elapsed_s);
                row.url = Some(scenario.url.clone());
                let team = scenario.team.get();
                row.team_line = team.map(|line| String::from_utf8_lossy(line).into_owned());
                row
            })
            .collect();
        let total = Row::new("TOTAL", &total, elapsed_s);
        let thresholds = thresholds
            .iter()
            .map(|threshold| {
                let is_meant = |row: &&Row| threshold.label() == Some(&row.label);
                let row = scenarios.iter().find(is_meant).unwrap_or(&total);
                let value = threshold.value(row);
                Verdict {
                    limit: threshold.to_string(),
                    value: threshold.show(value),
                    failed: threshold.fails(value),
                }
            })
            .collect();
        let invalid_reason = outcome.invalid(plan);
        let cpu_s = outcome.cpu.as_secs_f64();
        let is_open = matches!(plan.load, Load::Open(_));
        Self {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION"),
            valid: invalid_reason.is_none(),
            invalid_reason,
            stopped: outcome.stopped,
            cut: outcome.cut,
            host: Host::this(),
            plan: PlanReport::new(plan),
            elapsed_s,
            cpu_s,
            cpu_us_per_request: cpu_s * 1e6 / count(total.requests).max(1.0),
            busiest_thread: outcome.busy,
            lateness: is_open.then(|| LatenessReport {
                sent: outcome.lateness.sent,
                late: outcome.lateness.late,
                late_by_tool: outcome.lateness.late_by_tool,
                tolerance_ms: millis(plan.tolerance),
                lag: TimesReport::new(&outcome.lateness.lag),
            }),
            scenarios,
            total,
            thresholds,
        }
    }

    /// Whether a limit is broken, a reply was wrong, or not one request ended well.
    pub fn failed(&self) -> bool {
        let total = &self.total;
        !total.wrong.is_empty()
            || total.requests > 0 && total.errors == total.requests
            || self.thresholds.iter().any(|verdict| verdict.failed)
    }

    /// As JSON, with a line feed at the end.
    ///
    /// # Errors
    ///
    /// Never in practice: nothing in it can fail to be written.
    pub fn json(&self) -> serde_json::Result<String> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        Ok(text)
    }
}

impl Row {
    fn new(label: &str, record: &Record, elapsed_s: f64) -> Self {
        let share = |part: u64, whole: u64| count(part) / count(whole.max(1));
        let replies = record.good + record.wrong_replies();
        let examples = record.examples.iter().map(|example| ExampleReport {
            target: example.target.clone(),
            reason: example.reason,
            body: example.body.clone(),
        });
        let timeline = record.timeline.iter().map(|second| SecondReport {
            done: second.done,
            errors: second.errors,
            max_ms: millis(Duration::from_nanos(second.max_nanos)),
        });
        Self {
            label: label.to_owned(),
            url: None,
            team_line: None,
            requests: record.done(),
            errors: record.errors(),
            error_share: share(record.errors(), record.done()),
            rate: count(record.done()) / elapsed_s,
            bytes_in_per_s: count(record.bytes_in) / elapsed_s,
            bytes_out_per_s: count(record.bytes_out) / elapsed_s,
            checked: record.checked,
            checked_share: share(record.checked, replies),
            wrong: record.wrong.clone(),
            statuses: record.statuses.clone(),
            failures: record.failures.clone(),
            response: TimesReport::new(&record.response),
            service: TimesReport::new(&record.service),
            examples: examples.collect(),
            timeline: timeline.collect(),
            response_times: record.response.clone(),
        }
    }

    /// Any percentile of the response time.
    pub fn response_percentile_ms(&self, percentile: f64) -> f64 {
        self.response_times.percentile_ms(percentile)
    }
}

impl TimesReport {
    fn new(times: &Times) -> Self {
        let percentiles =
            PERCENTILES.map(|percentile| (percentile, times.percentile_ms(percentile)));
        Self {
            mean_ms: times.mean_ms(),
            min_ms: times.min_ms(),
            max_ms: times.max_ms(),
            percentiles: percentiles.to_vec(),
        }
    }

    /// One of the reported percentiles.
    fn at(&self, percentile: f64) -> f64 {
        let mut found = self.percentiles.iter();
        let found = found.find(|(known, _)| (known - percentile).abs() < 1e-9);
        found.map_or(0.0, |(_, time)| *time)
    }
}

impl PlanReport {
    fn new(plan: &Plan) -> Self {
        let (load, rate, requests, duration) = match plan.load {
            Load::Closed { duration, requests } => ("closed", None, requests, duration),
            Load::Open(schedule) => {
                let len = schedule.len();
                (
                    "open",
                    Some(schedule.rate().per_second()),
                    Some(len),
                    schedule.at(len),
                )
            }
        };
        Self {
            load,
            rate,
            requests,
            duration_s: duration.as_secs_f64(),
            connections: plan.connections,
            threads: plan.threads,
            timeout_s: plan.timeout.as_secs_f64(),
            check: match plan.check {
                Share::All => "all".to_owned(),
                Share::Sample(of) => format!("sample:{of}"),
                Share::None => "none".to_owned(),
            },
            seed: plan.seed,
        }
    }
}

impl Host {
    fn this() -> Self {
        let read = |path| std::fs::read_to_string(path).ok();
        let cpu = read("/proc/cpuinfo").and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("model name"))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        });
        let kernel = read("/proc/sys/kernel/osrelease").map(|text| text.trim().to_owned());
        Self {
            arch: std::env::consts::ARCH,
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            cpu,
            kernel,
        }
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[expect(clippy::cast_precision_loss, reason = "below 2^53")]
fn count(count: u64) -> f64 {
    count as f64
}
