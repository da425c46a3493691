//! How often the phrase and the hashtag occur in a contact's tweets.
//!
//! Both are searched over a whole region of the pack at once; a hit is then
//! traced to its row. A request without hits costs one pass over the bytes.
//!
//! The time is linear in pack and phrase, whatever the phrase: see
//! `occurrences`.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use memchr::memmem::Finder;

use crate::query::Query;
use crate::record::{Kind, Pack, SEPARATOR};

/// Memory for matching, kept between requests.
#[derive(Debug, Default)]
pub(crate) struct MatchScratch {
    /// Hits of each contact, or nothing when there is none at all.
    counts: Vec<u32>,
    needle: Vec<u8>,
    borders: Vec<usize>,
}

impl MatchScratch {
    /// Hits of a contact, after [`count`](Self::count).
    pub(crate) fn get(&self, contact: usize) -> u32 {
        self.counts.get(contact).copied().unwrap_or(0)
    }

    /// Counts, for each contact, phrase hits and equal hashtags over its rows
    /// of the asked type.
    pub(crate) fn count(&mut self, query: &Query<'_>, pack: &Pack<'_>) {
        let Self {
            counts,
            needle,
            borders,
        } = self;
        let columns = &pack.columns;
        let kinds = query.contact_type().kinds();
        counts.clear();

        let mut tracer = Tracer::new(pack, kinds);
        occurrences(columns.texts, query.phrase().as_bytes(), borders, |at| {
            let row = columns.text_ends.containing(tracer.row, at);
            tracer.hit(row, counts);
        });

        needle.clear();
        needle.push(SEPARATOR);
        needle.extend_from_slice(query.hashtag_lower().as_bytes());
        needle.push(SEPARATOR);
        let mut tracer = Tracer::new(pack, kinds);
        let finder = Finder::new(needle.as_slice());
        let mut from = 0_usize;
        while let Some(found) = columns.tags.get(from..).and_then(|rest| finder.find(rest)) {
            let at = from.saturating_add(found);
            // The separator in front may belong to the row before.
            let row = columns
                .tag_ends
                .containing(tracer.row, at.saturating_add(1));
            tracer.hit(row, counts);
            // The separator behind serves the next tag.
            from = at.saturating_add(needle.len()).saturating_sub(1);
        }
    }
}

/// From ascending rows to their contacts.
struct Tracer<'p, 'a> {
    pack: &'p Pack<'a>,
    kinds: Kind,
    row: usize,
    contact: usize,
}

impl<'p, 'a> Tracer<'p, 'a> {
    fn new(pack: &'p Pack<'a>, kinds: Kind) -> Self {
        Self {
            pack,
            kinds,
            row: 0,
            contact: 0,
        }
    }

    fn hit(&mut self, row: usize, counts: &mut Vec<u32>) {
        self.row = row;
        if !self.pack.row_is(row, self.kinds) {
            return;
        }
        self.contact = self.pack.columns.row_ends.containing(self.contact, row);
        if counts.is_empty() {
            counts.resize(self.pack.contact_count(), 0);
        }
        if let Some(count) = counts.get_mut(self.contact) {
            *count = count.saturating_add(1);
        }
    }
}

/// Calls `hit` with the start of every occurrence of `needle`, overlapping
/// ones included, in ascending order. An empty needle never occurs.
///
/// Looking again one byte behind each hit would take time in the product of
/// the lengths on repetitive input (`aaaa` in `aaaaaaaa`). Two overlapping
/// occurrences are at least the needle's smallest period apart, and at exactly
/// that distance only the last period has to be compared; where it differs, the
/// next occurrence is more than half a needle away. So the time is linear.
fn occurrences(
    haystack: &[u8],
    needle: &[u8],
    borders: &mut Vec<usize>,
    mut hit: impl FnMut(usize),
) {
    if let [byte] = needle {
        memchr::memchr_iter(*byte, haystack).for_each(hit);
        return;
    }
    if needle.is_empty() {
        return;
    }
    let finder = Finder::new(needle);
    let mut period = None;
    let mut from = 0_usize;
    while let Some(found) = haystack.get(from..).and_then(|rest| finder.find(rest)) {
        let mut at = from.saturating_add(found);
        hit(at);
        let period = *period.get_or_insert_with(|| smallest_period(needle, borders));
        let kept = needle.len().saturating_sub(period);
        from = at.saturating_add(period);
        if kept == 0 {
            continue;
        }
        // What the needle ends with, and what would have to follow.
        let tail = needle.get(kept..).unwrap_or_default();
        loop {
            let end = at.saturating_add(needle.len());
            let follows = haystack
                .get(end..)
                .is_some_and(|rest| rest.starts_with(tail));
            if !follows {
                break;
            }
            at = at.saturating_add(period);
            hit(at);
        }
        from = at.saturating_add(period).saturating_add(1);
    }
}

