//! What every Tripod service shares: listening, draining, limits, metrics, health, settings and
//! logs. A service brings a [`Service`] and calls [`main`]; everything between the socket and
//! [`Service::call`] is here, once.
//!
//! The shape: one thread for each core, each with a single-threaded runtime, a listener and an
//! instance of the service of its own ([`Service::worker`]), sharing nothing on the path of a
//! request; one more thread for signals, the admin port and background tasks.

mod access;
mod admin;
mod cli;
pub mod compute;
pub mod config;
mod connection;
pub mod drain;
#[cfg(feature = "fault-injection")]
mod faults;
pub mod health;
mod held;
mod lag;
pub mod limits;
mod listener;
pub mod metrics;
mod program;
pub mod request;
pub mod respond;
pub mod runtime;
mod server;
pub mod settings;
mod spread;
pub mod telemetry;
#[cfg(feature = "test-util")]
pub mod testing;
pub mod trace;
mod turnstile;

use std::sync::{Arc, Mutex, PoisonError};

pub use program::main;

use crate::compute::ComputePool;
use crate::config::{Reader, Setting};
use crate::health::Health;
use crate::limits::ContractLimits;
use crate::metrics::{Label, Metrics};
use crate::request::Request;
use crate::respond::Reply;
use crate::settings::Common;

/// One service, as the kit sees it.
pub trait Service: Sized + 'static {
    /// Short name: the prefix of every metric, and of the program with `-service` behind it.
    const NAME: &'static str;
    /// What it does, in one sentence, for `--help`.
    const ABOUT: &'static str;
    /// The program's allocator, as `/version` names it.
    const ALLOCATOR: &'static str;
    /// Settings beside the common ones.
    const SETTINGS: &'static [&'static Setting];
    /// Limits of the contract.
    const LIMITS: ContractLimits;

    /// What requests are counted under.
    type Outcome: Label;
    /// The service's own settings, parsed.
    type Config: Send + 'static;
    /// What all workers share.
    type Shared: Send + Sync + 'static;
    /// One value for each path that the service answers.
    type Route: Copy;

    /// Reads the service's settings. `None` when the reader noted a mistake.
    fn configure(reader: &mut Reader<'_>) -> Option<Self::Config>;

    /// Makes what all workers share. Called once, on the main thread inside its runtime: tasks
    /// spawned here run beside the admin port. Must not wait for anything: a dependency that is
    /// not there yet is a shut latch, not a failed start.
    fn prepare(config: Self::Config, setup: &Setup) -> Self::Shared;

    /// Makes one worker's instance, on that worker's thread inside its runtime.
    fn worker(shared: &Arc<Self::Shared>, index: usize) -> Self;

    /// Which route a path belongs to.
    fn route(path: &str) -> Option<Self::Route>;

    /// Answers a GET or HEAD. The future is dropped at the request deadline, and when the
    /// connection is cut.
    fn call(&self, route: Self::Route, request: Request<'_>) -> impl Future<Output = Reply>;
}

/// What the kit offers a service while it is made.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The settings that every service has.
    pub common: Common,
    /// Where metric families are made.
    pub metrics: Metrics,
    /// Where latches are made.
    pub health: Health,
    /// For work that is too long for a worker.
    pub compute: ComputePool,
    /// How many workers there will be.
    pub workers: usize,
    /// What `/version` shows beside the build.
    pub facts: Facts,
}

/// What a service says of itself at `/version`, as far as it changes while it runs. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Facts(Arc<Mutex<serde_json::Map<String, serde_json::Value>>>);

impl Facts {
    /// Puts a value in force under a name.
    pub fn set(&self, name: &str, value: serde_json::Value) {
        let mut facts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        facts.insert(name.to_owned(), value);
    }

    /// The values added to those of the build.
    pub(crate) fn with(&self, build: &serde_json::Value) -> serde_json::Value {
        let mut shown = build.clone();
        if let Some(shown) = shown.as_object_mut() {
            let facts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            shown.extend(facts.clone());
        }
        shown
    }
}
