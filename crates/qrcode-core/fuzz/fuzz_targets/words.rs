//! Any bytes as the text of an image.
//!
//! Mutation alone hardly ever writes 32 words, so the bytes are also tried
//! behind good words, as many as the first byte says.

#![no_main]

use libfuzzer_sys::fuzz_target;
use qrcode_core::{Field, decode};

fuzz_target!(|input: &[u8]| {
    check(input);
    if let Some((&count, rest)) = input.split_first() {
        let mut text = b"0x9abcdef0".repeat(usize::from(count) % 33);
        text.extend_from_slice(rest);
        check(&text);
    }
});

fn check(text: &[u8]) {
    let message = decode(text);
    if let Ok(field) = Field::parse(text) {
        // What was read can be written, and reads the same again.
        let mut canonical = Vec::new();
        field.write_words(&mut canonical);
        assert!(canonical.len() <= text.len());
        assert_eq!(Field::parse(&canonical), Ok(field));
        assert_eq!(decode(&canonical), message);
    }
}
