//! Groups of 32 cells as text: `0x` and hex digits without leading zeros.
//!
//! Both directions handle the eight digits of a word at once, as the bytes of
//! one `u64`, because this text is most of the work of a request.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::error::DecodeError;
use crate::mask::MASK;
use crate::matrix::{FIELD_SIDE, Field};

/// The shortest image text: 32 words of one digit.
pub const MIN_FIELD_TEXT_LEN: usize = 96;
/// The longest image text: 32 words of eight digits.
pub const MAX_FIELD_TEXT_LEN: usize = 320;

/// `0x` and eight digits.
const WORD_LEN: usize = 10;

impl Field {
    /// Reads and unmasks an image: exactly 32 words of 1 to 8 hex digits of
    /// either case, each behind a lower-case `0x`, with nothing in between.
    ///
    /// # Errors
    ///
    /// [`DecodeError::TextLength`], [`DecodeError::Word`] or
    /// [`DecodeError::WordCount`].
    pub fn parse(text: &[u8]) -> Result<Self, DecodeError> {
        if !(MIN_FIELD_TEXT_LEN..=MAX_FIELD_TEXT_LEN).contains(&text.len()) {
            return Err(DecodeError::TextLength);
        }
        // Zeros behind the text: every look-ahead stays inside, and none of
        // them passes for a digit or a prefix.
        let mut padded = [0; MAX_FIELD_TEXT_LEN + 2 * WORD_LEN];
        let (head, _) = padded.split_at_mut(text.len());
        head.copy_from_slice(text);

        let mut rows = MASK;
        let mut rest = padded.as_slice();
        let mut left = text.len();
        for row in &mut rows {
            if left == 0 {
                return Err(DecodeError::WordCount);
            }
            let (value, len) = word(rest).ok_or(DecodeError::Word)?;
            *row ^= value;
            rest = rest.get(len..).ok_or(DecodeError::Word)?;
            // A digit is never padding, so a word ends where the text does at
            // the latest.
            left = left.checked_sub(len).ok_or(DecodeError::Word)?;
        }
        if left == 0 {
            Ok(Self::new(rows))
        } else if word(rest).is_some() {
            Err(DecodeError::WordCount)
        } else {
            Err(DecodeError::Word)
        }
    }

    /// Appends the masked image to `out` as hex words: what a decode request
    /// carries. At most [`MAX_FIELD_TEXT_LEN`] bytes.
    pub fn write_words(&self, out: &mut Vec<u8>) {
        let mut groups = *self.rows();
        for (group, mask) in groups.iter_mut().zip(MASK) {
            *group ^= mask;
        }
        write::<FIELD_SIDE, 0>(&groups, out);
    }
}

/// Value and length of the word at the start of `text`, which continues for
/// at least eleven bytes.
#[inline]
fn word(text: &[u8]) -> Option<(u32, usize)> {
    let (prefix, behind) = text.split_first_chunk::<2>()?;
    let (digits, behind) = behind.split_first_chunk::<8>()?;
    if prefix != b"0x" {
        return None;
    }
    let digits = u64::from_be_bytes(*digits);
    let (value, valid) = hex_value(digits);
    let next = behind.first().copied().unwrap_or(0);
    if valid == EVERY << 7 && next != b'x' {
        return Some((value, WORD_LEN));
    }
    // Shorter than eight digits, about one word in sixteen. Digits run up to
    // the end of the text or into the `0` of the next prefix.
    let run = (!valid & EVERY << 7).leading_zeros() / 8;
    let behind_run = if run == 8 { next } else { byte_at(digits, run) };
    let count = if behind_run == b'x' {
        run.checked_sub(1)?
    } else {
        run
    };
    if count == 0 {
        return None;
    }
    let value = value >> 4_u32.wrapping_mul(8_u32.wrapping_sub(count));
    Some((value, 2_usize.wrapping_add(count as usize)))
}

/// 1 in every byte.
const EVERY: u64 = 0x0101_0101_0101_0101;

/// Byte `index` of eight, the first one on top.
fn byte_at(bytes: u64, index: u32) -> u8 {
    bytes
        .to_be_bytes()
        .get(index as usize)
        .copied()
        .unwrap_or(0)
}

/// The value of eight hex digits, the first one in the top byte, and the top
/// bit of every byte that really is a digit.
///
/// Nibbles of other bytes come out as anything.
#[inline]
fn hex_value(text: u64) -> (u32, u64) {
    let low = text & EVERY.wrapping_mul(0x7f);
    let lower = low | EVERY.wrapping_mul(0x20);
    let number = at_least(low, b'0') & !at_least(low, b'9' + 1);
    let letter = at_least(lower, b'a') & !at_least(lower, b'f' + 1);
    let valid = (number | letter) & !text & EVERY << 7;
    // `a` and `A` end in 1, and only letters have bit 6.
    let ninth = low >> 6 & EVERY;
    let nibbles = (low & EVERY.wrapping_mul(0x0f)).wrapping_add(ninth.wrapping_mul(9));
    let pairs = (nibbles | nibbles >> 4) & 0x00ff_00ff_00ff_00ff;
    let quads = (pairs | pairs >> 8) & 0x0000_ffff_0000_ffff;
    #[expect(clippy::cast_possible_truncation, reason = "the low half is wanted")]
    let value = (quads | quads >> 16) as u32;
    (value, valid)
}

/// The top bit of each byte says whether its low seven bits reach `bound`.
/// The top bit set beforehand keeps a borrow inside its byte.
#[inline]
fn at_least(low: u64, bound: u8) -> u64 {
    (low | EVERY << 7).wrapping_sub(EVERY.wrapping_mul(u64::from(bound)))
}

