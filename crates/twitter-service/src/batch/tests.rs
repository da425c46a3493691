use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use database_address::Address;
use futures_util::future::{join, join_all};
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
/// Connections that are begun while packets are lost never come about, others after some time.
#[derive(Clone, Debug)]
struct Fake {
    asked: Arc<Mutex<Vec<Vec<u64>>>>,
    permits: Arc<Semaphore>,
    all_takes: Duration,
    loses: Arc<AtomicBool>,
    greets_after: Arc<Mutex<Duration>>,
}

impl Fake {
    fn new(permits: usize) -> Self {
        Self {
            asked: Arc::default(),
            permits: Arc::new(Semaphore::new(permits)),
            all_takes: Duration::ZERO,
            loses: Arc::default(),
            greets_after: Arc::default(),
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
        let greets_after = *self.greets_after.lock().unwrap();
        tokio::time::sleep(greets_after).await;
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
async fn those_who_were_answered_share_the_next_query_with_who_came_meanwhile() {
    let fake = Fake::new(0);
    let batches = &fake.batches(1);
    let twice = |user: u64| async move {
        assert!(batches.rows(user).await.is_ok());
        assert!(batches.rows(100 + user).await.is_ok());
    };
    let late = async {
        settle().await;
        let answer = batches.rows(99);
        let permits = async {
            settle().await;
            fake.permits.add_permits(1000);
        };
        assert!(join(answer, permits).await.0.is_ok());
    };
    local(join(join_all((0..20).map(twice)), late)).await;
    let sizes: Vec<usize> = fake.asked().iter().map(Vec::len).collect();
    assert_eq!(sizes, [20, 21]);
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
            let (answers, ()) = join(all, watch).await;
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
        let (failed, together) = join(batches.rows(FAILS), batches.rows(1)).await;
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
        let (first, (second, waited)) = join(batches.rows(1), late).await;
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
async fn a_database_that_is_slow_to_greet_is_found_back_by_a_single_connection() {
    let deadlines = Deadlines {
        wait: Duration::from_millis(500),
        connect: Duration::from_secs(2),
        query: Duration::from_secs(1),
    };
    let slow = Duration::from_millis(900);
    // It was so before it was away, or has become so.
    for (before, within) in [
        (slow, Duration::from_millis(2_500)),
        (Duration::ZERO, Duration::from_secs(30)),
    ] {
        let fake = Fake::new(1_000_000);
        *fake.greets_after.lock().unwrap() = before;
        let pool = pool::new(fake.clone(), 1, deadlines);
        let batches = Batches::new(pool, MAX_KEYS, deadlines, WorkerDurations::default());
        local(async {
            assert!(batches.rows(2).await.is_ok());
            fake.loses.store(true, Ordering::Relaxed);
            // A query that fails costs its connection.
            while batches.rows(FAILS).await.err() != Some(StoreError::Sick) {}
            tokio::time::sleep(Duration::from_secs(5)).await;
            fake.loses.store(false, Ordering::Relaxed);
            *fake.greets_after.lock().unwrap() = slow;
            let back = Instant::now();
            while batches.rows(2).await.is_err() {
                assert!(back.elapsed() < within, "it was slow for {before:?} before");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
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
