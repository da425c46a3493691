//! The costliest and the strangest requests: each gets the contract's answer, and others are served
//! meanwhile.

use std::fs;
use std::path::Path;

use database_address::Address;
use service_kit::testing::{Running, wait_until};

use crate::start_ready;
use crate::table::{data, load, load_tiny, sqlite};

const HEAD: &str = "TEAMID,AWSACCOUNT";
const INVALID: &str = "TEAMID,AWSACCOUNT\nINVALID";

/// Characters of each text of the heavy user: together more than three parts of the table.
const TEXT: usize = 800_000;
const TEXTS: u64 = 5;

/// A user whose contact has few tweets of very many characters, all the same, so that most phrases
/// occur at each place; and one with little.
fn heavy(name: &str) -> Running {
    let mut raw = String::new();
    for id in 1..=TEXTS {
        let tweet = serde_json::json!({
            "created_at": format!("Mon Apr 14 08:00:0{id} +0000 2014"),
            "id": id,
            "text": "a".repeat(TEXT),
            "in_reply_to_user_id": 1,
            "user": {"id": 2, "screen_name": "n2", "description": "d2"},
            "entities": {"hashtags": [{"text": "t"}]},
            "lang": "en",
        });
        raw.push_str(&tweet.to_string());
        raw.push('\n');
    }
    let small = serde_json::json!({
        "created_at": "Mon Apr 14 08:00:00 +0000 2014",
        "id": 99,
        "text": "small",
        "in_reply_to_user_id": 3,
        "user": {"id": 4, "screen_name": "n4", "description": "d4"},
        "entities": {"hashtags": [{"text": "t"}]},
        "lang": "en",
    });
    raw.push_str(&small.to_string());
    raw.push('\n');
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.jsonl"));
    fs::write(&file, raw).expect("a file");
    let database = sqlite(name);
    let address = Address::parse(&database, None, None).expect("an address");
    load(&address, &file, &data("tiny_popular_hashtags.txt"));
    start_ready(
        &database,
        &[
            ("WORKERS", "1"),
            ("REQUEST_DEADLINE_MS", "600000"),
            ("DATABASE_QUERY_MS", "60000"),
            ("DATABASE_WAIT_MS", "60000"),
        ],
    )
}

/// The heaviest phrase: it occurs everywhere, and overlaps itself.
fn heavy_target() -> String {
    let phrase = "a".repeat(8_000);
    format!("/twitter?user_id=1&type=reply&phrase={phrase}&hashtag=T")
}

fn heavy_reply() -> String {
    format!("{HEAD}\n2\tn2\td2\t{}", "a".repeat(TEXT))
}

const SMALL: &str = "/twitter?user_id=3&type=both&phrase=small&hashtag=t";
const SMALL_REPLY: &str = "TEAMID,AWSACCOUNT\n4\tn4\td4\tsmall";

#[test]
fn packs_of_megabytes_are_ranked_while_others_are_served() {
    let service = heavy("heavy");
    assert_eq!(service.get(SMALL).text(), SMALL_REPLY);
    let target = heavy_target();
    let mut connections: Vec<_> = (0..4).map(|_| service.connect()).collect();
    for _ in 0..2 {
        for connection in &mut connections {
            connection.send(format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes());
        }
        for _ in 0..50 {
            assert_eq!(service.get(SMALL).text(), SMALL_REPLY);
        }
        for connection in &mut connections {
            let answer = connection.reply().expect("a whole reply");
            assert_eq!(answer.status, 200);
            assert!(
                answer.text() == heavy_reply(),
                "{} bytes",
                answer.body.len()
            );
        }
    }
    let bytes = service.metric("twitter_cache_bytes");
    assert!(bytes > 4.0e6, "the pack has several parts: {bytes} bytes");
}

#[test]
fn a_right_request_whose_time_is_over_is_503_and_never_invalid() {
    let service = heavy("budget");
    let request = |millis: u32| {
        let target = heavy_target();
        let field = format!("X-Request-Timeout-Ms: {millis}");
        format!("GET {target} HTTP/1.1\r\nHost: test\r\n{field}\r\n\r\n").into_bytes()
    };
    assert_eq!(service.get(&heavy_target()).status, 200);
    let mut connection = service.connect();
    // The pack is in the cache: only ranking takes time.
    wait_until("one takes longer than it may", || {
        connection.send(&request(1));
        let answer = connection.reply().expect("a whole reply");
        if answer.status == 503 {
            assert_eq!(answer.header("retry-after"), Some("1"));
            return true;
        }
        assert!(answer.status == 200 && answer.text() == heavy_reply());
        false
    });
    connection.send(&request(600_000));
    assert!(connection.reply().expect("a whole reply").text() == heavy_reply());
}

#[test]
fn huge_and_odd_parameters_get_the_contracts_answer() {
    let database = sqlite("odd");
    load_tiny(&database);
    let service = start_ready(&database, &[("WORKERS", "1")]);
    let long = "x".repeat(15_000);
    let escaped = "%F0%9F%98%80".repeat(1_300);
    let nothing_found = |query: String| {
        let answer = service.get(&format!("/twitter?{query}"));
        assert_eq!(answer.status, 200);
        assert!(answer.text() != INVALID, "{query}");
        assert!(answer.text().starts_with(HEAD), "{query}");
    };
    // Zero bytes and any length are text.
    for value in [
        "%00",
        "%00%00a",
        "a%00",
        &long,
        &escaped,
        "%EF%BF%BF",
        "%0A",
        "%09",
        "%7F",
    ] {
        nothing_found(format!("user_id=15213&type=both&phrase={value}&hashtag=a"));
        nothing_found(format!("user_id=15213&type=both&phrase=a&hashtag={value}"));
    }
    nothing_found(format!(
        "{}user_id=15213&type=both&phrase=a&hashtag=b",
        "a=1&".repeat(4_000)
    ));
    nothing_found("user_id=18446744073709551615&type=both&phrase=a&hashtag=b".to_owned());
    let invalid = [
        format!("user_id={long}&type=both&phrase=a&hashtag=b"),
        format!(
            "user_id={}&type=both&phrase=a&hashtag=b",
            "0".repeat(15_000)
        ),
        format!("user_id=1&type={long}&phrase=a&hashtag=b"),
        "user_id=%00&type=both&phrase=a&hashtag=b".to_owned(),
        "user_id=1%00&type=both&phrase=a&hashtag=b".to_owned(),
        "user_id=1&type=both%00&phrase=a&hashtag=b".to_owned(),
        "user_id=1&type=both&phrase=%FF&hashtag=b".to_owned(),
        "user_id=1&type=both&phrase=a&hashtag=%ED%A0%80".to_owned(),
        "user_id=1&type=both&phrase=%C0%80&hashtag=b".to_owned(),
        "user_id=1&type=both&phrase=%&hashtag=b".to_owned(),
        "&".repeat(16_000),
        "=".repeat(16_000),
        "%25".repeat(5_000),
    ];
    for query in invalid {
        let answer = service.get(&format!("/twitter?{query}"));
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, INVALID),
            "{query}"
        );
    }
}
