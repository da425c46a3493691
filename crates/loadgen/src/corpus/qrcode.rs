//! Requests for `/qrcode`: messages to encode, and symbols hidden in noise to decode.

use qrcode_core::{FIELD_SIDE, Field, MAX_MESSAGE_LEN, Message, Symbol, Turn, Version};

use super::{Expect, INVALID, Item, Recipe, escape_into};
use crate::random::Random;

/// Makes a corpus; half of the valid requests encode, half decode.
pub fn generate(recipe: Recipe) -> Vec<Item> {
    let mut random = Random::with_stream(recipe.seed, 1);
    (0..recipe.size)
        .map(|_| {
            if random.chance(recipe.invalid) {
                broken(&mut random)
            } else if random.below(2) == 0 {
                encode(&mut random)
            } else {
                decode(&mut random)
            }
        })
        .collect()
}

fn text(random: &mut Random, len: usize) -> Vec<u8> {
    (0..len)
        .map(|_| b' ' + u8::try_from(random.below(95)).unwrap_or(0))
        .collect()
}

fn message(random: &mut Random) -> Message {
    let len = 1 + random.index(MAX_MESSAGE_LEN);
    let text = text(random, len);
    Message::try_from(text.as_slice()).expect("at most 22 printable characters")
}

fn encode_target(text: &[u8]) -> String {
    let mut target = "/qrcode?type=encode&data=".to_owned();
    escape_into(&mut target, text);
    target
}

fn encode(random: &mut Random) -> Item {
    let message = message(random);
    let mut rest = b"\n".to_vec();
    qrcode_core::encode(&message, &mut rest);
    Item {
        target: encode_target(message.as_bytes()),
        expect: Expect::Rest(rest),
    }
}

fn noise(random: &mut Random) -> Field {
    let mut rows = [0; FIELD_SIDE];
    for row in &mut rows {
        *row = u32::try_from(random.word() >> 32).unwrap_or(0);
    }
    Field::new(rows)
}

fn decode_target(field: &Field) -> String {
    let mut words = Vec::new();
    field.write_words(&mut words);
    let mut target = "/qrcode?type=decode&data=".to_owned();
    escape_into(&mut target, &words);
    target
}

fn decode(random: &mut Random) -> Item {
    loop {
        let message = message(random);
        // A short message also fits the larger symbol.
        let version = Version::ALL[random.index(2)];
        let symbol =
            Symbol::with_version(&message, version).unwrap_or_else(|| Symbol::new(&message));
        let room = FIELD_SIDE - symbol.side() + 1;
        let turn = Turn::ALL[random.index(4)];
        let mut field = noise(random);
        field
            .place(&symbol, random.index(room), random.index(room), turn)
            .expect("the room was measured");
        let target = decode_target(&field);
        // Noise that looks like a symbol of its own is all but impossible, but not quite.
        if decoded(&field).as_ref() == Some(&message) {
            return Item {
                target,
                expect: Expect::Rest([b"\n", message.as_bytes()].concat()),
            };
        }
    }
}

fn decoded(field: &Field) -> Option<Message> {
    let mut words = Vec::new();
    field.write_words(&mut words);
    qrcode_core::decode(&words).ok()
}

fn broken(random: &mut Random) -> Item {
    let target = match random.below(5) {
        0 => {
            let len = MAX_MESSAGE_LEN + 1 + random.index(20);
            encode_target(&text(random, len))
        }
        1 => {
            let mut text = message(random).as_bytes().to_vec();
            let place = random.index(text.len());
            text[place] = random.pick(&[b"\n", b"\x7f", b"\x80", b"\0"])[0];
            encode_target(&text)
        }
        2 => loop {
            let field = noise(random);
            if decoded(&field).is_none() {
                break decode_target(&field);
            }
        },
        3 => {
            let target = decode_target(&noise(random));
            target.replacen("data=0x", "data=0y", 1)
        }
        _ => {
            let target = encode_target(message(random).as_bytes());
            target.replacen("encode", random.pick(&["", "ENCODE", "both"]), 1)
        }
    };
    Item {
        target,
        expect: Expect::Rest(INVALID.to_vec()),
    }
}
