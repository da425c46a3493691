//! Connections for reuse. sqlx's own pool pings at every checkout and return, which costs two to
//! three round trips a query; this manager pings only what has idled, and instead refuses any
//! connection whose last query did not come to its end: a cancelled one leaves replies in the
//! stream that the next query would take for its own.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use deadpool::managed::{self, Metrics, Object, Pool, RecycleError, RecycleResult};
use deadpool::{Runtime, managed::PoolError};

use crate::config::Deadlines;
use crate::store::{Driver, Found, StoreError, Wanted};

/// A connection is replaced at this age, plus up to a quarter, so that a password or an address
/// that changed is taken up, and connections made together do not end together.
const MAX_AGE: Duration = Duration::from_mins(10);
/// A connection that idled for this long is pinged before it is used.
const IDLE_PING: Duration = Duration::from_secs(30);

/// How long that may take.
const PING_DEADLINE: Duration = Duration::from_millis(250);

/// Makes and checks connections.
#[derive(Debug)]
pub(crate) struct Manager<D> {
    driver: D,
    /// How long opening the last connection took, in microseconds; 0 before the first.
    connecting_took: AtomicU64,
}

impl<D> Manager<D> {
    /// How long opening the last connection took; zero before the first.
    pub(crate) fn connecting_took(&self) -> Duration {
        Duration::from_micros(self.connecting_took.load(Ordering::Relaxed))
    }
}

/// A connection with what is needed to judge it.
#[derive(Debug)]
pub(crate) struct Pooled<C> {
    connection: C,
    /// Set while a query runs; still set afterwards when it was cancelled or failed.
    interrupted: bool,
    born: Instant,
    max_age: Duration,
    last_used: Instant,
    idle_ping: Duration,
}

impl<D: Driver> managed::Manager for Manager<D> {
    type Type = Pooled<D::Connection>;
    type Error = StoreError;

    async fn create(&self) -> Result<Self::Type, StoreError> {
        let begun = tokio::time::Instant::now();
        // Boxed: it is rare, and would make what is kept for every query four times as large.
        let connection = Box::pin(self.driver.connect()).await;
        let connection = connection.map_err(|error| match error {
            StoreError::Broken(why) | StoreError::Failed(why) => StoreError::NoConnection(why),
            other => other,
        })?;
        let micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.connecting_took.store(micros, Ordering::Relaxed);
        let now = Instant::now();
        Ok(Pooled {
            connection,
            interrupted: false,
            born: now,
            max_age: MAX_AGE + jitter(MAX_AGE / 4),
            last_used: now,
            idle_ping: IDLE_PING,
        })
    }

    async fn recycle(
        &self,
        pooled: &mut Self::Type,
        _metrics: &Metrics,
    ) -> RecycleResult<StoreError> {
        if pooled.interrupted {
            return Err(RecycleError::message("its last query was interrupted"));
        }
        if pooled.born.elapsed() > pooled.max_age {
            return Err(RecycleError::message("it is too old"));
        }
        if pooled.last_used.elapsed() > pooled.idle_ping {
            self.driver.ping(&mut pooled.connection).await?;
        }
        Ok(())
    }
}

/// A pool of at most `connections`; none is opened yet.
pub(crate) fn new<D: Driver>(
    driver: D,
    connections: usize,
    deadlines: Deadlines,
) -> Pool<Manager<D>> {
    let manager = Manager {
        driver,
        connecting_took: AtomicU64::new(0),
    };
    Pool::builder(manager)
        .max_size(connections.max(1))
        .wait_timeout(Some(deadlines.wait))
        .create_timeout(Some(deadlines.connect))
        .recycle_timeout(Some(PING_DEADLINE.min(deadlines.query)))
        .runtime(Runtime::Tokio1)
        .build()
        .expect("time-outs have the runtime that they need")
}

