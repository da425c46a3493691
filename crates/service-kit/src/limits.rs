//! What a request may cost before it is refused.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use crate::metrics::WorkerGauge;

/// Limits that belong to a service's contract, not to its settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContractLimits {
    /// Longest request target in bytes; a longer one is answered 414.
    pub target_bytes: usize,
    /// Whether replies are a few KB: then head and body are copied into one buffer and written
    /// at once, which costs less than a vectored write.
    pub small_replies: bool,
}

/// Room for header fields beside the target; a longer head is answered 431. So is a target that
/// fills this room too, because it must be read to its end to be told from header fields.
pub(crate) const HEADER_BYTES: usize = 128 * 1024;

/// Limits that settings choose; each worker gets its share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WorkerLimits {
    pub(crate) connections: usize,
    pub(crate) in_flight: usize,
    pub(crate) keep_alive: Duration,
    pub(crate) crowded_idle: Duration,
    pub(crate) request_deadline: Duration,
}

/// Counts the requests in hand of one worker.
#[derive(Clone, Debug)]
pub(crate) struct InFlight {
    count: Rc<Count>,
    limit: usize,
}

#[derive(Debug)]
struct Count {
    now: Cell<usize>,
    gauge: WorkerGauge,
}

impl Count {
    fn set(&self, count: usize) {
        self.now.set(count);
        self.gauge.set(count as u64);
    }
}

impl InFlight {
    pub(crate) fn new(limit: usize, gauge: WorkerGauge) -> Self {
        let now = Cell::new(0);
        Self {
            count: Rc::new(Count { now, gauge }),
            limit: limit.max(1),
        }
    }

    /// A place for one more request, or `None` when there are too many.
    pub(crate) fn enter(&self) -> Option<InFlightPlace> {
        let count = self.count.now.get();
        if count >= self.limit {
            return None;
        }
        self.count.set(count + 1);
        Some(InFlightPlace(Rc::clone(&self.count)))
    }
}

/// One request's place; dropping it makes room, also when the request is cancelled or panics.
#[derive(Debug)]
pub(crate) struct InFlightPlace(Rc<Count>);

impl Drop for InFlightPlace {
    fn drop(&mut self) {
        self.0.set(self.0.now.get().saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn a_place_is_free_again_when_it_is_dropped() {
        let gauge = Metrics::new("test", 1).gauge("in_flight", "Test.");
        let in_flight = InFlight::new(1, gauge.worker(0));
        let place = in_flight.enter();
        assert!(place.is_some());
        assert!(in_flight.enter().is_none());
        drop(place);
        assert!(in_flight.enter().is_some());
        assert_eq!(in_flight.count.now.get(), 0);
    }
}
