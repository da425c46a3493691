//! Seeded fuzzing on any compiler: symbols at any place and turn in fields of noise, whole or damaged,
//! and damaged texts of fields. No panic, what is whole is read, every reason is reached, and one in
//! sixteen is read once more by the slow and literal oracle. How long, and what else is watched: crate
//! `storm`.

#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use qrcode_core::{DecodeError, FIELD_SIDE, Field, Message, Symbol, Turn, Version, decode};

#[path = "properties/oracle.rs"]
#[allow(dead_code, reason = "shared with the properties")]
mod oracle;

/// One execution: what decoding said.
fn execute(seed: u64) -> Option<DecodeError> {
    let mut choices = storm::Choices::new(seed);
    let mut choose = |bound: u64| usize::try_from(choices.below(bound)).unwrap();
    let mut rows = [0_u32; FIELD_SIDE];
    for row in &mut rows {
        *row = u32::try_from(choose(1 << 32)).unwrap();
    }
    let mut field = Field::new(rows);
    let text: Vec<u8> = (0..choose(23))
        .map(|_| b' ' + u8::try_from(choose(95)).unwrap())
        .collect();
    let message = Message::try_from(text.as_slice()).unwrap();
    let version = Version::ALL[choose(2)];
    let symbol = Symbol::with_version(&message, version);
    let planted = symbol.and_then(|symbol| {
        let far = FIELD_SIDE - version.side() + 1;
        let (row, col) = (choose(far as u64), choose(far as u64));
        field.place(&symbol, row, col, Turn::ALL[choose(4)])
    });
    let damage = choose(4);
    if damage == 1 {
        // A few cells.
        let mut rows = *field.rows();
        for _ in 0..=choose(4) {
            rows[choose(FIELD_SIDE as u64)] ^= 1 << choose(32);
        }
        field = Field::new(rows);
    }
    let mut words = Vec::new();
    field.write_words(&mut words);
    if damage >= 2 {
        // A few bytes of the text.
        for _ in 0..=choose(3) {
            if words.is_empty() {
                break;
            }
            let place = choose(words.len() as u64);
            match choose(5) {
                0 => words[place] = u8::try_from(choose(256)).unwrap(),
                1 => drop(words.remove(place)),
                2 => words.insert(place, b"0x1fF"[choose(5)]),
                3 => words.truncate(place),
                _ => words.extend_from_slice(b"0x12345678"),
            }
        }
    }
    let decoded = decode(&words);
    if damage == 0 && planted.is_some() {
        // Noise makes a second symbol once in 2^49 places.
        assert_eq!(decoded, Ok(message), "seed {seed}");
    }
    if let Ok(field) = Field::parse(&words) {
        let mut again = Vec::new();
        field.write_words(&mut again);
        assert_eq!(decode(&again), decoded, "seed {seed}");
    }
    if seed.is_multiple_of(16) {
        let read = decoded.ok().map(|message| message.as_bytes().to_vec());
        assert_eq!(read, oracle::decode(&words), "seed {seed}");
        assert_eq!(
            symbol_text(&message),
            oracle::encode(message.as_bytes()),
            "seed {seed}"
        );
    }
    decoded.err()
}

fn symbol_text(message: &Message) -> String {
    let mut text = Vec::new();
    qrcode_core::encode(message, &mut text);
    String::from_utf8(text).unwrap()
}

#[test]
fn a_storm_of_fields_reaches_every_reason_and_breaks_nothing() {
    let storm = storm::run("qrcode", 40_000, |seed| {
        execute(seed).map(DecodeError::code)
    });
    storm.reached(DecodeError::ALL.map(DecodeError::code));
}
