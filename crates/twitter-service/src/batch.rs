//! Look-ups that wait at the same time share one query.
//!
//! A look-up joins a queue. A free connection takes whatever waits, up to a limit, asks for all of
//! it in one query, hands the rows out and comes back for what has come meanwhile. There is no
//! timer: alone, a look-up is asked for at once; the busier the database, the more share a query. A
//! second round trip, parse and plan for each of them is what this saves, on both sides.
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
        if self.breaker.is_suspicious() && self.runners.get() >= self.pool.status().max_size {
            deadlines.connect = deadlines.connect.min(PROBE_PATIENCE);
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
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use database_address::Address;
    use futures_util::future::join_all;
    use tokio::sync::Semaphore;
    use tokio::task::LocalSet;
    use tokio::time::timeout;
    use twitter_core::table::MAX_PART_BYTES;

    use super::*;
    use crate::store::{Found, MAX_KEYS, Packs};

    const DEADLINES: Deadlines = Deadlines {
        wait: Duration::from_millis(100),
        connect: Duration::from_millis(100),
        query: Duration::from_millis(100),
    };
    /// A user whose query fails.
    const FAILS: u64 = 666;

    /// From here on users have a pack in two parts.
    const LARGE: u64 = 1_000;

    /// Notes the keys of each query; one for first parts takes a permit, one for all parts its time.
    /// Connections that are begun while packets are lost never come about.
    #[derive(Clone, Debug)]
    struct Fake {
        asked: Arc<Mutex<Vec<Vec<u64>>>>,
        permits: Arc<Semaphore>,
        all_takes: Duration,
        loses: Arc<AtomicBool>,
    }

    impl Fake {
        fn new(permits: usize) -> Self {
            Self {
                asked: Arc::default(),
                permits: Arc::new(Semaphore::new(permits)),
                all_takes: Duration::ZERO,
                loses: Arc::default(),
            }
        }

        fn asked(&self) -> Vec<Vec<u64>> {
            self.asked.lock().unwrap().clone()
        }

        fn batches(&self, connections: usize) -> Batches<Self> {
            self.batches_of(MAX_KEYS, connections)
        }

        fn batches_of(&self, keys_per_query: usize, connections: usize) -> Batches<Self> {
            let pool = pool::new(self.clone(), connections, DEADLINES);
            Batches::new(pool, keys_per_query, DEADLINES, WorkerDurations::default())
        }
    }

    impl Driver for Fake {
        type Connection = ();

        async fn connect(&self) -> Result<(), StoreError> {
            if self.loses.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            Ok(())
        }

        async fn ping(&self, (): &mut ()) -> Result<(), StoreError> {
            Ok(())
        }

        async fn rows(&self, (): &mut (), wanted: Wanted<'_>) -> Result<Found, StoreError> {
            let user_ids = match wanted {
                Wanted::FirstParts(user_ids) => user_ids,
                Wanted::All(user_id) => {
                    self.asked.lock().unwrap().push(vec![user_id]);
                    tokio::time::sleep(self.all_takes).await;
                    let mut found = Found::default();
                    for (part, bytes) in (0..).zip(large().chunks(MAX_PART_BYTES)) {
                        found.push(user_id, part, bytes);
                    }
                    return Ok(found);
                }
            };
            self.asked.lock().unwrap().push(user_ids.to_vec());
            self.permits.acquire().await.unwrap().forget();
            if user_ids.contains(&FAILS) {
                return Err(StoreError::Failed("no".into()));
            }
            let mut found = Found::default();
            for user_id in user_ids.iter().filter(|id| *id % 2 == 0) {
                if *user_id < LARGE {
                    found.push(*user_id, 0, &whole_part());
                } else {
                    found.push(*user_id, 0, &large()[..MAX_PART_BYTES]);
                }
            }
            Ok(found)
        }
    }

    /// As much of a pack as joining its parts looks at: version and length.
    fn whole_part() -> [u8; 64] {
        let mut part = [0; 64];
        part[0] = twitter_core::record::PACK_VERSION;
        part[8] = 64;
        part
    }

    /// The same of a pack in two parts.
    fn large() -> Vec<u8> {
        let mut pack = vec![0; MAX_PART_BYTES + 64];
        pack[0] = twitter_core::record::PACK_VERSION;
        let len = u32::try_from(pack.len()).unwrap();
        pack[8..12].copy_from_slice(&len.to_le_bytes());
        pack
    }

    async fn local<T>(test: impl Future<Output = T>) -> T {
        LocalSet::new().run_until(test).await
    }

    /// Lets all tasks go as far as they can.
    async fn settle() {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_together_is_asked_for_together() {
        let fake = Fake::new(1000);
        let batches = fake.batches(1);
        let answers = local(join_all((0..100).map(|user| batches.rows(user)))).await;
        for (user, rows) in (0..100).zip(answers) {
            let rows = format!("{:?}", rows.unwrap());
            assert_eq!(
                rows.contains("parts: Some"),
                user % 2 == 0,
                "{user}: {rows}"
            );
        }
        let sizes: Vec<usize> = fake.asked().iter().map(Vec::len).collect();
        assert_eq!(sizes, [32, 32, 32, 4]);
    }

    #[tokio::test(start_paused = true)]
    async fn queries_are_not_shared_where_that_is_turned_off() {
        let fake = Fake::new(1000);
        let batches = fake.batches_of(1, 1);
        let answers = local(join_all((0..5).map(|user| batches.rows(user)))).await;
        assert!(answers.iter().all(Result::is_ok));
        assert_eq!(fake.asked(), [[0], [1], [2], [3], [4]]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_alone_is_asked_for_at_once() {
        let fake = Fake::new(1000);
        let batches = fake.batches(4);
        local(async {
            for user in 0..3 {
                assert!(batches.rows(user).await.is_ok());
            }
        })
        .await;
        assert_eq!(fake.asked(), [[0], [1], [2]]);
    }

    #[tokio::test(start_paused = true)]
    async fn further_connections_come_only_when_whole_queries_wait() {
        for (look_ups, connections) in [(1, 1..=1), (34, 2..=2), (120, 3..=8)] {
            let fake = Fake::new(0);
            let batches = fake.batches(8);
            local(async {
                let all = join_all((0..look_ups).map(|user| {
                    let batches = &batches;
                    async move {
                        // One after the other, as requests come in.
                        for _ in 0..user {
                            tokio::task::yield_now().await;
                        }
                        batches.rows(user).await
                    }
                }));
                let watch = async {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    let busy = fake.asked().len();
                    assert!(connections.contains(&busy), "{look_ups}: {busy}");
                    fake.permits.add_permits(1000);
                };
                let (answers, ()) = futures_util::future::join(all, watch).await;
                assert!(answers.iter().all(Result::is_ok));
            })
            .await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_query_fails_those_in_it_and_no_others() {
        let fake = Fake::new(1000);
        let batches = fake.batches(1);
        local(async {
            let (failed, together) =
                futures_util::future::join(batches.rows(FAILS), batches.rows(1)).await;
            assert!(matches!(failed, Err(StoreError::Failed(_))));
            assert!(matches!(together, Err(StoreError::Failed(_))));
            assert!(batches.rows(1).await.is_ok());
        })
        .await;
    }

    /// Asks for small and large packs together: how each one went, and when.
    async fn large_ones(
        fake: &Fake,
        connections: usize,
    ) -> Vec<(u64, Result<usize, StoreError>, u128)> {
        let batches = fake.batches(connections);
        let answers = local(async {
            let started = Instant::now();
            let users = [2, LARGE, LARGE + 2, LARGE + 4, LARGE + 6, 4];
            let asked = users.map(|user| {
                let batches = &batches;
                async move {
                    let rows = batches.rows(user).await;
                    let bytes = rows.map(|rows| rows.parts.unwrap().finish().unwrap().len());
                    (user, bytes, started.elapsed().as_millis())
                }
            });
            join_all(asked).await
        });
        let answers = answers.await;
        assert_eq!(
            batches.shared.breaker.admit(Instant::now()),
            Admission::Usual
        );
        assert!(batches.shared.in_parts.borrow().is_empty());
        assert_eq!(batches.shared.runners.get(), 0);
        answers
    }

    #[tokio::test(start_paused = true)]
    async fn packs_in_parts_have_deadlines_of_their_own_and_hold_nobody_up() {
        let fake = Fake {
            // Two of them take longer than one query may.
            all_takes: DEADLINES.query * 6 / 10,
            ..Fake::new(1000)
        };
        for (user, bytes, millis) in large_ones(&fake, 8).await {
            if user < LARGE {
                assert_eq!((bytes, millis), (Ok(64), 0));
            } else {
                assert_eq!(bytes, Ok(large().len()));
                assert!((60..70).contains(&millis), "{user} after {millis} ms");
            }
        }
        // With one connection, what has to wait for too long is refused.
        let mut refused = 0;
        for (user, bytes, millis) in large_ones(&fake, 1).await {
            if user < LARGE {
                assert_eq!((bytes, millis), (Ok(64), 0));
            } else if bytes == Err(StoreError::Busy) {
                refused += 1;
                assert!((100..110).contains(&millis), "{user} after {millis} ms");
            } else {
                assert_eq!(bytes, Ok(large().len()));
            }
        }
        assert_eq!(refused, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pack_that_takes_too_long_does_not_make_the_database_sick() {
        let fake = Fake {
            all_takes: DEADLINES.query * 2,
            ..Fake::new(1000)
        };
        for (user, bytes, millis) in large_ones(&fake, 4).await {
            if user < LARGE {
                assert_eq!((bytes, millis), (Ok(64), 0));
            } else {
                assert_eq!(bytes, Err(StoreError::Timeout));
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_for_a_connection_and_for_an_answer_have_an_end() {
        let fake = Fake::new(0);
        let batches = fake.batches(1);
        local(async {
            let late = async {
                tokio::time::sleep(Duration::from_millis(1)).await;
                let started = tokio::time::Instant::now();
                let answer = batches.rows(2).await;
                (answer, started.elapsed())
            };
            let (first, (second, waited)) = futures_util::future::join(batches.rows(1), late).await;
            assert_eq!(
                first.err(),
                Some(StoreError::Timeout),
                "the query never ends"
            );
            // The first one's deadline frees the connection just when the second gives up waiting.
            assert!(second.is_err());
            assert!(waited <= DEADLINES.wait + DEADLINES.connect + DEADLINES.query);
            fake.permits.add_permits(1000);
            assert_eq!(batches.rows(3).await.err(), Some(StoreError::Sick));
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert!(batches.rows(3).await.is_ok(), "a new connection is made");
        })
        .await;
        assert_eq!(batches.shared.runners.get(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_database_that_is_back_is_found_however_few_the_connections_that_hang() {
        let deadlines = Deadlines {
            wait: Duration::from_millis(500),
            connect: Duration::from_secs(2),
            query: Duration::from_secs(1),
        };
        for (connections, late) in [1, 2, 3, 8]
            .into_iter()
            .flat_map(|c| (0..10).map(move |l| (c, l)))
        {
            let fake = Fake::new(1_000_000);
            fake.loses.store(true, Ordering::Relaxed);
            let pool = pool::new(fake.clone(), connections, deadlines);
            let batches = Batches::new(pool, MAX_KEYS, deadlines, WorkerDurations::default());
            let batches = Rc::new(batches);
            let back = Duration::from_millis(5_000 + 100 * late);
            let took = local(async {
                let started = Instant::now();
                let answered = Rc::new(Cell::new(None));
                // They come all the time, and none waits for another.
                for number in 0.. {
                    if started.elapsed() >= back {
                        fake.loses.store(false, Ordering::Relaxed);
                    }
                    let (batches, first) = (Rc::clone(&batches), Rc::clone(&answered));
                    tokio::task::spawn_local(async move {
                        if batches.rows(number % 500).await.is_ok() && first.get().is_none() {
                            first.set(Some(started.elapsed()));
                        }
                    });
                    if answered.get().is_some() {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                let took = answered.get().unwrap().checked_sub(back).unwrap();
                // What still hangs holds nobody up, comes to its end, and is no sign of sickness.
                for user in 1..20 {
                    let answer = timeout(Duration::from_millis(50), batches.rows(user)).await;
                    assert!(matches!(answer, Ok(Ok(_))), "{connections}: {answer:?}");
                }
                tokio::time::sleep(deadlines.connect + deadlines.query).await;
                assert!(batches.rows(1).await.is_ok(), "{connections}");
                took
            });
            let took = took.await;
            assert!(took < Duration::from_millis(800), "{connections}: {took:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_sweep_looks_after_many_look_ups_and_ends_with_them() {
        let fake = Fake::new(1000);
        let batches = fake.batches(1);
        local(async {
            for user in 0..10 {
                assert!(batches.rows(user).await.is_ok());
                settle().await;
                // Nobody waits, and the next one finds it.
                assert!(batches.shared.is_swept.get(), "after {user}");
            }
            tokio::time::sleep(2 * DEADLINES.wait).await;
            assert!(!batches.shared.is_swept.get());
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_goes_away_disturbs_nobody() {
        let fake = Fake::new(0);
        let batches = fake.batches(1);
        local(async {
            // Taken by the connection, then dropped.
            let taken = timeout(Duration::from_millis(1), batches.rows(2));
            assert!(taken.await.is_err());
            // Still waiting, then dropped; asked for again by another.
            let waiting = timeout(Duration::from_millis(1), batches.rows(4));
            assert!(waiting.await.is_err());
            let again = batches.rows(4);
            let other = batches.rows(5);
            let free = async {
                settle().await;
                fake.permits.add_permits(1000);
            };
            let (again, other, ()) = futures_util::future::join3(again, other, free).await;
            assert!(again.is_ok() && other.is_ok());
        })
        .await;
        assert_eq!(fake.asked(), [vec![2], vec![4, 5]]);
        assert_eq!(batches.shared.runners.get(), 0);
        assert!(batches.shared.waiting.borrow().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_user_twice_is_asked_for_in_two_queries() {
        let fake = Fake::new(1000);
        let batches = fake.batches(1);
        let asked = local(async {
            let asked = [2, 4, 2].map(|user| batches.rows(user));
            join_all(asked).await
        })
        .await;
        for rows in asked {
            assert!(format!("{rows:?}").contains("parts: Some"));
        }
        assert_eq!(fake.asked(), [vec![2, 4], vec![2]]);
    }

    #[test]
    fn a_task_for_the_queue_is_small() {
        let address = Address::parse("mysql://user@host:1/database", None, None).unwrap();
        let waits = WorkerDurations::default();
        let Packs::MySql(batches) = Packs::new(&[address], 2, MAX_KEYS, DEADLINES, waits) else {
            panic!("an address of MySQL");
        };
        // It is copied several times whenever one starts, which is once in some twenty look-ups.
        assert!(size_of_val(&batches.shared.run()) < 6 * 1024);
    }
}
