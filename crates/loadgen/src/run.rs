//! A run: threads of connections, until time, number or the user ends it.

mod budget;
mod pacer;
mod progress;
mod signals;
mod stages;
mod worker;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;
use tokio::sync::{Barrier, mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};

use crate::client::Client;
use crate::failure::Failure;
use crate::plan::{Load, Plan};
use crate::record::{Lateness, Record};

pub use progress::{Fresh, Snapshot};
pub use signals::Signals;
pub use stages::StageTally;

use progress::Progress;

/// Share of its time that a thread of the tool may compute before its figures are its own.
const MAX_BUSY: f64 = 0.95;
/// How often the caller hears how it goes.
const TICK: Duration = Duration::from_millis(500);

/// What happened.
#[derive(Debug, Default)]
pub struct Outcome {
    /// One for each scenario, in the order of the plan.
    pub records: Vec<Record>,
    /// Did the tool keep its schedule; empty in closed loop.
    pub lateness: Lateness,
    /// One for each stage of an open loop, if there is more than one.
    pub stages: Vec<StageTally>,
    /// When it began.
    pub started: Option<SystemTime>,
    /// From the first send to the last end.
    pub elapsed: Duration,
    /// Processor time of the tool.
    pub cpu: Duration,
    /// The largest share of its time that a thread of the tool computed.
    pub busy: f64,
    /// The longest time in which nothing ended at all, on one thread.
    pub max_pause: Duration,
    /// Requests that were due and had no end when the run was stopped, sent or not.
    pub cut: u64,
    /// Whether the user stopped it.
    pub stopped: bool,
}

impl Outcome {
    /// All scenarios together.
    pub fn total(&self) -> Record {
        let mut total = Record::default();
        for record in &self.records {
            total.merge(record);
        }
        // While one scenario paused others may have gone on.
        total.max_pause = self.max_pause;
        total
    }

    /// What a reader of valid figures should know all the same.
    pub fn notes(&self, plan: &Plan) -> Vec<String> {
        let is_closed = matches!(plan.load, Load::Closed { .. });
        let is_saturated = is_closed && self.busy > MAX_BUSY;
        let note = format!(
            "a thread of the tool computed {:.0} % of the time: the tool was the limit or near it, and the target \
             may do more; give the tool --threads or a machine of its own",
            self.busy * 100.0
        );
        is_saturated.then_some(note).into_iter().collect()
    }

    /// Why the figures of an open loop are not those of the target, if so.
    pub fn invalid(&self, plan: &Plan) -> Option<String> {
        if matches!(plan.load, Load::Closed { .. }) {
            return None;
        }
        if self.lateness.exceeds(plan.max_late) {
            return Some(format!(
                "{} of {} sends were over {} ms late because of the tool",
                self.lateness.late_by_tool,
                self.lateness.sent,
                plan.tolerance.as_millis()
            ));
        }
        // Who spins computes all the time.
        (!plan.spin && self.busy > MAX_BUSY).then(|| {
            format!(
                "a thread of the tool computed {:.0} % of the time",
                self.busy * 100.0
            )
        })
    }

    fn add(&mut self, part: worker::Part) {
        if self.records.is_empty() {
            self.records = part.records;
        } else {
            for (record, more) in self.records.iter_mut().zip(&part.records) {
                record.merge(more);
            }
        }
        self.lateness.merge(&part.lateness);
        if self.stages.is_empty() {
            self.stages = part.stages;
        } else {
            for (stage, more) in self.stages.iter_mut().zip(&part.stages) {
                stage.merge(more);
            }
        }
        self.elapsed = self.elapsed.max(part.elapsed);
        self.cpu += part.cpu;
        let busy = part.cpu.as_secs_f64() / part.elapsed.as_secs_f64().max(1e-9);
        self.busy = self.busy.max(busy);
        self.cut += part.cut;
        self.max_pause = self.max_pause.max(part.max_pause);
    }
}

/// Runs a plan; `on_tick` hears twice a second how it goes.
///
/// # Errors
///
/// When a target does not accept connections, or the system refuses threads or timers.
pub async fn run(
    plan: &Arc<Plan>,
    signals: &mut Signals,
    mut on_tick: impl FnMut(&Snapshot),
) -> Result<Outcome, Failure> {
    for address in &plan.addresses {
        let mut client = Client::new(*address, plan.timeout);
        if client.connect().await.is_err() {
            let error = anyhow::anyhow!("{address} does not accept connections");
            return Err(Failure::unreachable(error));
        }
    }
    // From here on a signal ends the run and not the program.
    signals.listen().map_err(Failure::io)?;
    let started = Instant::now();
    let began = SystemTime::now();
    let barrier = Arc::new(Barrier::new(plan.threads));
    let (stop, stopped) = watch::channel(false);
    let (parts, mut finished) = mpsc::channel(plan.threads);
    let mut progress = Vec::new();
    for thread in 0..plan.threads {
        let counts = Arc::new(Progress::default());
        progress.push(Arc::clone(&counts));
        let (plan, barrier) = (Arc::clone(plan), Arc::clone(&barrier));
        let (stopped, parts) = (stopped.clone(), parts.clone());
        std::thread::Builder::new()
            .name(format!("load-{thread}"))
            .spawn(move || {
                let part = worker::drive(&plan, thread, &barrier, stopped, &counts);
                // The receiver waits for every part, unless another one failed.
                let _ = parts.blocking_send(part);
            })
            .context("no thread")
            .map_err(Failure::io)?;
    }
    drop(parts);
    let mut outcome = Outcome {
        started: Some(began),
        ..Outcome::default()
    };
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks.tick().await;
    let mut missing = plan.threads;
    while missing > 0 {
        tokio::select! {
            part = finished.recv() => {
                match part {
                    Some(part) => outcome.add(part.map_err(Failure::io)?),
                    None => return Err(Failure::io(anyhow::anyhow!("a thread panicked"))),
                }
                missing -= 1;
            }
            () = signals.wait(), if !outcome.stopped => {
                outcome.stopped = true;
                // Fails only when every thread has ended.
                let _ = stop.send(true);
            }
            _ = ticks.tick() => {
                on_tick(&Snapshot::take(started.elapsed(), &progress));
            }
        }
    }
    Ok(outcome)
}
