//! How many hashes are good enough for a target.
//!
//! A hash is good when its 8 hex digits sort before the target, character by
//! character, a shorter prefix first. Among the 2^32 possible hashes the good ones
//! are the lowest, so the whole comparison is one number: how many there are.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

/// Fewest good hashes a new target may have; about 2^20 tries on average.
pub const MIN_GOOD_HASHES: u64 = 1 << 12;

/// Number of 8-digit hashes that sort before `target`, from 0 to 2^32.
///
/// Works for any text: UTF-8 bytes sort as their characters do, and bytes of
/// characters that are not hex digits only decide which digits sort before them.
pub fn good_hashes(target: &str) -> u64 {
    let mut count = 0_u64;
    let mut bytes = target.bytes();
    for place in (0..8_u32).rev() {
        let Some(byte) = bytes.next() else {
            return count;
        };
        let (smaller, is_digit) = match byte {
            b'0'..=b'9' => (byte.wrapping_sub(b'0'), true),
            b'a'..=b'f' => (byte.wrapping_sub(b'a').wrapping_add(10), true),
            0..b'0' => (0, false),
            b':'..b'a' => (10, false),
            b'g'.. => (16, false),
        };
        // At most 16 times 16^7, and every later place is smaller: below 2^33.
        count = count.wrapping_add(u64::from(smaller) << (place.wrapping_mul(4)));
        if !is_digit {
            return count;
        }
    }
    // The hash that equals the first 8 digits sorts before a longer target.
    count.wrapping_add(u64::from(bytes.next().is_some()))
}

#[cfg(test)]
mod tests {
    use super::good_hashes;

    #[test]
    fn counts_the_hashes_below_a_target() {
        for (target, count) in [
            ("", 0),
            ("0", 0),
            ("1", 0x1000_0000),
            ("0e", 0x0e00_0000),
            ("09", 0x0900_0000),
            ("007", 0x0070_0000),
            ("0001", 0x0001_0000),
            ("00000fff", 0xfff),
            ("ffffffff", 0xffff_ffff),
            ("ffffffff0", 1 << 32),
            ("ffffffff\0", 1 << 32),
            ("00abcdef12", 0x00ab_cdf0),
            ("g", 1 << 32),
            ("0A", 0x0a00_0000),
            ("/", 0),
            (":", 0xa000_0000),
            ("f\u{e9}", 1 << 32),
            ("\u{1f600}", 1 << 32),
            ("00000000", 0),
            ("000000000", 1),
        ] {
            assert_eq!(good_hashes(target), count, "{target:?}");
        }
    }
}
