//! What a thread counts beside the exchanges themselves, and tells others.

use std::time::Duration;

use super::{Ended, Shared};
use crate::client::Failure;
use crate::schedule::Schedule;

/// How often others hear how it goes.
const PUBLISH: Duration = Duration::from_millis(250);

impl Shared {
    /// Counts a request for its stage.
    pub(super) fn count_stage(
        &self,
        schedule: &Schedule,
        index: u64,
        due: Duration,
        ended: &Ended,
    ) {
        let mut stages = self.stages.borrow_mut();
        if !stages.is_empty() {
            let stage = &mut stages[schedule.stage_of(index)];
            stage.add(ended.at.saturating_sub(due), ended.is_good);
        }
    }

    /// Tells others, now and then, of the seconds that are over.
    pub(super) async fn publish(&self) {
        let mut next = vec![0; self.plan.scenarios.len()];
        loop {
            tokio::time::sleep(PUBLISH).await;
            let now = self.start.elapsed();
            let mut records = self.records.borrow_mut();
            for (place, (record, next)) in records.iter_mut().zip(&mut next).enumerate() {
                record.roll_to(now);
                for (number, second) in record.timeline.iter().enumerate().skip(*next) {
                    self.progress.publish(place, number, second);
                }
                *next = record.timeline.len();
            }
        }
    }

    /// Counts as failed what was due and never sent.
    pub(super) fn count_unsent(&self, schedule: &Schedule) {
        self.is_closing.set(false);
        let now = self.start.elapsed();
        let mut records = self.records.borrow_mut();
        while let Some(index) = self.begin() {
            let place = self.plan.draw(&mut self.random.borrow_mut());
            let due = schedule.at(index);
            records[place].add_unsent(due, now);
            let ended = Ended {
                at: now,
                is_good: false,
                failure: Some(Failure::Unsent),
            };
            self.count_stage(schedule, index, due, &ended);
        }
    }
}
