//! Was it the tool that was late?

use std::time::Duration;

use super::Times;

/// Did the tool keep its own schedule?
#[derive(Clone, Debug, Default)]
pub struct Lateness {
    /// Sends so far.
    pub sent: u64,
    /// Sends that began later than the tolerance after they were due, for any reason.
    pub late: u64,
    /// Those of them that the tool, or the machine it runs on, made late by so much: waits for a
    /// free connection, which are up to the target, do not count here.
    pub late_by_tool: u64,
    /// The tool's part of the time from due to sent.
    pub lag: Times,
}

/// The way of a request to its send, in times after the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Departure {
    /// When the schedule wants it sent.
    pub due: Duration,
    /// When the tool noticed that.
    pub released: Duration,
    /// Since when its connection was free.
    pub free: Duration,
    /// When it was sent.
    pub sent: Duration,
}

impl Departure {
    /// From due to sent, without the wait for a connection.
    fn lag(&self) -> Duration {
        let wait = self.free.saturating_sub(self.released);
        self.sent.saturating_sub(self.due).saturating_sub(wait)
    }
}

impl Lateness {
    /// Counts a send.
    pub fn add(&mut self, departure: Departure, tolerance: Duration) {
        let lag = departure.lag();
        let is_late = departure.sent.saturating_sub(departure.due) > tolerance;
        self.sent += 1;
        self.late += u64::from(is_late);
        self.late_by_tool += u64::from(lag > tolerance);
        self.lag.add(lag);
    }

    /// Adds what another thread counted.
    pub fn merge(&mut self, other: &Self) {
        self.sent += other.sent;
        self.late += other.late;
        self.late_by_tool += other.late_by_tool;
        self.lag.merge(&other.lag);
    }

    /// Whether more than the given share of all sends was late because of the tool.
    #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
    pub fn exceeds(&self, share: f64) -> bool {
        self.late_by_tool as f64 > self.sent as f64 * share
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Departure, Lateness};

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_late_send_is_the_tools_fault_without_the_wait_for_a_connection() {
        let mut lateness = Lateness::default();
        for (due, released, free, sent) in [
            // In time.
            (10, 10, 5, 10),
            // Noticed in time, a connection free, and yet sent late.
            (20, 20, 11, 25),
            // Noticed late, as were all after it until the tool caught up: sent as soon as a
            // connection was free, but that is no excuse.
            (30, 80, 85, 85),
            // Noticed in time, but every connection was busy.
            (90, 90, 140, 140),
        ] {
            let departure = Departure {
                due: ms(due),
                released: ms(released),
                free: ms(free),
                sent: ms(sent),
            };
            lateness.add(departure, ms(1));
        }
        let Lateness {
            sent,
            late,
            late_by_tool,
            ..
        } = lateness;
        assert_eq!((sent, late, late_by_tool), (4, 3, 2));
        assert!((lateness.lag.max_ms() - 50.0).abs() < 0.1);
        assert!(lateness.exceeds(0.01) && !lateness.exceeds(0.5));
        assert!(!Lateness::default().exceeds(0.0));
    }
}
