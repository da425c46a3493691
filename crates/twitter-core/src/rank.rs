//! Which contacts are shown, and in what order.
//!
//! A contact is shown if it has a contact tweet of the asked type. Order: the
//! score rounded to five decimals, descending; ties by user id, descending, as
//! numbers. A pack keeps contacts ascending by id, so a contact's position
//! stands for its id, and key and position together fit one 64-bit number.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::matching::MatchScratch;
use crate::query::Query;
use crate::record::Pack;
use crate::score::{keywords, score_key};

/// Memory that requests on one thread share. It grows to 12 bytes for each
/// contact of the largest pack answered, 8 for each byte of the longest phrase
/// found, and the longest hashtag; it never shrinks.
#[derive(Debug, Default)]
pub struct Scratch {
    matches: MatchScratch,
    ranked: Vec<Ranked>,
}

/// A contact that is shown. Orders by score key, then by position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ranked(u64);

impl Ranked {
    /// Keys pass 32 bits for no base score that a pack can hold.
    fn new(key: u64, contact: u32) -> Self {
        Self(key << 32 | u64::from(contact))
    }

    /// The rounded score, see [`score_key`].
    pub const fn key(self) -> u64 {
        self.0 >> 32
    }

    /// Position of the contact in the pack.
    pub const fn contact(self) -> usize {
        (self.0 & 0xffff_ffff) as usize
    }
}

/// The contacts of `pack` to show for `query`, best first. The pack must be
/// that of the query's user.
///
/// Linear in the bytes of the pack, plus *n* log *n* in the contacts shown.
pub fn rank<'s>(query: &Query<'_>, pack: &Pack<'_>, scratch: &'s mut Scratch) -> &'s [Ranked] {
    let Scratch { matches, ranked } = scratch;
    matches.count(query, pack);
    let kinds = query.contact_type().kinds();
    let scores = pack.columns.base_scores.iter();
    ranked.clear();
    ranked.extend((0..).zip(scores).filter_map(|(contact, bits)| {
        let index = contact as usize;
        pack.has_kind(index, kinds).then(|| {
            let score = f64::from_bits(bits) * keywords(matches.get(index));
            Ranked::new(score_key(score), contact)
        })
    }));
    ranked.sort_unstable_by(|a, b| b.cmp(a));
    ranked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_by_key_then_by_position() {
        let mut ranked = [(5, 1), (7, 0), (5, 2), (9, 3), (7, u32::MAX)]
            .map(|(key, contact)| Ranked::new(key, contact));
        ranked.sort_unstable_by(|a, b| b.cmp(a));
        let order = ranked.map(|entry| (entry.key(), entry.contact()));
        assert_eq!(
            order,
            [(9, 3), (7, u32::MAX as usize), (7, 0), (5, 2), (5, 1)]
        );
    }
}
