//! Numbers from a seed, the same on every machine and for ever.
//!
//! Written out here rather than taken from a crate, because the output of the generator is pinned by a
//! checksum: SplitMix64 is ten lines, jumps to any line without stepping through those before it, and
//! needs integers only. Nothing here calls a mathematical function whose last digit may vary.

const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// What a stream of numbers decides; streams of one seed do not depend on each other.
#[derive(Clone, Copy)]
pub(super) enum Stream {
    /// What becomes of a line.
    Line = 1,
    /// Who sent a tweet, when and under which id.
    Identity,
    /// All else in a tweet.
    Content,
    /// The users somebody likes to contact.
    Friend,
    /// The tags a circle of users likes.
    Habit,
    /// The seconds in which a circle of users likes to post.
    Moment,
    /// A user's name and description at some time.
    Profile,
}

/// A SplitMix64 generator.
pub(super) struct Random {
    state: u64,
}

impl Random {
    /// The numbers of one stream for one index, a line or a user.
    pub(super) fn new(seed: u64, stream: Stream, index: u64) -> Self {
        let state = mix(seed).wrapping_add(mix(index).wrapping_mul(2 * stream as u64 + 1));
        Self { state: mix(state) }
    }

    pub(super) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GAMMA);
        mix(self.state)
    }

    /// Evenly from 0 to `bound` - 1; 0 for a bound of 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        let product = u128::from(self.next()) * u128::from(bound);
        u64::try_from(product >> 64).expect("the upper half of 128 bits has 64")
    }

    pub(super) fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    pub(super) fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).expect("below a length that is a usize")
    }

    pub(super) fn pick<'a, T: ?Sized>(&mut self, list: &[&'a T]) -> &'a T {
        list[self.index(list.len())]
    }

    /// A rank from 0 to `count` - 1, where rank r comes with a probability in proportion to
    /// 1 / (r + 1 + `shift`). Exact, and without a table: an octave is drawn evenly, then a number in it,
    /// which is kept with a probability of the octave's start over the number.
    pub(super) fn zipf(&mut self, count: u64, shift: u64) -> u64 {
        let (low, high) = (shift + 1, shift + count.max(1));
        let first = u64::from(low.ilog2());
        let octaves = u64::from(high.ilog2()) - first + 1;
        loop {
            let start = 1 << (first + self.below(octaves));
            let number = start + self.below(start);
            if (low..=high).contains(&number) && self.below(number) < start {
                return number - low;
            }
        }
    }
}

/// SplitMix64's finisher: every bit of the result depends on every bit of the value.
pub(super) fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_published_numbers_of_splitmix64() {
        let mut random = Random { state: 1_234_567 };
        let numbers = [random.next(), random.next(), random.next()];
        assert_eq!(
            numbers,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423
            ]
        );
    }

    #[test]
    fn draws_ranks_in_proportion_to_one_over_their_place() {
        let mut random = Random { state: 1 };
        let mut seen = [0_u64; 6];
        for _ in 0..100_000 {
            seen[usize::try_from(random.zipf(6, 0)).unwrap()] += 1;
        }
        // The harmonic number of 6 is 2.45.
        for (rank, count) in (1..).zip(seen) {
            assert!(
                (count * rank).abs_diff(40_816) < 600 * rank,
                "{rank}: {count}"
            );
        }
    }

    #[test]
    fn stays_below_the_bound_with_any_shift() {
        let mut random = Random { state: 2 };
        for shift in [0, 1, 7, 100] {
            for count in [0, 1, 2, 3, 1_000] {
                assert!(random.zipf(count, shift) < count.max(1));
            }
        }
        assert_eq!(random.below(0), 0);
    }
}
