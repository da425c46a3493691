//! How late a worker comes to what it should do: a timer on each worker's own runtime, and how long
//! after its time it is polled. A worker that computes for long, and one that gets no CPU, show up
//! here before clients feel them.

use std::time::Duration;

use tokio::time::Instant;

use crate::metrics::{Durations, Metrics, WorkerDurations};

/// How often each worker is asked. The timer's own grain is 1 ms.
const PERIOD: Duration = Duration::from_millis(100);

/// The family that all workers count in.
pub(crate) fn family(metrics: &Metrics) -> Durations {
    metrics.durations(
        "runtime_lag_seconds",
        "How late a worker came to a timer that was due, asked ten times a second, in seconds.",
    )
}

/// Measures for ever; ends with the worker's runtime.
pub(crate) async fn measure(lag: WorkerDurations) {
    loop {
        let due = Instant::now() + PERIOD;
        tokio::time::sleep_until(due).await;
        lag.observe(due.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn time_that_passes_unnoticed_is_lag() {
        let metrics = Metrics::new("test", 1);
        let local = tokio::task::LocalSet::new();
        let lag = family(&metrics).worker(0);
        local.spawn_local(measure(lag));
        local
            .run_until(async {
                // One period and a bit for the timer to be set and to fire on time.
                tokio::time::sleep(Duration::from_millis(150)).await;
                // As if a handler had not let go of the thread for a second.
                tokio::time::advance(Duration::from_secs(1)).await;
                tokio::task::yield_now().await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            })
            .await;
        let text = String::from_utf8(metrics.render()).unwrap();
        let count = |bound: &str| {
            let line = format!("test_runtime_lag_seconds_bucket{{le=\"{bound}\"}} ");
            let value = text.lines().find_map(|text| text.strip_prefix(&line));
            value.unwrap().parse::<u32>().unwrap()
        };
        assert_eq!(count("0.5"), 1, "{text}");
        assert_eq!(count("1"), 2, "{text}");
    }
}
