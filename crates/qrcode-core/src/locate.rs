//! Finds a turned symbol inside a field.
//!
//! All columns of a row are compared at once, with shifts on its word, and no
//! matrix is turned: three finders on the corners of a square say where the
//! symbol is, and the fourth corner says how far it was turned.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::layout::{Turn, Version};
use crate::matrix::{FIELD_SIDE, Field, Placement};

/// Side of a finder without its white edge, which is not examined.
const FINDER_SIDE: usize = 7;

impl Field {
    /// Where a symbol lies: the placement with exact finders on three corners.
    ///
    /// If several fit, the lowest row decides, then the lowest column, the
    /// smaller side and the smaller turn. Finders that complete no placement
    /// are passed over, and no other cell is examined.
    pub fn locate(&self) -> Option<Placement> {
        let finders = finders(self.rows());
        let row_of = |row: usize| finders.get(row).copied().unwrap_or(0);
        for row in 0..FIELD_SIDE {
            let top = row_of(row);
            // Every placement has a finder on one of its top corners.
            if top == 0 {
                continue;
            }
            let [small, large] = Version::ALL.map(|version| {
                let far = version.side().wrapping_sub(FINDER_SIDE);
                fits(top, row_of(row.wrapping_add(far)), far)
            });
            let any = (small.iter().chain(&large)).fold(0, |any, fit| any | fit);
            if any == 0 {
                continue;
            }
            let col = any.leading_zeros();
            for (version, fits) in Version::ALL.into_iter().zip([small, large]) {
                for (turn, fit) in Turn::ALL.into_iter().zip(fits) {
                    if fit << col >> 31 == 1 {
                        return Placement::new(version, row, col as usize, turn);
                    }
                }
            }
        }
        None
    }
}

/// For each turn the columns in which a placement fits, given the finders in
/// its first row and in the row `far` below. The corner that the turn leaves
/// bare is not examined.
fn fits(top: u32, bottom: u32, far: usize) -> [u32; 4] {
    let (top_right, bottom_right) = (top << far, bottom << far);
    [
        top & top_right & bottom,
        top & top_right & bottom_right,
        top_right & bottom & bottom_right,
        top & bottom & bottom_right,
    ]
}

/// For each row the columns in which the top-left cell of a finder lies.
///
/// Shifting brings in zeros from the right, and the last cell of every finder
/// row is dark, so nothing matches across the edge.
fn finders(rows: &[u32; FIELD_SIDE]) -> [u32; FIELD_SIDE] {
    let full = rows.map(|w| {
        let two = w & w << 1;
        let four = two & two << 2;
        four & four << 3
    });
    let hollow = rows.map(|w| {
        let two = !w & !w << 1;
        w & two << 1 & two << 3 & !w << 5 & w << 6
    });
    let dotted = rows.map(|w| w & !w << 1 & w << 2 & w << 3 & w << 4 & !w << 5 & w << 6);

    let mut found = [0; FIELD_SIDE];
    let windows = full
        .windows(FINDER_SIDE)
        .zip(hollow.windows(FINDER_SIDE))
        .zip(dotted.windows(FINDER_SIDE));
    for (found, ((full, hollow), dotted)) in found.iter_mut().zip(windows) {
        if let (&[a, .., g], &[_, b, .., f, _], &[_, _, c, d, e, _, _]) = (full, hollow, dotted) {
            *found = a & b & c & d & e & f & g;
        }
    }
    found
}

#[cfg(test)]
#[allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may panic"
)]
mod tests {
    use super::*;

    const FINDER: [u32; FINDER_SIDE] = [
        0b111_1111, 0b100_0001, 0b101_1101, 0b101_1101, 0b101_1101, 0b100_0001, 0b111_1111,
    ];

    fn plant(field: &mut [u32; FIELD_SIDE], row: usize, col: usize) {
        for (cells, finder) in field[row..].iter_mut().zip(FINDER) {
            *cells = *cells & !(0x7f << 25 >> col) | finder << 25 >> col;
        }
    }

    fn field(corners: &[(usize, usize)]) -> [u32; FIELD_SIDE] {
        let mut field = [0; FIELD_SIDE];
        for &(row, col) in corners {
            plant(&mut field, row, col);
        }
        field
    }

    #[test]
    fn finds_one_finder_everywhere_and_only_there() {
        for background in [0, u32::MAX, 0x5555_5555] {
            for row in 0..=25 {
                for col in 0..=25 {
                    let mut field = [background; FIELD_SIDE];
                    plant(&mut field, row, col);
                    let mut expected = [0; FIELD_SIDE];
                    expected[row] = 1 << 31 >> col;
                    assert_eq!(finders(&field), expected);
                }
            }
        }
    }

    #[test]
    fn every_single_cell_of_a_finder_counts() {
        for cell in 0..49 {
            let mut field = field(&[(3, 4)]);
            field[3 + cell / 7] ^= 1 << 31 >> (4 + cell % 7);
            assert_eq!(finders(&field), [0; FIELD_SIDE]);
        }
    }

    #[test]
    fn three_finders_are_a_placement_and_two_are_not() {
        let corners = [(2, 5), (2, 19), (16, 5), (16, 19)];
        for (bare, turn) in [
            (3, Turn::Deg0),
            (2, Turn::Deg90),
            (0, Turn::Deg180),
            (1, Turn::Deg270),
        ] {
            let mut three = corners.to_vec();
            three.remove(bare);
            assert_eq!(
                Field::new(field(&three)).locate(),
                Placement::new(Version::One, 2, 5, turn)
            );
            for other in 0..3 {
                let mut two = three.clone();
                two.remove(other);
                assert_eq!(Field::new(field(&two)).locate(), None);
            }
        }
    }

    #[test]
    fn with_four_finders_the_smallest_turn_counts() {
        let four = field(&[(0, 0), (0, 18), (18, 0), (18, 18)]);
        assert_eq!(
            Field::new(four).locate(),
            Placement::new(Version::Two, 0, 0, Turn::Deg0)
        );
    }

    #[test]
    fn the_lower_row_counts_before_the_lower_column() {
        let both = field(&[(0, 8), (0, 22), (14, 8), (7, 1), (7, 15), (21, 1)]);
        assert_eq!(
            Field::new(both).locate(),
            Placement::new(Version::One, 0, 8, Turn::Deg0)
        );
    }

    #[test]
    fn the_lower_column_counts_within_a_row() {
        let both = field(&[(3, 0), (3, 14), (17, 0), (3, 7), (3, 21), (17, 21)]);
        assert_eq!(
            Field::new(both).locate(),
            Placement::new(Version::One, 3, 0, Turn::Deg0)
        );
    }

    #[test]
    fn the_smaller_side_counts_before_the_turn() {
        // Version 1 turned by 270 and version 2 upright share the corner (0, 0).
        let both = field(&[(0, 0), (14, 0), (14, 14), (0, 18), (21, 0), (18, 7)]);
        assert_eq!(
            Field::new(both).locate(),
            Placement::new(Version::One, 0, 0, Turn::Deg270)
        );
    }
}
