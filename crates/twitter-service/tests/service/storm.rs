//! Seeded fuzzing of the whole service: queries in any spelling, right and wrong, against a second
//! reading of the rules and the known replies. How long, and what else is watched: crate `storm`.

use std::collections::HashMap;

use storm::Choices;
use storm::queries::{self, Asked, against};

use crate::contacts::targets;
use crate::start_ready;
use crate::table::{data, load_tiny, sqlite};

const NAMES: [&str; 4] = ["user_id", "type", "phrase", "hashtag"];

/// What is asked for, however it is spelled.
type Meant = (u64, Vec<u8>, String, String);

/// The rules once more.
fn meant(query: &[u8]) -> Result<Meant, &'static str> {
    let mut values = Vec::new();
    for name in NAMES {
        values.push(queries::first(query, name));
    }
    if values.contains(&Some(None)) {
        return Err("a broken escape");
    }
    let mut values = values.into_iter().map(Option::flatten);
    let mut next = || values.next().flatten().filter(|value| !value.is_empty());
    let (id, kind, phrase, hashtag) = (next(), next(), next(), next());
    let id = String::from_utf8(id.ok_or("no user")?).map_err(|_| "another user")?;
    let is_digits = id.len() <= 20 && id.chars().all(|letter| letter.is_ascii_digit());
    let id = id.parse::<u128>().ok().filter(|_| is_digits);
    let id = id
        .and_then(|id| u64::try_from(id).ok())
        .ok_or("another user")?;
    let kind = kind.ok_or("no type")?;
    if ![&b"reply"[..], b"retweet", b"both"].contains(&kind.as_slice()) {
        return Err("another type");
    }
    let phrase = String::from_utf8(phrase.ok_or("no phrase")?).map_err(|_| "no text")?;
    let hashtag = String::from_utf8(hashtag.ok_or("no hashtag")?).map_err(|_| "no text")?;
    Ok((id, kind, phrase, hashtag.to_lowercase()))
}

#[test]
fn a_storm_of_queries_is_answered_as_the_rules_say() {
    let database = sqlite("storm");
    load_tiny(&database);
    let service = start_ready(&database, &[("WORKERS", "1")]);
    let mut requests = Vec::new();
    let mut replies = HashMap::new();
    for (target, reply) in targets(&data("tiny_requests.jsonl"), "tiny") {
        let (_, query) = target.split_once('?').expect("a query");
        if let Ok(meant) = meant(query.as_bytes()) {
            replies.insert(meant, reply);
            requests.push(NAMES.map(|name| queries::first(query.as_bytes(), name).flatten()));
        }
    }
    assert!(requests.len() > 50, "{}", requests.len());
    let make = |choices: &mut Choices| {
        let request = choices.pick(&requests).clone();
        let query = queries::text(choices, &NAMES, |name, choices| {
            let at = NAMES.iter().position(|known| *known == name);
            let value = request[at.unwrap_or_default()].clone();
            let mut value = value.unwrap_or_default();
            match choices.below(40) {
                0 => value.insert(0, b'0'),
                1 => value.push(0xff),
                2 => value.clear(),
                _ => {}
            }
            value
        });
        let meant = meant(&query);
        let body = match &meant {
            Ok(meant) => replies.get(meant).map(|reply| reply.clone().into_bytes()),
            Err(_) => Some(b"TEAMID,AWSACCOUNT\nINVALID".to_vec()),
        };
        Asked {
            query,
            body,
            code: meant.err(),
        }
    };
    let storm = against(
        "twitter-service",
        6_000,
        service.pid(),
        || service.connect(),
        |connection, queries| connection.get_all("/twitter", queries),
        make,
    );
    storm.reached([
        "a broken escape",
        "no user",
        "another user",
        "no type",
        "another type",
        "no phrase",
        "no hashtag",
        "no text",
    ]);
}
