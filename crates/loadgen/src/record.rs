//! What happened: histograms and counts, one record for each scenario and thread, merged at the end.
//!
//! Memory is the same however long a run is, except a few bytes for each second of it.

mod lateness;
mod second;
mod times;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::check::Wrong;
use crate::client::Failure;
use crate::corpus::{Depth, Expect};

pub use lateness::{Departure, Lateness};
pub use second::{Second, Tally};
pub use times::{BrokenTimes, PackedTimes, Times};

use second::Current;
pub(crate) use second::merge as merge_timelines;

/// Wrong answers that are kept for the report, for each scenario and thread.
const MAX_EXAMPLES: usize = 10;
/// How much of each is kept, in bytes.
const MAX_EXAMPLE_BYTES: usize = 2000;
/// Seconds of a timeline; longer runs add up in the last.
const MAX_SECONDS: usize = 4 * 3600;

/// A wrong answer, kept for the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// What was asked.
    pub target: String,
    /// Why it is wrong.
    pub reason: &'static str,
    /// The beginning of what a right body is; of a chain, as JSON.
    pub expected: String,
    /// The beginning of the reply's body.
    pub body: String,
}

impl Example {
    fn new(wrong: Wrong, target: &str, expect: &Expect, body: &[u8]) -> Self {
        let cut = |bytes: &[u8]| {
            let shown = &bytes[..bytes.len().min(MAX_EXAMPLE_BYTES)];
            String::from_utf8_lossy(shown).into_owned()
        };
        let expected = match expect {
            Expect::Rest(rest) => format!("(team line){}", cut(rest)),
            Expect::Body(body) => cut(body),
            Expect::Chain(chain) => format!("(team line, packed){}", cut(chain.json.as_bytes())),
            Expect::Contacts => "(team line)(contacts)".to_owned(),
            Expect::Any => "(anything)".to_owned(),
        };
        Self {
            target: target.chars().take(MAX_EXAMPLE_BYTES).collect(),
            reason: wrong.reason(),
            expected,
            body: cut(body),
        }
    }
}

/// How one request ended.
#[derive(Clone, Copy, Debug)]
pub enum End<'a> {
    /// A reply with status 200 that is right, as far as that was checked.
    Good(Depth),
    /// A reply with status 200 that is wrong.
    Wrong {
        /// Why.
        wrong: Wrong,
        /// What was asked.
        target: &'a str,
        /// What a right reply is.
        expect: &'a Expect,
        /// The reply's body.
        body: &'a [u8],
    },
    /// A reply with another status.
    Status(u16),
    /// No whole reply.
    Failed(Failure),
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
    /// Replies that were compared with their answers.
    pub checked: u64,
    /// Replies of which only the shape was checked.
    pub shape_checked: u64,
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
    /// What happened in each second; the last one is there after [`Record::finish`].
    pub timeline: Vec<Second>,
    /// The longest time between two ends, or the start and the first one, on one thread; of several
    /// scenarios the longest of any.
    pub max_pause: Duration,
    last_end: Duration,
    current: Current,
}

impl Record {
    /// Counts a request that was due at `due` after the start, was sent at `sent` and ended at
    /// `ended`.
    pub fn add(&mut self, due: Duration, sent: Duration, ended: Duration, end: End<'_>) {
        self.service.add(ended.saturating_sub(sent));
        let is_good = matches!(end, End::Good(_));
        match end {
            End::Good(depth) => {
                self.good += 1;
                self.count_check(depth);
            }
            End::Wrong {
                wrong,
                target,
                expect,
                body,
            } => {
                self.count_check(expect.depth());
                *self.wrong.entry(wrong.reason()).or_default() += 1;
                if self.examples.len() < MAX_EXAMPLES {
                    self.examples
                        .push(Example::new(wrong, target, expect, body));
                }
            }
            End::Status(status) => *self.statuses.entry(status).or_default() += 1,
            End::Failed(failure) => *self.failures.entry(failure.name()).or_default() += 1,
        }
        self.count_end(due, ended, !is_good);
    }

    /// Counts a request that was due at `due` and not sent by `now`: it waited, and nobody served it.
    pub fn add_unsent(&mut self, due: Duration, now: Duration) {
        *self.failures.entry(Failure::Unsent.name()).or_default() += 1;
        self.count_end(due, now, true);
    }

