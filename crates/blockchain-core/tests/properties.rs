//! Laws: valid chains extend to valid chains, spelling does not matter, every rule is
//! enforced on its own, and no input causes a panic.

#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use std::fmt::Write;

use blockchain_core::hash::{NO_PREVIOUS_HASH, Seed};
use blockchain_core::target::good_hashes;
use blockchain_core::wire::{MAX_INFLATED_LEN, MAX_PACKED_LEN};
use blockchain_core::{Compression, Reason, Request, Scratch, ShortHash, Unpacker, respond};
use proptest::prelude::*;
use serde_json::Value;

#[path = "support/chain.rs"]
mod chain;
#[path = "support/oracle.rs"]
mod oracle;
#[path = "support/packing.rs"]
mod packing;

fn reply(packed: &str) -> Result<String, Reason> {
    let mut out = Vec::new();
    respond(packed.as_bytes(), &mut Scratch::default(), &mut out)?;
    Ok(packing::unpack(&out))
}

/// `value` with white space, sorted keys or escapes, as `choose` says.
fn respell(value: &Value, choose: chain::Choose<'_>, text: &mut String) {
    let gap = |choose: chain::Choose<'_>| match choose(6) {
        0 => " ",
        1 => "\n\t\r ",
        _ => "",
    };
    text.push_str(gap(choose));
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            for place in (1..members.len()).rev() {
                members.swap(place, usize::try_from(choose(place as u64 + 1)).unwrap());
            }
            text.push('{');
            for (place, (key, value)) in members.into_iter().enumerate() {
                if place > 0 {
                    text.push(',');
                }
                text.push_str(gap(choose));
                respell_string(key, choose, text);
                text.push_str(gap(choose));
                text.push(':');
                respell(value, choose, text);
            }
            text.push('}');
        }
        Value::Array(elements) => {
            text.push('[');
            for (place, element) in elements.iter().enumerate() {
                if place > 0 {
                    text.push(',');
                }
                respell(element, choose, text);
            }
            if elements.is_empty() {
                text.push_str(gap(choose));
            }
            text.push(']');
        }
        Value::String(string) => respell_string(string, choose, text),
        other => text.push_str(&other.to_string()),
    }
    text.push_str(gap(choose));
}

fn respell_string(string: &str, choose: chain::Choose<'_>, text: &mut String) {
    text.push('"');
    let often = [2, 50][usize::try_from(choose(2)).unwrap()];
    for character in string.chars() {
        if choose(often) == 0 {
            for unit in character.encode_utf16(&mut [0; 2]) {
                if choose(2) == 0 {
                    write!(text, "\\u{unit:04x}").unwrap();
                } else {
                    write!(text, "\\u{unit:04X}").unwrap();
                }
            }
        } else {
            let quoted = serde_json::to_string(&character).unwrap();
            text.push_str(&quoted[1..quoted.len() - 1]);
        }
    }
    text.push('"');
}

