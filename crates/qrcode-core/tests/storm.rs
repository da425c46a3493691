//! Seeded fuzzing on any compiler: symbols at any place and turn in fields of noise, whole or damaged,
//! and damaged texts of fields. No panic, what is whole is read, and every reason is reached.
//!
//! `cargo xtask torture fuzz` sets `TRIPOD_TORTURE_FUZZ` to the executions and `TRIPOD_TORTURE_SEED`
//! to where they begin.

#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use std::collections::BTreeMap;

use qrcode_core::{DecodeError, FIELD_SIDE, Field, Message, Symbol, Turn, Version, decode};

fn number(variable: &str, usual: u64) -> u64 {
    let text = std::env::var(variable).ok();
    text.map_or(usual, |text| text.parse().unwrap())
}

/// SplitMix64.
fn seeded(mut state: u64) -> impl FnMut(u64) -> usize {
    move |bound| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((word ^ (word >> 31)) % bound).unwrap()
    }
}

/// One execution: what decoding said.
fn execute(seed: u64) -> Option<DecodeError> {
    let mut choose = seeded(seed);
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
    decoded.err()
}

#[test]
fn a_storm_of_fields_reaches_every_reason_and_breaks_nothing() {
    let executions = number("TRIPOD_TORTURE_FUZZ", 100_000);
    let first = number("TRIPOD_TORTURE_SEED", 1);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut coverage = BTreeMap::new();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|thread| {
                scope.spawn(move || {
                    let mut coverage = BTreeMap::new();
                    for seed in (first + thread as u64..first + executions).step_by(threads) {
                        let code = execute(seed).map(DecodeError::code);
                        *coverage.entry(code).or_insert(0_u64) += 1;
                    }
                    coverage
                })
            })
            .collect();
        for worker in workers {
            for (code, count) in worker.join().unwrap() {
                *coverage.entry(code).or_insert(0) += count;
            }
        }
    });
    for (code, count) in &coverage {
        eprintln!("{:>10} {}", count, code.unwrap_or("a message"));
    }
    assert_eq!(coverage.values().sum::<u64>(), executions);
    assert!(coverage.contains_key(&None), "nothing was read");
    for reason in DecodeError::ALL {
        let code = reason.code();
        assert!(coverage.contains_key(&Some(code)), "{code} was not reached");
    }
}
