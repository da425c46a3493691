//! Where patterns and payload cells sit in each version.
//!
//! Everything here is a table made by the compiler; nothing is computed while
//! a request waits.

use crate::message::MAX_MESSAGE_LEN;

/// One of the two sizes of a symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// 21 by 21 cells, up to 13 characters.
    One,
    /// 25 by 25 cells, up to 22 characters.
    Two,
}

impl Version {
    /// Both versions, the smaller first.
    pub const ALL: [Self; 2] = [Self::One, Self::Two];

    /// The version a message of `len` characters is drawn in, if it fits one.
    pub const fn for_len(len: usize) -> Option<Self> {
        if len <= Self::One.capacity() {
            Some(Self::One)
        } else if len <= Self::Two.capacity() {
            Some(Self::Two)
        } else {
            None
        }
    }

    /// Cells in a row and in a column.
    pub const fn side(self) -> usize {
        match self {
            Self::One => 21,
            Self::Two => 25,
        }
    }

    /// The longest message in characters.
    pub const fn capacity(self) -> usize {
        match self {
            Self::One => 13,
            Self::Two => MAX_MESSAGE_LEN,
        }
    }

    /// Cells that carry length, characters, check bytes and filler.
    pub const fn payload_cells(self) -> usize {
        match self {
            Self::One => PAYLOAD_1,
            Self::Two => PAYLOAD_2,
        }
    }

    /// The payload cells of the upright symbol in fill order.
    pub(crate) const fn cells(self) -> &'static [Cell] {
        match self {
            Self::One => &CELLS_1,
            Self::Two => &CELLS_2,
        }
    }

    /// Where the length byte and the characters lie once the symbol is turned:
    /// the first `8 + 16 * capacity` payload cells in fill order, two by two.
    pub(crate) const fn turned_pairs(self, turn: Turn) -> &'static [Pair] {
        match self {
            Self::One => &TURNED_1[turn as usize],
            Self::Two => &TURNED_2[turn as usize],
        }
    }

    /// Whether a cell is neither pattern nor payload.
    ///
    /// That is all the fill rule needs: the free cells minus those that no
    /// complete pair reaches.
    const fn is_pattern(self, row: usize, col: usize) -> bool {
        let side = self.side();
        let (top, left) = (row < CORNER, col < CORNER);
        let (bottom, right) = (row >= side - CORNER, col >= side - CORNER);
        let corner = top && (left || right) || bottom && left;
        corner || row == TIMING || col == TIMING || self.in_alignment(row, col)
    }

    /// Whether a cell lies in the 5x5 block centred on (18, 18).
    const fn in_alignment(self, row: usize, col: usize) -> bool {
        matches!(self, Self::Two) && row >= 16 && row <= 20 && col >= 16 && col <= 20
    }

    /// Whether a pattern cell is dark; `false` for every other cell.
    pub(crate) const fn is_fixed_dark(self, row: usize, col: usize) -> bool {
        if !self.is_pattern(row, col) {
            return false;
        }
        if self.in_alignment(row, col) {
            return distance(row, col, 18) != 1;
        }
        let far = self.side() - 4;
        let in_corner_rows = row < CORNER || row >= self.side() - CORNER;
        let in_corner_cols = col < CORNER || col >= self.side() - CORNER;
        if in_corner_rows && in_corner_cols {
            // Distance from the middle of the finder: 3 is the dark ring, 2 the
            // light one, 4 the white edge.
            let from_row = if row < CORNER {
                row.abs_diff(3)
            } else {
                row.abs_diff(far)
            };
            let from_col = if col < CORNER {
                col.abs_diff(3)
            } else {
                col.abs_diff(far)
            };
            let ring = if from_row > from_col {
                from_row
            } else {
                from_col
            };
            return ring != 2 && ring != 4;
        }
        // Timing: dark at even indexes along the line.
        (row + col).is_multiple_of(2)
    }
}

/// How far the upright symbol was turned clockwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Turn {
    /// Upright: the corner without finder is bottom right.
    #[default]
    Deg0 = 0,
    /// A quarter: the bare corner is bottom left.
    Deg90 = 1,
    /// A half: the bare corner is top left.
    Deg180 = 2,
    /// Three quarters: the bare corner is top right.
    Deg270 = 3,
}

impl Turn {
    /// Every turn, the smallest first.
    pub const ALL: [Self; 4] = [Self::Deg0, Self::Deg90, Self::Deg180, Self::Deg270];

    /// The angle.
    pub const fn degrees(self) -> u16 {
        match self {
            Self::Deg0 => 0,
            Self::Deg90 => 90,
            Self::Deg180 => 180,
            Self::Deg270 => 270,
        }
    }

    /// Whether the two cells of a pair, which lie side by side in the upright
    /// symbol, lie one below the other.
    pub(crate) const fn is_sideways(self) -> bool {
        matches!(self, Self::Deg90 | Self::Deg270)
    }

    /// Whether the second cell of a pair in fill order has become the upper or
    /// left one.
    pub(crate) const fn is_backwards(self) -> bool {
        matches!(self, Self::Deg0 | Self::Deg90)
    }

    /// Where a cell of the upright square lands.
    pub(crate) const fn apply(self, row: usize, col: usize, side: usize) -> (usize, usize) {
        let last = side - 1;
        match self {
            Self::Deg0 => (row, col),
            Self::Deg90 => (col, last - row),
            Self::Deg180 => (last - row, last - col),
            Self::Deg270 => (last - col, row),
        }
    }
}

