//! The encoder against independent inflaters, and the making of its tables.

use std::fmt::Write as _;
use std::io::Read as _;

use proptest::prelude::*;

use super::*;
use crate::{Request, Unpacker};

fn inflate(stream: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    #[expect(clippy::disallowed_methods, reason = "the test's own stream")]
    let mut inflated = flate2::read::ZlibDecoder::new(stream);
    inflated.read_to_end(&mut text).unwrap();
    let mut again = vec![0; text.len() + 1];
    let length = libdeflater::Decompressor::new().zlib_decompress(stream, &mut again);
    assert_eq!(length, Ok(text.len()), "both inflaters agree");
    text
}

fn compress(encoder: &mut Encoder, text: &[u8]) -> Vec<u8> {
    let mut out = vec![0xaa; Encoder::bound(text.len())];
    let length = encoder.zlib(text, &mut out);
    out.truncate(length);
    out
}

/// The JSON of the replies to the vectors' valid requests.
fn sample_replies() -> Vec<Vec<u8>> {
    let mut replies = Vec::new();
    for lines in [
        include_str!("../../tests/data/generated_valid.jsonl"),
        include_str!("../../tests/data/generated_long.jsonl"),
    ] {
        for line in lines.lines() {
            let vector: serde_json::Value = serde_json::from_str(line).unwrap();
            let mut unpacker = Unpacker::new();
            let text = unpacker.unpack(vector["cc"].as_str().unwrap().as_bytes());
            let plan = Request::parse(text.unwrap()).unwrap().validate().unwrap();
            let mut reply = Vec::new();
            plan.reply_json(&mut reply).unwrap();
            replies.push(reply);
        }
    }
    replies
}

#[test]
fn inflates_to_the_same_text_at_every_size() {
    let mut encoder = Encoder::new();
    let replies = sample_replies().concat();
    for length in (0..600).chain([1000, 32_768, 32_769, 40_000, replies.len()]) {
        let text = &replies[..length.min(replies.len())];
        assert_eq!(inflate(&compress(&mut encoder, text)), text, "{length}");
    }
}

#[test]
fn takes_any_text_within_its_bound() {
    let mut encoder = Encoder::new();
    let all: Vec<u8> = (0..=255_u8).cycle().take(5000).collect();
    assert_eq!(inflate(&compress(&mut encoder, &all)), all);
    for byte in 0..=255_u8 {
        let same = vec![byte; 1000];
        assert_eq!(inflate(&compress(&mut encoder, &same)), same);
        // Random enough to be all literals, of which the rarest have 15 bits.
        let mut state = u32::from(byte) + 1;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        })
        .take(2000)
        .collect();
        assert_eq!(inflate(&compress(&mut encoder, &noise)), noise);
    }
}

#[test]
fn entries_of_earlier_texts_are_never_used() {
    let mut encoder = Encoder::new();
    encoder.base = u32::MAX - 2500;
    let reply = sample_replies().swap_remove(0);
    let first = compress(&mut Encoder::new(), &reply);
    for _ in 0..10 {
        assert_eq!(compress(&mut encoder, &reply), first);
    }
}

proptest! {
    #[test]
    fn inflates_to_the_same_text(
        texts in prop::collection::vec(
            prop::collection::vec(prop_oneof![any::<u8>(), b'a'..b'd'], 0..3000), 1..4)
    ) {
        let mut encoder = Encoder::new();
        for text in texts {
            prop_assert_eq!(inflate(&compress(&mut encoder, &text)), text);
        }
    }
}

/// Counts what the search finds.
struct Count {
    literals: Vec<u64>,
    distances: Vec<u64>,
}

impl Sink for Count {
    fn literal(&mut self, byte: u8) {
        self.literals[usize::from(byte)] += 1;
    }

    fn copy(&mut self, length: usize, distance: usize) {
        let bases = LENGTH_BASES
            .iter()
            .rposition(|base| usize::from(*base) <= length);
        self.literals[END + 1 + bases.unwrap()] += 1;
        self.distances[distance_symbol(distance)] += 1;
    }
}

