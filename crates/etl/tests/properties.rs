//! Laws that hold for any input, and a comparison with a plain second
//! implementation.

#![expect(clippy::unwrap_used, reason = "a test whose data is wrong must fail")]

#[path = "support/files.rs"]
mod files;
#[path = "support/twin.rs"]
mod twin;

use etl::clean::{Cleaner, Reason};
use etl::rows::write_table;
use etl::score::Table as _;
use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::files::{Checked, Folder};

const EXCLUDED: [&str; 2] = ["zip", "Code"];
const EXCLUDED_LOWER: [&str; 2] = ["zip", "code"];

fn user() -> impl Strategy<Value = Value> {
    let name = prop_oneof![
        3 => "[a-c]{1,2}".prop_map(Value::from),
        1 => Just(Value::Null),
        1 => "[\\\\\t\n\r\0é😀\"]{0,3}".prop_map(Value::from),
    ];
    (1u64..7, 0..4, name.clone(), name).prop_map(|(id, form, name, description)| match form {
        0 => json!({"id_str": id.to_string(), "screen_name": name}),
        1 => json!({"id": id, "id_str": "99", "description": description}),
        _ => json!({"id": id, "screen_name": name, "description": description}),
    })
}

fn tag() -> impl Strategy<Value = Value> {
    prop_oneof![
        8 => "[abcABC]".prop_map(|text| json!({"text": text})),
        2 => Just(json!({"text": "ZIP"})),
        1 => Just(json!({"text": "code"})),
        1 => Just(json!({"text": "İΣ"})),
        1 => Just(json!({"text": "q\"\\\t"})),
        1 => prop_oneof![Just(json!({})), Just(json!(null)), Just(json!({"text": ""}))],
    ]
}

fn tweet() -> impl Strategy<Value = Value> {
    let created_at = prop_oneof![
        20 => (0..4).prop_map(|s| json!(format!("Mon Apr 14 10:00:0{s} +0000 2014"))),
        1 => Just(json!("now")),
    ];
    let text = prop_oneof![15 => "[ab\t\\\\\né]{1,4}", 1 => Just(String::new())];
    let lang = prop_oneof![15 => Just("en"), 1 => Just("in"), 1 => Just("id")];
    let reply_to = weighted(0.4, 1u64..7);
    let retweeted = weighted(0.4, user());
    let fields = (1u64..30, created_at, text, lang, vec(tag(), 0..8));
    (fields, user(), reply_to, retweeted).prop_map(
        |((id, created_at, text, lang, tags), user, reply_to, retweeted)| {
            let mut tweet = json!({
                "id": id, "created_at": created_at, "text": text, "lang": lang,
                "entities": {"hashtags": tags, "urls": [{"indices": [0, 1]}]},
                "user": user, "in_reply_to_user_id": reply_to, "x": -1.5,
            });
            if let Some(user) = retweeted {
                let created_at = "Sat Apr 19 10:00:00 +0000 2014";
                tweet["retweeted_status"] =
                    json!({"id": 77, "created_at": created_at, "user": user});
            }
            tweet
        },
    )
}

fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        30 => tweet().prop_map(|tweet| tweet.to_string()),
        1 => tweet().prop_map(|tweet| {
            let text = tweet.to_string();
            text[..text.len() - 1].to_owned()
        }),
        1 => prop_oneof![Just("{}"), Just("[]"), Just(""), Just("{\"id\":NaN}")].prop_map(str::to_owned),
    ]
}

fn rows(outcome: &Checked) -> Vec<String> {
    let mut rows = Vec::new();
    write_table(&outcome.table, &mut rows).unwrap();
    let text = String::from_utf8(rows).unwrap();
    text.lines().skip(1).map(str::to_owned).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn agrees_with_the_plain_twin(files in vec(vec(line(), 1..25), 1..4), jobs in 1usize..5) {
        let outcome = Folder::new(&files, &EXCLUDED).run(jobs).unwrap();
        let lines: Vec<String> = files.concat();
        let (stats, expected) = twin::build(&lines, &EXCLUDED_LOWER);
        let found: Value = serde_json::from_str(&outcome.stats.to_json()).unwrap();
        prop_assert_eq!(found, stats);
        prop_assert_eq!(rows(&outcome), expected);
        prop_assert_eq!(outcome.packs().len(), outcome.table.users());
    }

    #[test]
    fn neither_order_nor_threads_matter_without_duplicates(
        tweets in vec(tweet(), 1..40),
        order in any::<prop::sample::Index>(),
        jobs in 1usize..5,
    ) {
        let lines: Vec<String> = (1u64..)
            .zip(tweets)
            .map(|(id, mut tweet)| {
                tweet["id"] = json!(id);
                tweet.to_string()
            })
            .collect();
        let first = Folder::new(std::slice::from_ref(&lines), &EXCLUDED).run(1).unwrap();
        let mut shuffled = lines.clone();
        shuffled.reverse();
        shuffled.rotate_left(order.index(lines.len()));
        let cut = order.index(lines.len());
        let files = [shuffled[..cut].to_vec(), shuffled[cut..].to_vec()];
        let second = Folder::new(&files, &EXCLUDED).run(jobs).unwrap();
        prop_assert_eq!(rows(&first), rows(&second));
        prop_assert_eq!(first.stats.tally, second.stats.tally);
    }

    #[test]
    fn any_bytes_are_judged_and_only_json_passes(bytes in vec(any::<u8>(), 0..200)) {
        let judged = Cleaner::default().clean(&bytes);
        prop_assert!(judged.is_err());
        if judged != Err(Reason::MalformedJson) {
            prop_assert!(serde_json::from_slice::<Value>(&bytes).is_ok());
        }
    }

    #[test]
    fn a_mangled_line_is_malformed_exactly_if_it_is_no_json(
        tweet in tweet(),
        at in any::<prop::sample::Index>(),
        byte in prop_oneof![any::<u8>(), Just(b'"'), Just(b'}'), Just(b','), Just(b'\\'), Just(b'0')],
        is_insert in any::<bool>(),
    ) {
        let mut line = tweet.to_string().into_bytes();
        let at = at.index(line.len());
        if is_insert {
            line.insert(at, byte);
        } else {
            line[at] = byte;
        }
        let found = Cleaner::default().clean(&line);
        let is_object = serde_json::from_slice::<Value>(&line).is_ok_and(|value| value.is_object());
        prop_assert_eq!(found != Err(Reason::MalformedJson), is_object);
    }
}
