//! Seeded fuzzing on any compiler: whole chains that are hashed and signed with at most one rule
//! broken, by a second implementation that hashes and signs literally (`support/chain.rs`), and damage
//! in each layer around them. No panic, no endless work, no broken chain that passes, and every rule
//! is reached. How long, and what else is watched: crate `storm`.

#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use blockchain_core::Reason;

#[path = "../fuzz/fuzz_targets/answer.rs"]
#[allow(unreachable_pub, reason = "shared with the fuzz targets")]
mod answer;
#[path = "support/chain.rs"]
mod chain;
#[path = "support/oracle.rs"]
mod oracle;
#[path = "support/packing.rs"]
mod packing;

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
    let layer = choose(640);
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
        0..384 => {
            let answered = answer::answer(packing::pack(&text).as_bytes());
            let code = answered.err().map(Reason::code);
            assert_eq!(code, broken, "seed {seed}: {text}");
            return code;
        }
        384..469 => {
            let mut bytes = text.into_bytes();
            damage(&mut bytes, &mut choose);
            if let Ok(text) = std::str::from_utf8(&bytes) {
                // The parser against the one that serde_json makes.
                oracle::compare(text);
            }
            packing::base64(&packing::zlib(&bytes, 6), true).into_bytes()
        }
        469..554 => {
            let mut stream = packing::zlib(text.as_bytes(), 6);
            damage(&mut stream, &mut choose);
            packing::base64(&stream, true).into_bytes()
        }
        554..638 => {
            let mut packed = packing::pack(&text).into_bytes();
            damage(&mut packed, &mut choose);
            packed
        }
        638 => Vec::new(),
        // Too much of it; seldom, because it takes as long as some hundred others.
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
    let storm = storm::run("blockchain", 3_000, execute);
    let reachable = Reason::ALL
        .into_iter()
        .filter(|reason| *reason != Reason::Exhausted);
    storm.reached(reachable.map(Reason::code));
    // Nothing that can be sent takes all tries.
    let exhausted = Some(Reason::Exhausted.code());
    assert!(!storm.coverage.contains_key(&exhausted));
}
