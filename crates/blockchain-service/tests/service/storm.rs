//! Seeded fuzzing of the whole service: queries in any spelling, right and wrong, against a second
//! reading of the rules. How long, and what else is watched: crate `storm`.

use std::collections::HashMap;

use blockchain_core::{Compression, Reason, Scratch, respond};
use storm::Choices;
use storm::queries::{self, Asked, against};

use crate::chain::{HEAD, requests};
use crate::start;

/// What the core makes of a packed request; it has a storm of its own.
fn core(packed: &[u8]) -> Result<Vec<u8>, Reason> {
    let mut body = Vec::new();
    respond(packed, &mut Scratch::new(Compression::FAST), &mut body).map(|()| body)
}

#[test]
fn a_storm_of_queries_is_answered_as_the_rules_say() {
    let service = start(&[("WORKERS", "1")]);
    let mut known = requests("generated_valid.jsonl");
    known.extend(requests("generated_invalid.jsonl"));
    // Short ones, so that most of the time is spent on queries.
    known.retain(|packed| packed.len() < 1_200);
    let answers: HashMap<&[u8], _> = known
        .iter()
        .map(|packed| (packed.as_bytes(), core(packed.as_bytes())))
        .collect();
    assert!(
        answers.values().any(Result::is_ok),
        "{} requests",
        answers.len()
    );
    let make = |choices: &mut Choices| {
        let query = queries::text(choices, &["cc"], |_, choices| match choices.below(8) {
            0 => Vec::new(),
            1 => vec![choices.byte(), 0, choices.byte()],
            _ => choices.pick(&known).clone().into_bytes(),
        });
        let answer = match queries::first(&query, "cc") {
            None => Err("missing"),
            Some(None) => Err("a broken escape"),
            Some(Some(packed)) => match answers.get(packed.as_slice()) {
                Some(answer) => answer.clone(),
                None => core(&packed),
            }
            .map_err(Reason::code),
        };
        let payload = answer.as_deref().unwrap_or(b"INVALID");
        Asked {
            body: Some([HEAD.as_bytes(), payload].concat()),
            code: answer.err(),
            query,
        }
    };
    let storm = against(
        "blockchain-service",
        3_000,
        service.pid(),
        || service.connect(),
        |connection, queries| connection.get_all("/blockchain", queries),
        make,
    );
    storm.reached([
        "missing",
        "a broken escape",
        Reason::Base64.code(),
        Reason::Zlib.code(),
    ]);
}
