//! A limit on the requests that wait, which follows how long they wait.
//!
//! Only requests whose reply is not there at once have a place here: those that wait for a look-up, a
//! heavy job, another service. A cache hit is answered whatever else waits, and costs nothing of this.
//!
//! The rule is that of the known latency limiters (gradient down, a share up), on the least latency of
//! a window: work differs from request to request, but when even the luckiest of a tenth of a second
//! took several times as long as an undisturbed one, all of them stood in a queue. What an undisturbed
//! one takes is learned while there are few: the limit never goes below a floor, and what a request
//! takes there is not the doing of a queue of ours.

use std::cell::Cell;
use std::time::{Duration, Instant};

use http::StatusCode;

use crate::metrics::WorkerGauge;

/// The shortest time between two changes.
const WINDOW: Duration = Duration::from_millis(100);

/// Replies that a change takes at least: fewer say little.
const SAMPLES: u32 = 8;

/// How many times what an undisturbed request takes all others may take: room enough for what they
/// wait for to be busy all the time, also where it is late itself now and then.
const TOLERANCE: u32 = 3;

/// Latency that is never taken for a queue: what a busy machine adds by itself.
const SLACK: Duration = Duration::from_millis(20);

/// One worker's limit.
#[derive(Debug)]
pub(crate) struct Adaptive {
    floor: usize,
    ceiling: usize,
    limit: Cell<usize>,
    waiting: Cell<usize>,
    /// What a request takes when there are few.
    baseline: Cell<Option<Duration>>,
    window: Cell<Window>,
    gauge: WorkerGauge,
}

/// What was seen since the last change.
#[derive(Clone, Copy, Debug)]
struct Window {
    began: Instant,
    samples: u32,
    least: Duration,
    /// The most that waited.
    peak: usize,
}

impl Window {
    const fn new(began: Instant, waiting: usize) -> Self {
        Self {
            began,
            samples: 0,
            least: Duration::MAX,
            peak: waiting,
        }
    }
}

impl Adaptive {
    /// A limit from `floor` to `ceiling`; it begins at the top, and stays there when `floor` is no
    /// less. The gauge shows it.
    pub(crate) fn new(floor: usize, ceiling: usize, now: Instant, gauge: WorkerGauge) -> Self {
        let ceiling = ceiling.max(1);
        let limit = Self {
            floor: floor.clamp(1, ceiling),
            ceiling,
            limit: Cell::new(ceiling),
            waiting: Cell::new(0),
            baseline: Cell::new(None),
            window: Cell::new(Window::new(now, 0)),
            gauge,
        };
        limit.set(ceiling);
        limit
    }

    /// A place for one more that waits, or `None` when there are too many.
    pub(crate) fn enter(&self) -> Option<Waiting<'_>> {
        let waiting = self.waiting.get();
        if waiting >= self.limit.get() {
            return None;
        }
        let waiting = waiting + 1;
        self.waiting.set(waiting);
        let mut window = self.window.get();
        if waiting > window.peak {
            window.peak = waiting;
            self.window.set(window);
        }
        Some(Waiting(self))
    }

    fn set(&self, limit: usize) {
        self.limit.set(limit);
        self.gauge.set(limit as u64);
    }

    /// A request was answered now after so long.
    fn sample(&self, took: Duration, now: Instant) {
        let mut window = self.window.get();
        // One that began before the last change tells of the time before it.
        let since = now.saturating_duration_since(window.began);
        if took > since {
            return;
        }
        window.samples = window.samples.saturating_add(1);
        window.least = window.least.min(took);
        if since < WINDOW || window.samples < SAMPLES {
            self.window.set(window);
            return;
        }
        self.set(self.next(window));
        self.window.set(Window::new(now, self.waiting.get()));
    }

    /// The limit after a window.
    fn next(&self, window: Window) -> usize {
        let least = window.least;
        let baseline = match self.baseline.get() {
            Some(known) if least > known => {
                // So few wait that what they take is what it takes.
                let is_undisturbed = window.peak <= self.floor;
                if is_undisturbed {
                    known.saturating_add(least) / 2
                } else {
                    known
                }
            }
            _ => least,
        };
        self.baseline.set(Some(baseline));
        let limit = self.limit.get();
        let target = baseline * TOLERANCE + SLACK;
        let next = if least > target {
            let kept = limit.min(window.peak);
            scaled(kept, target, least).max(kept / 2)
        } else if least <= baseline + SLACK {
            limit.saturating_add(limit / 2 + 1)
        } else {
            limit.saturating_add(limit / 8 + 1)
        };
        next.clamp(self.floor, self.ceiling)
    }
}

