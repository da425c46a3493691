//! Choices from a seed: the same for the same seed on every machine.

/// A stream of numbers from a seed (SplitMix64).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The stream of a seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A stream of its own for each `stream` of a seed.
    pub fn with_stream(seed: u64, stream: u64) -> Self {
        let mut mixer = Self::new(seed);
        let first = mixer.word();
        let mut mixer = Self::new(first ^ stream);
        Self::new(mixer.word())
    }

    /// The next 64 bits.
    pub const fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number below `bound`; 0 if that is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        let scaled = u128::from(self.word()) * u128::from(bound);
        u64::try_from(scaled >> 64).unwrap_or(0)
    }

    /// A place in a list of `len`; 0 if that is 0.
    pub fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or(0)
    }

    /// One of a list that is not empty.
    pub fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.index(from.len())]
    }

    /// True in the given share of cases, from 0 to 1.
    pub fn chance(&mut self, share: f64) -> bool {
        // 53 bits are what an f64 holds exactly.
        #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
        let unit = (self.word() >> 11) as f64 / (1_u64 << 53) as f64;
        unit < share
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn the_same_seed_gives_the_same_numbers_within_the_bound() {
        let (mut one, mut two) = (Random::new(7), Random::new(7));
        for bound in 1..200 {
            let value = one.below(bound);
            assert!(value < bound);
            assert_eq!(value, two.below(bound));
        }
        assert_eq!(one.below(0), 0);
        assert!(!one.chance(0.0));
        assert!(one.chance(1.0));
    }

    #[test]
    fn streams_of_one_seed_differ() {
        let first = |stream| Random::with_stream(1, stream).word();
        assert_ne!(first(0), first(1));
        assert_eq!(first(3), first(3));
    }
}
