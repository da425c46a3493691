//! Look-ups that wait at the same time share one query.
//!
//! A look-up joins a queue. A free connection takes whatever waits, up to a limit, asks for all of
//! it in one query, hands the rows out, lets those who wanted them go on, and comes back for what has
//! come meanwhile. There is no timer: alone, a look-up is asked for at once; the busier the database,
//! the more share a query. A second round trip, parse and plan for each of them is what this saves, on
//! both sides.
//!
//! A pack that has more than its first part is asked for once more as a whole, in a query of its own:
//! the others of its query have their answers by then, and it has its own deadlines.
//!
//! Two connections keep a worker busy; the further ones that it may have are opened only while whole
//! queries wait, as they do where the database is far away.
//!
//! A database that does not answer is left alone but for probes ([`Breaker`]).

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use deadpool::managed::Pool;
use service_kit::metrics::WorkerDurations;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::breaker::{Admission, Breaker, Era, PROBE_PATIENCE};
use crate::config::Deadlines;
use crate::pool::{self, Manager};
use crate::store::{Driver, Rows, StoreError, Wanted};

/// Connections that are used before whole queries have to wait.
const USUAL_CONNECTIONS: usize = 2;

/// Whole queries that have to wait before another connection is used. Fewer, fuller queries are
/// cheaper on both sides: connections opened as soon as one query waits cost a tenth more time.
const QUERIES_BEHIND: usize = 2;

/// One worker's queue and connections. Lives on one thread, inside a `LocalSet`.
pub(crate) struct Batches<D: Driver> {
    shared: Rc<Shared<D>>,
}

struct Shared<D: Driver> {
    pool: Pool<Manager<D>>,
    /// Users in a query at most.
    keys_per_query: usize,
    deadlines: Deadlines,
    /// In the order of arrival. As long as the requests in hand at most, which the kit limits.
    waiting: RefCell<VecDeque<Waiting>>,
    /// Those whose first part came and is not all, since then. As many as have left the queue and
    /// have no answer, at most.
    in_parts: RefCell<VecDeque<Waiting>>,
    /// Whether a task looks after those that wait for too long.
    is_swept: Cell<bool>,
    /// Tasks that empty the queue, each with a connection; at most as many as there are.
    runners: Cell<usize>,
    /// Those of them that wait for an answer.
    asking: Cell<usize>,
    /// Those of them that asked before the database came back: they may hang for as long as they may.
    stuck: Cell<usize>,
    breaker: Breaker,
    /// How long look-ups were in the queue.
    waits: WorkerDurations,
}

/// One look-up.
#[derive(Debug)]
struct Waiting {
    user_id: u64,
    since: Instant,
    reply: oneshot::Sender<Result<Rows, StoreError>>,
}

impl<D: Driver> Batches<D> {
    /// A queue in front of a pool, which asks for at most so many users in a query. `waits` counts how
    /// long look-ups are in the queue.
    pub(crate) fn new(
        pool: Pool<Manager<D>>,
        keys_per_query: usize,
        deadlines: Deadlines,
        waits: WorkerDurations,
    ) -> Self {
        Self {
            shared: Rc::new(Shared {
                pool,
                keys_per_query,
                deadlines,
                waiting: RefCell::default(),
                in_parts: RefCell::default(),
                is_swept: Cell::new(false),
                runners: Cell::new(0),
                asking: Cell::new(0),
                stuck: Cell::new(0),
                breaker: Breaker::default(),
                waits,
            }),
        }
    }

    /// All rows of one user. May be dropped at any point: a look-up that still waits is forgotten,
    /// and the query of one that was taken goes on for the others in it.
    pub(crate) async fn rows(&self, user_id: u64) -> Result<Rows, StoreError> {
        let since = Instant::now();
        let admission = self.shared.breaker.admit(since);
        if admission == Admission::Refused {
            return Err(StoreError::Sick);
        }
        let (reply, answer) = oneshot::channel();
        self.shared.waiting.borrow_mut().push_back(Waiting {
            user_id,
            since,
            reply,
        });
        self.shared.start(admission);
        self.shared.sweep();
        if admission == Admission::Probe {
            // Its query goes on and tells the breaker. Boxed: it is rare, and would make what is kept
            // for every look-up larger.
            let answer = Box::pin(tokio::time::timeout(PROBE_PATIENCE, answer)).await;
            return answer.map_or(Err(StoreError::Timeout), |answer| {
                answer.unwrap_or(Err(StoreError::Timeout))
            });
        }
        // No timer for each: the sweep ends the wait for a connection, and each query has its own
        // deadline. Without an answer the task that had it was ended, as at the end of the worker.
        answer.await.unwrap_or(Err(StoreError::Timeout))
    }
}

