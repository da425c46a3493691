//! From rows to packs, a range of users on each thread, with the checks along the way.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::ScopedJoinHandle;

use twitter_core::record::PackWriter;

use super::{PartRow, Tally};
use crate::checks::{RowChecks, Terms};
use crate::denormalise::pack;
use crate::failure::{Failure, FailureKind};
use crate::zones::rows::{KeyRange, RowsZone};

/// Rows between two reports of progress.
const PROGRESS_ROWS: u64 = 4096;

/// Takes the rows of the table that are made, in the order of the key.
pub(super) trait Sink {
    /// What is left of it at the end.
    type Done: Send;

    /// Takes one. Says whether more is wanted.
    fn push(&mut self, row: PartRow) -> Result<bool, Failure>;

    /// After the last.
    fn finish(self, tally: &Tally) -> Result<Self::Done, Failure>;
}

/// What is common to all threads.
pub(super) struct Walk<'a> {
    pub(super) zone: &'a RowsZone,
    pub(super) terms: &'a Terms,
    /// Called with rows done.
    pub(super) progress: &'a (dyn Fn(u64) + Sync),
    /// Another thread has failed or has had enough.
    pub(super) stop: &'a AtomicBool,
}

/// What became of a range.
pub(super) struct Walked<D> {
    pub(super) checks: RowChecks,
    pub(super) tally: Tally,
    /// `None`: a sink wanted no more, or packs could not be made.
    pub(super) done: Option<D>,
    /// Why a pack could not be made. The checks say more.
    pub(super) unpackable: Option<Failure>,
}

impl Walk<'_> {
    /// Checks and packs a range.
    pub(super) fn range<S: Sink>(
        &self,
        range: KeyRange,
        mut sink: S,
    ) -> Result<Walked<S::Done>, Failure> {
        let mut walked = Walked {
            checks: RowChecks::new(self.terms),
            tally: Tally::default(),
            done: None,
            unpackable: None,
        };
        let mut users = self.zone.users(range);
        let mut writer = PackWriter::default();
        let mut untold = 0;
        while let Some(user) = users.next_user()? {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(walked);
            }
            let is_packing = walked.unpackable.is_none();
            let checks = &mut walked.checks;
            let packed = user.with_rows(|rows| {
                checks.user(rows)?;
                Ok::<_, std::io::Error>(is_packing.then(|| pack(&mut writer, rows)))
            })?;
            let packed = packed.map_err(|error| {
                let line = format!("the temporary file for checks: {error}; see --spill");
                Failure::new(FailureKind::Disk, line)
            })?;
            match packed {
                Some(Ok(packed)) => {
                    let cut = walked
                        .tally
                        .cut(packed.user_id, packed.rows, &packed.pack)?;
                    for row in cut {
                        if !sink.push(row)? {
                            self.stop.store(true, Ordering::Relaxed);
                            return Ok(walked);
                        }
                    }
                }
                // The checks go on: they know what is wrong with the rows.
                Some(Err(error)) => {
                    let line = format!("cannot pack: {error}");
                    walked.unpackable = Some(Failure::new(FailureKind::Software, line));
                }
                None => {}
            }
            untold += user.count() as u64;
            if untold >= PROGRESS_ROWS {
                (self.progress)(untold);
                untold = 0;
            }
        }
        (self.progress)(untold);
        if walked.unpackable.is_none() {
            walked.done = Some(sink.finish(&walked.tally)?);
        }
        Ok(walked)
    }

    /// Walks over all ranges at once, a thread for each. The first failure stops all.
    pub(super) fn all<S: Sink>(
        &self,
        ranges: &[KeyRange],
        sink: impl Fn(KeyRange) -> Result<S, Failure> + Sync,
    ) -> Result<Vec<Walked<S::Done>>, Failure> {
        let walk = |range: KeyRange| {
            let walked = sink(range).and_then(|sink| self.range(range, sink));
            if walked.is_err() {
                self.stop.store(true, Ordering::Relaxed);
            }
            walked
        };
        let walked: Vec<Result<Walked<S::Done>, Failure>> = std::thread::scope(|scope| {
            let threads: Vec<_> = ranges
                .iter()
                .map(|range| scope.spawn(|| walk(*range)))
                .collect();
            let lost = || Failure::new(FailureKind::Software, "a loading thread has died");
            let ended = threads.into_iter().map(ScopedJoinHandle::join);
            ended
                .map(|ended| ended.unwrap_or_else(|_| Err(lost())))
                .collect()
        });
        walked.into_iter().collect()
    }
}
