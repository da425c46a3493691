//! A sample that does not depend on the order in which things are seen, nor on who sees them.

use std::collections::BTreeMap;

/// Keeps the items with the least ranks.
#[derive(Debug, Clone)]
pub(super) struct Sampler<T> {
    limit: usize,
    kept: BTreeMap<(u64, u64), T>,
}

impl<T> Sampler<T> {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            kept: BTreeMap::new(),
        }
    }

    /// Whether an item of this rank would be kept, so that others need not be made.
    pub(super) fn wants(&self, rank: u64, id: u64) -> bool {
        let greatest = self.kept.last_key_value();
        self.kept.len() < self.limit || greatest.is_some_and(|(key, _)| (rank, id) < *key)
    }

    pub(super) fn push(&mut self, rank: u64, id: u64, item: T) {
        self.kept.insert((rank, id), item);
        if self.kept.len() > self.limit {
            self.kept.pop_last();
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        for ((rank, id), item) in other.kept {
            self.push(rank, id, item);
        }
    }

    /// The items with their ids.
    pub(super) fn into_items(self) -> impl Iterator<Item = (u64, T)> {
        self.kept.into_iter().map(|((_, id), item)| (id, item))
    }
}

/// The finaliser of splitmix64: ranks by chance, but the same in every run.
pub(super) fn mix(number: u64) -> u64 {
    let mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_the_same_however_it_is_divided() {
        let sample = |parts: &[std::ops::Range<u64>]| {
            let mut all = Sampler::new(10);
            for part in parts {
                let mut one = Sampler::new(10);
                for id in part.clone() {
                    if one.wants(mix(id), id) {
                        one.push(mix(id), id, ());
                    }
                }
                all.merge(one);
            }
            all.into_items().map(|(id, ())| id).collect::<Vec<_>>()
        };
        let whole = sample(std::slice::from_ref(&(0..1000)));
        assert_eq!(whole.len(), 10);
        assert_eq!(whole, sample(&[500..1000, 0..1, 1..500]));
    }
}