/// Counts a task for the queue while it lives.
struct Running<D: Driver>(Rc<Shared<D>>);

impl<D: Driver> Drop for Running<D> {
    fn drop(&mut self) {
        let runners = &self.0.runners;
        runners.set(runners.get().saturating_sub(1));
    }
}

impl<D: Driver> Shared<D> {
    /// Starts another task for the queues where one more is of use.
    fn start(self: &Rc<Self>, admission: Admission) {
        let runners = self.runners.get();
        let is_behind = self.waiting.borrow().len() > QUERIES_BEHIND * self.keys_per_query
            || self.in_parts.borrow().len() > 1;
        let may_have = self.pool.status().max_size;
        // The tasks there are may hang with a database that is back by now.
        let is_probe = admission == Admission::Probe;
        let is_usual = runners < USUAL_CONNECTIONS + self.stuck.get();
        if runners < may_have && (is_usual || is_behind || is_probe) {
            self.runners.set(runners + 1);
            let running = Running(Rc::clone(self));
            tokio::task::spawn_local(async move { running.0.run().await });
        }
    }

    /// Starts the task that refuses those who wait for too long, where none runs.
    fn sweep(self: &Rc<Self>) {
        if self.is_swept.replace(true) {
            return;
        }
        let shared = Rc::clone(self);
        // It sleeps before it looks. A queue is mostly empty a moment after somebody joined it, and to
        // end then would be to start anew with nearly every look-up.
        let mut end = Instant::now() + shared.deadlines.wait;
        tokio::task::spawn_local(async move {
            loop {
                tokio::time::sleep_until(end).await;
                shared.refuse_late(Instant::now());
                let Some(since) = shared.oldest() else { break };
                end = since + shared.deadlines.wait;
            }
            shared.is_swept.set(false);
        });
    }

    /// Empties the queues, of which neither waits for all of the other.
    async fn run(self: &Rc<Self>) {
        let mut batch = Vec::with_capacity(self.keys_per_query);
        let mut keys = Vec::with_capacity(self.keys_per_query);
        loop {
            let in_parts = self.take_in_parts();
            let was_in_parts = in_parts.is_some();
            if let Some(waiting) = in_parts {
                self.ask_for_all(waiting).await;
            }
            self.take(&mut batch, &mut keys);
            if batch.is_empty() {
                if was_in_parts {
                    continue;
                }
                return;
            }
            let began = self.begin();
            let wanted = Wanted::FirstParts(&keys);
            let found = pool::rows(&self.pool, wanted, self.deadlines()).await;
            self.end(began);
            if matches!(found, Err(StoreError::NoConnection(_))) && self.give_back(&mut batch) {
                if self.pool.status().available > 0 {
                    continue;
                }
                return;
            }
            self.judge(began, found.as_ref().err());
            // Who gave up in the meantime does not hear the answer.
            match found {
                Ok(mut found) => batch.drain(..).for_each(|waiting: Waiting| {
                    let rows = found.take(waiting.user_id);
                    self.answer(waiting, rows);
                }),
                Err(error) => batch.drain(..).for_each(|waiting| {
                    let _ = waiting.reply.send(Err(error.clone()));
                }),
            }
            // Those who have their answers now mostly make room for the next who ask: together with
            // them the next query is half as large again, which is cheaper on both sides.
            tokio::task::yield_now().await;
        }
    }

    /// A query begins.
    fn begin(&self) -> Era {
        self.asking.set(self.asking.get() + 1);
        self.breaker.era()
    }

    /// It ended, one way or the other.
    fn end(&self, began: Era) {
        self.asking.set(self.asking.get().saturating_sub(1));
        if began != self.breaker.era() {
            self.stuck.set(self.stuck.get().saturating_sub(1));
        }
    }

