//! What a seed stands for.

/// A stream of choices that a seed decides (SplitMix64).
#[derive(Clone, Debug)]
pub struct Choices(u64);

impl Choices {
    /// The stream of this seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub const fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number below this one; 0 below 0.
    pub const fn below(&mut self, bound: u64) -> u64 {
        let word = self.word();
        match word.checked_rem(bound) {
            Some(rest) => rest,
            None => 0,
        }
    }

    /// A place in a list of this length; 0 in an empty one.
    ///
    /// # Panics
    ///
    /// Never: what is below a `usize` is one.
    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).expect("below a usize")
    }

    /// Any byte.
    pub const fn byte(&mut self) -> u8 {
        self.word().to_le_bytes()[0]
    }

    /// True once in so many times.
    pub const fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of a list.
    ///
    /// # Panics
    ///
    /// When it is empty.
    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.index(list.len())]
    }
}

/// Changes up to four bytes: another, one more, one less, or all behind a place gone.
pub fn damage(bytes: &mut Vec<u8>, choices: &mut Choices) {
    for _ in 0..=choices.below(4) {
        let place = choices.index(bytes.len() + 1);
        let byte = choices.byte();
        match choices.below(8) {
            0 => bytes.truncate(place),
            1 | 2 => bytes.insert(place, byte),
            3 | 4 if place < bytes.len() => drop(bytes.remove(place)),
            5 if place < bytes.len() => bytes[place] ^= 1 << (byte % 8),
            _ if place < bytes.len() => bytes[place] = byte,
            _ => bytes.push(byte),
        }
    }
}
