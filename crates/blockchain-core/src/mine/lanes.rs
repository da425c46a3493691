//! Sixteen tries at once, on processors with AVX-512.
//!
//! The same steps on arrays of sixteen words, in plain Rust: the compiler makes one instruction of
//! each step on an array where it may use registers of that width. `pulp` asks the processor and
//! compiles the code for it; on others the compressions of `sha2`, with the processor's own SHA
//! instructions, are quicker than narrower lanes.

use pulp::NullaryFnOnce;
use pulp::x86::V4;

use super::{MAX_TRIES, Mined};
use crate::transaction::ShortHash;

/// Tries side by side.
const LANES: usize = 16;

/// A word of each try.
type Lane = [u32; LANES];

/// The same word of each.
const ZERO: Lane = [0; LANES];

/// SHA-256's round constants.
const ROUND_CONSTANTS: [u32; 64] = [
    0x428a_2f98,
    0x7137_4491,
    0xb5c0_fbcf,
    0xe9b5_dba5,
    0x3956_c25b,
    0x59f1_11f1,
    0x923f_82a4,
    0xab1c_5ed5,
    0xd807_aa98,
    0x1283_5b01,
    0x2431_85be,
    0x550c_7dc3,
    0x72be_5d74,
    0x80de_b1fe,
    0x9bdc_06a7,
    0xc19b_f174,
    0xe49b_69c1,
    0xefbe_4786,
    0x0fc1_9dc6,
    0x240c_a1cc,
    0x2de9_2c6f,
    0x4a74_84aa,
    0x5cb0_a9dc,
    0x76f9_88da,
    0x983e_5152,
    0xa831_c66d,
    0xb003_27c8,
    0xbf59_7fc7,
    0xc6e0_0bf3,
    0xd5a7_9147,
    0x06ca_6351,
    0x1429_2967,
    0x27b7_0a85,
    0x2e1b_2138,
    0x4d2c_6dfc,
    0x5338_0d13,
    0x650a_7354,
    0x766a_0abb,
    0x81c2_c92e,
    0x9272_2c85,
    0xa2bf_e8a1,
    0xa81a_664b,
    0xc24b_8b70,
    0xc76c_51a3,
    0xd192_e819,
    0xd699_0624,
    0xf40e_3585,
    0x106a_a070,
    0x19a4_c116,
    0x1e37_6c08,
    0x2748_774c,
    0x34b0_bcb5,
    0x391c_0cb3,
    0x4ed8_aa4a,
    0x5b9c_ca4f,
    0x682e_6ff3,
    0x748f_82ee,
    0x78a5_636f,
    0x84c8_7814,
    0x8cc7_0208,
    0x90be_fffa,
    0xa450_6ceb,
    0xbef9_a3f7,
    0xc671_78f2,
];

/// The processor that can; `None` where it lacks AVX-512.
pub(super) fn processor() -> Option<V4> {
    V4::try_new()
}

/// Mines as [`super::one_by_one`] does.
pub(super) fn mine(processor: V4, after_seed: &[u32; 8], good_hashes: u64) -> Option<Mined> {
    let mut numbers = Numbers::FIRST;
    let mut message = [ZERO; 16];
    for first in (0..MAX_TRIES).step_by(LANES) {
        // Apart, so that the compiler does not see which words are 0: it would no longer find the
        // lanes.
        processor.vectorize(Write {
            numbers: &mut numbers,
            message: &mut message,
        });
        let hashes = processor.vectorize(Compress {
            state: after_seed,
            message: &message,
        });
        let mut numbered = (first..).zip(hashes);
        if let Some((pow, hash)) = numbered.find(|(_, hash)| u64::from(*hash) < good_hashes) {
            let hash = ShortHash(hash);
            return Some(Mined { pow, hash });
        }
    }
    None
}

/// Sixteen numbers in a row, below 10^8, as numbers and as text.
struct Numbers {
    values: Lane,
    /// Eight decimal digits each, 0 to 9, the first one in the highest byte.
    digits: [u64; LANES],
}

