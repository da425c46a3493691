//! The highest constant rate that meets an objective: double until a step fails, then halve the
//! distance, each step an open loop of its own.

mod search;

use std::fmt::Write as _;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::failure::{Failure, FailureKind};
use crate::plan::{Load, Plan};
use crate::report::Report;
use crate::run::{self, Signals, Snapshot};
use crate::schedule::{Rate, Schedule};
use crate::threshold::Threshold;

pub use search::{Cause, Search};

/// The name of the format, with its version; `find-max.schema.json` of this crate describes it.
pub const FORMAT: &str = "tripod-loadgen-find-max/1";

/// A step that ends with less of its rate than this has a queue that grows.
const LEAST_ACHIEVED: f64 = 0.95;

/// How long a target that takes no connections is left alone.
const REST: Duration = Duration::from_secs(1);

/// What every step must meet.
#[derive(Clone, Debug, PartialEq)]
pub struct Slo(Vec<Threshold>);

impl Slo {
    /// The first limit that a report does not meet, and its figure.
    pub fn broken(&self, report: &Report) -> Option<String> {
        let broken = self.0.iter().find_map(|limit| {
            let is_meant = |row: &&crate::report::Row| limit.label() == Some(&row.label);
            let row = report.scenarios.iter().find(is_meant);
            let value = limit.value(row.unwrap_or(&report.total));
            (!limit.holds(value)).then(|| format!("not {limit}: {}", limit.show(value)))
        });
        broken.or_else(|| {
            let total = &report.total;
            let wrong: u64 = total.wrong.values().sum();
            (wrong > 0).then(|| format!("{wrong} wrong replies"))
        })
    }

    /// Scenarios that it speaks of.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(Threshold::label)
    }
}

impl FromStr for Slo {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let limits = text.split(',').map(|limit| limit.trim().parse());
        limits.collect::<Result<_, _>>().map(Self)
    }
}

impl std::fmt::Display for Slo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let limits: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&limits.join(","))
    }
}

/// How a search goes.
#[derive(Clone, Debug)]
pub struct Options {
    /// What every step must meet.
    pub slo: Slo,
    /// First rate to try.
    pub from: Rate,
    /// Highest rate to try.
    pub to: Rate,
    /// Length of each step.
    pub step: Duration,
    /// How near the answer must be to a rate that fails, as a share of it.
    pub precision: f64,
    /// No step begins later.
    pub max_time: Duration,
}

/// A step of a search.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// Requests a second that were due.
    pub rate: f64,
    /// Requests that ended, a second.
    pub achieved: f64,
    /// Median of the response time.
    pub p50_ms: f64,
    /// Its 99th percentile.
    pub p99_ms: f64,
    /// Its 99.9th percentile.
    pub p99_9_ms: f64,
    /// The longest.
    pub max_ms: f64,
    /// Share of requests that did not end well.
    pub error_share: f64,
    /// 99th percentile of what the tool itself was late.
    pub lag_p99_ms: f64,
    /// The largest share of its time that a thread of the tool computed.
    pub busiest_thread: f64,
    /// Whether it met the objective, and if not who is to blame.
    pub cause: Cause,
}

/// What a search found.
#[derive(Clone, Debug, Serialize)]
pub struct Answer {
    /// [`FORMAT`].
    pub format: String,
    /// The objective.
    pub slo: String,
    /// The highest rate that met it, in requests a second.
    pub rate: Option<f64>,
    /// Why there is no higher one.
    pub limit: Limit,
    /// Every step, in its order.
    pub steps: Vec<Step>,
}

/// What ended a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// The target did not meet the objective at a higher rate.
    Server,
    /// The tool could not send a higher rate.
    Tool,
    /// No higher rate was allowed.
    HighestRate,
    /// There was no time, or no step, left.
    Time,
    /// The user stopped it.
    Stopped,
}

