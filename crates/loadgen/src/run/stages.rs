//! What happened to the requests that were due in one stage.

use std::time::Duration;

use crate::record::Times;

/// Requests that were due in a stage, whenever they ended.
#[derive(Clone, Debug, Default)]
pub struct StageTally {
    /// From when they were due.
    pub response: Times,
    /// Those that did not end well.
    pub errors: u64,
}

impl StageTally {
    pub(super) fn add(&mut self, response: Duration, is_good: bool) {
        self.response.add(response);
        self.errors += u64::from(!is_good);
    }

    /// Adds what another thread counted.
    pub fn merge(&mut self, other: &Self) {
        self.response.merge(&other.response);
        self.errors += other.errors;
    }
}