/// The rows that are asked for. May be dropped at any point: the connection is then not used again.
/// Takes no longer than all deadlines together, however many dead connections are met.
pub(crate) async fn rows<D: Driver>(
    pool: &Pool<Manager<D>>,
    wanted: Wanted<'_>,
    deadlines: Deadlines,
) -> Result<Found, StoreError> {
    let Deadlines {
        wait,
        connect,
        query,
    } = deadlines;
    let asked = tokio::time::timeout(wait + connect + query, ask(pool, wanted, deadlines));
    asked.await.map_err(|_| StoreError::Timeout)?
}

async fn ask<D: Driver>(
    pool: &Pool<Manager<D>>,
    wanted: Wanted<'_>,
    deadlines: Deadlines,
) -> Result<Found, StoreError> {
    let object = get(pool, deadlines).await?;
    let is_reused = Object::metrics(&object).recycle_count > 0;
    match ask_on(pool, object, wanted, deadlines.query).await {
        // It broke while it idled, as when the database was restarted, and so did all that idle. The
        // query only reads, so asking twice does no harm. What the database says about the query it
        // would say again.
        Err(StoreError::Broken(_)) if is_reused => {
            pool.retain(|_, _| false);
            let object = get(pool, deadlines).await?;
            ask_on(pool, object, wanted, deadlines.query).await
        }
        answered => answered,
    }
}

async fn get<D: Driver>(
    pool: &Pool<Manager<D>>,
    deadlines: Deadlines,
) -> Result<Object<Manager<D>>, StoreError> {
    let mut timeouts = pool.timeouts();
    timeouts.create = Some(deadlines.connect);
    let object = pool.timeout_get(&timeouts).await;
    object.map_err(|error| match error {
        PoolError::Backend(error) => error,
        PoolError::Timeout(managed::TimeoutType::Wait) => StoreError::Busy,
        PoolError::Timeout(_) => StoreError::Timeout,
        other => StoreError::Failed(other.to_string().into()),
    })
}

async fn ask_on<D: Driver>(
    pool: &Pool<Manager<D>>,
    mut object: Object<Manager<D>>,
    wanted: Wanted<'_>,
    deadline: Duration,
) -> Result<Found, StoreError> {
    object.interrupted = true;
    let driver = &pool.manager().driver;
    let asked = driver.rows(&mut object.connection, wanted);
    let rows = tokio::time::timeout(deadline, asked).await;
    let rows = rows.map_err(|_| StoreError::Timeout)??;
    object.interrupted = false;
    object.last_used = Instant::now();
    Ok(rows)
}

