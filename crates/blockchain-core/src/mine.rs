//! Proof of work: the smallest decimal number that makes a block's hash good.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

#[cfg(target_arch = "x86_64")]
#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::inline_always,
    reason = "numbers are constants, halves of a text or below the length of an array; with checks or calls the compiler makes no lanes of it"
)]
mod lanes;

use sha2::block_api::compress256;

use crate::hash::{INITIAL_STATE, Seed};
use crate::transaction::ShortHash;

/// Tries after which mining gives up.
///
/// 64 times the average at the hardest target allowed, so that giving up has a
/// chance below e^-64; it exists to bound the time, a few seconds at most.
pub const MAX_TRIES: u32 = 1 << 26;

/// What mining found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mined {
    /// The proof of work; written in plain decimal.
    pub pow: u32,
    /// The block's hash with it.
    pub hash: ShortHash,
}

/// Tries 0, 1, 2, ... until the hash is one of the `good_hashes` lowest.
///
/// `None` if that does not happen within [`MAX_TRIES`]. Each try costs one SHA-256
/// compression: the seed fills exactly one block, whose state is computed once.
pub fn mine(seed: &Seed, good_hashes: u64) -> Option<Mined> {
    let mut after_seed = INITIAL_STATE;
    compress256(&mut after_seed, &[*seed.digits()]);
    #[cfg(target_arch = "x86_64")]
    if let Some(processor) = lanes::processor() {
        return lanes::mine(processor, &after_seed, good_hashes);
    }
    one_by_one(&after_seed, good_hashes)
}

fn one_by_one(after_seed: &[u32; 8], good_hashes: u64) -> Option<Mined> {
    let mut counter = Counter::new();
    for pow in 0..MAX_TRIES {
        let mut state = *after_seed;
        compress256(&mut state, &[counter.block]);
        let [first, ..] = state;
        if u64::from(first) < good_hashes {
            let hash = ShortHash(first);
            return Some(Mined { pow, hash });
        }
        counter.increment();
    }
    None
}

/// The second SHA-256 block of a try: a decimal number as text, then the padding.
struct Counter {
    block: [u8; 64],
    digits: usize,
}

impl Counter {
    fn new() -> Self {
        let mut counter = Self {
            block: [0; 64],
            digits: 1,
        };
        counter.restart(b'0');
        counter
    }

    /// Sets the number to `first` followed by zeros.
    fn restart(&mut self, first: u8) {
        let bit_length = self.digits.wrapping_add(64).wrapping_mul(8) as u64;
        for (place, byte) in self.block.iter_mut().enumerate() {
            *byte = match place {
                0 => first,
                _ if place < self.digits => b'0',
                _ if place == self.digits => 0x80,
                _ => 0,
            };
        }
        if let Some(length) = self.block.last_chunk_mut() {
            *length = bit_length.to_be_bytes();
        }
    }

    fn increment(&mut self) {
        let number = self.block.get_mut(..self.digits).unwrap_or_default();
        for digit in number.iter_mut().rev() {
            if *digit < b'9' {
                *digit = digit.wrapping_add(1);
                return;
            }
            *digit = b'0';
        }
        // All nines; MAX_TRIES keeps the number far below 55 digits.
        self.digits = self.digits.wrapping_add(1);
        self.restart(b'1');
    }
}

#[cfg(test)]
#[allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "test values"
)]
mod tests {
    use super::{Counter, Mined, mine};
    use crate::hash::{NO_PREVIOUS_HASH, Seed};
    use crate::target::good_hashes;
    use crate::transaction::ShortHash;

    #[test]
    fn counts_in_decimal_with_correct_padding() {
        let mut counter = Counter::new();
        for number in 0..11_111_u32 {
            let mut expected = number.to_string().into_bytes();
            let bits = (64 + expected.len() as u64) * 8;
            expected.push(0x80);
            expected.resize(56, 0);
            expected.extend(bits.to_be_bytes());
            assert_eq!(counter.block[..], expected[..], "{number}");
            counter.increment();
        }
    }

    #[test]
    fn finds_the_smallest_number() {
        let seed = Seed::new(0, NO_PREVIOUS_HASH, [ShortHash(0x4b27_7860)]);
        for target in ["g", "8", "1", "01", "001"] {
            let found = mine(&seed, good_hashes(target)).unwrap();
            let by_hand = (0_u32..100_000)
                .map(|pow| Mined {
                    pow,
                    hash: seed.hash(&pow.to_string()),
                })
                .find(|mined| mined.hash.to_string().as_str() < target);
            assert_eq!(Some(found), by_hand, "{target}");
        }
    }
}
