//! The service's state and its place in the kit.

use std::cell::RefCell;
use std::sync::Arc;

use blockchain_core::{Compression, Reason, Scratch};
use service_kit::compute::ComputePool;
use service_kit::config::{Reader, Setting};
use service_kit::limits::ContractLimits;
use service_kit::metrics::{Counters, WorkerCounters};
use service_kit::request::Request;
use service_kit::respond::Reply;
use service_kit::{Service, Setup};

use crate::config::{self, Config};
use crate::handlers;
use crate::routes::{self, Route};

service_kit::labels! {
    /// What requests are counted under.
    pub(crate) enum Outcome {
        /// A block was mined on the worker itself.
        Mined => "mined",
        /// A block was mined on the compute pool.
        MinedHeavy => "mined_heavy",
        /// Answered `INVALID`.
        Invalid => "invalid",
        /// Too many heavy requests are waiting.
        Busy => "busy",
    }
}

/// What all workers share.
pub(crate) struct Shared {
    compression: Compression,
    reply_head: Arc<[u8]>,
    compute: ComputePool,
    invalid: Counters,
}

/// One worker's instance.
pub(crate) struct App {
    /// `<TEAM_ID>,<AWS_ACCOUNT_ID>\n`, the beginning of every reply.
    pub(crate) reply_head: Arc<[u8]>,
    pub(crate) compression: Compression,
    pub(crate) compute: ComputePool,
    pub(crate) scratch: RefCell<Scratch>,
    invalid: WorkerCounters,
}

impl App {
    /// Counts why a request is invalid.
    pub(crate) fn count(&self, reason: Reason) {
        tracing::debug!(reason = reason.code(), "invalid request");
        let index = Reason::ALL.iter().position(|known| *known == reason);
        self.invalid.add_one(index.unwrap_or_default());
    }
}

impl Service for App {
    const NAME: &'static str = "blockchain";
    const ABOUT: &'static str = "Checks a packed chain of blocks and mines one more.";
    const ALLOCATOR: &'static str = "mimalloc";
    const SETTINGS: &'static [&'static Setting] = config::SETTINGS;
    const LIMITS: ContractLimits = ContractLimits {
        target_bytes: 65_000,
        small_replies: true,
    };

    type Outcome = Outcome;
    type Config = Config;
    type Shared = Shared;
    type Route = Route;

    fn configure(reader: &mut Reader<'_>) -> Option<Config> {
        Config::read(reader)
    }

    fn prepare(config: Config, setup: &Setup) -> Shared {
        Shared {
            compression: config.compression,
            reply_head: format!("{}\n", setup.common.header_line())
                .into_bytes()
                .into(),
            compute: setup.compute.clone(),
            invalid: setup.metrics.counters(
                "invalid_total",
                "Requests answered INVALID, by the rule they break.",
                "reason",
                &Reason::ALL.map(Reason::code),
            ),
        }
    }

    fn worker(shared: &Arc<Shared>, index: usize) -> Self {
        Self {
            reply_head: Arc::clone(&shared.reply_head),
            compression: shared.compression,
            compute: shared.compute.clone(),
            scratch: RefCell::new(Scratch::new(shared.compression)),
            invalid: shared.invalid.worker(index),
        }
    }

    fn route(path: &str) -> Option<Route> {
        routes::route(path)
    }

    async fn call(&self, route: Route, request: Request<'_>) -> Reply {
        match route {
            Route::Chain => handlers::chain(self, request.query()).await,
        }
    }
}
