//! Bit matrices: one `u32` per row, the first cell in the top bit, 1 is dark.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::fmt;

use crate::encode;
use crate::layout::{Turn, Version};
use crate::message::Message;

/// Cells in a row and in a column of the image a symbol is hidden in.
pub const FIELD_SIDE: usize = 32;

/// The plain (unmasked) modules of a message: what a picture shows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Symbol {
    version: Version,
    rows: [u32; Version::Two.side()],
}

impl Symbol {
    /// Draws a message in the version its length asks for.
    pub fn new(message: &Message) -> Self {
        let version = encode::natural_version(message);
        Self::draw(message, version)
    }

    /// Draws a message in a given version: 13 or fewer characters also fit
    /// version 2, which decoding accepts. `None` if the message is too long.
    pub fn with_version(message: &Message, version: Version) -> Option<Self> {
        (message.len() <= version.capacity()).then(|| Self::draw(message, version))
    }

    fn draw(message: &Message, version: Version) -> Self {
        let mut rows = [0; Version::Two.side()];
        let groups = encode::plain_groups(message, version);
        let side = version.side();
        for (row, cells) in rows.iter_mut().take(side).enumerate() {
            for col in 0..side {
                // At most 25 * 25 cells, so nothing here comes near overflow.
                let at = row.saturating_mul(side).saturating_add(col);
                let group = groups.get(at / 32).copied().unwrap_or(0);
                *cells |= group << (at % 32) >> 31 << (31_usize.saturating_sub(col));
            }
        }
        Self { version, rows }
    }

    /// The size of this symbol.
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Cells in a row and in a column.
    pub const fn side(&self) -> usize {
        self.version.side()
    }

    /// The rows from the top, `side` of them, the first cell in the top bit.
    pub fn rows(&self) -> &[u32] {
        self.rows.get(..self.side()).unwrap_or_default()
    }

    /// Whether a cell is dark; row 0 is the top, column 0 the left, and cells
    /// outside the symbol are light.
    pub fn is_dark(&self, row: usize, col: usize) -> bool {
        is_dark(&self.rows, row, col)
    }
}

impl fmt::Debug for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        draw(f, self.rows(), self.side())
    }
}

/// Where a symbol lies in a field: unclipped by construction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Placement {
    version: Version,
    row: u8,
    col: u8,
    turn: Turn,
}

impl Placement {
    /// A symbol of `version`, turned clockwise by `turn`, whose top-left cell
    /// after turning is (`row`, `col`). `None` if it would leave the field.
    pub fn new(version: Version, row: usize, col: usize, turn: Turn) -> Option<Self> {
        let last = FIELD_SIDE.saturating_sub(version.side());
        if row > last || col > last {
            return None;
        }
        Some(Self {
            version,
            row: u8::try_from(row).ok()?,
            col: u8::try_from(col).ok()?,
            turn,
        })
    }

    /// The size of the symbol.
    pub const fn version(self) -> Version {
        self.version
    }

    /// The top row of the symbol.
    pub const fn row(self) -> usize {
        self.row as usize
    }

    /// The leftmost column of the symbol.
    pub const fn col(self) -> usize {
        self.col as usize
    }

    /// How far the symbol is turned clockwise.
    pub const fn turn(self) -> Turn {
        self.turn
    }
}

/// A plain (unmasked) image of 32 by 32 cells with or without a symbol in it.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Field {
    rows: [u32; FIELD_SIDE],
}

impl Field {
    /// A field from its rows, the top row first, the first cell in the top bit.
    pub const fn new(rows: [u32; FIELD_SIDE]) -> Self {
        Self { rows }
    }

    /// The rows from the top, the first cell in the top bit.
    pub const fn rows(&self) -> &[u32; FIELD_SIDE] {
        &self.rows
    }

    /// Whether a cell is dark; cells outside the field are light.
    pub fn is_dark(&self, row: usize, col: usize) -> bool {
        is_dark(&self.rows, row, col)
    }

    /// Draws a symbol over the cells at (`row`, `col`), turned clockwise.
    ///
    /// `None`, and nothing drawn, if the symbol would leave the field. This is
    /// how the sender of a decode request builds it: random rows, one symbol,
    /// then [`write_words`](Self::write_words).
    pub fn place(
        &mut self,
        symbol: &Symbol,
        row: usize,
        col: usize,
        turn: Turn,
    ) -> Option<Placement> {
        let placement = Placement::new(symbol.version(), row, col, turn)?;
        let side = symbol.side();
        for from_row in 0..side {
            for from_col in 0..side {
                let (to_row, to_col) = turn.apply(from_row, from_col, side);
                let cells = self.rows.get_mut(row.saturating_add(to_row))?;
                let bit = 1_u32 << 31 >> col.saturating_add(to_col).min(31);
                if symbol.is_dark(from_row, from_col) {
                    *cells |= bit;
                } else {
                    *cells &= !bit;
                }
            }
        }
        Some(placement)
    }
}

impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        draw(f, &self.rows, FIELD_SIDE)
    }
}

fn is_dark(rows: &[u32], row: usize, col: usize) -> bool {
    rows.get(row)
        .is_some_and(|cells| col < FIELD_SIDE && cells << col >> 31 == 1)
}

/// A picture in text, so that a failed assertion shows what went wrong.
fn draw(f: &mut fmt::Formatter<'_>, rows: &[u32], side: usize) -> fmt::Result {
    for cells in rows {
        writeln!(f)?;
        for col in 0..side.min(FIELD_SIDE) {
            f.write_str(if cells << col >> 31 == 1 { "#" } else { "." })?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may panic"
)]
mod tests {
    use super::*;

    #[test]
    fn a_placement_never_leaves_the_field() {
        for version in Version::ALL {
            let last = FIELD_SIDE - version.side();
            assert!(Placement::new(version, last, last, Turn::Deg0).is_some());
            assert!(Placement::new(version, last + 1, 0, Turn::Deg0).is_none());
            assert!(Placement::new(version, 0, last + 1, Turn::Deg0).is_none());
            assert!(Placement::new(version, usize::MAX, 0, Turn::Deg0).is_none());
        }
    }

    #[test]
    fn drawing_outside_the_field_draws_nothing() {
        let mut field = Field::default();
        let symbol = Symbol::new(&Message::EMPTY);
        assert_eq!(field.place(&symbol, 12, 0, Turn::Deg90), None);
        assert_eq!(field, Field::default());
    }

    #[test]
    fn cells_outside_are_light() {
        let symbol = Symbol::new(&Message::EMPTY);
        assert!(symbol.is_dark(0, 20));
        assert!(!symbol.is_dark(0, 21));
        assert!(!symbol.is_dark(0, usize::MAX));
        assert!(!symbol.is_dark(25, 0));
    }

    #[test]
    fn a_short_message_also_fits_version_two() {
        let short: Message = "short".parse().unwrap();
        assert_eq!(
            Symbol::with_version(&short, Version::Two).unwrap().side(),
            25
        );
        let long: Message = "fourteen chars".parse().unwrap();
        assert!(Symbol::with_version(&long, Version::One).is_none());
    }
}
