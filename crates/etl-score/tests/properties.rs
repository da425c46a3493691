//! Small worlds in which everything collides: the engine against the one in memory.

#![expect(clippy::unwrap_used, reason = "a test whose data is wrong must fail")]

#[path = "support/world.rs"]
mod world;

use std::num::NonZeroUsize;

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use crate::world::{World, assert_same_run, run};

/// Few, and at every edge of signed and unsigned numbers.
const USERS: [u64; 7] = [0, 1, 2, (1 << 63) - 1, 1 << 63, (1 << 63) + 1, u64::MAX];
const TWEETS: [u64; 12] = [
    0,
    1,
    2,
    3,
    4,
    5,
    (1 << 63) - 2,
    (1 << 63) - 1,
    1 << 63,
    (1 << 63) + 1,
    u64::MAX - 1,
    u64::MAX,
];

fn user() -> impl Strategy<Value = Value> {
    let name = prop_oneof![
        3 => "[a-c]{0,2}".prop_map(Value::from),
        1 => "[\\\\\t\n\r\0é😀\"']{0,3}".prop_map(Value::from),
        1 => Just(Value::Null),
    ];
    (select(&USERS[..]), name.clone(), name).prop_map(
        |(id, name, description)| json!({"id": id, "screen_name": name, "description": description}),
    )
}

fn tag() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        4 => select(vec!["a", "b", "c", "A", "é", "É", "😀", "İΣ", "q\"\\\t\n\0"]),
        1 => select(vec!["zip", "ZIP", "code"]),
    ]
}

fn tweet() -> impl Strategy<Value = Value> {
    let second = 0..3;
    let text = "[ab\t\\\\\n\0é😀]{1,4}";
    let reply_to = weighted(0.5, select(&USERS[..]));
    (
        select(&TWEETS[..]),
        second,
        text,
        vec(tag(), 1..8),
        user(),
        reply_to,
        weighted(0.5, user()),
    )
        .prop_map(|(id, second, text, tags, user, reply_to, retweeted)| {
            let tags: Vec<Value> = tags.iter().map(|tag| json!({"text": tag})).collect();
            let mut tweet = json!({
                "id": id, "text": text, "lang": "en", "user": user,
                "created_at": format!("Mon Apr 14 10:00:0{second} +0000 2014"),
                "entities": {"hashtags": tags}, "in_reply_to_user_id": reply_to,
            });
            if let Some(user) = retweeted {
                tweet["retweeted_status"] = json!({"user": user});
            }
            tweet
        })
}

/// A file, and whether it lies in a folder: inputs are ordered by file name first.
fn file() -> impl Strategy<Value = (bool, Vec<Value>)> {
    (any::<bool>(), vec(tweet(), 0..14))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn agrees_with_the_engine_in_memory(
        files in vec(file(), 1..4),
        is_excluding in any::<bool>(),
        sort_merge_only in any::<bool>(),
        jobs in 1usize..4,
    ) {
        let world = World::new();
        if is_excluding {
            world.popular("\u{feff}Zip\r\n\n code \n");
        }
        for (number, (is_deep, tweets)) in files.iter().enumerate() {
            let lines: Vec<String> = tweets.iter().map(|tweet| format!("{tweet}\n")).collect();
            let folder = if *is_deep { "z/" } else { "" };
            world.put(&format!("{folder}part-{number}.json"), lines.concat());
        }
        let cleaned = world.clean();
        let mut options = world.options("processed");
        options.sort_merge_only = sort_merge_only;
        options.jobs = NonZeroUsize::new(jobs).unwrap();
        let (done, _) = run(&options).unwrap();
        let expected = world.in_memory(&cleaned.inputs, "memory");
        prop_assert_eq!(world.rows("processed"), world.rows("memory"));
        assert_same_run(&done.manifest, &expected);
    }
}
