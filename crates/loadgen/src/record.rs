//! What happened: histograms and counts, one record for each scenario and thread, merged at the end.
//!
//! Memory is the same however long a run is, except a few bytes for each second of it.

mod lateness;

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::check::Wrong;
use crate::client::Failure;

pub use lateness::{Departure, Lateness};

/// Times are exact to three digits from a microsecond on.
const SIGNIFICANT_DIGITS: u8 = 3;
/// Largest time that is told apart, in nanoseconds; the longest timeout is below.
const MAX_NANOS: u64 = 600_000_000_000;
/// Wrong answers that are kept for the report, for each scenario and thread.
const MAX_EXAMPLES: usize = 5;
/// How much of each is kept, in bytes.
const MAX_EXAMPLE_BYTES: usize = 2000;
/// Seconds of a timeline; longer runs add up in the last.
const MAX_SECONDS: usize = 4 * 3600;

/// Times of one kind.
#[derive(Clone, Debug)]
pub struct Times(Histogram<u64>);

impl Default for Times {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1000, MAX_NANOS, SIGNIFICANT_DIGITS);
        Self(histogram.expect("the bounds are legal"))
    }
}

impl Times {
    /// Counts a time.
    pub fn add(&mut self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.0.saturating_record(nanos);
    }

    /// Adds the times of another thread.
    #[expect(
        clippy::missing_panics_doc,
        reason = "all have equal bounds, so that nothing is out of range"
    )]
    pub fn merge(&mut self, other: &Self) {
        self.0.add(&other.0).expect("equal bounds");
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A percentile in milliseconds, from 0 to 100; 0 without times.
    pub fn percentile_ms(&self, percentile: f64) -> f64 {
        ms(self.0.value_at_percentile(percentile).min(self.0.max()))
    }

    /// The mean in milliseconds.
    pub fn mean_ms(&self) -> f64 {
        self.0.mean() / 1e6
    }

    /// The shortest in milliseconds.
    pub fn min_ms(&self) -> f64 {
        ms(self.0.min())
    }

    /// The longest in milliseconds.
    pub fn max_ms(&self) -> f64 {
        ms(self.0.max())
    }
}

#[expect(clippy::cast_precision_loss, reason = "below 2^53")]
fn ms(nanos: u64) -> f64 {
    nanos as f64 / 1e6
}

/// A wrong answer, kept for the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// What was asked.
    pub target: String,
    /// Why it is wrong.
    pub reason: &'static str,
    /// The beginning of the reply's body.
    pub body: String,
}

/// How one request ended.
#[derive(Clone, Copy, Debug)]
pub enum End<'a> {
    /// A reply with status 200 that is right, or was not checked.
    Good {
        /// Whether it was checked.
        checked: bool,
    },
    /// A reply with status 200 that is wrong.
    Wrong {
        /// Why.
        wrong: Wrong,
        /// What was asked.
        target: &'a str,
        /// The reply's body.
        body: &'a [u8],
    },
    /// A reply with another status.
    Status(u16),
    /// No whole reply.
    Failed(Failure),
}

/// One second of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Second {
    /// Requests that ended in it.
    pub done: u64,
    /// Those that did not end well.
    pub errors: u64,
    /// The longest response time, in nanoseconds.
    pub max_nanos: u64,
}

/// What happened to one scenario, on one thread or all.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// From when a request was due, to the end of its reply.
    pub response: Times,
    /// From when it was sent.
    pub service: Times,
    /// Requests that ended well.
    pub good: u64,
    /// Replies that were checked.
    pub checked: u64,
    /// Wrong replies with status 200, by reason.
    pub wrong: BTreeMap<&'static str, u64>,
    /// Replies with other statuses.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests without a whole reply, by kind.
    pub failures: BTreeMap<&'static str, u64>,
    /// Bytes of replies, heads included.
    pub bytes_in: u64,
    /// Bytes of requests.
    pub bytes_out: u64,
    /// A few wrong replies.
    pub examples: Vec<Example>,
    /// What happened when.
    pub timeline: Vec<Second>,
}