impl Numbers {
    const FIRST: Self = {
        let (mut values, mut digits) = (ZERO, [0; LANES]);
        let mut lane = 0;
        while lane < LANES {
            values[lane] = lane as u32;
            digits[lane] = ((lane as u64 / 10) << 8) | (lane as u64 % 10);
            lane += 1;
        }
        Self { values, digits }
    };

    /// Goes on by as many as there are.
    #[inline(always)]
    fn increase(&mut self) {
        /// What takes a byte from ten to where it carries into the next.
        const OVER_NINE: u64 = 0xf6f6_f6f6_f6f6_f6f6;
        const SIXTEEN: u64 = 0x0106;
        self.values = each(|i| self.values[i].wrapping_add(LANES as u32));
        self.digits = self.digits.map(|digits| {
            let raised = digits.wrapping_add(OVER_NINE);
            let sum = raised.wrapping_add(SIXTEEN);
            // A byte of ten or more has carried and is a digit; of others what raised them is left
            // in the high half.
            let is_raised = (sum >> 4) & 0x0101_0101_0101_0101;
            let all_its_bits = (is_raised << 8).wrapping_sub(is_raised);
            sum.wrapping_sub(all_its_bits & OVER_NINE)
        });
    }

    /// Fills in what differs between the blocks of tries: the number and the bit behind it are at
    /// most nine bytes, the last word is the length, and all between is 0.
    #[inline(always)]
    fn write(&self, message: &mut [Lane; 16]) {
        let counts = each(|i| {
            let value = self.values[i];
            let over = |limit: u32| u32::from(value >= limit);
            let few = over(10) + over(100) + over(1_000) + over(10_000);
            1 + few + over(100_000) + over(1_000_000) + over(10_000_000)
        });
        let mut texts = [0_u64; LANES];
        let mut lane = 0;
        while lane < LANES {
            let unused = 64 - 8 * u64::from(counts[lane]);
            let text = self.digits[lane] | 0x3030_3030_3030_3030;
            // In two steps: behind eight digits it is in the next word.
            let end = (0x80_u64 << unused) >> 8;
            texts[lane] = text << unused | end;
            lane += 1;
        }
        message[0] = each(|i| (texts[i] >> 32) as u32);
        message[1] = each(|i| texts[i] as u32);
        message[2] = each(|i| if counts[i] == 8 { 0x8000_0000 } else { 0 });
        message[15] = each(|i| 8 * (64 + counts[i]));
    }
}

/// Writes the next sixteen blocks.
struct Write<'a> {
    numbers: &'a mut Numbers,
    message: &'a mut [Lane; 16],
}

impl NullaryFnOnce for Write<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        self.numbers.write(self.message);
        self.numbers.increase();
    }
}

/// The compression of sixteen blocks after the same state.
struct Compress<'a> {
    state: &'a [u32; 8],
    message: &'a [Lane; 16],
}

impl NullaryFnOnce for Compress<'_> {
    type Output = Lane;

    /// The first words of the states after it.
    #[inline(always)]
    fn call(self) -> Lane {
        let mut words = *self.message;
        let mut state = self.state.map(|word| [word; LANES]);
        let (constants, _) = ROUND_CONSTANTS.as_chunks::<16>();
        for (pass, constants) in constants.iter().enumerate() {
            // Written out, so that the state stays in registers.
            macro_rules! rounds {
                ($($index:literal)*) => {$(
                    if pass > 0 {
                        words[$index] = next_word(&words, $index);
                    }
                    state = round(state, constants[$index], words[$index]);
                )*};
            }
            rounds!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
        }
        let ([first, ..], [before, ..]) = (state, self.state);
        each(|lane| first[lane].wrapping_add(*before))
    }
}

#[inline(always)]
fn each(word: impl Fn(usize) -> u32) -> Lane {
    let mut words = [0; LANES];
    let mut lane = 0;
    while lane < LANES {
        words[lane] = word(lane);
        lane += 1;
    }
    words
}

