//! The contract: every known request, with its reply to the byte.

use std::fs;
use std::path::Path;

use database_address::Address;
use service_kit::testing::{Answer, Running, public_vectors};

use crate::start_ready;
use crate::table::{data, load, load_tiny, sqlite};

/// All requests of one set with their replies.
pub(crate) fn targets(requests: &Path, set: &str) -> Vec<(String, String)> {
    let text = fs::read_to_string(requests).expect("vectors are readable");
    let vectors = text.lines().map(|line| {
        let vector: serde_json::Value = serde_json::from_str(line).expect("vectors are JSON");
        vector
    });
    vectors
        .filter(|vector| vector["dataset"] == set)
        .map(|vector| {
            let field = |name: &str| vector[name].as_str().expect("vectors have strings");
            (
                format!("/twitter?{}", field("query")),
                field("reply").to_owned(),
            )
        })
        .collect()
}

/// Asks all requests of one set and gives their number.
pub(crate) fn check(service: &Running, requests: &Path, set: &str) -> usize {
    let text = fs::read_to_string(requests).expect("vectors are readable");
    let mut connection = service.connect();
    let mut asked = 0;
    for line in text.lines() {
        let vector: serde_json::Value = serde_json::from_str(line).expect("vectors are JSON");
        if vector["dataset"] != set {
            continue;
        }
        let field = |name: &str| vector[name].as_str().expect("vectors have strings");
        connection.send(b"GET /twitter?");
        connection.send(field("query").as_bytes());
        connection.send(b" HTTP/1.1\r\nHost: test\r\n\r\n");
        let answer = connection.reply().expect("a whole reply");
        assert_contract(&answer, field("id"));
        assert_eq!(answer.text(), field("reply"), "{}", field("id"));
        asked += 1;
    }
    asked
}

fn assert_contract(answer: &Answer, what: &str) {
    assert_eq!(answer.status, 200, "{what}");
    let content_type = answer.header("content-type");
    assert_eq!(content_type, Some("text/plain; charset=utf-8"), "{what}");
}

#[test]
fn answers_every_known_request() {
    let database = sqlite("tiny");
    load_tiny(&database);
    // Twice: from the table, then from the cache.
    let service = start_ready(&database, &[("WORKERS", "1")]);
    for _ in 0..2 {
        assert_eq!(check(&service, &data("tiny_requests.jsonl"), "tiny"), 111);
    }
    assert!(service.metric("twitter_lookups_total{found=\"hit\"}") > 100.0);
    let misses = service.metric("twitter_lookups_total{found=\"miss\"}");
    let waited = service.metric("twitter_store_wait_seconds_count");
    assert!(
        (waited - misses).abs() < 0.5,
        "{waited} waits, {misses} misses"
    );
}

#[test]
fn answers_every_known_request_about_the_generated_set() {
    let files = ["generated.jsonl", "popular_hashtags.txt", "requests.jsonl"];
    let files = files.map(|file| public_vectors(&format!("twitter/{file}")));
    let [Some(raw), Some(popular), Some(requests)] = files else {
        return;
    };
    let database = sqlite("generated");
    let address = Address::parse(&database, None, None).expect("an address");
    load(&address, &raw, &popular);
    let service = start_ready(&database, &[]);
    assert_eq!(check(&service, &requests, "generated"), 525);
}

#[test]
fn without_a_cache_the_replies_are_the_same() {
    let database = sqlite("uncached");
    load_tiny(&database);
    let service = start_ready(&database, &[("CACHE_MB", "0")]);
    assert_eq!(check(&service, &data("tiny_requests.jsonl"), "tiny"), 111);
    assert!(service.metric("twitter_lookups_total{found=\"hit\"}") < 0.5);
}

#[test]
fn counts_invalid_requests_by_the_rule_they_break() {
    let database = sqlite("invalid");
    load_tiny(&database);
    let service = start_ready(&database, &[]);
    let target = "/twitter?user_id=1&type=both&phrase=%&hashtag=a";
    assert_eq!(service.get(target).text(), "TEAMID,AWSACCOUNT\nINVALID");
    let broken = service.metric("twitter_invalid_total{reason=\"broken_escape\"}");
    assert!((broken - 1.0).abs() < f64::EPSILON);
}

#[test]
fn a_target_over_16_kib_is_414() {
    let database = sqlite("long");
    let service = crate::start(&database, &[]);
    let target = |length: usize| format!("/twitter?{}", "a".repeat(length - 9));
    assert_eq!(service.get(&target(16 * 1024)).status, 200);
    assert_eq!(service.get(&target(16 * 1024 + 1)).status, 414);
}