/// A cell of a matrix of at most 32 by 32: five bits of row, five of column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cell(u16);

impl Cell {
    #[expect(clippy::cast_possible_truncation, reason = "both are below 32")]
    const fn new(row: usize, col: usize) -> Self {
        Self((row << 5 | col) as u16)
    }

    /// 0..=31, visibly so for the compiler.
    pub(crate) const fn row(self) -> usize {
        (self.0 >> 5 & 31) as usize
    }

    /// 0..=31, visibly so for the compiler.
    pub(crate) const fn col(self) -> usize {
        (self.0 & 31) as usize
    }
}

/// Two cells side by side or one below the other: where the left or upper one
/// lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pair(Cell);

impl Pair {
    /// 0..=30, visibly so for the compiler.
    pub(crate) const fn row(self) -> usize {
        self.0.row()
    }

    /// 0..=31, visibly so for the compiler.
    pub(crate) const fn col(self) -> usize {
        self.0.col()
    }
}

/// Side of a finder with its white edge.
const CORNER: usize = 8;
/// Row and column of the timing lines.
const TIMING: usize = 6;
const PAYLOAD_1: usize = 224;
const PAYLOAD_2: usize = 370;

static CELLS_1: [Cell; PAYLOAD_1] = fill_order(Version::One);
static CELLS_2: [Cell; PAYLOAD_2] = fill_order(Version::Two);
static TURNED_1: [[Pair; text_pairs(Version::One)]; 4] = turned(Version::One, &CELLS_1);
static TURNED_2: [[Pair; text_pairs(Version::Two)]; 4] = turned(Version::Two, &CELLS_2);

/// Pairs of cells of the length byte, the characters and their check bytes.
const fn text_pairs(version: Version) -> usize {
    4 + 8 * version.capacity()
}

const fn distance(row: usize, col: usize, middle: usize) -> usize {
    let (a, b) = (row.abs_diff(middle), col.abs_diff(middle));
    if a > b { a } else { b }
}

/// Column pairs from the right, the first upward, then in turns; the timing
/// column belongs to no pair; a row counts only if both cells are free.
const fn fill_order<const N: usize>(version: Version) -> [Cell; N] {
    let side = version.side();
    let mut cells = [Cell(0); N];
    let mut filled = 0;
    let mut right = side - 1;
    let mut upward = true;
    loop {
        let mut step = 0;
        while step < side {
            let row = if upward { side - 1 - step } else { step };
            if !version.is_pattern(row, right) && !version.is_pattern(row, right - 1) {
                cells[filled] = Cell::new(row, right);
                cells[filled + 1] = Cell::new(row, right - 1);
                filled += 2;
            }
            step += 1;
        }
        if right == 1 {
            break;
        }
        right -= if right == TIMING + 2 { 3 } else { 2 };
        upward = !upward;
    }
    assert!(filled == N, "the fill order covers exactly the payload");
    cells
}

const fn turned<const N: usize>(version: Version, cells: &[Cell]) -> [[Pair; N]; 4] {
    let mut turned = [[Pair(Cell(0)); N]; 4];
    let mut at = 0;
    while at < 4 {
        let turn = Turn::ALL[at];
        let mut i = 0;
        while i < N {
            // The fill order goes in pairs, each from right to left.
            let (first, second) = (cells[2 * i], cells[2 * i + 1]);
            let (front, back) = if turn.is_backwards() {
                (second, first)
            } else {
                (first, second)
            };
            let (row, col) = turn.apply(front.row(), front.col(), version.side());
            let (below, right) = if turn.is_sideways() {
                (row + 1, col)
            } else {
                (row, col + 1)
            };
            let back = turn.apply(back.row(), back.col(), version.side());
            assert!(back.0 == below && back.1 == right, "neighbours");
            turned[at][i] = Pair(Cell::new(row, col));
            i += 1;
        }
        at += 1;
    }
    turned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fill_starts_bottom_right_and_ends_in_the_first_columns() {
        let first = [(20, 20), (20, 19), (19, 20), (19, 19), (18, 20), (18, 19)];
        assert!(
            CELLS_1
                .iter()
                .zip(first)
                .all(|(cell, at)| (cell.row(), cell.col()) == at)
        );
        // The pair (1, 0) is an even one in both versions, so it runs downward.
        assert_eq!(CELLS_1[PAYLOAD_1 - 1], Cell::new(12, 0));
        assert_eq!(CELLS_2[PAYLOAD_2 - 1], Cell::new(16, 0));
    }

    #[test]
    fn free_cells_outside_the_fill_order_number_15_and_20() {
        for (version, expected) in [(Version::One, 15), (Version::Two, 20)] {
            let side = version.side();
            let free = (0..side * side)
                .filter(|k| !version.is_pattern(k / side, k % side))
                .count();
            assert_eq!(free - version.payload_cells(), expected);
        }
    }

    #[test]
    fn length_decides_the_version() {
        assert_eq!(Version::for_len(0), Some(Version::One));
        assert_eq!(Version::for_len(13), Some(Version::One));
        assert_eq!(Version::for_len(14), Some(Version::Two));
        assert_eq!(Version::for_len(22), Some(Version::Two));
        assert_eq!(Version::for_len(23), None);
    }

    #[test]
    fn turning_moves_the_bare_corner_as_documented() {
        let bare = Turn::ALL.map(|turn| turn.apply(20, 20, 21));
        assert_eq!(bare, [(20, 20), (20, 0), (0, 0), (0, 20)]);
    }
}
