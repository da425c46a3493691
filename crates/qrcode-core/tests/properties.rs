//! Laws: round trips, no panic on any input, agreement with a slow oracle.

use proptest::collection::vec;
use proptest::prelude::*;
use qrcode_core::{DecodeError, FIELD_SIDE, Field, Message, Symbol, Turn, Version, decode, encode};

#[path = "properties/oracle.rs"]
mod oracle;

const FINDER: [u32; 7] = [0x7f, 0x41, 0x5d, 0x5d, 0x5d, 0x41, 0x7f];

fn message() -> impl Strategy<Value = Message> {
    vec(0x20..=0x7e_u8, 0..=22)
        .prop_map(|bytes| Message::try_from(bytes.as_slice()).expect("within the rules"))
}

fn turn() -> impl Strategy<Value = Turn> {
    prop::sample::select(Turn::ALL.to_vec())
}

/// Random, dark or light cells.
fn background() -> impl Strategy<Value = [u32; FIELD_SIDE]> {
    prop_oneof![
        4 => any::<[u32; FIELD_SIDE]>(),
        1 => Just([0; FIELD_SIDE]),
        1 => Just([u32::MAX; FIELD_SIDE]),
    ]
}

/// A message in either size that fits, and a place for it.
fn placed() -> impl Strategy<Value = (Message, Symbol, usize, usize, Turn)> {
    let at = any::<prop::sample::Index>;
    (message(), any::<bool>(), at(), at(), turn()).prop_map(|(message, large, row, col, turn)| {
        let small = if large {
            None
        } else {
            Symbol::with_version(&message, Version::One)
        };
        let symbol = small
            .or_else(|| Symbol::with_version(&message, Version::Two))
            .expect("every message fits version 2");
        let offsets = FIELD_SIDE + 1 - symbol.side();
        (
            message,
            symbol,
            row.index(offsets),
            col.index(offsets),
            turn,
        )
    })
}

fn words(field: &Field) -> Vec<u8> {
    let mut text = Vec::new();
    field.write_words(&mut text);
    text
}

fn plant(rows: &mut [u32; FIELD_SIDE], row: usize, col: usize) {
    for (cells, finder) in rows[row..].iter_mut().zip(FINDER) {
        *cells = *cells & !(0x7f << 25 >> col) | finder << 25 >> col;
    }
}

/// A field in which decoding goes deep: whole symbols, corners of symbols and
/// single finders over each other, then a few cells flipped.
fn crowded() -> impl Strategy<Value = Field> {
    let corners = (any::<bool>(), 0..12_usize, 0..12_usize, 0..5_usize);
    (
        background(),
        vec(placed(), 0..2),
        vec(corners, 0..4),
        vec((0..=25_usize, 0..=25_usize), 0..3),
        vec((0..32_usize, 0..32_usize), 0..3),
        // Rows of a possible length byte made light, so that it is in range.
        any::<Option<[u8; 2]>>(),
    )
        .prop_map(|(rows, symbols, corners, strays, flips, light)| {
            let mut field = Field::new(rows);
            for (_, symbol, row, col, turn) in symbols {
                field
                    .place(&symbol, row, col, turn)
                    .expect("the offsets fit");
            }
            let mut rows = *field.rows();
            if let Some([from, count]) = light {
                for row in rows
                    .iter_mut()
                    .skip(usize::from(from) % 32)
                    .take(usize::from(count) % 8)
                {
                    *row = 0;
                }
            }
            for (large, row, col, bare) in corners {
                let (far, last) = if large { (18, 7) } else { (14, 11) };
                let (row, col) = (row.min(last), col.min(last));
                let all = [
                    (row, col),
                    (row, col + far),
                    (row + far, col),
                    (row + far, col + far),
                ];
                for (i, (row, col)) in all.into_iter().enumerate() {
                    if i != bare {
                        plant(&mut rows, row, col);
                    }
                }
            }
            for (row, col) in strays {
                plant(&mut rows, row, col);
            }
            for (row, col) in flips {
                rows[row] ^= 1 << col;
            }
            Field::new(rows)
        })
}

/// Something like 32 words: widths and cases vary, and now and then a byte is
/// not what it should be.
fn wordlike() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        20 => "0x[0-9a-fA-F]{1,8}",
        6 => "0x[0-9a-f]{8}",
        2 => "0x[0-9a-f]{0,7}0",
    ];
    let odd = prop_oneof![Just(b'x'), Just(b'0'), Just(b'X'), Just(b'g'), any::<u8>()];
    (
        vec(word, 31..=33),
        vec((any::<prop::sample::Index>(), odd), 0..3),
    )
        .prop_map(|(words, changes)| {
            let mut text = words.concat().into_bytes();
            for (at, byte) in changes {
                let at = at.index(text.len());
                text[at] = byte;
            }
            text
        })
}

