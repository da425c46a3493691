//! Users' packs in memory: bounded in bytes, one load at a time for each user, unknown users too.
//! What is past its age stays as long as there is room, for the time when it cannot be loaded again.
//!
//! Each worker has a cache of its own, so that a hit touches nothing that other cores write.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quick_cache::Weighter;
use quick_cache::unsync;
use tokio::sync::OnceCell;
use twitter_core::record::OwnedPack;

use crate::store::StoreError;

/// What an entry costs beside its bytes: the cache's own bookkeeping, rounded up.
const ENTRY_BYTES: u64 = 160;

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

/// How an answer was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Hit,
    Loaded,
    /// In the cache and so much past its time, because it could not be loaded again.
    Stale(Duration),
}

/// One worker's cache.
#[derive(Debug)]
pub(crate) struct Cache {
    entries: RefCell<unsync::Cache<u64, Arc<Entry>, Bytes>>,
    flights: RefCell<HashMap<u64, Rc<Flight>>>,
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
    pub(crate) fn new(bytes: u64, times: Times) -> Self {
        let expected = usize::try_from(bytes / 1024).unwrap_or(usize::MAX);
        let entries = unsync::Cache::with_weighter(expected.min(1 << 20), bytes, Bytes);
        Self {
            entries: RefCell::new(entries),
            flights: RefCell::default(),
            times,
        }
    }

    /// The user's entry, from the cache or by `load`. An entry of another generation of the table
    /// or past its age is loaded again, and shown all the same when that fails or takes too long.
    /// Errors go to everybody else who waited and are not kept.
    pub(crate) async fn get<F>(
        &self,
        user_id: u64,
        generation: u64,
        load: impl FnOnce() -> F,
    ) -> Result<(Arc<Entry>, Found), StoreError>
    where
        F: Future<Output = Result<Option<OwnedPack>, StoreError>>,
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
        let loaded = self.load(user_id, generation, load);
        match tokio::time::timeout(self.times.patience, loaded).await {
            Ok(Ok(loaded)) => Ok(loaded),
            Ok(Err(_)) | Err(_) => Ok((known, Found::Stale(past))),
        }
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

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

    async fn unknown(loads: &Cell<u32>) -> Result<Option<OwnedPack>, StoreError> {
        loads.set(loads.get() + 1);
        tokio::task::yield_now().await;
        Ok(None)
    }

    #[tokio::test]
    async fn an_unknown_user_is_remembered() {
        let cache = Cache::new(1 << 20, TTL);
        let loads = Cell::new(0);
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
        let loads = Cell::new(0);
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
        let cache = Cache::new(1 << 20, STALE);
        let loads = Cell::new(0);
        let (_, found) = cache.get(7, 1, || unknown(&loads)).await.unwrap();
        assert_eq!(found, Found::Loaded);
        let fail = || async { Err(StoreError::Sick) };
        let (_, found) = cache.get(7, 1, fail).await.unwrap();
        assert!(matches!(found, Found::Stale(_)));
        let (_, found) = cache.get(7, 2, fail).await.unwrap();
        assert!(matches!(found, Found::Stale(_)), "of an earlier table");
        let never = || std::future::pending::<Result<Option<OwnedPack>, StoreError>>();
        let (_, found) = cache.get(7, 1, never).await.unwrap();
        assert!(matches!(found, Found::Stale(_)), "after a moment");
        assert!(cache.flights.borrow().is_empty());
        assert!(cache.get(8, 1, fail).await.is_err());
        let (_, found) = cache.get(7, 1, || unknown(&loads)).await.unwrap();
        assert_eq!(found, Found::Loaded);
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
        let loads = Cell::new(0);
        cache.get(7, 1, || unknown(&loads)).await.unwrap();
        let fail = || async { Err(StoreError::Sick) };
        assert!(cache.get(7, 1, fail).await.is_err());
    }

    #[tokio::test]
    async fn many_who_ask_at_once_cause_one_load() {
        let cache = Cache::new(1 << 20, TTL);
        let loads = Cell::new(0);
        let asked = (0..100).map(|_| cache.get(7, 1, || unknown(&loads)));
        let answers = futures_util::future::join_all(asked).await;
        assert!(answers.iter().all(Result::is_ok));
        assert_eq!(loads.get(), 1);
        assert!(cache.flights.borrow().is_empty());
    }

    #[tokio::test]
    async fn an_error_reaches_all_who_wait_and_is_not_kept() {
        let cache = Cache::new(1 << 20, TTL);
        let loads = Cell::new(0);
        let fail = || async {
            loads.set(loads.get() + 1);
            tokio::task::yield_now().await;
            Err(StoreError::Timeout)
        };
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
        let loads = Cell::new(0);
        let never = || std::future::pending::<Result<Option<OwnedPack>, StoreError>>();
        let first = tokio::time::timeout(Duration::from_millis(1), cache.get(7, 1, never));
        let second = cache.get(7, 1, || unknown(&loads));
        let (first, second) = futures_util::future::join(first, second).await;
        assert!(first.is_err());
        assert_eq!(second.unwrap().1, Found::Loaded);
        let alone = tokio::time::timeout(Duration::from_millis(1), cache.get(8, 1, never));
        assert!(alone.await.is_err());
        assert!(cache.flights.borrow().is_empty());
    }

    #[tokio::test]
    async fn stays_within_its_bytes() {
        let cache = Cache::new(100 * ENTRY_BYTES, TTL);
        let loads = Cell::new(0);
        for user_id in 0..10_000 {
            cache.get(user_id, 1, || unknown(&loads)).await.unwrap();
        }
        assert!(cache.bytes() <= 100 * ENTRY_BYTES);
    }
}