/// A random part of a duration.
fn jitter(most: Duration) -> Duration {
    let random = RandomState::new().hash_one(());
    let part = u32::try_from(random % 1024).unwrap_or(0);
    most * part / 1024
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Counts what happens; a query for user 1 never ends, one for user 2 breaks the connection, one
    /// for user 5 is refused by the database.
    #[derive(Clone, Debug, Default)]
    struct Fake {
        connected: Arc<AtomicUsize>,
        pinged: Arc<AtomicUsize>,
        refused: Arc<AtomicUsize>,
    }

    impl Driver for Fake {
        type Connection = ();

        async fn connect(&self) -> Result<(), StoreError> {
            self.connected.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }

        async fn ping(&self, (): &mut ()) -> Result<(), StoreError> {
            self.pinged.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }

        async fn rows(&self, (): &mut (), wanted: Wanted<'_>) -> Result<Found, StoreError> {
            match wanted {
                Wanted::FirstParts([1]) => std::future::pending().await,
                Wanted::FirstParts([2]) => Err(StoreError::Broken("gone".into())),
                Wanted::FirstParts([5]) => {
                    self.refused.fetch_add(1, Ordering::Relaxed);
                    Err(StoreError::Failed("no".into()))
                }
                Wanted::FirstParts(_) | Wanted::All(_) => Ok(Found::default()),
            }
        }
    }

    const DEADLINES: Deadlines = Deadlines {
        wait: Duration::from_millis(50),
        connect: Duration::from_millis(50),
        query: Duration::from_millis(50),
    };

    async fn ask<D: Driver>(pool: &Pool<Manager<D>>, user_id: u64) -> Result<Found, StoreError> {
        rows(pool, Wanted::FirstParts(&[user_id]), DEADLINES).await
    }

    #[tokio::test]
    async fn a_connection_is_reused_without_a_ping() {
        let fake = Fake::default();
        let pool = new(fake.clone(), 4, DEADLINES);
        for _ in 0..10 {
            assert!(ask(&pool, 3).await.is_ok());
        }
        assert_eq!(fake.connected.load(Ordering::Relaxed), 1);
        assert_eq!(fake.pinged.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_connection_whose_query_was_interrupted_is_not_used_again() {
        let fake = Fake::default();
        let pool = new(fake.clone(), 1, DEADLINES);
        assert_eq!(ask(&pool, 1).await.err(), Some(StoreError::Timeout));
        assert!(ask(&pool, 3).await.is_ok());
        assert_eq!(
            fake.connected.load(Ordering::Relaxed),
            2,
            "after a deadline"
        );
        assert!(ask(&pool, 2).await.is_err());
        assert!(ask(&pool, 3).await.is_ok());
        assert_eq!(
            fake.connected.load(Ordering::Relaxed),
            4,
            "after it broke, which one that was used before is forgiven once"
        );
        let slow = Deadlines {
            query: Duration::from_mins(1),
            ..DEADLINES
        };
        let dropped = rows(&pool, Wanted::FirstParts(&[1]), slow);
        assert!(
            tokio::time::timeout(Duration::from_millis(1), dropped)
                .await
                .is_err()
        );
        assert!(ask(&pool, 3).await.is_ok());
        assert_eq!(
            fake.connected.load(Ordering::Relaxed),
            5,
            "after being dropped"
        );
    }

    #[tokio::test]
    async fn an_error_that_the_database_reports_costs_neither_a_second_query_nor_the_pool() {
        let fake = Fake::default();
        let pool = new(fake.clone(), 4, DEADLINES);
        let connections = [pool.get().await, pool.get().await, pool.get().await];
        drop(connections);
        assert_eq!(pool.status().available, 3);
        let error = ask(&pool, 5).await.expect_err("it is refused");
        assert_eq!(error, StoreError::Failed("no".into()));
        assert_eq!(fake.refused.load(Ordering::Relaxed), 1);
        assert_eq!(fake.connected.load(Ordering::Relaxed), 3);
        assert!(ask(&pool, 3).await.is_ok());
        assert!(ask(&pool, 2).await.is_err());
        assert_eq!(pool.status().size, 1, "all that idled may be broken");
    }

    #[tokio::test]
    async fn waiting_for_a_connection_has_an_end() {
        let pool = new(Fake::default(), 1, DEADLINES);
        let held = pool.get().await.expect("a connection");
        assert_eq!(ask(&pool, 3).await.err(), Some(StoreError::Busy));
        drop(held);
        assert!(ask(&pool, 3).await.is_ok());
    }

    #[tokio::test]
    async fn an_old_connection_is_replaced_and_an_idle_one_pinged() {
        let fake = Fake::default();
        let pool = new(fake.clone(), 1, DEADLINES);
        let mut object = pool.get().await.expect("a connection");
        object.idle_ping = Duration::ZERO;
        drop(object);
        assert!(ask(&pool, 3).await.is_ok());
        assert_eq!(fake.pinged.load(Ordering::Relaxed), 1);
        let mut object = pool.get().await.expect("a connection");
        object.max_age = Duration::ZERO;
        drop(object);
        assert!(ask(&pool, 3).await.is_ok());
        assert_eq!(fake.connected.load(Ordering::Relaxed), 2);
    }
}
