//! What is known while a run goes on. Threads count with atomics of their own and hand over whole
//! seconds now and then; nobody who looks at them slows them down.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::record::Second;

/// Seconds that wait to be looked at, at most; more are dropped.
const MAX_WAITING: usize = 1024;

/// What one thread tells while it runs.
#[derive(Debug, Default)]
pub(super) struct Progress {
    done: AtomicU64,
    errors: AtomicU64,
    fresh: Mutex<Vec<Fresh>>,
}

/// A second that is over, of one scenario on one thread.
#[derive(Clone, Debug)]
pub struct Fresh {
    /// The scenario's place in the plan.
    pub scenario: usize,
    /// Which second of the run.
    pub number: usize,
    /// What happened in it.
    pub second: Second,
}

impl Progress {
    pub(super) fn count(&self, is_error: bool) {
        self.done.fetch_add(1, Ordering::Relaxed);
        if is_error {
            self.errors.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn publish(&self, scenario: usize, number: usize, second: &Second) {
        let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        if fresh.len() < MAX_WAITING {
            fresh.push(Fresh {
                scenario,
                number,
                second: second.clone(),
            });
        }
    }
}

/// What is known while a run goes on.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Since the start, connecting included.
    pub elapsed: Duration,
    /// Requests that ended.
    pub done: u64,
    /// Those that did not end well.
    pub errors: u64,
    /// Seconds that ended since the last snapshot.
    pub fresh: Vec<Fresh>,
}

impl Snapshot {
    pub(super) fn take(elapsed: Duration, threads: &[Arc<Progress>]) -> Self {
        let mut snapshot = Self {
            elapsed,
            ..Self::default()
        };
        for progress in threads {
            snapshot.done += progress.done.load(Ordering::Relaxed);
            snapshot.errors += progress.errors.load(Ordering::Relaxed);
            let mut fresh = progress
                .fresh
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            snapshot.fresh.append(&mut fresh);
        }
        snapshot
    }
}
