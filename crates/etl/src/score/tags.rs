//! Hashtags by number, and who used them how often.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Excluded, Overflow};

/// All tags met, numbered in the order they were met.
#[derive(Debug, Default)]
pub(super) struct Tags {
    numbers: HashMap<Arc<str>, u32>,
    list: Vec<(Arc<str>, bool)>,
}

impl Tags {
    /// The number of a tag, and whether it is excluded.
    pub(super) fn number(
        &mut self,
        tag: &str,
        excluded: &Excluded,
    ) -> Result<(u32, bool), Overflow> {
        if let Some(&number) = self.numbers.get(tag) {
            let known = self.list.get(number as usize);
            return Ok((number, known.is_some_and(|(_, is_excluded)| *is_excluded)));
        }
        let number = u32::try_from(self.list.len()).map_err(|_| Overflow { what: "hashtags" })?;
        let is_excluded = excluded.contains(tag);
        let tag: Arc<str> = tag.into();
        self.numbers.insert(Arc::clone(&tag), number);
        self.list.push((tag, is_excluded));
        Ok((number, is_excluded))
    }

    pub(super) fn get(&self, number: u32) -> &str {
        self.list.get(number as usize).map_or("", |(tag, _)| tag)
    }

    pub(super) fn count(&self) -> u64 {
        self.list.len() as u64
    }

    pub(super) fn forget_numbers(&mut self) {
        self.numbers = HashMap::new();
    }
}

/// Collects one entry for each occurrence: user above, tag below.
#[derive(Debug, Default)]
pub(super) struct Uses(Vec<u64>);

impl Uses {
    pub(super) fn add(&mut self, user: u32, tag: u32) {
        self.0.push(u64::from(user) << 32 | u64::from(tag));
    }

    pub(super) fn count(mut self) -> UseCounts {
        self.0.sort_unstable();
        let mut counts = UseCounts::default();
        for run in self.0.chunk_by(|a, b| a == b) {
            let key = run.first().copied().unwrap_or_default();
            counts.keys.push(key);
            counts.counts.push(run.len() as u64);
        }
        counts
    }
}

/// Occurrences by user and tag, sorted.
#[derive(Debug, Default)]
pub(super) struct UseCounts {
    keys: Vec<u64>,
    counts: Vec<u64>,
}

/// A list this many times longer than the other is searched, not walked.
const SEARCH_FACTOR: usize = 16;

impl UseCounts {
    /// Over the tags both used, the occurrences of either, summed.
    pub(super) fn common(&self, a: u32, b: u32) -> u64 {
        let (mut short, mut long) = (self.of(a), self.of(b));
        if short.0.len() > long.0.len() {
            std::mem::swap(&mut short, &mut long);
        }
        let is_lopsided = long.0.len() / SEARCH_FACTOR > short.0.len();
        let long_user = long.0.first().map_or(0, |key| key >> 32 << 32);
        let mut sum = 0;
        let mut at = 0;
        for (key, count) in short.0.iter().zip(short.1) {
            let sought = long_user | (key & u64::from(u32::MAX));
            let rest = long.0.get(at..).unwrap_or_default();
            at += if is_lopsided {
                rest.partition_point(|key| *key < sought)
            } else {
                rest.iter().take_while(|key| **key < sought).count()
            };
            if long.0.get(at) == Some(&sought) {
                sum += count + long.1.get(at).copied().unwrap_or_default();
            }
        }
        sum
    }

    fn of(&self, user: u32) -> (&[u64], &[u64]) {
        let first = u64::from(user) << 32;
        let start = self.keys.partition_point(|key| *key < first);
        let rest = self.keys.get(start..).unwrap_or_default();
        let len = rest.partition_point(|key| key >> 32 == u64::from(user));
        let counts = self.counts.get(start..start + len).unwrap_or_default();
        (rest.get(..len).unwrap_or_default(), counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walking_and_searching_agree() {
        let mut uses = Uses::default();
        for tag in 0..1000 {
            uses.add(1, tag);
            uses.add(1, tag);
            if tag % 3 == 0 {
                uses.add(2, tag);
            }
            if tag % 100 == 0 {
                uses.add(3, tag);
            }
        }
        let counts = uses.count();
        assert_eq!(counts.common(1, 2), 334 * 3);
        assert_eq!(counts.common(1, 3), 10 * 3);
        assert_eq!(counts.common(3, 1), 10 * 3);
        assert_eq!(counts.common(2, 3), 4 * 2);
        assert_eq!(counts.common(1, 4), 0);
        assert_eq!(counts.common(4, 5), 0);
    }
}
