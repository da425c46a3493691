//! Any bytes as a message: encode it, hide it, decode it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use qrcode_core::{FIELD_SIDE, Field, MAX_ENCODED_LEN, Message, Symbol, Turn, decode, encode};

fuzz_target!(|input: &[u8]| {
    let Some((&[row, col, turn, noise], text)) = input.split_first_chunk::<4>() else {
        return;
    };
    let Ok(message) = Message::try_from(text) else {
        return;
    };
    assert_eq!(message.as_bytes(), text);

    let mut reply = Vec::new();
    encode(&message, &mut reply);
    assert!(reply.len() <= MAX_ENCODED_LEN);

    let symbol = Symbol::new(&message);
    let offsets = FIELD_SIDE + 1 - symbol.side();
    let (row, col) = (usize::from(row) % offsets, usize::from(col) % offsets);
    let turn = Turn::ALL[usize::from(turn) % 4];
    let mut field = Field::new([u32::from(noise).wrapping_mul(0x9e37_79b9); FIELD_SIDE]);
    let placement = field
        .place(&symbol, row, col, turn)
        .expect("the offset is in range");
    assert_eq!(field.locate(), Some(placement));

    let mut words = Vec::new();
    field.write_words(&mut words);
    assert_eq!(decode(&words), Ok(message));
});
