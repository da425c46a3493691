//! Users' packs in memory: bounded in bytes, one load at a time for each user, unknown users too.
//! What is past its age stays as long as there is room, for the time when it cannot be loaded again.
//!
//! Each worker has a cache of its own, so that a hit touches nothing that other cores write.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use quick_cache::Weighter;
use quick_cache::unsync;
use tokio::sync::{OnceCell, SetOnce};
use tokio::time::Instant;
use twitter_core::record::OwnedPack;

use crate::store::StoreError;

/// What an entry costs beside its bytes: the cache's own bookkeeping, rounded up.
const ENTRY_BYTES: u64 = 160;

/// Entries past their age that are loaded again at a time. Those loads outlive the requests that
/// caused them, so nothing else limits them.
const MAX_REFRESHES: usize = 1024;

/// One user's pack, or the knowledge that there is none.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) pack: Option<OwnedPack>,
    loaded: Instant,
    generation: u64,
}

#[derive(Clone, Debug)]
struct Bytes;

impl Weighter<u64, Arc<Entry>> for Bytes {
    fn weight(&self, _user_id: &u64, entry: &Arc<Entry>) -> u64 {
        let pack = entry.pack.as_ref();
        ENTRY_BYTES + pack.map_or(0, |pack| pack.as_bytes().len() as u64)
    }
}

/// A load in progress; everybody who asks for the same user waits for it.
type Flight = OnceCell<Result<Arc<Entry>, StoreError>>;

/// A load of an entry that is past its age. It is a task of its own and goes on when everybody who
/// waits for it has left: were it dropped with them, a database that needs longer than they wait
/// would be asked again and again, and never be heard.
struct Refresh {
    /// They wait until then, whenever they came.
    until: Instant,
    loaded: SetOnce<Result<Arc<Entry>, StoreError>>,
}

/// How an answer was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Hit,
    Loaded,
    /// In the cache and so much past its time, because it could not be loaded again.
    Stale(Duration),
}

/// One worker's cache. Lives on one thread, inside a `LocalSet`.
pub(crate) struct Cache {
    entries: RefCell<unsync::Cache<u64, Arc<Entry>, Bytes>>,
    flights: RefCell<HashMap<u64, Rc<Flight>>>,
    refreshes: RefCell<HashMap<u64, Rc<Refresh>>>,
    times: Times,
}

/// How old an entry may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    /// Before it is loaded again.
    pub(crate) fresh: Duration,
    /// So much longer it may be shown while it cannot be loaded again.
    pub(crate) stale: Duration,
    /// How long who could be shown a stale entry waits for a new one.
    pub(crate) patience: Duration,
}

impl Cache {
    /// A cache of at most this many bytes.
    pub(crate) fn new(bytes: u64, times: Times) -> Rc<Self> {
        let expected = usize::try_from(bytes / 1024).unwrap_or(usize::MAX);
        let entries = unsync::Cache::with_weighter(expected.min(1 << 20), bytes, Bytes);
        Rc::new(Self {
            entries: RefCell::new(entries),
            flights: RefCell::default(),
            refreshes: RefCell::default(),
            times,
        })
    }

    /// The user's entry, from the cache or by `load`. An entry of another generation of the table
    /// or past its age is loaded again, and shown all the same when that fails or takes too long;
    /// the load then goes on by itself, and must have an end. Errors go to everybody else who waited
    /// and are not kept.
    pub(crate) async fn get<F>(
        self: &Rc<Self>,
        user_id: u64,
        generation: u64,
        load: impl FnOnce() -> F,
    ) -> Result<(Arc<Entry>, Found), StoreError>
    where
        F: Future<Output = Result<Option<OwnedPack>, StoreError>> + 'static,
    {
        let known = self.known(user_id);
        let Some(known) = known else {
            return self.load(user_id, generation, load).await;
        };
        let age = known.loaded.elapsed();
        if known.generation == generation && age < self.times.fresh {
            return Ok((known, Found::Hit));
        }
        let past = age.saturating_sub(self.times.fresh);
        if past >= self.times.stale {
            return self.load(user_id, generation, load).await;
        }
        let Some(refresh) = self.refresh(user_id, generation, load) else {
            return Ok((known, Found::Stale(past)));
        };
        match tokio::time::timeout_at(refresh.until, refresh.loaded.wait()).await {
            Ok(Ok(entry)) => Ok((Arc::clone(entry), Found::Loaded)),
            Ok(Err(_)) | Err(_) => Ok((known, Found::Stale(past))),
        }
    }