/// `text` with a few bytes or tokens changed.
fn mutate(text: &str, choose: chain::Choose<'_>) -> String {
    const TOKENS: [&str; 38] = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\\",
        "0",
        "-",
        "1",
        ".5",
        "e3",
        "null",
        "true",
        "false",
        "\"\"",
        "{}",
        "[]",
        " ",
        "\n",
        "\u{b}",
        "\u{a0}",
        "\\u0041",
        "\\ud800",
        "\\udc00",
        "\\ud83d\\ude00",
        "-0",
        "9223372036854775808",
        "-1",
        "00",
        "\"sig\":1,",
        "\"time\"",
        "\"x\":1,",
        "\u{e9}",
        "\u{0}",
        "/**/",
        "+",
    ];
    let mut text = text.to_owned();
    for _ in 0..=choose(2) {
        let mut place = || {
            let mut place = usize::try_from(choose(text.len() as u64 + 1)).unwrap();
            while !text.is_char_boundary(place) {
                place -= 1;
            }
            place
        };
        let (a, b, c) = (place(), place(), place());
        let (start, end) = (a.min(b), a.max(b));
        match choose(8) {
            0 => text.truncate(a),
            1 => text.replace_range(start..end, ""),
            2 => {
                let part = text[start..end].to_owned();
                text.insert_str(c, &part);
            }
            3 => {
                if let Some(character) = text[a..].chars().next() {
                    text.replace_range(a..a + character.len_utf8(), "");
                }
            }
            // Between tokens mutations say more than inside of them.
            4 | 5 => {
                let token = TOKENS[usize::try_from(choose(38)).unwrap()];
                let near = text[a..]
                    .find([',', ':', '"', '}', ']'])
                    .map_or(a, |next| a + next);
                text.insert_str(near, token);
            }
            6 => {
                let end = text[a..].find([',', '}', ']']).map_or(a, |next| a + next);
                let start = text[..end]
                    .rfind([':', '[', '{', ','])
                    .map_or(end, |found| found + 1);
                text.replace_range(start..end, TOKENS[usize::try_from(choose(38)).unwrap()]);
            }
            _ => text.insert_str(a, TOKENS[usize::try_from(choose(38)).unwrap()]),
        }
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_valid_chain_extends_to_a_valid_chain(seed: u64) {
        let mut choose = chain::seeded(seed);
        let request = chain::valid(&mut choose);
        let reply = reply(&packing::pack(&request.to_json())).unwrap();
        let reply: Value = serde_json::from_str(&reply).unwrap();
        let blocks = reply["chain"].as_array().unwrap();
        let (new, old) = blocks.split_last().unwrap();
        prop_assert_eq!(&serde_json::to_value(&request.chain).unwrap(), &Value::from(old.to_vec()));

        // The new block by the literal rules.
        let mut expected = chain::Block {
            all_tx: request.new_tx.clone(),
            pow: String::new(),
            id: i64::try_from(old.len()).unwrap(),
            hash: String::new(),
            target: request.new_target.clone(),
        };
        for tx in &mut expected.all_tx {
            if tx.send.is_none() {
                *tx = chain::Tx::payment(chain::OURS, tx.recv, tx.amt, 0, tx.time.clone());
            }
        }
        let last = request.chain.last().unwrap();
        let time = last.all_tx.last().unwrap().time.parse::<u64>().unwrap() + chain::INTERVAL;
        expected.all_tx.push(chain::Tx::reward(
            chain::OURS,
            chain::scheduled_reward(old.len()),
            time.to_string(),
        ));
        expected.seal(&last.hash, "");
        prop_assert_eq!(new, &serde_json::to_value(&expected).unwrap());

        // And once more on top of it.
        let mut next = request;
        next.chain.push(expected);
        next.new_tx.clear();
        prop_assert!(self::reply(&packing::pack(&next.to_json())).is_ok());
    }

    #[test]
    fn spelling_does_not_change_the_reply(seed: u64) {
        let mut choose = chain::seeded(seed);
        let request = chain::valid(&mut choose);
        let expected = reply(&packing::pack(&request.to_json())).unwrap();
        let mut text = String::new();
        respell(&serde_json::to_value(&request).unwrap(), &mut choose, &mut text);
        prop_assert_eq!(reply(&packing::pack(&text)), Ok(expected.clone()));
        for level in [0, 1, 9] {
            let mut stream = packing::zlib(text.as_bytes(), level);
            stream.extend(std::iter::repeat_n(0xa5, usize::try_from(choose(9)).unwrap()));
            for padding in [false, true] {
                let packed = packing::base64(&stream, padding);
                prop_assert_eq!(reply(&packed), Ok(expected.clone()));
            }
        }
    }

    #[test]
    fn every_level_packs_the_same_reply(seed: u64, level in 0_u8..=12) {
        let request = chain::valid(&mut chain::seeded(seed));
        let packed = packing::pack(&request.to_json());
        let mut scratch = Scratch::new(Compression::level(level).unwrap());
        let mut out = Vec::new();
        respond(packed.as_bytes(), &mut scratch, &mut out).unwrap();
        prop_assert_eq!(packing::unpack(&out), reply(&packed).unwrap());
    }

    #[test]
    fn a_broken_rule_is_named(seed: u64) {
        for kind in 0..chain::DAMAGES {
            let mut choose = chain::seeded(seed);
            let mut request = chain::valid(&mut choose);
            if let Some(rule) = chain::damage(&mut request, kind, &mut choose) {
                let reason = reply(&packing::pack(&request.to_json())).err();
                prop_assert_eq!(reason.map(Reason::code), Some(rule), "damage {}", kind);
            }
        }
    }

    #[test]
    fn parser_and_oracle_accept_the_same_texts(seed: u64) {
        let mut choose = chain::seeded(seed);
        let request = chain::valid(&mut choose);
        let plain = request.to_json();
        oracle::compare(&plain);
        let mut respelt = String::new();
        respell(&serde_json::to_value(&request).unwrap(), &mut choose, &mut respelt);
        oracle::compare(&respelt);
        for round in 0..40 {
            oracle::compare(&mutate(if round % 2 == 0 { &plain } else { &respelt }, &mut choose));
        }
    }

    #[test]
    fn no_bytes_panic(bytes: Vec<u8>, text: String) {
        let mut scratch = Scratch::default();
        let mut out = Vec::new();
        let _ = respond(&bytes, &mut scratch, &mut out);
        let _ = respond(packing::base64(&bytes, true).as_bytes(), &mut scratch, &mut out);
        let _ = respond(packing::base64(&packing::zlib(&bytes, 1), false).as_bytes(), &mut scratch, &mut out);
        let _ = respond(packing::pack(&text).as_bytes(), &mut scratch, &mut out);
        prop_assert!(out.is_empty());
    }

    #[test]
    fn damaged_streams_never_pass_as_another_text(seed: u64, flips: [(u16, u8); 2]) {
        let text = chain::valid(&mut chain::seeded(seed)).to_json();
        let mut stream = packing::zlib(text.as_bytes(), 6);
        let original = stream.clone();
        for (place, flip) in flips {
            let place = usize::from(place) % stream.len();
            stream[place] ^= flip;
        }
        let mut unpacker = Unpacker::new();
        let packed = packing::base64(&stream, true);
        match unpacker.unpack(packed.as_bytes()) {
            Ok(unpacked) => prop_assert_eq!(unpacked, &text),
            Err(reason) => prop_assert!(
                stream != original && matches!(reason, Reason::Zlib | Reason::Utf8)
            ),
        }
    }

    #[test]
    fn good_hashes_are_those_that_sort_before(
        target in "[0-9a-f]{0,9}|[/0-:a-gA-F\u{e9}]{0,10}|\\PC{0,9}",
        hash: u32,
        near in -2_i64..=2,
    ) {
        let count = good_hashes(&target);
        for value in [i64::from(hash), i64::try_from(count).unwrap() + near] {
            if let Ok(value) = u32::try_from(value) {
                let digits = format!("{value:08x}");
                prop_assert_eq!(u64::from(value) < count, digits.as_str() < target.as_str());
            }
        }
    }

    #[test]
    fn block_hashes_are_the_literal_ones(
        id in 0..=i64::MAX.unsigned_abs(), previous: u32, hashes: Vec<u32>, pow: String,
    ) {
        let mut text = format!("{id}|{previous:08x}");
        for hash in &hashes {
            write!(text, "|{hash:08x}").unwrap();
        }
        let digits = chain::long_hash(&text);
        let seed = Seed::new(id, ShortHash(previous), hashes.into_iter().map(ShortHash));
        prop_assert_eq!(&seed.digits()[..], digits.as_bytes());
        prop_assert_eq!(seed.hash(&pow).to_string(), chain::short_hash(&format!("{digits}{pow}")));
    }

    #[test]
    fn base64_is_read_as_others_write_it(bytes: Vec<u8>) {
        // Too short for a stream, so only the reason tells that decoding went well.
        let mut unpacker = Unpacker::new();
        let unpadded = packing::base64(&bytes, false);
        if bytes.is_empty() {
            prop_assert_eq!(unpacker.unpack(b""), Err(Reason::Missing));
            return Ok(());
        }
        let decodes = |result: Result<&str, Reason>| result != Err(Reason::Base64);
        prop_assert!(decodes(unpacker.unpack(unpadded.as_bytes())));
        prop_assert!(decodes(unpacker.unpack(packing::base64(&bytes, true).as_bytes())));
        let broken = [
            format!("{unpadded}===="),
            format!("{unpadded}*"),
            format!("+{unpadded}"),
            format!("{unpadded}/"),
            format!(" {unpadded}"),
            format!("{unpadded}\n"),
            format!("={unpadded}"),
            format!("{unpadded}{}", "=".repeat(
                // One sign too many or too few.
                match unpadded.len() % 4 { 2 => 1, 3 => 2, _ => 3 },
            )),
        ];
        for text in broken {
            prop_assert_eq!(unpacker.unpack(text.as_bytes()), Err(Reason::Base64), "{}", text);
        }
    }
}

