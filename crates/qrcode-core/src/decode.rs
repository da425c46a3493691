//! Image to message.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::error::DecodeError;
use crate::layout::{Pair, Turn, Version};
use crate::matrix::{FIELD_SIDE, Field, Placement};
use crate::message::Message;

/// Reads the message from the hex words of an image: parse, unmask, locate,
/// read.
///
/// `text` is the request's value after percent-decoding. Nothing is allocated.
///
/// # Errors
///
/// One [`DecodeError`]; the first that applies in the order of
/// [`DecodeError::ALL`], except that the characters of a message are examined
/// one after the other, check byte first. If the first placement of
/// [`Field::locate`] is broken, no other one is tried.
pub fn decode(text: &[u8]) -> Result<Message, DecodeError> {
    let field = Field::parse(text)?;
    let placement = field.locate().ok_or(DecodeError::NoSymbol)?;
    field.read(placement)
}

impl Field {
    /// Reads the message of the symbol at a placement, whether or not there are
    /// finders: only length, characters and check bytes are examined.
    ///
    /// # Errors
    ///
    /// [`DecodeError::MessageLength`], [`DecodeError::CheckByte`] or
    /// [`DecodeError::Character`].
    pub fn read(&self, placement: Placement) -> Result<Message, DecodeError> {
        // Moves the symbol to the top-left corner, so that its cells are where
        // the tables say. Rows beyond the symbol are never read.
        let mut rows = [0; FIELD_SIDE];
        for (to, from) in rows
            .iter_mut()
            .zip(self.rows().iter().skip(placement.row()))
        {
            *to = from << placement.col();
        }

        // Four programs, so that none asks for the turn at each pair.
        let version = placement.version();
        match placement.turn() {
            Turn::Deg0 => text(&rows, version, Turn::Deg0),
            Turn::Deg90 => text(&rows, version, Turn::Deg90),
            Turn::Deg180 => text(&rows, version, Turn::Deg180),
            Turn::Deg270 => text(&rows, version, Turn::Deg270),
        }
    }
}

/// The message of the symbol in the top-left corner, turned so.
#[inline(always)]
#[expect(clippy::inline_always, reason = "the turn must be known in the loop")]
fn text(rows: &[u32; FIELD_SIDE], version: Version, turn: Turn) -> Result<Message, DecodeError> {
    let pairs = version.turned_pairs(turn);
    let (length, text) = pairs.split_at(4);
    let length = bits(rows, length, turn) as usize;
    if length > version.capacity() {
        return Err(DecodeError::MessageLength);
    }
    let mut message = Message::EMPTY;
    for pairs in text.chunks_exact(8).take(length) {
        let [byte, check] = bits(rows, pairs, turn).to_be_bytes();
        if u32::from(check) != byte.count_ones() & 1 {
            return Err(DecodeError::CheckByte);
        }
        message.push(byte).map_err(|_| DecodeError::Character)?;
    }
    Ok(message)
}

/// Up to eight pairs of cells as a number, the first one its most significant
/// bits.
#[inline(always)]
#[expect(clippy::inline_always, reason = "the turn must be known in the loop")]
fn bits(rows: &[u32; FIELD_SIDE], pairs: &[Pair], turn: Turn) -> u16 {
    let bits = pairs.iter().fold(0, |bits: u32, pair| {
        #[expect(clippy::indexing_slicing, reason = "a cell's row is 0..=31 by type")]
        let row = rows[pair.row()] << pair.col();
        let two = if turn.is_sideways() {
            #[expect(clippy::indexing_slicing, reason = "one of 0..=31 by the mask")]
            let below = rows[pair.row().wrapping_add(1) & 31] << pair.col();
            row >> 31 << 1 | below >> 31
        } else {
            row >> 30
        };
        bits << 2 | two
    });
    #[expect(clippy::cast_possible_truncation, reason = "eight pairs at most")]
    let bits = bits as u16;
    if turn.is_backwards() {
        (bits & 0x5555) << 1 | bits >> 1 & 0x5555
    } else {
        bits
    }
}

#[cfg(test)]
#[allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may panic"
)]
mod tests {
    use super::*;
    use crate::matrix::Symbol;

    #[test]
    fn reads_back_every_length_in_both_versions_and_all_turns() {
        for version in Version::ALL {
            for len in 0..=version.capacity() {
                let message = Message::try_from(&b"The quick brown fox ju"[..len]).unwrap();
                let symbol = Symbol::with_version(&message, version).unwrap();
                for turn in Turn::ALL {
                    let mut field = Field::new([0x3c5a_a5c3; FIELD_SIDE]);
                    let placement = field.place(&symbol, 7, 3, turn).unwrap();
                    assert_eq!(field.locate(), Some(placement));
                    assert_eq!(field.read(placement), Ok(message));
                }
            }
        }
    }

    #[test]
    fn a_broken_first_placement_hides_a_good_second_one() {
        // Two upright symbols side by side, seven columns apart: the finders of
        // the left one cover only filler of the right one.
        let mut field = Field::default();
        let right = field
            .place(&Symbol::new(&Message::EMPTY), 0, 7, Turn::Deg0)
            .unwrap();
        let mut rows = *field.rows();
        for (row, col) in [(0, 0), (0, 14), (14, 0)] {
            for (i, finder) in [0x7f, 0x41, 0x5d, 0x5d, 0x5d, 0x41, 0x7f]
                .into_iter()
                .enumerate()
            {
                rows[row + i] = rows[row + i] & !(0x7f << 25 >> col) | finder << 25 >> col;
            }
        }
        // The length byte of the left one becomes 255.
        for cells in &mut rows[17..=20] {
            *cells |= 3 << 30 >> 19;
        }
        let field = Field::new(rows);
        assert_eq!(field.read(right), Ok(Message::EMPTY));
        let left = field.locate().unwrap();
        assert_eq!(Some(left), Placement::new(Version::One, 0, 0, Turn::Deg0));
        let mut text = Vec::new();
        field.write_words(&mut text);
        assert_eq!(decode(&text), Err(DecodeError::MessageLength));
    }
}