/// The least distance at which `needle` can overlap itself; its length if it
/// cannot. By the border table of Knuth, Morris and Pratt.
fn smallest_period(needle: &[u8], borders: &mut Vec<usize>) -> usize {
    // borders[i]: longest proper prefix of needle[..=i] that also ends it.
    borders.clear();
    borders.push(0);
    let mut border = 0_usize;
    for byte in needle.iter().skip(1) {
        while border > 0 && needle.get(border) != Some(byte) {
            let shorter = border.saturating_sub(1);
            border = borders.get(shorter).copied().unwrap_or(0);
        }
        if needle.get(border) == Some(byte) {
            border = border.saturating_add(1);
        }
        borders.push(border);
    }
    needle.len().saturating_sub(border)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts(haystack: &str, needle: &str) -> Vec<usize> {
        let mut found = Vec::new();
        occurrences(
            haystack.as_bytes(),
            needle.as_bytes(),
            &mut Vec::new(),
            |at| found.push(at),
        );
        found
    }

    fn starts_slowly(haystack: &str, needle: &str) -> Vec<usize> {
        let (haystack, needle) = (haystack.as_bytes(), needle.as_bytes());
        (0..haystack.len())
            .filter(|at| haystack.iter().skip(*at).take(needle.len()).eq(needle))
            .collect()
    }

    #[test]
    fn overlapping_occurrences_all_count() {
        assert_eq!(starts("hahaha haHaha Haha bahaha", "haha"), [0, 2, 21]);
        assert_eq!(starts("aaaa", "a"), [0, 1, 2, 3]);
        assert_eq!(starts("aaaa", "aa"), [0, 1, 2]);
        assert_eq!(starts("ab", "abc"), [0; 0]);
        assert_eq!(starts("ab", ""), [0; 0]);
    }

    #[test]
    fn agrees_with_trying_every_position_on_all_short_words() {
        // All needles up to 6 and haystacks of 11 letters over {a, b}.
        let word = |bits: usize, len: usize| -> String {
            (0..len)
                .map(|i| if bits >> i & 1 == 0 { 'a' } else { 'b' })
                .collect()
        };
        for haystack in (0..1 << 11).map(|bits| word(bits, 11)) {
            for len in 1..=6 {
                for needle in (0..1 << len).map(|bits| word(bits, len)) {
                    assert_eq!(
                        starts(&haystack, &needle),
                        starts_slowly(&haystack, &needle),
                        "{needle} in {haystack}"
                    );
                }
            }
        }
    }

    #[test]
    fn repetitive_input_takes_linear_time() {
        // Four thousand million comparisons if each hit started afresh.
        let haystack = "ab".repeat(500_000);
        let needle = "ab".repeat(4_000);
        let found = starts(&haystack, &needle);
        assert_eq!(found.len(), 500_000 - 4_000 + 1);
    }

    #[test]
    fn knows_the_smallest_period() {
        for (needle, period) in [
            ("haha", 2),
            ("aaa", 1),
            ("abc", 3),
            ("abaab", 3),
            ("aabaa", 3),
        ] {
            let found = smallest_period(needle.as_bytes(), &mut Vec::new());
            assert_eq!(found, period, "{needle}");
        }
    }
}
