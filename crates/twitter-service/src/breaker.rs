//! Knows whether the database answers, so that a sick one costs a request a moment and not all of
//! its deadlines, and is not buried under look-ups while it recovers.
//!
//! After a few failed queries in a row, look-ups are refused at once. Every now and then one is let
//! through as a probe; the first that is answered ends it. Probes may overlap: one that hangs in a
//! black hole must not keep the next from finding that the database is back. Where there is no
//! connection left for another, it gives up connecting early.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

/// Failures in a row, without a success between them, that make the database sick. One alone may be
/// the doing of a single connection or query.
const FAILURES: u32 = 2;

/// Time between probes: half of how late a database that came back is noticed at most.
const PROBE_PAUSE: Duration = Duration::from_millis(250);

/// How long a look-up that is a probe waits for its answer, and its query for a new connection
/// where no other is left to probe with. A connection that was begun while packets were lost is dead
/// though the database is back.
pub(crate) const PROBE_PATIENCE: Duration = Duration::from_millis(500);

/// Of so many failures in a row, after one the query has all of its time for a new connection: a
/// database that has become slow to greet is found by it, where there is one connection only.
const PATIENT: u32 = 32;

/// What a look-up may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Go ahead.
    Usual,
    /// Go ahead, beside all others, and see whether the database is back.
    Probe,
    /// The database did not answer a moment ago.
    Refused,
}

/// One worker's view of the database.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    failures: Cell<u32>,
    next_probe: Cell<Option<Instant>>,
    recoveries: Cell<u32>,
}

/// When a query began, as far as that matters for what its failure says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Era(u32);

impl Breaker {
    /// Whether a look-up may go ahead at this time.
    pub(crate) fn admit(&self, now: Instant) -> Admission {
        match self.next_probe.get() {
            None => Admission::Usual,
            Some(next) if now < next => Admission::Refused,
            Some(_) => {
                self.next_probe.set(Some(now + PROBE_PAUSE));
                Admission::Probe
            }
        }
    }

    /// To be asked for when a query begins.
    pub(crate) fn era(&self) -> Era {
        Era(self.recoveries.get())
    }

    /// How long a query may wait for a new connection where no other is left to probe with; `None`
    /// while there is no reason for haste.
    pub(crate) fn patience(&self) -> Option<Duration> {
        let is_hasty = !self.failures.get().is_multiple_of(PATIENT);
        is_hasty.then_some(PROBE_PATIENCE)
    }

    /// A query was answered. Says whether the database was sick until now.
    pub(crate) fn succeeded(&self) -> bool {
        self.failures.set(0);
        let was_sick = self.next_probe.take().is_some();
        if was_sick {
            self.recoveries.set(self.recoveries.get().wrapping_add(1));
        }
        was_sick
    }

    /// A query was not answered. Says whether this made the database sick. Of one that began before
    /// the database came back, such as a probe that hung, it does not.
    pub(crate) fn failed(&self, began: Era, now: Instant) -> bool {
        if began != self.era() {
            return false;
        }
        let failures = self.failures.get().saturating_add(1);
        self.failures.set(failures);
        let turned = failures >= FAILURES && self.next_probe.get().is_none();
        if turned {
            self.next_probe.set(Some(now + PROBE_PAUSE));
        }
        turned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_after_failures_in_a_row_and_closes_with_the_first_success() {
        let breaker = Breaker::default();
        let now = Instant::now();
        for _ in 0..10 {
            assert!(!breaker.failed(breaker.era(), now), "one failure alone");
            assert_eq!(breaker.patience(), Some(PROBE_PATIENCE));
            assert!(!breaker.succeeded());
            assert_eq!(breaker.patience(), None);
        }
        assert_eq!(breaker.admit(now), Admission::Usual);
        assert!(!breaker.failed(breaker.era(), now));
        assert!(breaker.failed(breaker.era(), now));
        assert!(!breaker.failed(breaker.era(), now), "told once");
        assert_eq!(breaker.admit(now), Admission::Refused);
        assert!(breaker.succeeded());
        assert_eq!(breaker.admit(now), Admission::Usual);
    }

    #[test]
    fn what_began_before_the_database_came_back_says_nothing_of_it() {
        let breaker = Breaker::default();
        let now = Instant::now();
        let before = breaker.era();
        breaker.failed(before, now);
        breaker.failed(before, now);
        breaker.succeeded();
        for _ in 0..3 {
            assert!(!breaker.failed(before, now));
        }
        assert_eq!(breaker.admit(now), Admission::Usual);
        assert_eq!(breaker.patience(), None);
    }

    #[test]
    fn every_now_and_then_a_query_may_connect_for_as_long_as_usual() {
        let breaker = Breaker::default();
        let patient = (0..10 * PATIENT).filter(|_| {
            breaker.failed(breaker.era(), Instant::now());
            breaker.patience().is_none()
        });
        assert_eq!(patient.count(), 10);
    }

    #[test]
    fn probes_have_a_pause_between_them_and_do_not_wait_for_each_other() {
        let breaker = Breaker::default();
        let mut now = Instant::now();
        breaker.failed(breaker.era(), now);
        breaker.failed(breaker.era(), now);
        for _ in 0..3 {
            assert_eq!(breaker.admit(now), Admission::Refused);
            now += PROBE_PAUSE;
            assert_eq!(breaker.admit(now), Admission::Probe);
            assert_eq!(breaker.admit(now), Admission::Refused);
        }
    }
}
