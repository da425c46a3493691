//! The three kinds of transaction and the values they carry.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::fmt;
use std::num::NonZeroU8;

/// Longest time text, in digits.
const MAX_DIGITS: usize = 19;

/// A point in time: 1 to 19 decimal digits of nanoseconds since 1970.
///
/// The text is kept because it is hashed as it stands, leading zeros included;
/// comparisons are numeric, through [`nanos`](Time::nanos).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Time {
    nanos: u64,
    digits: [u8; MAX_DIGITS],
    len: NonZeroU8,
}

impl Time {
    /// Reads a time; `None` unless `text` is 1 to 19 ASCII digits.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let len = NonZeroU8::new(u8::try_from(bytes.len()).ok()?)?;
        let mut digits = [b'0'; MAX_DIGITS];
        digits.get_mut(..bytes.len())?.copy_from_slice(bytes);
        let mut nanos = 0_u64;
        for byte in bytes {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                return None;
            }
            // 19 digits are below 2^64, so nothing wraps.
            nanos = nanos.wrapping_mul(10).wrapping_add(u64::from(digit));
        }
        Some(Self { nanos, digits, len })
    }

    /// The time as plain decimal text, `None` if it needs more than 19 digits.
    pub fn from_nanos(nanos: u64) -> Option<Self> {
        Self::parse(itoa::Buffer::new().format(nanos))
    }

    /// Nanoseconds since 1970; may exceed `i64::MAX`.
    pub const fn nanos(&self) -> u64 {
        self.nanos
    }

    /// The digits as written.
    pub fn digits(&self) -> &[u8] {
        self.digits
            .get(..usize::from(self.len.get()))
            .unwrap_or(&self.digits)
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Time({})", self.digits().escape_ascii())
    }
}

/// The first four bytes of a SHA-256 digest, written as 8 lower-case hex digits.
///
/// The order of values is the string order of the written form.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShortHash(pub u32);

impl ShortHash {
    /// Reads a hash; `None` unless `text` is 8 lower-case hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: &[u8; 8] = text.as_bytes().try_into().ok()?;
        let mut value = 0_u32;
        for &byte in bytes {
            let digit = match byte {
                b'0'..=b'9' => byte.wrapping_sub(b'0'),
                b'a'..=b'f' => byte.wrapping_sub(b'a').wrapping_add(10),
                _ => return None,
            };
            value = value.wrapping_shl(4) | u32::from(digit);
        }
        Some(Self(value))
    }

    /// The written form.
    pub fn hex(self) -> [u8; 8] {
        // Spread the eight nibbles over the bytes of one word, then turn all of
        // them into digits at once; no byte carries into its neighbour.
        let mut word = u64::from(self.0);
        word = (word | (word << 16)) & 0x0000_ffff_0000_ffff;
        word = (word | (word << 8)) & 0x00ff_00ff_00ff_00ff;
        word = (word | (word << 4)) & 0x0f0f_0f0f_0f0f_0f0f;
        let letters = (word.wrapping_add(0x0606_0606_0606_0606) >> 4) & 0x0101_0101_0101_0101;
        let digits = word
            .wrapping_add(0x3030_3030_3030_3030)
            .wrapping_add(letters.wrapping_mul(u64::from(b'a' - b'9' - 1)));
        digits.to_be_bytes()
    }
}

impl fmt::Display for ShortHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl fmt::Debug for ShortHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ShortHash({self})")
    }
}

/// A transfer with its hash and signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payment {
    /// Signature; taken modulo N. Below 2^63.
    pub sig: u64,
    /// Receiving account. Below 2^63.
    pub recv: u64,
    /// Fee to the block's reward receiver; a valid one is not negative.
    pub fee: i64,
    /// Amount; a valid one is not negative.
    pub amt: i64,
    /// When.
    pub time: Time,
    /// Sending account, which is its public exponent. Below 2^63.
    pub send: u64,
    /// Hash over all fields but the signature.
    pub hash: ShortHash,
}

/// A transfer of ours that still lacks sender, fee, hash and signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsigned {
    /// Receiving account. Below 2^63.
    pub recv: u64,
    /// Amount; a valid one is not negative.
    pub amt: i64,
    /// When.
    pub time: Time,
}

/// A block's last transaction: new coins for whoever mined it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reward {
    /// Receiving account. Below 2^63.
    pub recv: u64,
    /// Amount; a valid one is the scheduled one, without fees.
    pub amt: i64,
    /// When.
    pub time: Time,
    /// Hash over all fields.
    pub hash: ShortHash,
}

/// A transaction that waits for the next block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewTransaction {
    /// Complete; taken over as it is.
    Signed(Payment),
    /// Ours; to be completed and signed.
    Unsigned(Unsigned),
}

#[cfg(test)]
mod tests {
    use super::{ShortHash, Time};

    #[test]
    fn time_keeps_leading_zeros_and_compares_as_a_number() {
        let time = Time::parse("0007").unwrap();
        assert_eq!(time.digits(), b"0007");
        assert_eq!(time.nanos(), 7);
    }

    #[test]
    fn time_is_one_to_nineteen_ascii_digits() {
        assert_eq!(
            Time::parse("9999999999999999999").unwrap().nanos(),
            9_999_999_999_999_999_999
        );
        for text in [
            "",
            "10000000000000000000",
            "-1",
            "+1",
            "1.0",
            " 1",
            "1\u{661}",
        ] {
            assert_eq!(Time::parse(text), None, "{text:?}");
        }
        assert_eq!(Time::from_nanos(10_000_000_000_000_000_000), None);
        assert_eq!(Time::from_nanos(0), Time::parse("0"));
    }

    #[test]
    fn hash_text_and_value_agree() {
        for value in [0, 1, 0x0123_4567, 0x89ab_cdef, 0x9a9a_9a9a, u32::MAX] {
            let hash = ShortHash(value);
            let text = hash.to_string();
            assert_eq!(hash.hex(), text.as_bytes());
            assert_eq!(ShortHash::parse(&text), Some(hash));
        }
        for text in [
            "",
            "0123456",
            "012345678",
            "0123456A",
            "0123456g",
            "+1234567",
        ] {
            assert_eq!(ShortHash::parse(text), None, "{text:?}");
        }
    }
}
