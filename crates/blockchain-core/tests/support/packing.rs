//! Packs and unpacks by other means than the crate does.

#![allow(dead_code, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

pub(crate) fn base64(bytes: &[u8], padding: bool) -> String {
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let mut word = 0_u32;
        for place in 0..3 {
            word = word << 8 | u32::from(*group.get(place).unwrap_or(&0));
        }
        for place in 0..4 {
            if place <= group.len() {
                let digit = (word >> (18 - 6 * place)) & 63;
                text.push(char::from(ALPHABET[usize::try_from(digit).unwrap()]));
            } else if padding {
                text.push('=');
            }
        }
    }
    text
}

/// The bytes of a text in the URL-safe alphabet, padding ignored.
pub(crate) fn from_base64(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (mut word, mut bits) = (0_u32, 0);
    for digit in text.trim_end_matches('=').bytes() {
        let value = ALPHABET
            .iter()
            .position(|known| *known == digit)
            .expect("base64");
        word = (word << 6 | u32::try_from(value).unwrap()) & 0xffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from((word >> bits) & 0xff).unwrap());
        }
    }
    bytes
}

pub(crate) fn zlib(text: &[u8], level: u32) -> Vec<u8> {
    let mut stream = Vec::with_capacity(text.len() * 2 + 1000);
    let status = Compress::new(Compression::new(level), true)
        .compress_vec(text, &mut stream, FlushCompress::Finish)
        .unwrap();
    assert_eq!(status, Status::StreamEnd);
    stream
}

pub(crate) fn from_zlib(stream: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(stream.len() * 8 + 1000);
    let mut inflater = Decompress::new(true);
    loop {
        let read = usize::try_from(inflater.total_in()).unwrap();
        let flush = FlushDecompress::None;
        match inflater
            .decompress_vec(&stream[read..], &mut text, flush)
            .unwrap()
        {
            Status::StreamEnd => return text,
            _ => text.reserve(text.capacity()),
        }
        assert!(text.capacity() < 64 << 20, "the stream has no end");
    }
}

pub(crate) fn pack(text: &str) -> String {
    base64(&zlib(text.as_bytes(), 6), true)
}

pub(crate) fn unpack(packed: &[u8]) -> String {
    let packed = std::str::from_utf8(packed).unwrap();
    assert!(packed.len().is_multiple_of(4), "replies carry padding");
    String::from_utf8(from_zlib(&from_base64(packed))).unwrap()
}
