//! The access log: every request that failed or was slow, and one of so many of the rest. Lines are
//! bounded by the second; what is left out is counted. A line names the outcome and no part of the
//! request, which may hold what is nobody's business.

use std::cell::Cell;
use std::time::{Duration, Instant};

use http::StatusCode;

use crate::config::{self, Reader, Setting};
use crate::metrics::WorkerCounters;

pub(crate) const ACCESS_LOG_SLOW_MS: Setting = Setting::with_default(
    "ACCESS_LOG_SLOW_MS",
    "1000",
    "Requests that take longer are logged, like all that fail. Milliseconds.",
);
pub(crate) const ACCESS_LOG_ONE_IN: Setting = Setting::with_default(
    "ACCESS_LOG_ONE_IN",
    "0",
    "One of so many of all other requests is logged too; 0 logs none.",
);

/// Lines of one worker in one second: a storm of errors must not become a storm of lines.
const LINES_PER_SECOND: u32 = 20;

/// Which requests are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    slow: Duration,
    one_in: u32,
}

impl Settings {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let slow = reader.value(&ACCESS_LOG_SLOW_MS, config::positive_millis);
        let one_in = reader.value(&ACCESS_LOG_ONE_IN, config::number(0..=1_000_000_000));
        Some(Self {
            slow: slow?,
            one_in: u32::try_from(one_in?).unwrap_or(u32::MAX),
        })
    }
}

/// One worker's log.
#[derive(Debug)]
pub(crate) struct AccessLog {
    settings: Settings,
    /// Requests since the last one that was drawn.
    passed: Cell<u32>,
    /// When the second began that lines are counted in.
    second: Cell<Instant>,
    lines: Cell<u32>,
    dropped: WorkerCounters,
}

impl AccessLog {
    pub(crate) fn new(settings: Settings, dropped: WorkerCounters) -> Self {
        Self {
            settings,
            passed: Cell::new(0),
            second: Cell::new(Instant::now()),
            lines: Cell::new(0),
            dropped,
        }
    }

    /// Whether a request is logged; it took so long and ended with this status, or without one when
    /// it was cut or panicked.
    pub(crate) fn takes(&self, status: Option<StatusCode>, took: Duration) -> bool {
        let failed = status.is_none_or(|status| status.is_server_error());
        if !(failed || took > self.settings.slow || self.is_drawn()) {
            return false;
        }
        if self.second.get().elapsed() >= Duration::from_secs(1) {
            self.second.set(Instant::now());
            self.lines.set(0);
        }
        let lines = self.lines.get();
        if lines >= LINES_PER_SECOND {
            self.dropped.add_one(0);
            return false;
        }
        self.lines.set(lines + 1);
        true
    }

    fn is_drawn(&self) -> bool {
        if self.settings.one_in == 0 {
            return false;
        }
        let passed = self.passed.get() + 1;
        let drawn = passed >= self.settings.one_in;
        self.passed.set(if drawn { 0 } else { passed });
        drawn
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    const SLOW: Duration = Duration::from_secs(1);

    fn log(one_in: u32) -> (Metrics, AccessLog) {
        let metrics = Metrics::new("test", 1);
        let dropped = metrics.counters("dropped_total", "Test.", "log", &["access"]);
        let settings = Settings { slow: SLOW, one_in };
        let log = AccessLog::new(settings, dropped.worker(0));
        // A second that does not end while the test runs.
        log.second.set(Instant::now() + Duration::from_hours(1));
        (metrics, log)
    }

    #[test]
    fn takes_what_failed_or_was_slow_and_one_of_so_many_of_the_rest() {
        let (_, none) = log(0);
        assert!(!none.takes(Some(StatusCode::OK), Duration::ZERO));
        assert!(!none.takes(Some(StatusCode::NOT_FOUND), Duration::ZERO));
        assert!(none.takes(Some(StatusCode::SERVICE_UNAVAILABLE), Duration::ZERO));
        assert!(none.takes(None, Duration::ZERO), "cut, or a panic");
        assert!(none.takes(Some(StatusCode::OK), SLOW * 2));
        let (_, third) = log(3);
        let taken = (0..9).filter(|_| third.takes(Some(StatusCode::OK), Duration::ZERO));
        assert_eq!(taken.count(), 3);
    }

    #[test]
    fn lines_are_bounded_by_the_second_and_the_rest_is_counted() {
        let (metrics, all) = log(1);
        let taken = (0..100).filter(|_| all.takes(None, Duration::ZERO));
        assert_eq!(taken.count(), LINES_PER_SECOND as usize);
        let text = String::from_utf8(metrics.render()).unwrap();
        assert!(
            text.contains("test_dropped_total{log=\"access\"} 80"),
            "{text}"
        );
        let past = Instant::now().checked_sub(Duration::from_secs(2));
        all.second.set(past.unwrap());
        assert!(all.takes(None, Duration::ZERO), "in the next second");
    }
}
