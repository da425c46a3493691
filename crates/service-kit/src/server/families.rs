//! What every service counts of its requests and connections.

use crate::lag;
use crate::metrics::{
    Counters, Durations, Gauges, Label as _, Metrics, WorkerCounters, WorkerDurations, WorkerGauge,
};
use crate::respond::KitOutcome;
use crate::turnstile::PauseMetrics;

/// The families that every service has.
#[derive(Clone, Debug)]
pub(crate) struct RequestMetrics {
    pub(super) requests: Counters,
    pub(super) durations: Durations,
    pub(super) in_flight: Gauges,
    pub(super) in_flight_limit: Gauges,
    pub(super) pauses: PauseMetrics,
    pub(super) lag: Durations,
    pub(super) connections: Gauges,
    pub(super) accepted: Counters,
    pub(super) log_dropped: Counters,
}

impl RequestMetrics {
    pub(crate) fn new(metrics: &Metrics, outcomes: &[&'static str]) -> Self {
        let labels: Vec<_> = KitOutcome::ALL.iter().chain(outcomes).copied().collect();
        Self {
            requests: metrics.counters(
                "requests_total",
                "Requests by outcome.",
                "outcome",
                &labels,
            ),
            durations: metrics.durations(
                "request_duration_seconds",
                "Time from a request's head to its reply, in seconds.",
            ),
            in_flight: metrics.gauge("requests_in_flight", "Requests in hand."),
            in_flight_limit: metrics.gauge(
                "requests_waiting_limit",
                "Requests that may wait for what they need at a time, by their latency.",
            ),
            pauses: PauseMetrics::new(metrics),
            lag: lag::family(metrics),
            connections: metrics.gauge("connections", "Open connections."),
            accepted: metrics.counters(
                "connections_accepted_total",
                "Connections accepted.",
                "listener",
                &["traffic"],
            ),
            log_dropped: metrics.counters(
                "log_lines_dropped_total",
                "Lines that were left out, because there were too many in one second.",
                "log",
                &["access"],
            ),
        }
    }

    pub(super) fn worker(&self, worker: usize) -> WorkerMetrics {
        WorkerMetrics {
            requests: self.requests.worker(worker),
            durations: self.durations.worker(worker),
            connections: self.connections.worker(worker),
            accepted: self.accepted.worker(worker),
        }
    }
}

/// One worker's.
pub(super) struct WorkerMetrics {
    pub(super) requests: WorkerCounters,
    pub(super) durations: WorkerDurations,
    pub(super) connections: WorkerGauge,
    pub(super) accepted: WorkerCounters,
}
