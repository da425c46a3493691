//! The service's state and its place in the kit.

use std::sync::Arc;

use service_kit::compute::ComputePool;
use service_kit::config::{Reader, Setting};
use service_kit::limits::ContractLimits;
use service_kit::metrics::{Counters, Label as _, WorkerCounters};
use service_kit::request::Request;
use service_kit::respond::Reply;
use service_kit::{Service, Setup};

use crate::config::{self, Config};
use crate::handlers;
use crate::invalid::Invalid;
use crate::routes::{self, Route};
use crate::token::TokenClient;

service_kit::labels! {
    /// What requests are counted under.
    pub(crate) enum Outcome {
        /// A message became a symbol.
        Encoded => "encoded",
        /// A symbol became a message.
        Decoded => "decoded",
        /// A symbol became a token of the authentication service.
        Token => "token",
        /// The authentication service failed.
        TokenFailed => "token_failed",
        /// Answered `INVALID`.
        Invalid => "invalid",
        /// A picture was drawn.
        Image => "image",
        /// Bad parameters for a picture.
        ImageRefused => "image_refused",
        /// Too many pictures are waiting.
        ImageBusy => "image_busy",
    }
}

/// What all workers share.
pub(crate) struct Shared {
    config: Config,
    header_line: String,
    compute: ComputePool,
    invalid: Counters,
}

/// One worker's instance.
pub(crate) struct App {
    /// `<TEAM_ID>,<AWS_ACCOUNT_ID>\n`, the beginning of every reply of the contract.
    pub(crate) reply_head: Vec<u8>,
    pub(crate) compute: ComputePool,
    pub(crate) tokens: Option<TokenClient>,
    invalid: WorkerCounters,
}

impl App {
    /// Counts why a request is invalid.
    pub(crate) fn count(&self, reason: Invalid) {
        tracing::debug!(?reason, "invalid request");
        self.invalid.add_one(reason.index());
    }
}

impl Service for App {
    const NAME: &'static str = "qrcode";
    const ABOUT: &'static str = "Encodes messages as masked symbols and finds them in noise.";
    const ALLOCATOR: &'static str = "mimalloc";
    const SETTINGS: &'static [&'static Setting] = config::SETTINGS;
    const LIMITS: ContractLimits = ContractLimits {
        target_bytes: 16 * 1024,
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
            config,
            header_line: setup.common.header_line(),
            compute: setup.compute.clone(),
            invalid: setup.metrics.counters(
                "invalid_total",
                "Requests answered INVALID, by the rule they break.",
                "reason",
                Invalid::ALL,
            ),
        }
    }

    fn worker(shared: &Arc<Shared>, index: usize) -> Self {
        let config = &shared.config;
        let tokens = config.auth_url.clone().map(|url| {
            let team = shared.header_line.split(',').next().unwrap_or_default();
            TokenClient::new(url, config.auth_timeout, team)
        });
        Self {
            reply_head: format!("{}\n", shared.header_line).into_bytes(),
            compute: shared.compute.clone(),
            tokens,
            invalid: shared.invalid.worker(index),
        }
    }

    fn route(path: &str) -> Option<Route> {
        routes::route(path)
    }

    async fn call(&self, route: Route, request: Request<'_>) -> Reply {
        match route {
            Route::Symbol => handlers::symbol(self, &request).await,
            Route::Image => handlers::image(self, request.query()).await,
        }
    }
}