fn rotated_cell(row: usize, col: usize, side: usize, turn: Turn) -> (usize, usize) {
    let quarters = turn.degrees() / 90;
    (0..quarters).fold((row, col), |(row, col), _| (col, side - 1 - row))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn encode_agrees_with_the_oracle(message in message()) {
        let mut reply = Vec::new();
        encode(&message, &mut reply);
        prop_assert_eq!(String::from_utf8(reply).expect("ASCII"), oracle::encode(message.as_bytes()));
    }

    #[test]
    fn a_symbol_agrees_with_the_oracle((message, symbol, ..) in placed()) {
        let expected = oracle::symbol(message.as_bytes(), symbol.side());
        prop_assert_eq!(symbol.rows().len(), symbol.side());
        for (row, cells) in expected.iter().enumerate() {
            for (col, &dark) in cells.iter().enumerate() {
                prop_assert_eq!(symbol.is_dark(row, col), dark);
                prop_assert_eq!(symbol.rows()[row] >> (31 - col) & 1 == 1, dark);
            }
        }
    }

    #[test]
    fn what_is_placed_is_decoded((message, symbol, row, col, turn) in placed(), rows in background()) {
        let mut field = Field::new(rows);
        let placement = field.place(&symbol, row, col, turn).expect("the offsets fit");
        prop_assert_eq!(field.locate(), Some(placement));
        prop_assert_eq!(decode(&words(&field)), Ok(message));
    }

    #[test]
    fn an_image_survives_its_text(rows in background()) {
        let field = Field::new(rows);
        prop_assert_eq!(Field::parse(&words(&field)), Ok(field));
        let mut upper = words(&field);
        for byte in upper.iter_mut().filter(|byte| **byte != b'x') {
            byte.make_ascii_uppercase();
        }
        prop_assert_eq!(Field::parse(&upper), Ok(field));
    }

    #[test]
    fn decode_agrees_with_the_oracle(field in crowded()) {
        let text = words(&field);
        let message = decode(&text).ok().map(|message| message.as_bytes().to_vec());
        prop_assert_eq!(message, oracle::decode(&text));
    }

    #[test]
    fn decode_agrees_with_the_oracle_on_what_words_are(text in wordlike()) {
        let refused = matches!(
            Field::parse(&text),
            Err(DecodeError::TextLength | DecodeError::Word | DecodeError::WordCount)
        );
        prop_assert_eq!(refused, oracle::parse(&text).is_none());
        if let Ok(field) = Field::parse(&text) {
            let mut cells = oracle::parse(&text).expect("both take it");
            oracle::mask(&mut cells);
            for (row, cells) in cells.iter().enumerate() {
                for (col, &dark) in cells.iter().enumerate() {
                    prop_assert_eq!(field.is_dark(row, col), dark);
                }
            }
        }
    }

    #[test]
    fn no_bytes_panic(text in vec(any::<u8>(), 0..400)) {
        prop_assert!(decode(&text).is_err());
        let message = Message::try_from(text.as_slice());
        prop_assert_eq!(message.is_ok(), text.len() <= 22 && text.iter().all(|byte| (0x20..=0x7e).contains(byte)));
    }

    #[test]
    fn no_flipped_cell_of_the_text_goes_unnoticed(
        (message, symbol, row, col, turn) in placed(),
        rows in background(),
        cell in any::<prop::sample::Index>(),
    ) {
        let mut field = Field::new(rows);
        field.place(&symbol, row, col, turn).expect("the offsets fit");
        let used = 8 + 16 * message.len();
        let cell = cell.index(used);
        let (up_row, up_col) = oracle::fill_order(symbol.side())[cell];
        let (cell_row, cell_col) = rotated_cell(up_row, up_col, symbol.side(), turn);
        let mut rows = *field.rows();
        rows[row + cell_row] ^= 1 << 31 >> (col + cell_col);
        let result = decode(&words(&Field::new(rows)));
        if cell < 8 {
            // Another length: refused, or text of that other length.
            prop_assert_ne!(result, Ok(message));
        } else {
            prop_assert_eq!(result, Err(DecodeError::CheckByte));
        }
    }

    #[test]
    fn a_flipped_filler_cell_changes_nothing(
        (message, symbol, row, col, turn) in placed(),
        cell in any::<prop::sample::Index>(),
    ) {
        let order = oracle::fill_order(symbol.side());
        let used = 8 + 16 * message.len();
        let (up_row, up_col) = order[used + cell.index(order.len() - used)];
        let (cell_row, cell_col) = rotated_cell(up_row, up_col, symbol.side(), turn);
        let mut field = Field::default();
        field.place(&symbol, row, col, turn).expect("the offsets fit");
        let mut rows = *field.rows();
        rows[row + cell_row] ^= 1 << 31 >> (col + cell_col);
        prop_assert_eq!(decode(&words(&Field::new(rows))), Ok(message));
    }
}

#[test]
fn every_length_and_character_agrees_with_the_oracle() {
    for len in 0..=22 {
        for byte in 0x20..=0x7e_u8 {
            let message = Message::try_from(vec![byte; len].as_slice()).expect("within the rules");
            let mut reply = Vec::new();
            encode(&message, &mut reply);
            assert_eq!(reply, oracle::encode(message.as_bytes()).as_bytes());
        }
    }
}
