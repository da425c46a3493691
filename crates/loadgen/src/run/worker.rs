//! One thread of connections.

mod tally;

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

use super::budget::Budget;
use super::pacer::Pacer;
use super::progress::Progress;
use super::stages::StageTally;
use crate::check::Checker;
use crate::client::{Client, Failure};
use crate::corpus::{Depth, Item};
use crate::plan::{Load, Plan, Share};
use crate::random::Random;
use crate::record::{Departure, End, Lateness, Record};
use crate::schedule::Schedule;

/// How long a connection rests after it could not be made, in closed loop.
const REST: Duration = Duration::from_millis(20);
/// How much longer than a connect and an exchange may take the last replies are waited for.
const GRACE: Duration = Duration::from_millis(500);

/// What happened on one thread.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) records: Vec<Record>,
    pub(super) lateness: Lateness,
    pub(super) stages: Vec<StageTally>,
    pub(super) elapsed: Duration,
    pub(super) cpu: Duration,
    pub(super) max_pause: Duration,
    pub(super) cut: u64,
}

/// What the connections of a thread share.
struct Shared {
    plan: Arc<Plan>,
    progress: Arc<Progress>,
    /// Number of this thread's first request in the whole run, over all shards.
    first: u64,
    /// From one of its requests to the next.
    stride: u64,
    start: Instant,
    /// Requests of this thread that were begun.
    begun: Cell<u64>,
    /// Those that were let go as they were due; in open loop.
    let_go: Cell<u64>,
    /// When the last request of any scenario ended, and the longest time between two such ends.
    last_end: Cell<Duration>,
    max_pause: Cell<Duration>,
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
    stages: RefCell<Vec<StageTally>>,
    checker: RefCell<Checker>,
    budget: Budget,
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
    let mut pacer = Pacer::new(plan.spin).context("no timer")?;
    barrier.wait().await;
    let (duration, total) = match &plan.load {
        Load::Closed { duration, requests } => (*duration, *requests),
        Load::Open(schedule) => (schedule.duration(), Some(schedule.len())),
    };
    let cpu = cpu_time();
    let shared = Rc::new(Shared::new(plan, thread, total, progress));
    let mut running = JoinSet::new();
    let senders = connections.len();
    for clients in connections {
        let shared = Rc::clone(&shared);
        running.spawn_local(async move {
            match &shared.plan.load {
                Load::Closed { duration, .. } => shared.send_closed(clients, *duration).await,
                Load::Open(schedule) => shared.send_open(clients, schedule).await,
            }
        });
    }
    let publishing = {
        let shared = Rc::clone(&shared);
        tokio::task::spawn_local(async move { shared.publish().await })
    };
    let all = async {
        if let Load::Open(schedule) = &plan.load {
            shared.release(schedule, &mut pacer).await?;
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
    publishing.abort();
    let elapsed = shared.start.elapsed();
    let cpu = cpu_time().saturating_sub(cpu);
    // Who stops a run in which the target fell behind cuts the requests that wait for a connection, too.
    let due = shared.begun.get().max(shared.let_go.get());
    if let (Load::Open(schedule), false) = (&plan.load, is_stopped) {
        shared.count_unsent(schedule);
    }
    let mut records = shared.records.take();
    records.iter_mut().for_each(Record::finish);
    let ended: u64 = records.iter().map(Record::done).sum();
    Ok(Part {
        records,
        lateness: shared.lateness.take(),
        stages: shared.stages.take(),
        elapsed,
        cpu,
        max_pause: shared.max_pause.get(),
        cut: due.saturating_sub(ended),
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
        // Shard by shard, and in it thread by thread, requests are dealt out like cards.
        let first = plan.shard.index + thread as u64 * plan.shard.of;
        let stride = plan.threads as u64 * plan.shard.of;
        let limit = total.map_or(u64::MAX, |total| {
            total.saturating_sub(first).div_ceil(stride)
        });
        let scenarios = plan.scenarios.len();
        let stages = match &plan.load {
            // Of one stage the whole run tells everything.
            Load::Open(schedule) if schedule.stages().len() > 1 => schedule.stages().len(),
            _ => 0,
        };
        Self {
            plan: Arc::clone(plan),
            progress: Arc::clone(progress),
            first,
            stride,
            start: Instant::now(),
            begun: Cell::new(0),
            let_go: Cell::new(0),
            last_end: Cell::new(Duration::ZERO),
            max_pause: Cell::new(Duration::ZERO),
            is_closing: Cell::new(false),
            limit,
            releases: RefCell::default(),
            due: Semaphore::new(0),
            random: RefCell::new(Random::with_stream(plan.seed, 100 + first)),
            cursors: RefCell::new(vec![usize::try_from(first).unwrap_or(0); scenarios]),
            records: RefCell::new(vec![Record::default(); scenarios]),
            lateness: RefCell::default(),
            stages: RefCell::new(vec![StageTally::default(); stages]),
            checker: RefCell::default(),
            budget: Budget::default(),
        }
    }

    /// Takes the next request of this thread; its number in the whole run.
    fn begin(&self) -> Option<u64> {
        let number = self.begun.get();
        if number >= self.limit || self.is_closing.get() {
            return None;
        }
        self.begun.set(number + 1);
        Some(self.first + number * self.stride)
    }

    /// Closed loop: one request after another.
    async fn send_closed(&self, mut clients: Vec<Client>, duration: Duration) {
        loop {
            let sent = self.start.elapsed();
            if sent >= duration || self.begin().is_none() {
                return;
            }
            let ended = self.exchange(&mut clients, sent, sent).await;
            if ended.failure == Some(Failure::Connect) {
                tokio::time::sleep(REST).await;
            }
        }
    }

    /// Open loop: whatever is due.
    async fn send_open(&self, mut clients: Vec<Client>, schedule: &Schedule) {
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
            let ended = self.exchange(&mut clients, due, sent).await;
            self.count_stage(schedule, index, due, &ended);
            free = self.start.elapsed();
        }
    }

    /// Open loop: lets requests go when they are due.
    async fn release(&self, schedule: &Schedule, pacer: &mut Pacer) -> Result<()> {
        let mut index = self.first;
        while index < schedule.len() {
            pacer.wait_until(self.start + schedule.at(index)).await?;
            let now = self.start.elapsed();
            let mut due = 0;
            while index < schedule.len() && schedule.at(index) <= now {
                due += 1;
                index += self.stride;
            }
            self.releases.borrow_mut().push_back((index, now));
            self.let_go.set(self.let_go.get() + due as u64);
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
    async fn exchange(&self, clients: &mut [Client], due: Duration, sent: Duration) -> Ended {
        let (place, item) = self.draw();
        let scenario = &self.plan.scenarios[place];
        let prepared = &scenario.items[item];
        let client = &mut clients[scenario.address];
        let reply = client.exchange(&prepared.request).await;
        let ended = self.start.elapsed();
        let mut records = self.records.borrow_mut();
        let record = &mut records[place];
        // Bytes count in the second in which their reply ended.
        record.roll_to(ended);
        let pause = ended.saturating_sub(self.last_end.replace(ended));
        self.max_pause.set(self.max_pause.get().max(pause));
        let received = reply.as_ref().map_or(0, |reply| reply.wire_bytes);
        record.add_bytes(prepared.request.len(), received);
        let Item { target, expect } = &prepared.item;
        let end = match reply {
            Err(failure) => End::Failed(failure),
            Ok(reply) if reply.status != 200 => End::Status(reply.status),
            Ok(_) if expect.depth() == Depth::Unchecked || !self.is_checked(ended) => {
                End::Good(Depth::Unchecked)
            }
            Ok(reply) => {
                let body = reply.body;
                let checked = self
                    .checker
                    .borrow_mut()
                    .check(expect, &scenario.team, body);
                if self.plan.check == Share::Auto {
                    self.budget
                        .spend(self.start.elapsed().saturating_sub(ended));
                }
                match checked {
                    Ok(()) => End::Good(expect.depth()),
                    Err(wrong) => End::Wrong {
                        wrong,
                        target,
                        expect,
                        body,
                    },
                }
            }
        };
        record.add(due, sent, ended, end);
        let is_good = matches!(end, End::Good(_));
        self.progress.count(!is_good);
        Ended {
            at: ended,
            is_good,
            failure: match end {
                End::Failed(failure) => Some(failure),
                _ => None,
            },
        }
    }

    /// Whether the next reply is checked.
    fn is_checked(&self, now: Duration) -> bool {
        let mut random = self.random.borrow_mut();
        match self.plan.check {
            Share::All => true,
            Share::Auto => self.budget.allows(now, &mut random),
            Share::Sample(of) => random.below(of) == 0,
            Share::None => false,
        }
    }

    /// The next scenario, and its next item.
    fn draw(&self) -> (usize, usize) {
        let place = self.plan.draw(&mut self.random.borrow_mut());
        let mut cursors = self.cursors.borrow_mut();
        let items = self.plan.scenarios[place].items.len();
        let item = cursors[place] % items;
        cursors[place] = item + usize::try_from(self.stride).unwrap_or(1);
        (place, item)
    }
}

/// How an exchange ended.
struct Ended {
    at: Duration,
    is_good: bool,
    failure: Option<Failure>,
}

/// Processor time of this thread.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}