/// `count * part / whole`.
fn scaled(count: usize, part: Duration, whole: Duration) -> usize {
    let scaled = (count as u128) * part.as_nanos() / whole.as_nanos().max(1);
    usize::try_from(scaled).unwrap_or(count)
}

/// The place of one request that waits; dropping it makes room, also when the request is cancelled.
#[derive(Debug)]
pub(crate) struct Waiting<'a>(&'a Adaptive);

impl Waiting<'_> {
    /// The request got its reply. `took` counts from its head, less what the worker itself was late:
    /// that is no matter of how many wait for something else. What failed tells nothing: one that is
    /// refused at once would be taken for an undisturbed one, and all that succeed for a queue.
    pub(crate) fn answered(self, status: StatusCode, took: Duration, now: Instant) {
        if !status.is_server_error() {
            self.0.sample(took, now);
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let waiting = &self.0.waiting;
        waiting.set(waiting.get().saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::metrics::Metrics;

    const MS: Duration = Duration::from_millis(1);

    fn limit(floor: usize, ceiling: usize, now: Instant) -> Adaptive {
        let gauge = Metrics::new("test", 1).gauge("limit", "Test.");
        Adaptive::new(floor, ceiling, now, gauge.worker(0))
    }

    /// A database with so many places, each of which takes `takes` for a look-up, is asked `rate`
    /// times a millisecond for so long; nobody waits for longer than a second. Gives what was answered in a second at the end, and the
    /// longest wait then.
    struct Database {
        places: usize,
        takes: Duration,
    }

    impl Database {
        fn ask(
            &self,
            limit: &Adaptive,
            clock: &mut Instant,
            rate: usize,
            millis: u32,
        ) -> (usize, Duration) {
            let mut queue = VecDeque::new();
            let mut places: Vec<Option<(Instant, Instant, Waiting<'_>)>> = Vec::new();
            places.resize_with(self.places, || None);
            let (mut answered, mut longest) = (0, Duration::ZERO);
            for step in 0..millis {
                *clock += MS;
                while queue
                    .front()
                    .is_some_and(|(began, _)| *clock - *began > MS * 1000)
                {
                    queue.pop_front();
                }
                for _ in 0..rate {
                    queue.extend(limit.enter().map(|place| (*clock, place)));
                }
                for place in &mut places {
                    if let Some((_, due, _)) = place
                        && *due <= *clock
                        && let Some((began, _, waiting)) = place.take()
                    {
                        let took = *clock - began;
                        waiting.answered(StatusCode::OK, took, *clock);
                        if step + 1000 >= millis {
                            answered += 1;
                            longest = longest.max(took);
                        }
                    }
                    if place.is_none() {
                        let next = queue.pop_front();
                        *place = next.map(|(began, waiting)| (began, *clock + self.takes, waiting));
                    }
                }
            }
            (answered, longest)
        }
    }

    #[test]
    fn a_place_is_free_again_when_it_is_dropped() {
        let limit = limit(1, 2, Instant::now());
        let (first, second) = (limit.enter(), limit.enter());
        assert!(first.is_some() && second.is_some() && limit.enter().is_none());
        drop(first);
        assert!(limit.enter().is_some());
    }

    #[test]
    fn three_times_what_a_database_can_do_neither_queues_nor_starves_it() {
        let mut clock = Instant::now();
        let limit = limit(16, 4096, clock);
        // 2,000 a second, of which 100 are under way at a time.
        let database = Database {
            places: 100,
            takes: MS * 50,
        };
        let (answered, _) = database.ask(&limit, &mut clock, 1, 2000);
        assert!((900..=1000).contains(&answered), "{answered}");
        assert_eq!(limit.limit.get(), 4096, "no queue, no limit");
        let (answered, longest) = database.ask(&limit, &mut clock, 6, 10_000);
        assert!(answered > 1900, "{answered} of 2000");
        assert!(longest < MS * 400, "{longest:?}");
        assert!(limit.limit.get() < 800, "{}", limit.limit.get());
        let (answered, longest) = database.ask(&limit, &mut clock, 1, 4000);
        assert!((900..=1000).contains(&answered), "{answered}");
        assert!(longest < MS * 60, "the queue is gone: {longest:?}");
        assert_eq!(limit.limit.get(), 4096, "and so is the limit");
    }

    #[test]
    fn a_database_that_has_become_slow_is_not_taken_for_a_queue_for_long() {
        let mut clock = Instant::now();
        let limit = limit(16, 4096, clock);
        let quick = Database {
            places: 1000,
            takes: MS,
        };
        quick.ask(&limit, &mut clock, 1, 1000);
        let slow = Database {
            places: 1000,
            takes: MS * 300,
        };
        let (answered, longest) = slow.ask(&limit, &mut clock, 1, 20_000);
        assert!((900..=1000).contains(&answered), "{answered}");
        assert!(longest < MS * 310, "{longest:?}");
    }

    #[test]
    fn a_database_that_does_next_to_nothing_is_still_asked() {
        let mut clock = Instant::now();
        let limit = limit(2, 4096, clock);
        let database = Database {
            places: 1,
            takes: MS * 100,
        };
        let (answered, _) = database.ask(&limit, &mut clock, 5, 60_000);
        assert!((9..=10).contains(&answered), "{answered}");
        assert!(limit.limit.get() < 16, "{}", limit.limit.get());
    }

    #[test]
    fn some_that_take_long_by_themselves_lower_nothing() {
        let mut clock = Instant::now();
        let limit = limit(16, 4096, clock);
        for round in 0..10_000 {
            clock += MS;
            let waiting = limit.enter().unwrap();
            let took = if round % 10 == 0 { MS } else { MS * 90 };
            waiting.answered(StatusCode::OK, took, clock);
        }
        assert_eq!(limit.limit.get(), 4096);
    }

    #[test]
    fn quick_failures_are_not_taken_for_undisturbed_requests() {
        let mut clock = Instant::now();
        let limit = limit(16, 4096, clock);
        let wait = |status, took, clock: &mut Instant| {
            *clock += MS;
            // Many wait at a time, so that none of it counts as undisturbed.
            let others: Vec<_> = (0..100).map(|_| limit.enter()).collect();
            let waiting = limit.enter().unwrap();
            waiting.answered(status, took, *clock);
            drop(others);
        };
        for failure in [StatusCode::SERVICE_UNAVAILABLE, StatusCode::BAD_GATEWAY] {
            for _ in 0..2000 {
                wait(failure, Duration::ZERO, &mut clock);
            }
            assert_eq!(limit.limit.get(), 4096);
            assert_eq!(limit.baseline.get(), None);
        }
        for _ in 0..2000 {
            wait(StatusCode::OK, MS * 80, &mut clock);
        }
        assert_eq!(limit.limit.get(), 4096, "80 ms is what it takes");
    }

    #[test]
    fn a_floor_at_the_ceiling_turns_it_off() {
        let mut clock = Instant::now();
        let limit = limit(64, 64, clock);
        for round in 1..1000 {
            clock += MS * 10;
            let waiting = limit.enter().unwrap();
            waiting.answered(StatusCode::OK, MS * round.min(900), clock);
        }
        assert_eq!(limit.limit.get(), 64);
    }
}