    /// The load of an entry past its age that is under way, or a new one; `None` when there are too
    /// many.
    fn refresh<F>(
        self: &Rc<Self>,
        user_id: u64,
        generation: u64,
        load: impl FnOnce() -> F,
    ) -> Option<Rc<Refresh>>
    where
        F: Future<Output = Result<Option<OwnedPack>, StoreError>> + 'static,
    {
        let mut refreshes = self.refreshes.borrow_mut();
        if let Some(refresh) = refreshes.get(&user_id) {
            return Some(Rc::clone(refresh));
        }
        if refreshes.len() >= MAX_REFRESHES {
            return None;
        }
        let refresh = Rc::new(Refresh {
            until: Instant::now() + self.times.patience,
            loaded: SetOnce::new(),
        });
        refreshes.insert(user_id, Rc::clone(&refresh));
        let (done, load) = (Rc::clone(&refresh), load());
        let ended = Ended {
            cache: Rc::clone(self),
            user_id,
        };
        tokio::task::spawn_local(async move {
            let loaded = ended.cache.load(user_id, generation, || load).await;
            // Nobody else sets it.
            let _ = done.loaded.set(loaded.map(|(entry, _)| entry));
        });
        Some(refresh)
    }

    /// The user's entry by `load`, or by that of another who asked at the same time.
    async fn load<F>(
        &self,
        user_id: u64,
        generation: u64,
        load: impl FnOnce() -> F,
    ) -> Result<(Arc<Entry>, Found), StoreError>
    where
        F: Future<Output = Result<Option<OwnedPack>, StoreError>>,
    {
        let flight = Rc::clone(self.flights.borrow_mut().entry(user_id).or_default());
        let _leave = Leave {
            cache: self,
            user_id,
            flight: &flight,
        };
        // Should the first who asked go away, the next one who waits takes the load over.
        let loaded = flight.get_or_init(|| async {
            let loaded = load().await.map(|pack| {
                let loaded = Instant::now();
                let entry = Arc::new(Entry {
                    pack,
                    loaded,
                    generation,
                });
                let mut entries = self.entries.borrow_mut();
                entries.insert(user_id, Arc::clone(&entry));
                entry
            });
            self.flights.borrow_mut().remove(&user_id);
            loaded
        });
        let entry = loaded.await.clone()?;
        Ok((entry, Found::Loaded))
    }

    /// Bytes in use, as the limit counts them.
    pub(crate) fn bytes(&self) -> u64 {
        self.entries.borrow().weight()
    }

    fn known(&self, user_id: u64) -> Option<Arc<Entry>> {
        self.entries.borrow().get(&user_id).map(Arc::clone)
    }
}

/// Removes a flight when the last one who waits for it leaves, so that cancelled loads leave
/// nothing behind.
struct Leave<'a> {
    cache: &'a Cache,
    user_id: u64,
    flight: &'a Rc<Flight>,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        let mut flights = self.cache.flights.borrow_mut();
        let is_mine = flights
            .get(&self.user_id)
            .is_some_and(|flight| Rc::ptr_eq(flight, self.flight));
        // One in the map, one here.
        if is_mine && Rc::strong_count(self.flight) == 2 {
            flights.remove(&self.user_id);
        }
    }
}

/// Takes a load of an entry past its age off the list, also when it panics.
struct Ended {
    cache: Rc<Cache>,
    user_id: u64,
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.cache.refreshes.borrow_mut().remove(&self.user_id);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::task::LocalSet;
    use tokio::time::{sleep, timeout};

    use super::*;

    type Loaded = Result<Option<OwnedPack>, StoreError>;

    const TTL: Times = Times {
        fresh: Duration::from_mins(1),
        stale: Duration::ZERO,
        patience: Duration::ZERO,
    };
    /// Everything is past its age at once.
    const STALE: Times = Times {
        fresh: Duration::ZERO,
        stale: Duration::from_hours(1),
        patience: Duration::from_millis(1),
    };