#[test]
fn replies_are_compressed_by_default() {
    let request = chain::valid(&mut chain::seeded(0));
    let mut out = Vec::new();
    respond(
        packing::pack(&request.to_json()).as_bytes(),
        &mut Scratch::default(),
        &mut out,
    )
    .unwrap();
    assert!(out.len() < packing::unpack(&out).len());
}

#[test]
fn unused_bits_of_the_last_digit_are_ignored() {
    let text = r#"{"chain":[],"new_target":"1","new_tx":[]}"#;
    for spaces in 0..6 {
        let text = format!("{text}{}", " ".repeat(spaces));
        let packed = packing::base64(&packing::zlib(text.as_bytes(), 0), false);
        let unused = match packed.len() % 4 {
            2 => 4,
            3 => 2,
            _ => 0,
        };
        let digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let (head, last) = packed.split_at(packed.len() - 1);
        let value = digits.find(last).unwrap();
        for bits in 0..1 << unused {
            let last = &digits[value + bits..=value + bits];
            let packed = format!("{head}{last}");
            let mut unpacker = Unpacker::new();
            assert_eq!(unpacker.unpack(packed.as_bytes()), Ok(text.as_str()));
        }
    }
}

#[test]
fn sizes_at_the_limit_pass_and_beyond_are_refused() {
    let mut unpacker = Unpacker::new();
    // The order matters: a large request must not change how the next one fares.
    for _ in 0..2 {
        for (len, fits) in [
            (10, true),
            (MAX_INFLATED_LEN, true),
            (8 << 10, true),
            (MAX_INFLATED_LEN + 1, false),
            (64 << 10, true),
            (20 * MAX_INFLATED_LEN, false),
        ] {
            let text = " ".repeat(len);
            let packed = packing::base64(&packing::zlib(text.as_bytes(), 9), true);
            let result = unpacker.unpack(packed.as_bytes());
            assert_eq!(
                result,
                if fits {
                    Ok(text.as_str())
                } else {
                    Err(Reason::Limit)
                },
                "{len}"
            );
        }
    }
    let mut longest = packing::zlib(b"{}", 9);
    longest.resize(MAX_PACKED_LEN / 4 * 3, 0);
    let packed = packing::base64(&longest, true);
    assert_eq!(packed.len(), MAX_PACKED_LEN);
    assert_eq!(unpacker.unpack(packed.as_bytes()), Ok("{}"));
    assert_eq!(
        unpacker.unpack(format!("{packed}A").as_bytes()),
        Err(Reason::Limit)
    );
}

