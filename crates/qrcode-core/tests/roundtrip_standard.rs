//! The patterns we share with a standard QR code, checked against one.
//!
//! Format information, mask and payload are not standard, so finders with
//! their white edges, timing lines and the alignment block are all that can be
//! compared.

use qrcode::canvas::is_functional;
use qrcode::{Color, EcLevel, QrCode};
use qrcode_core::{Message, Symbol, Version};

#[test]
fn finders_timing_and_alignment_are_standard() {
    for (version, number, expected) in [(Version::One, 1, 202), (Version::Two, 2, 235)] {
        let standard_version = qrcode::Version::Normal(number);
        let side = version.side();
        let standard =
            QrCode::with_version(b"tripod", standard_version, EcLevel::L).expect("6 bytes fit");
        assert_eq!(standard.width(), side);
        let width = i16::try_from(side).expect("at most 25");

        for len in 0..=version.capacity() {
            let message = Message::try_from(vec![b'~'; len].as_slice()).expect("within the rules");
            let symbol = Symbol::with_version(&message, version).expect("within the capacity");
            let mut compared = 0;
            for (x, col) in (0..width).zip(0..side) {
                for (y, row) in (0..width).zip(0..side) {
                    // Row and column 8 hold format information, except where
                    // they cross the timing lines.
                    let format = (row == 8 || col == 8) && row != 6 && col != 6;
                    if is_functional(standard_version, width, x, y) && !format {
                        let dark = standard[(col, row)] == Color::Dark;
                        assert_eq!(symbol.is_dark(row, col), dark, "row {row} column {col}");
                        compared += 1;
                    }
                }
            }
            assert_eq!(compared, expected);
        }
    }
}