    /// Counts loads that were begun.
    #[derive(Clone, Default)]
    struct Loads(Rc<Cell<u32>>);

    impl Loads {
        fn get(&self) -> u32 {
            self.0.get()
        }

        /// A load that takes a moment and ends so.
        fn of(&self, end: Loaded) -> impl Future<Output = Loaded> + 'static {
            self.slow(Duration::ZERO, end)
        }

        fn slow(&self, time: Duration, end: Loaded) -> impl Future<Output = Loaded> + 'static {
            let Self(loads) = self.clone();
            async move {
                loads.set(loads.get() + 1);
                tokio::task::yield_now().await;
                if time > Duration::ZERO {
                    sleep(time).await;
                }
                end
            }
        }
    }

    fn unknown(loads: &Loads) -> impl Future<Output = Loaded> + 'static {
        loads.of(Ok(None))
    }

    async fn local<T>(test: impl Future<Output = T>) -> T {
        LocalSet::new().run_until(test).await
    }

    #[tokio::test]
    async fn an_unknown_user_is_remembered() {
        let cache = Cache::new(1 << 20, TTL);
        let loads = Loads::default();
        for expected in [Found::Loaded, Found::Hit, Found::Hit] {
            let (entry, found) = cache.get(7, 1, || unknown(&loads)).await.unwrap();
            assert!(entry.pack.is_none());
            assert_eq!(found, expected);
        }
        assert_eq!(loads.get(), 1);
    }

    #[tokio::test]
    async fn a_new_generation_and_age_end_an_entry() {
        let cache = Cache::new(1 << 20, TTL);
        let loads = Loads::default();
        for generation in [1, 2] {
            cache.get(7, generation, || unknown(&loads)).await.unwrap();
        }
        assert_eq!(loads.get(), 2);
        let ended = Times {
            fresh: Duration::ZERO,
            ..TTL
        };
        let cache = Cache::new(1 << 20, ended);
        for _ in 0..2 {
            cache.get(7, 1, || unknown(&loads)).await.unwrap();
        }
        assert_eq!(loads.get(), 4);
    }

    #[tokio::test]
    async fn an_old_entry_is_shown_when_it_cannot_be_loaded_again() {
        local(async {
            let cache = Cache::new(1 << 20, STALE);
            let loads = Loads::default();
            let (_, found) = cache.get(7, 1, || unknown(&loads)).await.unwrap();
            assert_eq!(found, Found::Loaded);
            let fail = || async { Err(StoreError::Sick) };
            let (_, found) = cache.get(7, 1, fail).await.unwrap();
            assert!(matches!(found, Found::Stale(_)));
            let (_, found) = cache.get(7, 2, fail).await.unwrap();
            assert!(matches!(found, Found::Stale(_)), "of an earlier table");
            assert!(cache.flights.borrow().is_empty());
            assert!(cache.refreshes.borrow().is_empty());
            assert!(cache.get(8, 1, fail).await.is_err());
            let (_, found) = cache.get(7, 1, || unknown(&loads)).await.unwrap();
            assert_eq!(found, Found::Loaded);
            let never = || std::future::pending::<Loaded>();
            let (_, found) = cache.get(7, 1, never).await.unwrap();
            assert!(matches!(found, Found::Stale(_)), "after a moment");
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_load_that_takes_longer_than_anybody_waits_still_ends_a_stale_time() {
        let patience = Duration::from_millis(500);
        let times = Times {
            fresh: Duration::from_secs(10),
            stale: Duration::from_hours(1),
            patience,
        };
        local(async {
            let cache = Cache::new(1 << 20, times);
            let loads = Loads::default();
            cache.get(7, 1, || unknown(&loads)).await.unwrap();
            sleep(times.fresh).await;
            let started = Instant::now();
            let slow = || loads.slow(3 * patience, Ok(None));
            // One hangs up at once, one waits; whoever comes later waits no longer than that one.
            assert!(timeout(patience / 5, cache.get(7, 1, slow)).await.is_err());
            for _ in 0..3 {
                let (_, found) = cache.get(7, 1, slow).await.unwrap();
                assert!(matches!(found, Found::Stale(_)), "{found:?}");
                assert!(started.elapsed() < patience + patience / 10);
            }
            sleep(3 * patience).await;
            let (_, found) = cache.get(7, 1, slow).await.unwrap();
            assert_eq!(found, Found::Hit);
            assert_eq!(loads.get(), 2, "the first one and the slow one");
            assert!(cache.flights.borrow().is_empty());
            assert!(cache.refreshes.borrow().is_empty());
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn loads_that_nobody_waits_for_are_limited() {
        local(async {
            let cache = Cache::new(1 << 20, STALE);
            let loads = Loads::default();
            let users = MAX_REFRESHES as u64 + 10;
            for user_id in 0..users {
                cache.get(user_id, 1, || unknown(&loads)).await.unwrap();
            }
            let slow = || loads.slow(Duration::from_secs(1), Ok(None));
            let known = (0..users).map(|user_id| cache.get(user_id, 1, slow));
            let answers = futures_util::future::join_all(known).await;
            let is_stale = |found| matches!(found, Found::Stale(_));
            assert!(
                answers
                    .into_iter()
                    .all(|answer| is_stale(answer.unwrap().1))
            );
            assert_eq!(cache.refreshes.borrow().len(), MAX_REFRESHES);
            sleep(Duration::from_secs(2)).await;
            assert!(cache.refreshes.borrow().is_empty());
        })
        .await;
    }

    #[tokio::test]
    async fn an_entry_past_all_its_time_is_not_shown() {
        let cache = Cache::new(
            1 << 20,
            Times {
                stale: Duration::ZERO,
                ..STALE
            },
        );
        let loads = Loads::default();
        cache.get(7, 1, || unknown(&loads)).await.unwrap();
        let fail = || async { Err(StoreError::Sick) };
        assert!(cache.get(7, 1, fail).await.is_err());
    }

    #[tokio::test]
    async fn many_who_ask_at_once_cause_one_load() {
        let cache = Cache::new(1 << 20, TTL);
        let loads = Loads::default();
        let asked = (0..100).map(|_| cache.get(7, 1, || unknown(&loads)));
        let answers = futures_util::future::join_all(asked).await;
        assert!(answers.iter().all(Result::is_ok));
        assert_eq!(loads.get(), 1);
        assert!(cache.flights.borrow().is_empty());
    }

    #[tokio::test]
    async fn an_error_reaches_all_who_wait_and_is_not_kept() {
        let cache = Cache::new(1 << 20, TTL);
        let loads = Loads::default();
        let fail = || loads.of(Err(StoreError::Timeout));
        let asked = (0..10).map(|_| cache.get(7, 1, fail));
        let answers = futures_util::future::join_all(asked).await;
        assert!(answers.iter().all(Result::is_err));
        assert_eq!(loads.get(), 1);
        assert!(cache.get(7, 1, || unknown(&loads)).await.is_ok());
        assert!(cache.flights.borrow().is_empty());
    }

    #[tokio::test]
    async fn another_takes_the_load_over_when_the_first_goes_away() {
        let cache = Cache::new(1 << 20, TTL);
        let loads = Loads::default();
        let never = || std::future::pending::<Loaded>();
        let first = timeout(Duration::from_millis(1), cache.get(7, 1, never));
        let second = cache.get(7, 1, || unknown(&loads));
        let (first, second) = futures_util::future::join(first, second).await;
        assert!(first.is_err());
        assert_eq!(second.unwrap().1, Found::Loaded);
        let alone = timeout(Duration::from_millis(1), cache.get(8, 1, never));
        assert!(alone.await.is_err());
        assert!(cache.flights.borrow().is_empty());
    }

    #[tokio::test]
    async fn stays_within_its_bytes() {
        let cache = Cache::new(100 * ENTRY_BYTES, TTL);
        let loads = Loads::default();
        for user_id in 0..10_000 {
            cache.get(user_id, 1, || unknown(&loads)).await.unwrap();
        }
        assert!(cache.bytes() <= 100 * ENTRY_BYTES);
    }
}
