//! Plain fields with planted finders and symbols, so that decoding goes deep.
//!
//! The input is a list of planting orders, then the 32 rows.

#![no_main]

use libfuzzer_sys::fuzz_target;
use qrcode_core::{FIELD_SIDE, Field, Message, Placement, Symbol, Turn, Version, decode};

const FINDER: [u32; 7] = [0x7f, 0x41, 0x5d, 0x5d, 0x5d, 0x41, 0x7f];

fuzz_target!(|input: &[u8]| {
    let Some((&[count, bare], rest)) = input.split_first_chunk::<2>() else {
        return;
    };
    let mut input = rest;
    let mut orders = Vec::new();
    for _ in 0..count % 4 {
        let Some((order, rest)) = input.split_first_chunk::<3>() else {
            return;
        };
        orders.push(*order);
        input = rest;
    }
    let mut rows = [0; FIELD_SIDE];
    let (words, text) = input.split_at(input.len().min(4 * FIELD_SIDE));
    for (row, word) in rows.iter_mut().zip(words.chunks_exact(4)) {
        *row = u32::from_be_bytes([word[0], word[1], word[2], word[3]]);
    }

    let mut field = Field::new(rows);
    for [kind, row, col] in orders {
        let version = Version::ALL[usize::from(kind & 1)];
        let turn = Turn::ALL[usize::from(kind >> 1 & 3)];
        let last = FIELD_SIDE - version.side();
        let (row, col) = (usize::from(row) % (last + 1), usize::from(col) % (last + 1));
        if kind & 8 != 0 {
            let message = Message::try_from(text).unwrap_or(Message::EMPTY);
            if let Some(symbol) = Symbol::with_version(&message, version) {
                let placement = field.place(&symbol, row, col, turn);
                let placement = placement.expect("the offset is in range");
                assert_eq!(field.read(placement), Ok(message));
            }
        } else {
            let far = version.side() - 7;
            let corners = [
                (row, col),
                (row, col + far),
                (row + far, col),
                (row + far, col + far),
            ];
            let mut rows = *field.rows();
            for (i, (row, col)) in corners.into_iter().enumerate() {
                if i != usize::from(bare % 5) {
                    for (cells, finder) in rows[row..].iter_mut().zip(FINDER) {
                        *cells = *cells & !(0x7f << 25 >> col) | finder << 25 >> col;
                    }
                }
            }
            field = Field::new(rows);
        }
    }

    let mut words = Vec::new();
    field.write_words(&mut words);
    let expected = slow_locate(&field);
    assert_eq!(field.locate(), expected);
    match (decode(&words), expected) {
        (Ok(message), Some(placement)) => {
            // The text that was read is the text that is there.
            let symbol = Symbol::with_version(&message, placement.version())
                .expect("it was read from there");
            let mut again = field;
            again.place(&symbol, placement.row(), placement.col(), placement.turn());
            assert_eq!(again.locate(), Some(placement));
            assert_eq!(again.read(placement), Ok(message));
        }
        (Ok(message), None) => panic!("{message:?} out of nothing"),
        (Err(_), _) => {}
    }
});

/// The same search, cell by cell.
fn slow_locate(field: &Field) -> Option<Placement> {
    let finder = |row: usize, col: usize| {
        (0..7).all(|i| {
            (0..7).all(|j| field.is_dark(row + i, col + j) == (FINDER[i] >> (6 - j) & 1 == 1))
        })
    };
    for row in 0..FIELD_SIDE {
        for col in 0..FIELD_SIDE {
            for version in Version::ALL {
                let far = version.side() - 7;
                let [a, b, c, d] =
                    [(0, 0), (0, far), (far, 0), (far, far)].map(|(i, j)| finder(row + i, col + j));
                let fits = [a && b && c, a && b && d, b && c && d, a && c && d];
                for (turn, fit) in Turn::ALL.into_iter().zip(fits) {
                    if fit {
                        return Placement::new(version, row, col, turn);
                    }
                }
            }
        }
    }
    None
}