impl Record {
    /// Counts a request that was due at `due` after the start, was sent at `sent` and ended at
    /// `ended`.
    pub fn add(&mut self, due: Duration, sent: Duration, ended: Duration, end: End<'_>) {
        let response = ended.saturating_sub(due);
        self.response.add(response);
        self.service.add(ended.saturating_sub(sent));
        let is_good = matches!(end, End::Good { .. });
        match end {
            End::Good { checked } => {
                self.good += 1;
                self.checked += u64::from(checked);
            }
            End::Wrong {
                wrong,
                target,
                body,
            } => {
                self.checked += 1;
                *self.wrong.entry(wrong.reason()).or_default() += 1;
                if self.examples.len() < MAX_EXAMPLES {
                    let shown = &body[..body.len().min(MAX_EXAMPLE_BYTES)];
                    self.examples.push(Example {
                        target: target.chars().take(MAX_EXAMPLE_BYTES).collect(),
                        reason: wrong.reason(),
                        body: String::from_utf8_lossy(shown).into_owned(),
                    });
                }
            }
            End::Status(status) => *self.statuses.entry(status).or_default() += 1,
            End::Failed(failure) => *self.failures.entry(failure.name()).or_default() += 1,
        }
        let second = usize::try_from(ended.as_secs()).unwrap_or(usize::MAX);
        let second = second.min(MAX_SECONDS - 1);
        if self.timeline.len() <= second {
            self.timeline.resize(second + 1, Second::default());
        }
        let second = &mut self.timeline[second];
        second.done += 1;
        second.errors += u64::from(!is_good);
        let nanos = u64::try_from(response.as_nanos()).unwrap_or(u64::MAX);
        second.max_nanos = second.max_nanos.max(nanos);
    }

    /// Requests that ended, well or not.
    pub fn done(&self) -> u64 {
        self.response.len()
    }

    /// Requests that did not end well.
    pub fn errors(&self) -> u64 {
        self.done() - self.good
    }

    /// Wrong replies with status 200.
    pub fn wrong_replies(&self) -> u64 {
        self.wrong.values().sum()
    }

    /// Adds what happened elsewhere.
    pub fn merge(&mut self, other: &Self) {
        self.response.merge(&other.response);
        self.service.merge(&other.service);
        self.good += other.good;
        self.checked += other.checked;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        add_counts(&mut self.wrong, &other.wrong);
        add_counts(&mut self.statuses, &other.statuses);
        add_counts(&mut self.failures, &other.failures);
        let room = MAX_EXAMPLES.saturating_sub(self.examples.len());
        self.examples
            .extend(other.examples.iter().take(room).cloned());
        if self.timeline.len() < other.timeline.len() {
            self.timeline
                .resize(other.timeline.len(), Second::default());
        }
        for (second, more) in self.timeline.iter_mut().zip(&other.timeline) {
            second.done += more.done;
            second.errors += more.errors;
            second.max_nanos = second.max_nanos.max(more.max_nanos);
        }
    }
}

fn add_counts<K: Ord + Copy>(to: &mut BTreeMap<K, u64>, from: &BTreeMap<K, u64>) {
    for (key, count) in from {
        *to.entry(*key).or_default() += count;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{End, Record};
    use crate::check::Wrong;
    use crate::client::Failure;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn response_time_counts_from_when_a_request_was_due() {
        // A stall of 1 s at a rate of 10 a second with one connection: the target is quick again
        // after it, yet all who came meanwhile have waited.
        let mut record = Record::default();
        let mut free = ms(0);
        for index in 0..20 {
            let due = ms(index * 100);
            let sent = free.max(due);
            let took = if index == 0 { ms(1000) } else { ms(1) };
            free = sent + took;
            record.add(due, sent, free, End::Good { checked: true });
        }
        assert!((record.service.percentile_ms(90.0) - 1.0).abs() < 0.01);
        // Waits of 1000, 901, 802, ... 10 for eleven of twenty.
        assert!((record.response.percentile_ms(50.0) - 10.0).abs() < 1.0);
        assert!((record.response.percentile_ms(90.0) - 802.0).abs() < 1.0);
        assert!((record.response.max_ms() - 1000.0).abs() < 1.0);
        assert_eq!(record.timeline.len(), 2);
        assert_eq!(
            record
                .timeline
                .iter()
                .map(|second| second.done)
                .sum::<u64>(),
            20
        );
    }

    #[test]
    fn merged_records_hold_what_each_held() {
        let mut one = Record::default();
        let mut two = Record::default();
        let wrong = End::Wrong {
            wrong: Wrong::Bytes,
            target: "/a",
            body: b"b",
        };
        for end in [End::Good { checked: true }, wrong, End::Status(503)] {
            one.add(ms(0), ms(0), ms(1), end);
        }
        for end in [End::Good { checked: false }, End::Failed(Failure::Timeout)] {
            two.add(ms(0), ms(1), ms(2001), end);
        }
        one.merge(&two);
        assert_eq!(
            (one.done(), one.good, one.errors(), one.checked),
            (5, 2, 3, 2)
        );
        assert_eq!((one.statuses[&503], one.wrong_replies()), (1, 1));
        assert_eq!(one.failures["timeout"], 1);
        assert_eq!(one.examples[0].target, "/a");
        assert_eq!(one.timeline.len(), 3);
        assert_eq!(one.timeline[2].errors, 1);
    }
}