#[test]
fn times_beyond_signed_64_bits_work_up_to_nineteen_digits() {
    let with_time = |time: u64| {
        let mut request = chain::valid(&mut chain::seeded(7));
        request.chain.truncate(1);
        request.chain[0].all_tx = vec![chain::Tx::reward(5, 500_000_000, time.to_string())];
        request.seal_blocks(0);
        request.new_tx.clear();
        request
    };
    let last = 9_999_999_999_999_999_999 - chain::INTERVAL;
    for time in [
        1,
        i64::MAX.unsigned_abs() - chain::INTERVAL,
        i64::MAX.unsigned_abs(),
        last,
    ] {
        assert!(
            reply(&packing::pack(&with_time(time).to_json())).is_ok(),
            "{time}"
        );
    }
    for (time, reason) in [(0, Reason::Time), (last + 1, Reason::RewardTime)] {
        assert_eq!(
            reply(&packing::pack(&with_time(time).to_json())),
            Err(reason),
            "{time}"
        );
    }
}

#[test]
fn thousands_of_transactions_and_accounts_work() {
    let mut request = chain::valid(&mut chain::seeded(3));
    request.chain.truncate(1);
    let time = |request: &chain::Request, index: usize| {
        let last = &request.chain[0].all_tx.last().unwrap().time;
        (last.parse::<u64>().unwrap() + 1 + index as u64).to_string()
    };
    request.chain[0].all_tx = vec![chain::Tx::reward(chain::OURS, 500_000_000, "1".to_owned())];
    request.seal_blocks(0);
    request.new_tx = (0..6000)
        .map(|index| chain::Tx::unsigned(i64::try_from(index).unwrap(), 1, time(&request, index)))
        .collect();
    request.new_target = "g".to_owned();
    let text = request.to_json();
    let plan = Request::parse(&text).unwrap().validate().unwrap();
    assert_eq!(plan.expected_tries(), 1);
    assert_eq!(plan.extend().unwrap().payments.len(), 6000);
}

#[test]
fn expected_tries_follow_the_target() {
    for (target, tries) in [
        ("1", 16),
        ("0e", 19),
        ("007", 586),
        ("00001", 1 << 20),
        ("g", 1),
    ] {
        let mut request = chain::valid(&mut chain::seeded(1));
        target.clone_into(&mut request.new_target);
        let text = request.to_json();
        let plan = Request::parse(&text).unwrap().validate().unwrap();
        assert_eq!(plan.expected_tries(), tries);
    }
}

#[test]
fn scratch_and_plan_move_between_threads() {
    fn sendable<T: Send>() {}
    sendable::<Scratch>();
    sendable::<blockchain_core::Plan<'_>>();
    assert_eq!(NO_PREVIOUS_HASH.to_string(), "00000000");
}
