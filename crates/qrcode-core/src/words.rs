//! Groups of 32 cells as text: `0x` and hex digits without leading zeros.
//!
//! Both directions handle the eight digits of a word at once, and reading all
//! words of an image, because this text is most of the work of a request.

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
        let mut padded = [0; PADDED_LEN];
        let (head, _) = padded.split_at_mut(text.len());
        head.copy_from_slice(text);
        let quick = digits(&padded, text.len()).and_then(|digits| values(&digits));
        let mut rows = quick.map_or_else(|| words(text), Ok)?;
        for (row, mask) in rows.iter_mut().zip(MASK) {
            *row ^= mask;
        }
        Ok(Self::new(rows))
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

/// The longest text, and room for a look at what would follow.
const PADDED_LEN: usize = MAX_FIELD_TEXT_LEN + 2 * WORD_LEN;

/// 1 in every byte.
const EVERY: u64 = 0x0101_0101_0101_0101;

/// What passes for the digits of all words, eight each, with zeros in front of
/// short ones. `None` unless there are just as many words as there must be; also
/// where several short words look like one of eight digits, of which some are
/// none.
fn digits(text: &[u8; PADDED_LEN], len: usize) -> Option<[[u8; 8]; FIELD_SIDE]> {
    let mut all = [[b'0'; 8]; FIELD_SIDE];
    let mut at = 0_usize;
    for word in &mut all {
        let [zero, x, digits @ .., next, behind] = text.get(at..)?.first_chunk::<12>()?;
        if [*zero, *x] != *b"0x" {
            return None;
        }
        *word = *digits;
        if [*next, *behind] == *b"0x" {
            at = at.wrapping_add(WORD_LEN);
        } else {
            // Shorter than eight digits, about one word in sixteen, or the last.
            let count =
                count(*digits, *next == b'x').or_else(|| len.checked_sub(at)?.checked_sub(2))?;
            if !(1..=8).contains(&count) {
                return None;
            }
            let bits = 8_usize.wrapping_sub(count).wrapping_mul(8) & 63;
            let short = u64::from_be_bytes(*digits) >> bits;
            let zeros = EVERY.wrapping_mul(u64::from(b'0')) & !(u64::MAX >> bits);
            *word = (short | zeros).to_be_bytes();
            at = at.wrapping_add(2).wrapping_add(count);
        }
    }
    (at == len).then_some(all)
}

/// How many digits come before the next prefix, which begins a byte before the
/// first `x`. `None` without one.
#[inline]
fn count(digits: [u8; 8], is_ninth_x: bool) -> Option<usize> {
    let digits = u64::from_be_bytes(digits) ^ EVERY.wrapping_mul(u64::from(b'x'));
    // The top bit of each byte that is zero; no carry leaves its byte.
    let low = (digits & EVERY.wrapping_mul(0x7f)).wrapping_add(EVERY.wrapping_mul(0x7f));
    let found = !(low | digits) & EVERY << 7;
    if found != 0 {
        Some((found.leading_zeros() as usize / 8).wrapping_sub(1))
    } else if is_ninth_x {
        Some(7)
    } else {
        None
    }
}

/// The values of words of eight digits. `None` when one of them is no digit.
fn values(digits: &[[u8; 8]; FIELD_SIDE]) -> Option<[u32; FIELD_SIDE]> {
    // One simple loop over all bytes, which compilers make into vectors.
    let mut nibbles = [[0; 8]; FIELD_SIDE];
    let mut odd = 0;
    for (nibble, &byte) in nibbles
        .as_flattened_mut()
        .iter_mut()
        .zip(digits.as_flattened())
    {
        let number = byte.wrapping_sub(b'0');
        let letter = (byte | 0x20).wrapping_sub(b'a');
        odd |= u8::from(number >= 10) & u8::from(letter >= 6);
        *nibble = if number < 10 {
            number
        } else {
            letter.wrapping_add(10)
        };
    }
    (odd == 0).then(|| {
        nibbles.map(|word| {
            // The first one in the lowest byte, but of most weight.
            let nibbles = u64::from_le_bytes(word);
            let pairs = (nibbles << 4 | nibbles >> 8) & 0x00ff_00ff_00ff_00ff;
            let quads = (pairs << 8 | pairs >> 16) & 0x0000_ffff_0000_ffff;
            #[expect(clippy::cast_possible_truncation, reason = "the low half is wanted")]
            let value = (quads << 16 | quads >> 32) as u32;
            value
        })
    })
}

/// The values of all words, one after the other: of the few images that need it,
/// and what is wrong with texts that are none.
#[cold]
fn words(text: &[u8]) -> Result<[u32; FIELD_SIDE], DecodeError> {
    let mut values = [0; FIELD_SIDE];
    let mut rest = text;
    for value in &mut values {
        if rest.is_empty() {
            return Err(DecodeError::WordCount);
        }
        (*value, rest) = word(rest).ok_or(DecodeError::Word)?;
    }
    if rest.is_empty() {
        Ok(values)
    } else if word(rest).is_some() {
        Err(DecodeError::WordCount)
    } else {
        Err(DecodeError::Word)
    }
}

/// The word at the start of a text, and what follows it.
fn word(text: &[u8]) -> Option<(u32, &[u8])> {
    let behind = text.strip_prefix(b"0x")?;
    let is_digit = |byte: &&u8| byte.is_ascii_hexdigit();
    let run = behind.iter().take_while(is_digit).count();
    // Digits run up to the end of the text or into the `0` of the next prefix.
    let is_prefix = behind.get(run) == Some(&b'x');
    let count = run.saturating_sub(usize::from(is_prefix)).min(8);
    let (digits, rest) = behind.split_at_checked(count)?;
    let value = u32::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
    Some((value, rest))
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
    fn every_byte_is_a_digit_or_not() {
        for byte in 0..=u8::MAX {
            for at in 0..8 {
                let mut digits = [*b"00000000"; FIELD_SIDE];
                digits[31][at] = byte;
                let digit = char::from(byte).to_digit(16);
                let value = values(&digits).map(|values| values[31]);
                assert_eq!(
                    value,
                    digit.map(|digit| digit << (4 * (7 - at))),
                    "{byte:#04x} at {at}"
                );
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
