//! Seeded fuzzing on any compiler: whole chains that are hashed and signed with at most one rule
//! broken, and damage in each layer around them. No panic, no endless work, no broken chain that
//! passes, and every rule is reached.
//!
//! `cargo xtask torture fuzz` sets `TRIPOD_TORTURE_FUZZ` to the executions and `TRIPOD_TORTURE_SEED`
//! to where they begin.

#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use blockchain_core::Reason;

#[path = "../fuzz/fuzz_targets/answer.rs"]
#[allow(unreachable_pub, reason = "shared with the fuzz targets")]
mod answer;
#[path = "support/chain.rs"]
mod chain;
#[path = "support/packing.rs"]
mod packing;

/// How often each answer was given; `None` is a reply.
type Coverage = BTreeMap<Option<&'static str>, u64>;

fn number(variable: &str, usual: u64) -> u64 {
    let text = std::env::var(variable).ok();
    text.map_or(usual, |text| text.parse().unwrap())
}

/// Changes a few bytes.
fn damage(bytes: &mut Vec<u8>, choose: chain::Choose<'_>) {
    for _ in 0..=choose(3) {
        let place = usize::try_from(choose(bytes.len() as u64 + 1)).unwrap();
        let byte = u8::try_from(choose(256)).unwrap();
        match choose(4) {
            0 => bytes.truncate(place),
            1 => bytes.insert(place, byte),
            2 if place < bytes.len() => drop(bytes.remove(place)),
            _ if place < bytes.len() => bytes[place] = byte,
            _ => bytes.push(byte),
        }
    }
}

/// One execution: the answer's code.
fn execute(seed: u64) -> Option<&'static str> {
    let mut choose = chain::seeded(seed);
    let layer = choose(10);
    let kind = choose(2 * chain::DAMAGES);
    let mut request = chain::valid(&mut choose);
    let broken = if kind < chain::DAMAGES {
        chain::damage(&mut request, kind, &mut choose)
    } else {
        None
    };
    let text = request.to_json();
    let packed = match layer {
        // The chain alone: exactly the broken rule is named.
        0..=5 => {
            let answered = answer::answer(packing::pack(&text).as_bytes());
            let code = answered.err().map(Reason::code);
            assert_eq!(code, broken, "seed {seed}: {text}");
            return code;
        }
        6 => {
            let mut bytes = text.into_bytes();
            damage(&mut bytes, &mut choose);
            packing::base64(&packing::zlib(&bytes, 6), true).into_bytes()
        }
        7 => {
            let mut stream = packing::zlib(text.as_bytes(), 6);
            damage(&mut stream, &mut choose);
            packing::base64(&stream, true).into_bytes()
        }
        8 => {
            let mut packed = packing::pack(&text).into_bytes();
            damage(&mut packed, &mut choose);
            packed
        }
        // Too much of it, or nothing.
        _ if choose(8) == 0 => Vec::new(),
        _ => {
            let most = usize::try_from(choose(4) + 1).unwrap() << 19;
            let text = format!("{text}{}", " ".repeat(most));
            packing::base64(&packing::zlib(text.as_bytes(), 6), false).into_bytes()
        }
    };
    answer::answer(&packed).err().map(Reason::code)
}

#[test]
fn a_storm_of_requests_reaches_every_rule_and_breaks_nothing() {
    let executions = number("TRIPOD_TORTURE_FUZZ", 3_000);
    let first = number("TRIPOD_TORTURE_SEED", 1);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let coverage = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|thread| {
                scope.spawn(move || {
                    let mut coverage = Coverage::new();
                    for seed in (first + thread as u64..first + executions).step_by(threads) {
                        let started = Instant::now();
                        *coverage.entry(execute(seed)).or_default() += 1;
                        let took = started.elapsed();
                        assert!(took < Duration::from_mins(1), "seed {seed}: {took:?}");
                    }
                    coverage
                })
            })
            .collect();
        let mut sum = Coverage::new();
        for worker in workers {
            for (code, count) in worker.join().unwrap() {
                *sum.entry(code).or_default() += count;
            }
        }
        sum
    });
    for (code, count) in &coverage {
        eprintln!("{:>10} {}", count, code.unwrap_or("a longer chain"));
    }
    assert_eq!(coverage.values().sum::<u64>(), executions);
    assert!(coverage.contains_key(&None), "no chain was answered");
    for reason in Reason::ALL {
        // Nothing that can be sent takes all tries.
        let reached = coverage.contains_key(&Some(reason.code()));
        assert_eq!(reached, reason != Reason::Exhausted, "{}", reason.code());
    }
}
