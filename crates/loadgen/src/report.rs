//! The figures of a run, for people and programs; one exporter per file.

pub mod csv;
pub mod hlog;
pub mod host;
pub mod html;
pub mod json;
pub mod merge;
pub mod row;
pub mod text;

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::plan::{Load, Plan};
use crate::record::Times;
use crate::run::Outcome;
use crate::threshold::Threshold;

pub use host::{Host, Version};
pub use row::{ExampleReport, Row, TimesReport};

/// The name of the format, with its version; `report.schema.json` of this crate describes it.
pub const FORMAT: &str = "tripod-loadgen-report/3";

/// Everything that is reported.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// [`FORMAT`].
    pub format: String,
    /// The version of the tool.
    pub version: String,
    /// Whether the figures are those of the target.
    pub valid: bool,
    /// Why not.
    pub invalid_reason: Option<String>,
    /// Whether the user stopped the run.
    pub stopped: bool,
    /// Requests that were due and had no end when it was stopped, sent or not.
    pub cut: u64,
    /// What a reader of the figures should know.
    pub notes: Vec<String>,
    /// Reports that were merged into this one.
    pub merged: u64,
    /// When it began, in seconds since 1970.
    pub started_at: f64,
    /// The machine the tool ran on.
    pub host: Host,
    /// What the targets say of themselves.
    pub targets: Vec<Version>,
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
    /// One for each stage, if there is more than one.
    pub stages: Vec<StageReport>,
    /// One row for each scenario.
    pub scenarios: Vec<Row>,
    /// All together.
    pub total: Row,
    /// The limits and what became of them.
    pub thresholds: Vec<Verdict>,
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanReport {
    /// `open` or `closed`.
    pub load: String,
    /// Requests a second, of the whole load; the mean, if there are stages; nothing in closed loop.
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
    /// `auto`, `all`, `none` or `sample:N`.
    pub check: String,
    /// Of the order, and of generated corpora.
    pub seed: u64,
    /// Which part of the load this is: `K/N`.
    pub shard: String,
}

/// Did the tool keep its schedule.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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

/// The requests that were due in a stage.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageReport {
    /// Its name, or what it does.
    pub name: String,
    /// Its length.
    pub duration_s: f64,
    /// Requests a second at its begin.
    pub from: f64,
    /// Requests a second at its end.
    pub to: f64,
    /// Requests that were due in it and ended, whenever that was.
    pub requests: u64,
    /// Those that did not end well.
    pub errors: u64,
    /// From when they were due.
    pub response: TimesReport,
}

