//! Everything a user may say about a run, and the plan that it makes.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};

use super::{Load, Plan, Prepared, Scenario, Shard, Share, Spec};
use crate::check::TeamLine;
use crate::corpus::Recipe;
use crate::schedule::{Rate, Schedule, Stage};
use crate::target::Target;
use crate::threshold::Threshold;

/// Requests a second when nothing is said: what any target and any machine can do.
const DEFAULT_RATE: &str = "100";
/// Length of a run when nothing is said.
const DEFAULT_DURATION: Duration = Duration::from_secs(10);

/// How requests are spread over time, as people say it.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Pace {
    /// Open loop at the default rate, 100 requests a second.
    #[default]
    Unsaid,
    /// As soon as the last reply is there.
    Closed,
    /// Open loop at one rate.
    Rate(Rate),
    /// Open loop, one stage after another.
    Stages(Vec<Stage>),
}

/// Everything that may be said about a run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where scenarios go that name no target.
    pub target: Option<Target>,
    /// Whether targets may be on other machines.
    pub allow_remote: bool,
    /// What is sent.
    pub scenarios: Vec<Spec>,
    /// Fields of every request.
    pub headers: Vec<String>,
    /// What replies begin with.
    pub team_line: Option<String>,
    /// Share of generated requests that are invalid.
    pub invalid: f64,
    /// Number of generated requests of each scenario.
    pub size: usize,
    /// Of generated requests and the order of scenarios.
    pub seed: u64,
    /// How requests are spread over time.
    pub pace: Pace,
    /// Length of a run without stages.
    pub duration: Option<Duration>,
    /// Requests at most.
    pub requests: Option<u64>,
    /// Connections to each target.
    pub connections: u16,
    /// Threads of the tool.
    pub threads: u16,
    /// For connects and for exchanges.
    pub timeout: Duration,
    /// Which replies are checked.
    pub check: Share,
    /// Limits that fail a run.
    pub fail_if: Vec<Threshold>,
    /// From when on a send is late.
    pub late_after: Duration,
    /// Share of sends that may be late because of the tool.
    pub max_late: f64,
    /// Whether threads never sleep.
    pub spin: bool,
    /// Which part of the load is sent from here.
    pub shard: Shard,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            target: None,
            allow_remote: false,
            scenarios: Vec::new(),
            headers: Vec::new(),
            team_line: None,
            invalid: 0.1,
            size: 512,
            seed: 15_619,
            pace: Pace::default(),
            duration: None,
            requests: None,
            connections: 64,
            threads: 1,
            timeout: Duration::from_secs(10),
            check: Share::Auto,
            fail_if: Vec::new(),
            late_after: Duration::from_millis(5),
            max_late: 0.01,
            spin: false,
            shard: Shard::WHOLE,
        }
    }
}

impl Settings {
    /// Makes the plan.
    ///
    /// # Errors
    ///
    /// When it makes no sense or a file cannot be read.
    pub fn plan(&self) -> Result<Arc<Plan>> {
        if self.scenarios.is_empty() {
            bail!("nothing to send; say --scenario, --corpus or --plan");
        }
        let mut fields = String::new();
        for field in &self.headers {
            fields.push_str(field);
            fields.push_str("\r\n");
        }
        let recipe = Recipe {
            seed: self.seed,
            size: self.size,
            invalid: self.invalid,
        };
        let mut addresses = Vec::new();
        let mut scenarios: Vec<Scenario> = Vec::new();
        for spec in &self.scenarios {
            let target = spec.target.as_ref().or(self.target.as_ref());
            let target = target.context("no target; say --target, or target= in each scenario")?;
            let address = target.resolve(self.allow_remote)?;
            let known = addresses.iter().position(|known| *known == address);
            let place = known.unwrap_or_else(|| {
                addresses.push(address);
                addresses.len() - 1
            });
            let prepare = |item| Prepared::new(item, &target.authority, &fields);
            scenarios.push(Scenario {
                label: label(spec, &scenarios)?,
                weight: spec.weight,
                url: target.to_string(),
                address: place,
                items: spec.items(recipe)?.into_iter().map(prepare).collect(),
                team: TeamLine::new(self.team_line.as_deref()),
            });
        }
        for threshold in &self.fail_if {
            if let Some(label) = threshold.label()
                && !scenarios.iter().any(|scenario| scenario.label == label)
            {
                bail!("--fail-if {threshold}: no scenario {label}");
            }
        }
        Ok(Arc::new(Plan {
            scenarios: scenarios.into(),
            addresses,
            load: self.load()?,
            connections: usize::from(self.connections),
            // A thread without a connection would only wait.
            threads: usize::from(self.threads.min(self.connections)),
            timeout: self.timeout,
            check: self.check,
            seed: self.seed,
            tolerance: self.late_after,
            max_late: self.max_late,
            spin: self.spin,
            shard: self.shard,
        }))
    }

    fn load(&self) -> Result<Load> {
        let duration = self.duration.unwrap_or(DEFAULT_DURATION);
        let constant = |rate| Load::Open(Schedule::new(rate, duration, self.requests));
        Ok(match &self.pace {
            Pace::Closed => Load::Closed {
                duration,
                requests: self.requests,
            },
            Pace::Unsaid => constant(DEFAULT_RATE.parse().map_err(|why| anyhow!("{why}"))?),
            Pace::Rate(rate) => constant(*rate),
            Pace::Stages(_) if self.duration.is_some() => {
                bail!("stages have times of their own, so that --duration says nothing")
            }
            Pace::Stages(stages) => Load::Open(Schedule::staged(stages, self.requests)),
        })
    }
}

/// A name of its own for each scenario.
fn label(spec: &Spec, others: &[Scenario]) -> Result<String> {
    let is_taken = |label: &str| others.iter().any(|other| other.label == label);
    if let Some(name) = &spec.name {
        if is_taken(name) {
            bail!("two scenarios are called {name}");
        }
        return Ok(name.clone());
    }
    let name = spec.kind.name();
    let mut label = name.to_owned();
    let mut number = 1;
    while is_taken(&label) {
        number += 1;
        label = format!("{name}-{number}");
    }
    Ok(label)
}
