//! The service's state and its place in the kit.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use service_kit::compute::ComputePool;
use service_kit::config::{Reader, Setting};
use service_kit::limits::ContractLimits;
use service_kit::metrics::{
    Counters, Durations, Gauges, Label as _, WorkerCounters, WorkerDurations, WorkerGauge,
};
use service_kit::request::Request;
use service_kit::respond::Reply;
use service_kit::{Service, Setup};
use twitter_core::error::QueryError;
use twitter_core::rank::Scratch;

use crate::cache::Cache;
use crate::config::{self, Config};
use crate::handlers;
use crate::routes::{self, Route};
use crate::store::{Packs, Store, StoreErrorKind};
use crate::watch::{Shown, watch};

service_kit::labels! {
    /// What requests are counted under.
    pub(crate) enum Outcome {
        /// A user with contacts to show.
        Contacts => "contacts",
        /// A user without.
        Empty => "empty",
        /// Answered `INVALID`.
        Invalid => "invalid",
        /// The table did not answer.
        NoTable => "no_table",
        /// Too many heavy users are being ranked.
        Busy => "busy",
    }
}

service_kit::labels! {
    /// How a user's pack was found.
    pub(crate) enum Lookup {
        /// In the cache.
        Hit => "hit",
        /// From the table.
        Miss => "miss",
        /// In the cache past its age, because the table did not answer.
        Stale => "stale",
    }
}

/// What all workers share.
pub(crate) struct Shared {
    config: Config,
    workers: usize,
    head: Arc<[u8]>,
    compute: ComputePool,
    /// Goes up with each load of the table.
    generations: Arc<AtomicU64>,
    invalid: Counters,
    lookups: Counters,
    store_errors: Counters,
    store_durations: Durations,
    store_waits: Durations,
    cache_bytes: Gauges,
}

/// One worker's instance.
pub(crate) struct App {
    /// `<TEAM_ID>,<AWS_ACCOUNT_ID>`, the beginning of every reply.
    pub(crate) head: Arc<[u8]>,
    pub(crate) compute: ComputePool,
    pub(crate) table: Rc<Table>,
    pub(crate) cache: Rc<Cache>,
    pub(crate) scratch: RefCell<Scratch>,
    /// Where replies are made.
    pub(crate) reply: RefCell<Vec<u8>>,
    generations: Arc<AtomicU64>,
    invalid: WorkerCounters,
    lookups: WorkerCounters,
    store_errors: WorkerCounters,
    cache_bytes: WorkerGauge,
}

/// One worker's way to the table, shared with the look-ups that outlive their requests.
pub(crate) struct Table {
    pub(crate) packs: Packs,
    pub(crate) durations: WorkerDurations,
}

impl App {
    /// The number of the load that is served.
    pub(crate) fn generation(&self) -> u64 {
        self.generations.load(Ordering::Relaxed)
    }

    pub(crate) fn count_invalid(&self, reason: QueryError) {
        tracing::debug!(reason = reason.code(), "invalid request");
        let index = QueryError::ALL.iter().position(|known| *known == reason);
        self.invalid.add_one(index.unwrap_or_default());
    }

    pub(crate) fn count_lookup(&self, lookup: Lookup) {
        self.lookups.add_one(lookup.index());
        if lookup == Lookup::Miss {
            self.cache_bytes.set(self.cache.bytes());
        }
    }

    pub(crate) fn count_store_error(&self, kind: StoreErrorKind) {
        self.store_errors.add_one(kind.index());
    }
}

impl Service for App {
    const NAME: &'static str = "twitter";
    const ABOUT: &'static str = "Recommends a user's contacts, ranked, from one table.";
    const ALLOCATOR: &'static str = "mimalloc";
    const SETTINGS: &'static [&'static Setting] = config::SETTINGS;
    const LIMITS: ContractLimits = ContractLimits {
        target_bytes: 16 * 1024,
        // A celebrity's reply has megabytes.
        small_replies: false,
    };

    type Outcome = Outcome;
    type Config = Config;
    type Shared = Shared;
    type Route = Route;

    fn configure(reader: &mut Reader<'_>) -> Option<Config> {
        Config::read(reader)
    }

    fn prepare(config: Config, setup: &Setup) -> Shared {
        let generations = Arc::new(AtomicU64::new(0));
        let store = Store::new(&config.addresses, config.deadlines);
        let latch = setup.health.latch("database");
        let metrics = &setup.metrics;
        let shown = Shown::new(metrics, setup.facts.clone());
        tokio::spawn(watch(store, latch, Arc::clone(&generations), shown));
        Shared {
            config,
            workers: setup.workers,
            head: setup.common.header_line().into_bytes().into(),
            compute: setup.compute.clone(),
            generations,
            invalid: metrics.counters(
                "invalid_total",
                "Requests answered INVALID, by the rule they break.",
                "reason",
                &QueryError::ALL.map(QueryError::code),
            ),
            lookups: metrics.counters(
                "lookups_total",
                "Look-ups of a user's pack: in the cache, from the table, or in the cache past its age.",
                "found",
                Lookup::ALL,
            ),
            store_errors: metrics.counters(
                "store_errors_total",
                "Look-ups that the table did not answer, by kind.",
                "kind",
                StoreErrorKind::ALL,
            ),
            store_durations: metrics.durations(
                "store_duration_seconds",
                "Time of look-ups from the table, waiting included, in seconds.",
            ),
            store_waits: metrics.durations(
                "store_wait_seconds",
                "Time look-ups wait until a connection takes them into its query, in seconds.",
            ),
            cache_bytes: metrics.gauge("cache_bytes", "Bytes of packs in the cache."),
        }
    }

    fn worker(shared: &Arc<Shared>, index: usize) -> Self {
        let config = &shared.config;
        let connections = (config.connections / shared.workers).max(1);
        let cache_bytes = config.cache_bytes / shared.workers as u64;
        Self {
            head: Arc::clone(&shared.head),
            compute: shared.compute.clone(),
            table: Rc::new(Table {
                packs: Packs::new(
                    &config.addresses,
                    connections,
                    config.keys_per_query,
                    config.deadlines,
                    shared.store_waits.worker(index),
                ),
                durations: shared.store_durations.worker(index),
            }),
            cache: Cache::new(cache_bytes, config.cache_times),
            scratch: RefCell::default(),
            reply: RefCell::default(),
            generations: Arc::clone(&shared.generations),
            invalid: shared.invalid.worker(index),
            lookups: shared.lookups.worker(index),
            store_errors: shared.store_errors.worker(index),
            cache_bytes: shared.cache_bytes.worker(index),
        }
    }

    fn route(path: &str) -> Option<Route> {
        routes::route(path)
    }

    async fn call(&self, route: Route, request: Request<'_>) -> Reply {
        match route {
            Route::Contacts => handlers::contacts(self, request).await,
        }
    }
}
