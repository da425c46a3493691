//! Message to symbol.
//!
//! The layout is linear over XOR: for a given length the cells are a constant
//! base plus one contribution per character and position. A character moves
//! only nine cells, its eight bits and its parity; the other seven cells of its
//! check byte stay 0. So encoding copies a base and flips nine bits for each
//! character.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod tables;

use crate::layout::Version;
use crate::mask::MASK;
use crate::message::Message;
use crate::words;
use tables::{BASES_1, BASES_2, GROUPS, SPOTS, SPOTS_1, SPOTS_2};

/// The longest output of [`encode`] in bytes: 20 words of 8 digits.
pub const MAX_ENCODED_LEN: usize = 200;

/// Appends the masked symbol of a message to `out` as hex words.
///
/// Version 1 gives 14 words, version 2 gives 20, at most [`MAX_ENCODED_LEN`]
/// bytes; nothing is allocated if `out` has that much room.
///
/// ```
/// let message = qrcode_core::Message::try_from(b"Hi".as_slice())?;
/// let mut reply = b"TEAM,1234\n".to_vec();
/// qrcode_core::encode(&message, &mut reply);
/// assert!(reply.starts_with(b"TEAM,1234\n0x"));
/// # Ok::<(), qrcode_core::EncodeError>(())
/// ```
pub fn encode(message: &Message, out: &mut Vec<u8>) {
    let version = natural_version(message);
    let mut groups = plain_groups(message, version);
    for (group, mask) in groups.iter_mut().zip(MASK) {
        *group ^= mask;
    }
    match version {
        Version::One => words::write::<14, 7>(&groups, out),
        Version::Two => words::write::<20, 15>(&groups, out),
    }
}

/// The version a message of this length is drawn in.
pub(crate) const fn natural_version(message: &Message) -> Version {
    if message.len() <= Version::One.capacity() {
        Version::One
    } else {
        Version::Two
    }
}

/// The cells of a symbol row by row in groups of 32, the first cell of a group
/// in its top bit. Groups past the last cell are 0, and so is the low end of
/// the last group.
///
/// The caller vouches that the message fits; characters that do not are left
/// out.
pub(crate) fn plain_groups(message: &Message, version: Version) -> [u32; GROUPS] {
    let (bases, spots): (&[[u32; GROUPS]], &[[u16; SPOTS]]) = match version {
        Version::One => (&BASES_1, &SPOTS_1),
        Version::Two => (&BASES_2, &SPOTS_2),
    };
    let mut groups = bases.get(message.len()).copied().unwrap_or_default();
    for (&byte, spots) in message.as_bytes().iter().zip(spots) {
        let bits = u32::from(byte) << 1 | byte.count_ones() & 1;
        for (i, spot) in (0..SPOTS).rev().zip(spots) {
            #[expect(clippy::indexing_slicing, reason = "masked to the length of the array")]
            let group = &mut groups[usize::from(spot >> 5) & (GROUPS - 1)];
            *group ^= bits >> i << 31 >> (spot & 31);
        }
    }
    groups
}

#[cfg(test)]
#[allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may panic"
)]
mod tests {
    use super::*;
    use crate::message::MAX_MESSAGE_LEN;

    #[test]
    fn the_last_group_lacks_7_and_15_cells() {
        assert_eq!(Version::One.side().pow(2), 14 * 32 - 7);
        assert_eq!(Version::Two.side().pow(2), 20 * 32 - 15);
    }

    #[test]
    fn the_longest_message_stays_within_the_bound() {
        for byte in 0x20..=0x7e {
            let message = Message::try_from([byte; MAX_MESSAGE_LEN].as_slice()).unwrap();
            let mut out = Vec::new();
            encode(&message, &mut out);
            assert!((192..=196).contains(&out.len()));
        }
    }
}