/// A limit and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
        let elapsed_s = outcome.elapsed.as_secs_f64().max(1e-9);
        let intended = intended_rate(plan);
        let mut total = Row::new("TOTAL", &outcome.total(), elapsed_s);
        total.intended_rate = intended;
        let scenarios: Vec<Row> = plan
            .scenarios
            .iter()
            .zip(&outcome.records)
            .map(|(scenario, record)| {
                let mut row = Row::new(&scenario.label, record, elapsed_s);
                row.url = Some(scenario.url.clone());
                let team = scenario.team.get();
                row.team_line = team.map(|line| String::from_utf8_lossy(line).into_owned());
                let share = count(scenario.weight) / count(plan.weights());
                row.intended_rate = intended.map(|rate| rate * share);
                row
            })
            .collect();
        let invalid_reason = outcome.invalid(plan);
        let cpu_s = outcome.cpu.as_secs_f64();
        let is_open = matches!(plan.load, Load::Open(_));
        let started = outcome.started.and_then(|at| {
            let since = at.duration_since(SystemTime::UNIX_EPOCH);
            Some(since.ok()?.as_secs_f64())
        });
        let mut report = Self {
            format: FORMAT.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            valid: invalid_reason.is_none(),
            invalid_reason,
            stopped: outcome.stopped,
            cut: outcome.cut,
            notes: outcome.notes(plan),
            merged: 1,
            started_at: started.unwrap_or(0.0),
            host: Host::this(),
            targets: Vec::new(),
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
            stages: stages(plan, outcome),
            scenarios,
            total,
            thresholds: Vec::new(),
        };
        report.judge(thresholds);
        report
    }

    /// Holds the figures against limits; a limit on a scenario that is not there holds against all
    /// together.
    pub fn judge(&mut self, thresholds: &[Threshold]) {
        let verdicts = thresholds.iter().map(|threshold| {
            let is_meant = |row: &&Row| threshold.label() == Some(&row.label);
            let row = self.scenarios.iter().find(is_meant).unwrap_or(&self.total);
            let value = threshold.value(row);
            Verdict {
                limit: threshold.to_string(),
                value: threshold.show(value),
                failed: threshold.holds(value),
            }
        });
        self.thresholds = verdicts.collect();
    }

    /// Whether a limit is broken, a reply was wrong, or not one request ended well.
    pub fn failed(&self) -> bool {
        let total = &self.total;
        !total.wrong.is_empty()
            || total.errors == total.requests
            || self.thresholds.iter().any(|verdict| verdict.failed)
    }

    /// The scenarios, and all together if there are several.
    pub fn rows(&self) -> Vec<&Row> {
        match self.scenarios.as_slice() {
            [only] => vec![only],
            scenarios => scenarios.iter().chain([&self.total]).collect(),
        }
    }

    /// What was sent in a few words.
    pub fn load(&self) -> String {
        match (self.plan.rate, self.stages.len()) {
            (None, _) => "closed loop".to_owned(),
            (Some(rate), 0) => format!("open loop, {rate} requests a second"),
            (Some(rate), stages) => {
                format!("open loop, {stages} stages, {rate:.1} requests a second on average")
            }
        }
    }
}

/// Requests a second that are due here.
fn intended_rate(plan: &Plan) -> Option<f64> {
    let Load::Open(schedule) = &plan.load else {
        return None;
    };
    let duration_s = schedule.duration().as_secs_f64().max(1e-9);
    let rate = match schedule.rate() {
        Some(rate) => rate.per_second(),
        None => count(schedule.len()) / duration_s,
    };
    Some(rate / count(plan.shard.of))
}

fn stages(plan: &Plan, outcome: &Outcome) -> Vec<StageReport> {
    let Load::Open(schedule) = &plan.load else {
        return Vec::new();
    };
    let stages = schedule.stages().zip(&outcome.stages);
    stages
        .map(|(stage, tally)| StageReport {
            name: stage.label(),
            duration_s: stage.duration.as_secs_f64(),
            from: stage.from.per_second(),
            to: stage.to.per_second(),
            requests: tally.response.len(),
            errors: tally.errors,
            response: TimesReport::new(&tally.response),
        })
        .collect()
}

impl PlanReport {
    fn new(plan: &Plan) -> Self {
        let (load, requests, duration) = match &plan.load {
            Load::Closed { duration, requests } => ("closed", *requests, *duration),
            Load::Open(schedule) => ("open", Some(schedule.len()), schedule.duration()),
        };
        Self {
            load: load.to_owned(),
            rate: intended_rate(plan).map(|rate| rate * count(plan.shard.of)),
            requests,
            duration_s: duration.as_secs_f64(),
            connections: plan.connections,
            threads: plan.threads,
            timeout_s: plan.timeout.as_secs_f64(),
            check: plan.check.to_string(),
            seed: plan.seed,
            shard: plan.shard.to_string(),
        }
    }
}

impl StageReport {
    /// Requests a second on average.
    pub fn mean_rate(&self) -> f64 {
        f64::midpoint(self.from, self.to)
    }
}

fn times_ms(times: &Times) -> (f64, f64, f64) {
    (times.mean_ms(), times.min_ms(), times.max_ms())
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[expect(clippy::cast_precision_loss, reason = "below 2^53")]
pub(crate) fn count(count: u64) -> f64 {
    count as f64
}
