//! One thread of connections.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::{Barrier, Semaphore, watch};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::timeout;

use super::Progress;
use super::pacer::Pacer;
use crate::check::Checker;
use crate::client::{Client, Failure};
use crate::corpus::Item;
use crate::plan::{Load, Plan};
use crate::random::Random;
use crate::record::{Departure, End, Lateness, Record};

/// How long a connection rests after it could not be made, in closed loop.
const REST: Duration = Duration::from_millis(20);
/// How much longer than a connect and an exchange may take the last replies are waited for.
const GRACE: Duration = Duration::from_millis(500);

/// What happened on one thread.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) records: Vec<Record>,
    pub(super) lateness: Lateness,
    pub(super) elapsed: Duration,
    pub(super) cpu: Duration,
    pub(super) cut: u64,
}

/// What the connections of a thread share.
struct Shared {
    plan: Arc<Plan>,
    progress: Arc<Progress>,
    thread: usize,
    start: Instant,
    /// Requests of this thread that were begun.
    begun: Cell<u64>,
    /// Whether no more are begun.
    is_closing: Cell<bool>,
    /// Requests of this thread in all, if that is known.
    limit: u64,
    /// For each time that requests were let go: the number after the last of them, and when. One
    /// entry for a wake-up of the timer, gone when its last request is sent.
    releases: RefCell<VecDeque<(u64, Duration)>>,
    /// Requests that are due and not begun; in open loop.
    due: Semaphore,
    random: RefCell<Random>,
    /// The next item of each scenario.
    cursors: RefCell<Vec<usize>>,
    records: RefCell<Vec<Record>>,
    lateness: RefCell<Lateness>,
    checker: RefCell<Checker>,
}

/// Runs one thread's share of a plan.
pub(super) fn drive(
    plan: &Arc<Plan>,
    thread: usize,
    barrier: &Barrier,
    stopped: watch::Receiver<bool>,
    progress: &Arc<Progress>,
) -> Result<Part> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime")?;
    let tasks = LocalSet::new();
    tasks.block_on(
        &runtime,
        drive_here(plan, thread, barrier, stopped, progress),
    )
}

async fn drive_here(
    plan: &Arc<Plan>,
    thread: usize,
    barrier: &Barrier,
    mut stopped: watch::Receiver<bool>,
    progress: &Arc<Progress>,
) -> Result<Part> {
    let mut connections = Vec::new();
    for _ in (thread..plan.connections).step_by(plan.threads) {
        let clients = plan.addresses.iter();
        let clients = clients.map(|address| Client::new(*address, plan.timeout));
        connections.push(clients.collect::<Vec<_>>());
    }
    tokio::select! {
        () = connect(&mut connections) => {}
        // Seen again below.
        _ = stopped.wait_for(|stopped| *stopped) => {}
    }
    let mut pacer = Pacer::new().context("no timer")?;
    barrier.wait().await;
    let (duration, total) = match plan.load {
        Load::Closed { duration, requests } => (duration, requests),
        Load::Open(schedule) => (schedule.at(schedule.len()), Some(schedule.len())),
    };
    let cpu = cpu_time();
    let shared = Rc::new(Shared::new(plan, thread, total, progress));
    let mut running = JoinSet::new();
    let senders = connections.len();
    for clients in connections {
        let shared = Rc::clone(&shared);
        running.spawn_local(async move {
            match shared.plan.load {
                Load::Closed { duration, .. } => shared.send_closed(clients, duration).await,
                Load::Open(_) => shared.send_open(clients).await,
            }
        });
    }
    let all = async {
        if let Load::Open(_) = plan.load {
            shared.release(&mut pacer).await?;
            // One more for each connection, so that it sees that nothing is left.
            shared.due.add_permits(senders);
        }
        while let Some(ended) = running.join_next().await {
            ended.context("a connection panicked")?;
        }
        anyhow::Ok(())
    };
    let to_the_end = async {
        tokio::pin!(all);
        let last_send = duration.saturating_add(plan.timeout);
        if let Ok(ended) = timeout(last_send, &mut all).await {
            return ended;
        }
        // What is due and not sent by now never is; what is under way ends or times out.
        shared.is_closing.set(true);
        shared.due.add_permits(senders);
        let longest = plan.timeout.saturating_mul(2).saturating_add(GRACE);
        timeout(longest, &mut all).await.unwrap_or(Ok(()))
    };
    let is_stopped = tokio::select! {
        ended = to_the_end => {
            ended?;
            false
        }
        _ = stopped.wait_for(|stopped| *stopped) => true,
    };
    running.shutdown().await;
    let elapsed = shared.start.elapsed();
    let cpu = cpu_time().saturating_sub(cpu);
    let begun = shared.begun.get();
    if let (Load::Open(_), false) = (plan.load, is_stopped) {
        shared.count_unsent();
    }
    let records = shared.records.take();
    let ended: u64 = records.iter().map(Record::done).sum();
    Ok(Part {
        records,
        lateness: shared.lateness.take(),
        elapsed,
        cpu,
        cut: begun.saturating_sub(ended),
    })
}

/// Connects before the clock starts, until that fails: who is not connected tries with the first
/// request, where it counts.
async fn connect(connections: &mut [Vec<Client>]) {
    for client in connections.iter_mut().flatten() {
        if client.connect().await.is_err() {
            return;
        }
    }
}