/// Appends the first `COUNT` groups, the last one shifted down by `SPARE`.
#[inline]
pub(crate) fn write<const COUNT: usize, const SPARE: u32>(
    groups: &[u32; FIELD_SIDE],
    out: &mut Vec<u8>,
) {
    let mut text = [0; MAX_FIELD_TEXT_LEN];
    let mut at = 0_usize;
    for (i, &group) in groups.iter().take(COUNT).enumerate() {
        let last = i.wrapping_add(1) == COUNT;
        let value = if last { group >> SPARE } else { group };
        // Each zero nibble on top is one digit less, but the last one stays.
        let skip = (value.leading_zeros() / 4).min(7);
        let digits = hex_digits(value) << (skip.wrapping_mul(8) & 63);
        // The bytes of a short word that are not wanted are overwritten by the
        // next word or cut off at the end.
        if let Some(room) = text
            .get_mut(at..)
            .and_then(|room| room.first_chunk_mut::<WORD_LEN>())
        {
            let (prefix, room) = room.split_at_mut(2);
            prefix.copy_from_slice(b"0x");
            room.copy_from_slice(&digits.to_be_bytes());
        }
        at = at.wrapping_add(WORD_LEN).wrapping_sub(skip as usize);
    }
    out.extend_from_slice(text.get(..at).unwrap_or_default());
}

/// The eight lower-case digits of a value, the first one in the top byte.
#[inline]
fn hex_digits(value: u32) -> u64 {
    let quads = (u64::from(value) | u64::from(value) << 16) & 0x0000_ffff_0000_ffff;
    let pairs = (quads | quads << 8) & 0x00ff_00ff_00ff_00ff;
    let nibbles = (pairs | pairs << 4) & EVERY.wrapping_mul(0x0f);
    // Adding 6 carries into bit 4 from 10 on.
    let letters = nibbles.wrapping_add(EVERY.wrapping_mul(6)) >> 4 & EVERY;
    nibbles
        .wrapping_add(EVERY.wrapping_mul(u64::from(b'0')))
        .wrapping_add(letters.wrapping_mul(u64::from(b'a' - b'0' - 10)))
}

#[cfg(test)]
#[allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may panic"
)]
mod tests {
    use super::*;

    fn image(words: &[&str]) -> Result<Field, DecodeError> {
        Field::parse(words.concat().as_bytes())
    }

    #[test]
    fn hex_value_knows_every_byte() {
        for byte in 0..=u8::MAX {
            for at in 0..8 {
                let mut text = *b"00000000";
                text[at] = byte;
                let (value, valid) = hex_value(u64::from_be_bytes(text));
                let bit = 0x80 << (8 * (7 - at));
                match char::from(byte).to_digit(16) {
                    Some(digit) => {
                        assert_eq!(valid, EVERY << 7);
                        assert_eq!(value, digit << (4 * (7 - at)));
                    }
                    None => assert_eq!(valid, (EVERY << 7) & !bit, "{byte:#04x} at {at}"),
                }
            }
        }
    }

    #[test]
    fn hex_digits_agree_with_format() {
        for value in (0..=u32::MAX)
            .step_by(65_521)
            .chain([0, u32::MAX, 0x0123_4567, 0x89ab_cdef])
        {
            assert_eq!(
                hex_digits(value).to_be_bytes(),
                *format!("{value:08x}").as_bytes()
            );
        }
    }

    #[test]
    fn reads_words_of_every_width_up_to_a_zero_that_belongs_to_the_next_prefix() {
        let words = [
            "0x0",
            "0x10",
            "0x100",
            "0xabcdef0",
            "0xABCDEF00",
            "0x00000000",
            "0x1234567",
            "0x00",
        ];
        let image = image(&words.repeat(4)).unwrap();
        let expected = [0, 0x10, 0x100, 0x0abc_def0, 0xabcd_ef00, 0, 0x0123_4567, 0];
        for (i, (row, mask)) in image.rows().iter().zip(MASK).enumerate() {
            assert_eq!(row ^ mask, expected[i % 8]);
        }
    }

    #[test]
    fn writes_what_it_reads() {
        let words = [
            "0x0",
            "0x10",
            "0x100",
            "0xabcdef0",
            "0xffffffff",
            "0x1",
            "0x1234567",
            "0x80000000",
        ];
        let text = words.repeat(4).concat();
        let mut out = b"kept ".to_vec();
        Field::parse(text.as_bytes()).unwrap().write_words(&mut out);
        assert_eq!(out, format!("kept {text}").into_bytes());
    }

    #[test]
    fn refuses_what_is_not_32_words() {
        use DecodeError::{TextLength, Word, WordCount};
        assert_eq!(image(&[]), Err(TextLength));
        assert_eq!(image(&["0x12345678"; 33]), Err(TextLength));
        assert_eq!(image(&["0x12345678"; 31]), Err(WordCount));
        assert_eq!(image(&["0x1234567"; 33]), Err(WordCount));
        assert_eq!(Field::parse(&[b'0'; 96]), Err(Word));
        for broken in [
            "0x",
            "0x123456789",
            "0x12345678 ",
            " 0x1",
            "0X1",
            "?",
            "0x1g",
            "x1",
            "0x1\0",
            "0xé",
        ] {
            for at in [0, 15, 31] {
                let mut words = vec!["0x1234567"; 32];
                words[at] = broken;
                assert_eq!(image(&words), Err(Word), "{broken:?} as word {at}");
            }
        }
    }
}