    fn count_end(&mut self, due: Duration, ended: Duration, is_error: bool) {
        let response = ended.saturating_sub(due);
        self.response.add(response);
        self.roll_to(ended);
        self.current.add(response, is_error);
        self.max_pause = self.max_pause.max(ended.saturating_sub(self.last_end));
        self.last_end = self.last_end.max(ended);
    }

    fn count_check(&mut self, depth: Depth) {
        match depth {
            Depth::Exact => self.checked += 1,
            Depth::Shape => self.shape_checked += 1,
            Depth::Unchecked => {}
        }
    }

    /// Counts bytes that were sent, and those of a reply.
    pub fn add_bytes(&mut self, sent: usize, received: usize) {
        self.bytes_out += sent as u64;
        self.bytes_in += received as u64;
        self.current.tally.bytes_in += received as u64;
    }

    /// Closes the seconds before `now`.
    pub fn roll_to(&mut self, now: Duration) {
        let second = usize::try_from(now.as_secs()).unwrap_or(usize::MAX);
        let second = second.min(MAX_SECONDS - 1);
        while self.timeline.len() < second {
            self.timeline.push(self.current.take());
        }
    }

    /// Closes the second under way.
    pub fn finish(&mut self) {
        if self.current.tally.done > 0 && self.timeline.len() < MAX_SECONDS {
            self.timeline.push(self.current.take());
        }
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

    /// Adds what happened elsewhere, after both are finished.
    pub fn merge(&mut self, other: &Self) {
        self.response.merge(&other.response);
        self.service.merge(&other.service);
        self.good += other.good;
        self.checked += other.checked;
        self.shape_checked += other.shape_checked;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        add_counts(&mut self.wrong, &other.wrong);
        add_counts(&mut self.statuses, &other.statuses);
        add_counts(&mut self.failures, &other.failures);
        let room = MAX_EXAMPLES.saturating_sub(self.examples.len());
        self.examples
            .extend(other.examples.iter().take(room).cloned());
        self.max_pause = self.max_pause.max(other.max_pause);
        second::merge(&mut self.timeline, &other.timeline, 0);
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
    use crate::corpus::{Depth, Expect};

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
            record.add(due, sent, free, End::Good(Depth::Exact));
        }
        record.finish();
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
                .map(|second| second.tally.done)
                .sum::<u64>(),
            20
        );
    }

    #[test]
    fn what_was_never_sent_has_waited_and_was_not_served() {
        let mut record = Record::default();
        record.add(ms(0), ms(0), ms(5), End::Good(Depth::Exact));
        record.add_unsent(ms(1000), ms(4000));
        assert_eq!((record.done(), record.errors()), (2, 1));
        assert_eq!((record.service.len(), record.failures["unsent"]), (1, 1));
        assert!((record.response.max_ms() - 3000.0).abs() < 3.0);
        assert!((record.service.min_ms() - 5.0).abs() < 0.1);
    }

    #[test]
    fn merged_records_hold_what_each_held() {
        let mut one = Record::default();
        let mut two = Record::default();
        let wrong = End::Wrong {
            wrong: Wrong::Bytes,
            target: "/a",
            expect: &Expect::Body(b"c".to_vec()),
            body: b"b",
        };
        for end in [End::Good(Depth::Exact), wrong, End::Status(503)] {
            one.add(ms(0), ms(0), ms(1), end);
        }
        let shape = End::Wrong {
            wrong: Wrong::Shape,
            target: "/t",
            expect: &Expect::Contacts,
            body: b"",
        };
        for end in [
            End::Good(Depth::Unchecked),
            shape,
            End::Failed(Failure::Timeout),
        ] {
            two.add(ms(0), ms(1), ms(2001), end);
        }
        one.finish();
        two.finish();
        one.merge(&two);
        assert_eq!(
            (one.done(), one.good, one.errors(), one.checked),
            (6, 2, 4, 2)
        );
        assert_eq!((one.statuses[&503], one.wrong_replies()), (1, 2));
        assert_eq!(one.shape_checked, 1);
        assert_eq!(one.failures["timeout"], 1);
        assert_eq!(one.examples[0].target, "/a");
        assert_eq!(one.timeline.len(), 3);
        assert_eq!(one.timeline[2].tally.errors, 2);
        assert_eq!(one.timeline[0].times.unpack().unwrap().len(), 3);
        assert_eq!(
            (one.max_pause, one.examples[0].expected.as_str()),
            (ms(2001), "c")
        );
    }
}
