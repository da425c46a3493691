//! Seeded fuzzing of the whole service: queries in any spelling, right and wrong, against a second
//! reading of the rules. How long, and what else is watched: crate `storm`.

use qrcode_core::{FIELD_SIDE, Field, Message, Symbol, Turn, decode, encode};
use storm::queries::{self, Asked, against};
use storm::{Choices, damage};

use crate::start;

const HEAD: &[u8] = b"TEAMID,AWSACCOUNT\n";

fn message(choices: &mut Choices) -> Vec<u8> {
    (0..choices.below(24))
        .map(|_| b' ' + choices.byte() % 95)
        .collect()
}

/// Hex words of a field with a symbol somewhere.
fn words(choices: &mut Choices) -> Vec<u8> {
    let mut rows = [0; FIELD_SIDE];
    for row in &mut rows {
        *row = u32::try_from(choices.below(1 << 32)).expect("32 bits");
    }
    let mut field = Field::new(rows);
    let text = message(choices);
    if let Ok(message) = Message::try_from(text.as_slice()) {
        let symbol = Symbol::new(&message);
        // What does not fit at this place stays noise.
        let (row, col) = (choices.index(12), choices.index(12));
        let _ = field.place(&symbol, row, col, *choices.pick(&Turn::ALL));
    }
    let mut words = Vec::new();
    field.write_words(&mut words);
    words
}

/// The rules once more.
fn answer(query: &[u8]) -> Result<Vec<u8>, &'static str> {
    let value = |name, missing| {
        let value = queries::first(query, name).ok_or(missing)?;
        value.ok_or("a broken escape")
    };
    let kind = value("type", "no type")?;
    let data = value("data", "no data")?;
    match kind.as_slice() {
        b"encode" => {
            let message = Message::try_from(data.as_slice()).map_err(|_| "no message")?;
            let mut text = Vec::new();
            encode(&message, &mut text);
            Ok(text)
        }
        b"decode" => {
            let message = decode(&data).map_err(|_| "no symbol")?;
            Ok(message.as_bytes().to_vec())
        }
        _ => Err("another type"),
    }
}

fn make(choices: &mut Choices) -> Asked {
    let is_encode = choices.once_in(2);
    let query = queries::text(choices, &["type", "data"], |name, choices| {
        if name == "type" {
            let right: &[u8] = if is_encode { b"encode" } else { b"decode" };
            return choices
                .pick(&[right, right, right, b"encode", b"decode", b"Encode", b""])
                .to_vec();
        }
        let mut data = if is_encode {
            message(choices)
        } else {
            words(choices)
        };
        if choices.once_in(8) {
            damage(&mut data, choices);
        }
        data
    });
    let answer = answer(&query);
    let payload = answer.as_deref().unwrap_or(b"INVALID");
    Asked {
        query,
        body: Some([HEAD, payload].concat()),
        code: answer.err(),
    }
}

#[test]
fn a_storm_of_queries_is_answered_as_the_rules_say() {
    let service = start(&[("WORKERS", "1")]);
    let storm = against(
        "qrcode-service",
        6_000,
        service.pid(),
        || service.connect(),
        |connection, queries| connection.get_all("/qrcode", queries),
        make,
    );
    storm.reached([
        "no type",
        "no data",
        "a broken escape",
        "no message",
        "no symbol",
        "another type",
    ]);
}