impl Shared {
    fn new(plan: &Arc<Plan>, thread: usize, total: Option<u64>, progress: &Arc<Progress>) -> Self {
        let threads = plan.threads as u64;
        let limit = total.map_or(u64::MAX, |total| {
            total.saturating_sub(thread as u64).div_ceil(threads)
        });
        let scenarios = plan.scenarios.len();
        Self {
            plan: Arc::clone(plan),
            progress: Arc::clone(progress),
            thread,
            start: Instant::now(),
            begun: Cell::new(0),
            is_closing: Cell::new(false),
            limit,
            releases: RefCell::default(),
            due: Semaphore::new(0),
            random: RefCell::new(Random::with_stream(plan.seed, 100 + thread as u64)),
            cursors: RefCell::new(vec![thread; scenarios]),
            records: RefCell::new(vec![Record::default(); scenarios]),
            lateness: RefCell::default(),
            checker: RefCell::default(),
        }
    }

    /// Takes the next request of this thread; its number in the whole run.
    fn begin(&self) -> Option<u64> {
        let number = self.begun.get();
        if number >= self.limit || self.is_closing.get() {
            return None;
        }
        self.begun.set(number + 1);
        Some(self.thread as u64 + number * self.plan.threads as u64)
    }

    /// Closed loop: one request after another.
    async fn send_closed(&self, mut clients: Vec<Client>, duration: Duration) {
        loop {
            let sent = self.start.elapsed();
            if sent >= duration || self.begin().is_none() {
                return;
            }
            if self.exchange(&mut clients, sent, sent).await == Some(Failure::Connect) {
                tokio::time::sleep(REST).await;
            }
        }
    }

    /// Open loop: whatever is due.
    async fn send_open(&self, mut clients: Vec<Client>) {
        let Load::Open(schedule) = self.plan.load else {
            return;
        };
        let mut free = Duration::ZERO;
        loop {
            let Ok(permit) = self.due.acquire().await else {
                return;
            };
            permit.forget();
            let Some(index) = self.begin() else {
                return;
            };
            let due = schedule.at(index);
            let sent = self.start.elapsed();
            let tolerance = self.plan.tolerance;
            let departure = Departure {
                due,
                released: self.released(index),
                free,
                sent,
            };
            self.lateness.borrow_mut().add(departure, tolerance);
            self.exchange(&mut clients, due, sent).await;
            free = self.start.elapsed();
        }
    }

    /// Open loop: lets requests go when they are due.
    async fn release(&self, pacer: &mut Pacer) -> Result<()> {
        let Load::Open(schedule) = self.plan.load else {
            return Ok(());
        };
        let mut index = self.thread as u64;
        while index < schedule.len() {
            pacer.wait_until(self.start + schedule.at(index)).await?;
            let now = self.start.elapsed();
            let mut due = 0;
            while index < schedule.len() && schedule.at(index) <= now {
                due += 1;
                index += self.plan.threads as u64;
            }
            self.releases.borrow_mut().push_back((index, now));
            self.due.add_permits(due);
        }
        Ok(())
    }

    /// When a request was let go; requests ask in their order.
    fn released(&self, index: u64) -> Duration {
        let mut releases = self.releases.borrow_mut();
        while releases.front().is_some_and(|(end, _)| *end <= index) {
            releases.pop_front();
        }
        releases.front().map_or(Duration::ZERO, |(_, at)| *at)
    }

    /// Sends a request of a scenario drawn by weight, checks and records.
    async fn exchange(
        &self,
        clients: &mut [Client],
        due: Duration,
        sent: Duration,
    ) -> Option<Failure> {
        let (place, item) = self.draw();
        let scenario = &self.plan.scenarios[place];
        let prepared = &scenario.items[item];
        let is_checked = {
            let mut random = self.random.borrow_mut();
            self.plan.check.includes_next(&mut random)
        };
        let client = &mut clients[scenario.address];
        let reply = client.exchange(&prepared.request).await;
        let ended = self.start.elapsed();
        let mut records = self.records.borrow_mut();
        let record = &mut records[place];
        record.bytes_out += prepared.request.len() as u64;
        let Item { target, expect } = &prepared.item;
        let end = match reply {
            Err(failure) => End::Failed(failure),
            Ok(reply) => {
                record.bytes_in += reply.wire_bytes as u64;
                let body = reply.body;
                let mut checker = self.checker.borrow_mut();
                if reply.status != 200 {
                    End::Status(reply.status)
                } else if !is_checked {
                    End::Good { checked: false }
                } else {
                    match checker.check(expect, &scenario.team, body) {
                        Ok(()) => End::Good { checked: true },
                        Err(wrong) => End::Wrong {
                            wrong,
                            target,
                            body,
                        },
                    }
                }
            }
        };
        record.add(due, sent, ended, end);
        self.progress.count(!matches!(end, End::Good { .. }));
        match end {
            End::Failed(failure) => Some(failure),
            _ => None,
        }
    }

    /// The next scenario, and its next item.
    fn draw(&self) -> (usize, usize) {
        let place = self.plan.draw(&mut self.random.borrow_mut());
        let mut cursors = self.cursors.borrow_mut();
        let item = cursors[place] % self.plan.scenarios[place].items.len();
        cursors[place] = item + self.plan.threads;
        (place, item)
    }

    /// Counts as failed what was due and never sent.
    fn count_unsent(&self) {
        let Load::Open(schedule) = self.plan.load else {
            return;
        };
        self.is_closing.set(false);
        let now = self.start.elapsed();
        let mut records = self.records.borrow_mut();
        while let Some(index) = self.begin() {
            let place = self.plan.draw(&mut self.random.borrow_mut());
            let due = schedule.at(index);
            records[place].add(due, now, now, End::Failed(Failure::Unsent));
        }
    }
}

/// Processor time of this thread.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}
