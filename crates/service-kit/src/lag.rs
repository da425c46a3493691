//! How late a worker comes to what it should do: a timer on each worker's own runtime, and how long
//! after its time it is polled. A worker that computes for long, and one that gets no CPU, show up
//! here before clients feel them. One that is too late stops reading ([`Turnstile`]) until it has
//! worked off what it read.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use crate::metrics::{Durations, Metrics, WorkerDurations};
use crate::turnstile::Turnstile;

/// How often each worker is asked. The timer's own grain is 1 ms.
const PERIOD: Duration = Duration::from_millis(20);

/// The family that all workers count in.
pub(crate) fn family(metrics: &Metrics) -> Durations {
    metrics.durations(
        "runtime_lag_seconds",
        "How late a worker came to a timer that was due, asked fifty times a second, in seconds.",
    )
}

/// Measures for ever; ends with the worker's runtime. Over `most` the turnstile is shut; `None`
/// leaves it open.
pub(crate) async fn measure(
    lag: WorkerDurations,
    turnstile: Rc<Turnstile>,
    most: Option<Duration>,
) {
    loop {
        let due = Instant::now() + PERIOD;
        tokio::time::sleep_until(due).await;
        let late = due.elapsed();
        lag.observe(late);
        turnstile.set_late(late);
        turnstile.calm(Instant::now().into_std());
        if most.is_some_and(|most| late > most) {
            work_off(&lag, &turnstile).await;
        }
    }
}

/// Turns without anybody to call after which the worker is not saturated any more. In the first of
/// them those are accepted that waited in the kernel, and are called in the next.
const QUIET_TURNS: u32 = 8;

/// Has sockets read in turns until none waits, nor any connection to be accepted. What a turn takes is
/// how late the worker is.
async fn work_off(lag: &WorkerDurations, turnstile: &Turnstile) {
    let mut observed = Instant::now();
    let mut quiet = 0;
    turnstile.shut();
    loop {
        let begun = Instant::now();
        // Comes back after all that is ready, and what the kernel has to tell.
        tokio::task::yield_now().await;
        let now = Instant::now();
        let took = now - begun;
        turnstile.set_late(took);
        if now - observed >= PERIOD {
            lag.observe(took);
            observed = now;
        }
        if turnstile.next_turn(took, now.into_std()) > 0 {
            quiet = 0;
        } else {
            quiet += 1;
            if quiet == QUIET_TURNS {
                break;
            }
        }
    }
    turnstile.open(Instant::now().into_std());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turnstile::PauseMetrics;

    #[tokio::test(start_paused = true)]
    async fn time_that_passes_unnoticed_is_lag() {
        let metrics = Metrics::new("test", 1);
        let local = tokio::task::LocalSet::new();
        let lag = family(&metrics).worker(0);
        let turnstile = Rc::new(Turnstile::new(&PauseMetrics::new(&metrics), 0));
        local.spawn_local(measure(lag, Rc::clone(&turnstile), None));
        local
            .run_until(async {
                // One period and a bit for the timer to be set and to fire on time.
                tokio::time::sleep(PERIOD * 3 / 2).await;
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
        assert!(turnstile.late() > Duration::from_millis(900));
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_worker_shuts_the_turnstile_and_opens_it_when_nobody_waits() {
        for (most, expected) in [(Some(Duration::from_millis(25)), true), (None, false)] {
            let metrics = Metrics::new("test", 1);
            let local = tokio::task::LocalSet::new();
            let lag = family(&metrics).worker(0);
            let turnstile = Rc::new(Turnstile::new(&PauseMetrics::new(&metrics), 0));
            local.spawn_local(measure(lag, Rc::clone(&turnstile), most));
            let was_shut = local
                .run_until(async {
                    tokio::time::sleep(PERIOD / 2).await;
                    tokio::time::advance(Duration::from_secs(1)).await;
                    let mut was_shut = false;
                    for _ in 0..100 {
                        tokio::task::yield_now().await;
                        was_shut |= turnstile.is_shut();
                    }
                    was_shut
                })
                .await;
            assert_eq!(was_shut, expected);
            assert!(!turnstile.is_shut(), "nobody waits");
        }
    }
}