/// Lengths of an optimal prefix code with at most `limit` bits (package-merge).
fn code_lengths(counts: &[u64], limit: usize) -> Vec<u8> {
    let mut leaves: Vec<(u64, Vec<usize>)> = counts
        .iter()
        .enumerate()
        .filter(|(_, count)| **count > 0)
        .map(|(symbol, count)| (*count, vec![symbol]))
        .collect();
    leaves.sort();
    let mut packages: Vec<(u64, Vec<usize>)> = Vec::new();
    for _ in 0..limit {
        let mut merged = leaves.clone();
        merged.extend(packages.chunks_exact(2).map(|pair| {
            (
                pair[0].0 + pair[1].0,
                [pair[0].1.clone(), pair[1].1.clone()].concat(),
            )
        }));
        merged.sort_by_key(|package| package.0);
        packages = merged;
    }
    let mut lengths = vec![0; counts.len()];
    for (_, symbols) in &packages[..2 * leaves.len() - 2] {
        for symbol in symbols {
            lengths[*symbol] += 1;
        }
    }
    lengths
}

/// The header of a block with these codes, RFC 1951 section 3.2.7.
fn header(literals: &[u8], distances: &[u8]) -> (Vec<u8>, usize) {
    const ORDER: [usize; 19] = [
        16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15,
    ];
    // Runs of the same length, by symbol 16; no code here is unused, so 17 and 18 are not needed.
    let all = [literals, distances].concat();
    let mut symbols: Vec<(usize, u64, u32)> = Vec::new();
    for run in all.chunk_by(|a, b| a == b) {
        symbols.push((usize::from(run[0]), 0, 0));
        let mut rest = run.len() - 1;
        while rest >= 3 {
            let take = rest.min(6);
            symbols.push((16, take as u64 - 3, 2));
            rest -= take;
        }
        for _ in 0..rest {
            symbols.push((usize::from(run[0]), 0, 0));
        }
    }
    let mut counts = vec![0; 19];
    for (symbol, _, _) in &symbols {
        counts[*symbol] += 1;
    }
    let lengths: [u8; 19] = code_lengths(&counts, 7).try_into().unwrap();
    let codes = codes(&lengths);
    let used = ORDER
        .iter()
        .rposition(|symbol| lengths[*symbol] > 0)
        .unwrap()
        + 1;

    let mut bits: Vec<bool> = Vec::new();
    let mut put = |value: u64, count: u32| {
        bits.extend((0..count).map(|bit| value >> bit & 1 == 1));
    };
    put(1, 1);
    put(2, 2);
    put(literals.len() as u64 - 257, 5);
    put(distances.len() as u64 - 1, 5);
    put(used as u64 - 4, 4);
    for symbol in &ORDER[..used] {
        put(u64::from(lengths[*symbol]), 3);
    }
    for (symbol, extra, count) in symbols {
        put(
            u64::from(codes[symbol].bits),
            u32::from(codes[symbol].count),
        );
        put(extra, count);
    }
    let bytes = bits.chunks(8).map(|byte| {
        byte.iter()
            .rev()
            .fold(0, |sum, bit| sum << 1 | u8::from(*bit))
    });
    (bytes.collect(), bits.len())
}

#[test]
fn tables_are_those_of_the_sample_replies() {
    let mut count = Count {
        // Every symbol gets a code.
        literals: vec![1; LITERALS],
        distances: vec![1; DISTANCES],
    };
    for reply in sample_replies() {
        Encoder::new().search(&reply, &mut count);
        count.literals[END] += 1;
    }
    // Long replies have distances that the rest of the samples lack.
    let literals = code_lengths(&count.literals, 15);
    let distances = code_lengths(&count.distances, 15);
    let (header, header_bits) = header(&literals, &distances);
    let mut text = String::new();
    for (name, values) in [
        ("LITERAL_LENGTHS: [u8; 286]", &literals),
        ("DISTANCE_LENGTHS: [u8; 30]", &distances),
        (&*format!("HEADER: [u8; {}]", header.len()), &header),
    ] {
        let _ = write!(text, "\npub(super) const {name} = [");
        for row in values.chunks(26) {
            let row: Vec<_> = row.iter().map(ToString::to_string).collect();
            let _ = write!(text, "\n    {},", row.join(", "));
        }
        text.push_str("\n];");
    }
    let same = literals == LITERAL_LENGTHS
        && distances == DISTANCE_LENGTHS
        && header == HEADER
        && header_bits == HEADER_BITS;
    assert!(
        same,
        "the tables should be{text}\nand HEADER_BITS {header_bits}"
    );
}