    /// Deadlines of the next query.
    fn deadlines(&self) -> Deadlines {
        let mut deadlines = self.deadlines;
        // Others connect for as long as they may: so a database that is slow to greet is found, too.
        let is_last = self.runners.get() >= self.pool.status().max_size;
        if is_last && let Some(patience) = self.breaker.patience() {
            // Of one that was slow to greet the last time, nothing else is to be expected.
            let usual = self.pool.manager().connecting_took();
            let patience = patience.max(usual.saturating_mul(2));
            deadlines.connect = deadlines.connect.min(patience);
        }
        deadlines
    }

    /// Hands rows out, unless the pack has more parts than the first.
    fn answer(self: &Rc<Self>, waiting: Waiting, rows: Result<Rows, StoreError>) {
        if rows.as_ref().is_ok_and(Rows::has_more) {
            let since = Instant::now();
            let waiting = Waiting { since, ..waiting };
            self.in_parts.borrow_mut().push_back(waiting);
            self.start(Admission::Usual);
            self.sweep();
        } else {
            let _ = waiting.reply.send(rows);
        }
    }

    /// The next one whose pack has several parts; who has gone is left out.
    fn take_in_parts(&self) -> Option<Waiting> {
        let mut in_parts = self.in_parts.borrow_mut();
        loop {
            let next = in_parts.pop_front()?;
            if !next.reply.is_closed() {
                return Some(next);
            }
        }
    }

    /// Asks for all parts of a pack. Parts of two times do not fit together, so the first is among
    /// them.
    async fn ask_for_all(&self, waiting: Waiting) {
        let began = self.begin();
        let wanted = Wanted::All(waiting.user_id);
        let found = pool::rows(&self.pool, wanted, self.deadlines).await;
        self.end(began);
        let error = found.as_ref().err();
        // The database has just answered; that a long pack takes too long is no sign of sickness.
        if error != Some(&StoreError::Timeout) {
            self.judge(began, error);
        }
        let rows = found.and_then(|mut found| found.take(waiting.user_id));
        let _ = waiting.reply.send(rows);
    }

    /// When the one that has waited for longest came.
    fn oldest(&self) -> Option<Instant> {
        let queues = [&self.waiting, &self.in_parts].into_iter();
        let first =
            |queue: &RefCell<VecDeque<Waiting>>| queue.borrow().front().map(|one| one.since);
        queues.filter_map(first).min()
    }

    /// Tells all that have waited for too long that all connections are in use.
    fn refuse_late(&self, now: Instant) {
        let is_late = |waiting: &mut Waiting| now >= waiting.since + self.deadlines.wait;
        for queue in [&self.waiting, &self.in_parts] {
            while let Some(late) = queue.borrow_mut().pop_front_if(is_late) {
                let _ = late.reply.send(Err(StoreError::Busy));
            }
        }
    }

    /// Puts look-ups back to the front of the queue when there are other connections for them: the
    /// database may refuse further ones and go on with those that it has.
    fn give_back(&self, batch: &mut Vec<Waiting>) -> bool {
        let status = self.pool.status();
        let others_work = status.available > 0 || (status.size > 0 && self.runners.get() > 1);
        if others_work {
            let mut waiting = self.waiting.borrow_mut();
            batch
                .drain(..)
                .rev()
                .for_each(|look_up| waiting.push_front(look_up));
        }
        others_work
    }

    /// Tells the breaker how a query went.
    fn judge(&self, began: Era, error: Option<&StoreError>) {
        match error {
            None => {
                if self.breaker.succeeded() {
                    self.stuck.set(self.asking.get());
                    tracing::info!("the database answers look-ups again");
                }
            }
            // Says nothing about the database.
            Some(StoreError::Busy) => {}
            Some(error) => {
                if self.breaker.failed(began, Instant::now()) {
                    tracing::warn!(%error, "the database does not answer look-ups; probing it");
                }
            }
        }
    }

    /// Takes what waits, up to a whole query of different users; who has gone is left out.
    fn take(&self, batch: &mut Vec<Waiting>, keys: &mut Vec<u64>) {
        keys.clear();
        let mut waiting = self.waiting.borrow_mut();
        let now = Instant::now();
        while keys.len() < self.keys_per_query
            && let Some(next) = waiting.pop_front()
        {
            if next.reply.is_closed() {
                continue;
            }
            if keys.contains(&next.user_id) {
                // Somebody asked, went away and another asked again: for the next query.
                waiting.push_front(next);
                return;
            }
            self.waits.observe(now.duration_since(next.since));
            keys.push(next.user_id);
            batch.push(next);
        }
    }
}

#[cfg(test)]
mod tests;