/// Searches; the load of `plan` is replaced. `on_step` hears of each step, `on_tick` of the rate and what
/// goes on.
///
/// # Errors
///
/// As [`run::run`]; but a target that was there in an earlier step and takes no more connections has
/// failed that step.
pub async fn find(
    plan: &Plan,
    options: &Options,
    mut on_step: impl FnMut(&Step),
    mut on_tick: impl FnMut(f64, &Snapshot),
) -> Result<Answer, Failure> {
    let mut search = Search::new(
        options.from.per_second(),
        options.to.per_second(),
        options.precision,
    );
    let mut signals = Signals::default();
    let started = Instant::now();
    let mut steps = Vec::new();
    let mut limit = None;
    while let Some(rate) = search.next_rate() {
        if started.elapsed() >= options.max_time {
            limit = Some(Limit::Time);
            break;
        }
        let Some(exact) = Rate::new(rate) else { break };
        let load = Load::Open(Schedule::new(exact, options.step, None));
        let plan = Arc::new(plan.with_load(load));
        let ran = run::run(&plan, &mut signals, |snapshot| on_tick(rate, snapshot)).await;
        let step = match ran {
            Ok(outcome) if outcome.stopped => {
                limit = Some(Limit::Stopped);
                break;
            }
            Ok(outcome) => Step::new(rate, &Report::new(&plan, &outcome, &[]), &options.slo),
            // It was there before a step overloaded it.
            Err(failure) if failure.kind == FailureKind::Unreachable && !steps.is_empty() => {
                tokio::time::sleep(REST).await;
                Step::refused(rate, failure.to_string())
            }
            Err(failure) => return Err(failure),
        };
        on_step(&step);
        search.tell(rate, &step.cause);
        steps.push(step);
    }
    Ok(Answer {
        format: FORMAT.to_owned(),
        slo: options.slo.to_string(),
        rate: search.best(),
        limit: limit.unwrap_or_else(|| search.limit()),
        steps,
    })
}

impl Step {
    fn new(rate: f64, report: &Report, slo: &Slo) -> Self {
        let total = &report.total;
        // What was due in the last moments ends after the schedule does, so that the rate is that
        // of the schedule's time and what the backlog took on top of it.
        let achieved = total.rate.min(rate);
        let cause = if let Some(reason) = &report.invalid_reason {
            Cause::Tool(reason.clone())
        } else if let Some(broken) = slo.broken(report) {
            Cause::Server(broken)
        } else if report.total.rate < rate * LEAST_ACHIEVED && report.elapsed_s > 1.0 {
            Cause::Server(format!("{:.0} of {rate} requests a second", total.rate))
        } else {
            Cause::Met
        };
        let lag = report.lateness.as_ref().map(|late| late.lag.at(99.0));
        Self {
            rate,
            achieved,
            p50_ms: total.response.at(50.0),
            p99_ms: total.response.at(99.0),
            p99_9_ms: total.response.at(99.9),
            max_ms: total.response.max_ms,
            error_share: total.error_share,
            lag_p99_ms: lag.unwrap_or(0.0),
            busiest_thread: report.busiest_thread,
            cause,
        }
    }

    /// A step for which the target took no connection.
    fn refused(rate: f64, why: String) -> Self {
        Self {
            rate,
            achieved: 0.0,
            p50_ms: 0.0,
            p99_ms: 0.0,
            p99_9_ms: 0.0,
            max_ms: 0.0,
            error_share: 1.0,
            lag_p99_ms: 0.0,
            busiest_thread: 0.0,
            cause: Cause::Server(why),
        }
    }

    /// The heads of the table's columns.
    pub fn head() -> String {
        format!(
            "{:>10} {:>10} {:>9} {:>9} {:>9} {:>9} {:>8} {:>9} {:>6}  {}",
            "Rate",
            "Achieved",
            "Median",
            "99%",
            "99.9%",
            "Max",
            "Error %",
            "Tool 99%",
            "Tool",
            "Objective"
        )
    }

    /// A line of the table.
    pub fn line(&self) -> String {
        let verdict = match &self.cause {
            Cause::Met => "met".to_owned(),
            Cause::Server(why) => why.clone(),
            Cause::Tool(why) => format!("TOOL TOO SLOW: {why}"),
        };
        format!(
            "{:>10.1} {:>10.1} {:>9.3} {:>9.3} {:>9.3} {:>9.3} {:>8.3} {:>9.3} {:>5.0}%  {verdict}",
            self.rate,
            self.achieved,
            self.p50_ms,
            self.p99_ms,
            self.p99_9_ms,
            self.max_ms,
            self.error_share * 100.0,
            self.lag_p99_ms,
            self.busiest_thread * 100.0,
        )
    }
}

impl Answer {
    /// The answer in a sentence or two.
    pub fn sentence(&self) -> String {
        let mut out = match self.rate {
            Some(rate) => format!("Knee: {rate:.1} requests a second meet {}", self.slo),
            None => format!("No rate that was tried meets {}", self.slo),
        };
        let why = match self.limit {
            Limit::Server => "above it the server is the limit",
            Limit::Tool => {
                "above it the tool is the limit, not the server: give it --threads or a machine of \
                 its own"
            }
            Limit::HighestRate => "it is the highest that --to allows",
            Limit::Time => "the time of the search was over before it was found out exactly",
            Limit::Stopped => "stopped before it was found out exactly",
        };
        // Writing to a string cannot fail.
        let _ = write!(out, "; {why}.");
        out
    }
}
