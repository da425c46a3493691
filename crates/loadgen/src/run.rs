//! A run: threads of connections, until time, number or the user ends it.

mod pacer;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Barrier, mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};

use crate::client::Client;
use crate::failure::Failure;
use crate::plan::{Load, Plan};
use crate::record::{Lateness, Record};

/// Share of its time that a thread of the tool may compute before its figures are its own.
const MAX_BUSY: f64 = 0.95;

/// What happened.
#[derive(Debug, Default)]
pub struct Outcome {
    /// One for each scenario, in the order of the plan.
    pub records: Vec<Record>,
    /// Did the tool keep its schedule; empty in closed loop.
    pub lateness: Lateness,
    /// From the first send to the last end.
    pub elapsed: Duration,
    /// Processor time of the tool.
    pub cpu: Duration,
    /// The largest share of its time that a thread of the tool computed.
    pub busy: f64,
    /// Requests without an end when the run was stopped.
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
        total
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
        (self.busy > MAX_BUSY).then(|| {
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
        self.elapsed = self.elapsed.max(part.elapsed);
        self.cpu += part.cpu;
        let busy = part.cpu.as_secs_f64() / part.elapsed.as_secs_f64().max(1e-9);
        self.busy = self.busy.max(busy);
        self.cut += part.cut;
    }
}

/// Counts that other threads may read while a run goes on.
#[derive(Debug, Default)]
pub struct Progress {
    done: AtomicU64,
    errors: AtomicU64,
}

impl Progress {
    fn count(&self, is_error: bool) {
        self.done.fetch_add(1, Ordering::Relaxed);
        if is_error {
            self.errors.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What is known while a run goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Since the start, connecting included.
    pub elapsed: Duration,
    /// Requests that ended.
    pub done: u64,
    /// Those that did not end well.
    pub errors: u64,
}

/// Runs a plan; `on_second` hears every second how it goes.
///
/// # Errors
///
/// When a target does not accept connections, or the system refuses threads or timers.
pub async fn run(
    plan: &Arc<Plan>,
    mut on_second: impl FnMut(Snapshot),
) -> Result<Outcome, Failure> {
    for address in &plan.addresses {
        let mut client = Client::new(*address, plan.timeout);
        if client.connect().await.is_err() {
            let error = anyhow::anyhow!("{address} does not accept connections");
            return Err(Failure::unreachable(error));
        }
    }
    // From here on a signal ends the run and not the program.
    let mut interrupted = signal(SignalKind::interrupt()).map_err(Failure::io)?;
    let mut terminated = signal(SignalKind::terminate()).map_err(Failure::io)?;
    let started = Instant::now();
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
    let mut outcome = Outcome::default();
    let mut ticks = interval(Duration::from_secs(1));
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
            _ = interrupted.recv(), if !outcome.stopped => {
                outcome.stopped = true;
                // Fails only when every thread has ended.
                let _ = stop.send(true);
            }
            _ = terminated.recv(), if !outcome.stopped => {
                outcome.stopped = true;
                let _ = stop.send(true);
            }
            _ = ticks.tick() => {
                let sum = |read: fn(&Progress) -> &AtomicU64| {
                    progress.iter().map(|counts| read(counts).load(Ordering::Relaxed)).sum()
                };
                on_second(Snapshot {
                    elapsed: started.elapsed(),
                    done: sum(|counts| &counts.done),
                    errors: sum(|counts| &counts.errors),
                });
            }
        }
    }
    Ok(outcome)
}
