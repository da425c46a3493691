//! One second of a run.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::times::{PackedTimes, Times};

/// Counts of a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Requests that ended in it.
    pub done: u64,
    /// Those that did not end well.
    pub errors: u64,
    /// Bytes of replies.
    pub bytes_in: u64,
}

/// A second that is over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Second {
    /// Its counts.
    #[serde(flatten)]
    pub tally: Tally,
    /// Its response times.
    pub times: PackedTimes,
}

impl Second {
    /// Adds what happened elsewhere in it.
    pub fn merge(&mut self, other: &Self) {
        self.tally.done += other.tally.done;
        self.tally.errors += other.tally.errors;
        self.tally.bytes_in += other.tally.bytes_in;
        self.times.merge(&other.times);
    }
}

/// Adds a timeline that began so many seconds later.
pub(crate) fn merge(timeline: &mut Vec<Second>, other: &[Second], later: usize) {
    let len = later.saturating_add(other.len());
    if timeline.len() < len {
        timeline.resize(len, Second::default());
    }
    for (second, more) in timeline.iter_mut().skip(later).zip(other) {
        second.merge(more);
    }
}

/// The second under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Current {
    pub(super) tally: Tally,
    times: Times,
}

impl Current {
    pub(super) fn add(&mut self, response: Duration, is_error: bool) {
        self.tally.done += 1;
        self.tally.errors += u64::from(is_error);
        self.times.add(response);
    }

    /// What it holds, leaving nothing.
    pub(super) fn take(&mut self) -> Second {
        let tally = std::mem::take(&mut self.tally);
        let times = self.times.pack();
        self.times.clear();
        Second { tally, times }
    }
}