#[inline(always)]
#[expect(clippy::many_single_char_names, reason = "as the standard names them")]
fn round(state: [Lane; 8], constant: u32, word: Lane) -> [Lane; 8] {
    let [a, b, c, d, e, f, g, h] = state;
    let first = each(|i| {
        let sum = e[i].rotate_right(6) ^ e[i].rotate_right(11) ^ e[i].rotate_right(25);
        let choice = (e[i] & f[i]) ^ (!e[i] & g[i]);
        let added = h[i].wrapping_add(sum).wrapping_add(choice);
        added.wrapping_add(constant).wrapping_add(word[i])
    });
    let second = each(|i| {
        let sum = a[i].rotate_right(2) ^ a[i].rotate_right(13) ^ a[i].rotate_right(22);
        sum.wrapping_add((a[i] & b[i]) ^ (a[i] & c[i]) ^ (b[i] & c[i]))
    });
    let new_a = each(|i| first[i].wrapping_add(second[i]));
    let new_e = each(|i| d[i].wrapping_add(first[i]));
    [new_a, a, b, c, new_e, e, f, g]
}

/// The word sixteen rounds after that at `index`, which it replaces.
#[inline(always)]
fn next_word(words: &[Lane; 16], index: usize) -> Lane {
    let at = |offset: usize| words[(index + offset) % 16];
    let (now, one, nine, fourteen) = (at(0), at(1), at(9), at(14));
    each(|i| {
        let small = one[i].rotate_right(7) ^ one[i].rotate_right(18) ^ (one[i] >> 3);
        let large =
            fourteen[i].rotate_right(17) ^ fourteen[i].rotate_right(19) ^ (fourteen[i] >> 10);
        let added = now[i].wrapping_add(small).wrapping_add(nine[i]);
        added.wrapping_add(large)
    })
}

#[cfg(test)]
mod tests {
    use sha2::block_api::compress256;

    use super::*;
    use crate::hash::INITIAL_STATE;
    use crate::mine::{Counter, one_by_one};

    /// Blocks from `numbers` on are those that are counted one by one.
    fn come_out_as_one_by_one(mut numbers: Numbers, mut single: Counter, passes: u32) {
        let mut state = INITIAL_STATE;
        compress256(&mut state, &[[b'7'; 64]]);
        let mut message = [ZERO; 16];
        for _ in 0..passes {
            numbers.write(&mut message);
            // The plain code, which every processor can run.
            let found = Compress {
                state: &state,
                message: &message,
            }
            .call();
            for hash in found {
                let mut expected = state;
                compress256(&mut expected, &[single.block]);
                assert_eq!(hash, expected[0], "{:?}", numbers.values);
                single.increment();
            }
            numbers.increase();
        }
    }

    #[test]
    fn sixteen_blocks_come_out_as_one_by_one() {
        // Past numbers of one to five digits.
        come_out_as_one_by_one(Numbers::FIRST, Counter::new(), 700);
    }

    #[test]
    fn numbers_of_all_lengths_are_written_as_text() {
        for (digits, power) in (5..).zip([10_000_u32, 100_000, 1_000_000, 10_000_000]) {
            let mut numbers = Numbers::FIRST;
            for (lane, value) in (0_u32..).zip(&mut numbers.values) {
                *value = power - 16 + lane;
                let text = format!("{value:08}");
                let text = text.bytes().map(|digit| u64::from(digit - b'0'));
                numbers.digits[lane as usize] = text.fold(0, |all, digit| all << 8 | digit);
            }
            let mut single = Counter::new();
            single.digits = digits - 1;
            single.restart(b'9');
            let text = (power - 16).to_string();
            single.block[..text.len()].copy_from_slice(text.as_bytes());
            come_out_as_one_by_one(numbers, single, 3);
        }
    }

    #[test]
    fn finds_what_is_found_one_by_one() {
        // Without it the test above has shown the same by plain code.
        let Some(processor) = processor() else { return };
        for start in 0..64 {
            let mut state = INITIAL_STATE;
            compress256(&mut state, &[[start; 64]]);
            for good_hashes in [1 << 32, 1 << 31, 1 << 28, 1 << 25, 1 << 22] {
                let expected = one_by_one(&state, good_hashes);
                assert_eq!(mine(processor, &state, good_hashes), expected);
            }
        }
    }
}
