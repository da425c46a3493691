//! What the compiler works out for [`encode`](super::encode).
//!
//! The loops run at compile time only, where an index or a sum that goes wrong
//! stops the build.

#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "runs in the compiler; lengths are at most 22 and cell numbers below 625"
)]

use crate::layout::Version;
use crate::message::MAX_MESSAGE_LEN;

/// Groups of a symbol, rounded up to a power of two so that an index can be
/// masked instead of checked.
pub(super) const GROUPS: usize = 32;

/// Cells a character can change: eight bits and the parity.
pub(super) const SPOTS: usize = 9;

/// For each length: patterns, length byte and filler; all characters 0.
pub(super) static BASES_1: [[u32; GROUPS]; Version::One.capacity() + 1] = bases(Version::One);
pub(super) static BASES_2: [[u32; GROUPS]; MAX_MESSAGE_LEN + 1] = bases(Version::Two);

/// For each position: the cells of the character, most significant bit first,
/// then the cell of its parity, as row-major cell numbers.
pub(super) static SPOTS_1: [[u16; SPOTS]; Version::One.capacity()] = spots(Version::One);
pub(super) static SPOTS_2: [[u16; SPOTS]; MAX_MESSAGE_LEN] = spots(Version::Two);

const fn bases<const N: usize>(version: Version) -> [[u32; GROUPS]; N] {
    let side = version.side();
    let mut patterns = [0; GROUPS];
    let mut row = 0;
    while row < side {
        let mut col = 0;
        while col < side {
            if version.is_fixed_dark(row, col) {
                set(&mut patterns, row * side + col);
            }
            col += 1;
        }
        row += 1;
    }
    let mut bases = [patterns; N];
    let cells = version.cells();
    let mut len = 0;
    while len < N {
        let mut i = 0;
        while i < cells.len() {
            if base_byte(len, i / 8) << (i % 8) & 0x80 != 0 {
                set(&mut bases[len], cells[i].row() * side + cells[i].col());
            }
            i += 1;
        }
        len += 1;
    }
    bases
}

/// Byte `at` of the payload of `len` characters, all of them 0.
const fn base_byte(len: usize, at: usize) -> u8 {
    let text_end = 1 + 2 * len;
    if at == 0 {
        len as u8
    } else if at < text_end {
        0
    } else if (at - text_end).is_multiple_of(2) {
        0xec
    } else {
        0x11
    }
}

const fn set(groups: &mut [u32; GROUPS], cell: usize) {
    groups[cell / 32] |= 1 << (31 - cell % 32);
}

const fn spots<const N: usize>(version: Version) -> [[u16; SPOTS]; N] {
    let mut spots = [[0; SPOTS]; N];
    let cells = version.cells();
    let mut position = 0;
    while position < N {
        let mut i = 0;
        while i < SPOTS {
            // The parity is the last bit of the check byte.
            let cell = cells[8 + 16 * position + if i < 8 { i } else { 15 }];
            spots[position][i] = (cell.row() * version.side() + cell.col()) as u16;
            i += 1;
        }
        position += 1;
    }
    spots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filler_starts_afresh_behind_the_text() {
        let payload: Vec<u8> = (0..8).map(|at| base_byte(2, at)).collect();
        assert_eq!(payload, [2, 0, 0, 0, 0, 0xec, 0x11, 0xec]);
    }
}
