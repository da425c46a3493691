//! What a request may cost before it is refused.

mod adaptive;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use http::{HeaderMap, HeaderName};

use crate::access;
use crate::held::HeldLimits;
use crate::metrics::WorkerGauge;
use crate::settings::Common;

pub(crate) use adaptive::Adaptive;

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
/// fills this room too, because it must be read to its end to be told from header fields. What all
/// connections together may take of it is [`HeldLimits`]'s.
pub(crate) const HEADER_BYTES: usize = 128 * 1024;

/// How long a caller will wait for its reply, in milliseconds.
const REQUEST_TIMEOUT: HeaderName = HeaderName::from_static("x-request-timeout-ms");

/// How long a request may wait for its reply: as long as its caller will, but no longer than the
/// setting says. What is no number of milliseconds counts as not said.
pub(crate) fn patience(headers: &HeaderMap, most: Duration) -> Duration {
    let said = headers.get(&REQUEST_TIMEOUT);
    let said = said.and_then(|value| value.to_str().ok()?.parse().ok());
    said.map_or(most, |millis| most.min(Duration::from_millis(millis)))
}

/// Limits that settings choose; each worker gets its share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WorkerLimits {
    pub(crate) connections: usize,
    pub(crate) in_flight: usize,
    /// How low the limit on those of them that wait may go.
    pub(crate) least_in_flight: usize,
    /// How late a worker may be before it stops reading; `None` for ever.
    pub(crate) pause_reads: Option<Duration>,
    pub(crate) keep_alive: Duration,
    pub(crate) crowded_idle: Duration,
    pub(crate) request_deadline: Duration,
    pub(crate) send_deadline: Duration,
    pub(crate) held: HeldLimits,
    pub(crate) access: access::Settings,
}

impl WorkerLimits {
    /// One of so many workers' share of what the settings allow.
    pub(crate) fn share(
        contract: ContractLimits,
        common: &Common,
        connections: usize,
        workers: usize,
    ) -> Self {
        Self {
            connections: (connections / workers).max(1),
            in_flight: (common.max_in_flight / workers).max(1),
            least_in_flight: (common.min_in_flight / workers).max(1),
            pause_reads: (!common.pause_reads.is_zero()).then_some(common.pause_reads),
            keep_alive: common.keep_alive,
            crowded_idle: common.crowded_idle,
            request_deadline: common.request_deadline,
            send_deadline: common.send_deadline,
            held: HeldLimits::share(contract, workers),
            access: common.access,
        }
    }
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
    fn a_caller_may_shorten_the_deadline_and_not_lengthen_it() {
        let most = Duration::from_secs(10);
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_TIMEOUT, value.parse().unwrap());
            patience(&headers, most)
        };
        assert_eq!(patience(&HeaderMap::new(), most), most);
        assert_eq!(of("250"), Duration::from_millis(250));
        assert_eq!(of("0"), Duration::ZERO);
        for longer_or_nonsense in ["10001", "-1", "1.5", "x", "", "99999999999999999999"] {
            assert_eq!(of(longer_or_nonsense), most, "{longer_or_nonsense}");
        }
    }

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
