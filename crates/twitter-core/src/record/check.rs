//! What must hold among the rows of one contact. The writer and the parser ask
//! the same questions, so that a pack with wrong marks can neither be made nor
//! read.

use super::{Kind, Latest};
use crate::error::PackError;
use crate::score::{MAX_BASE_SCORE, MIN_BASE_SCORE};

/// Position in time: creation, then tweet id.
type Stamp = (i64, u64);

/// One of the three sets a latest mark is about.
const SETS: [(Kind, Latest); 3] = [
    (Kind::REPLY, Latest::REPLY),
    (Kind::RETWEET, Latest::RETWEET),
    (Kind::BOTH, Latest::ANY),
];

#[derive(Debug, Clone, Copy, Default)]
struct Set {
    rows: u32,
    greatest: Option<Stamp>,
    marked: Option<Stamp>,
}

/// Follows the rows of one contact.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ContactCheck {
    sets: [Set; 3],
    marked_wrongly: bool,
}

impl ContactCheck {
    pub(crate) fn add(&mut self, kind: Kind, latest: Latest, stamp: Stamp) {
        for (set, (kinds, mark)) in self.sets.iter_mut().zip(SETS) {
            if kind.meets(kinds) {
                set.rows = set.rows.saturating_add(1);
                set.greatest = set.greatest.max(Some(stamp));
            }
            if latest.has(mark) {
                self.marked_wrongly |= !kind.meets(kinds) || set.marked.is_some();
                set.marked = Some(stamp);
            }
        }
    }

    pub(crate) fn finish(
        &self,
        contact_id: u64,
        reply_count: u32,
        retweet_count: u32,
        base_score: f64,
    ) -> Result<(), PackError> {
        let [replies, retweets, _] = self.sets;
        if replies.rows != reply_count || retweets.rows != retweet_count {
            return Err(PackError::CountMismatch { contact_id });
        }
        if self.marked_wrongly || self.sets.iter().any(|set| set.greatest != set.marked) {
            return Err(PackError::LatestMismatch { contact_id });
        }
        // False for NaN too.
        if !(MIN_BASE_SCORE..=MAX_BASE_SCORE).contains(&base_score) {
            return Err(PackError::ScoreRange { contact_id });
        }
        Ok(())
    }
}
