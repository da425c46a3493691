//! Seeded fuzzing: query strings, against a plain second reading of the rules. How long, and what else
//! is watched: crate `storm`.

use service_kit::request::Query;
use storm::{Choices, damage, queries};

const NAMES: [&str; 4] = ["type", "data", "cc", "a"];

fn execute(seed: u64) -> Option<&'static str> {
    let mut choices = Choices::new(seed);
    let mut query = queries::text(&mut choices, &NAMES, |_, choices| {
        (0..choices.below(8)).map(|_| choices.byte()).collect()
    });
    if choices.once_in(3) {
        damage(&mut query, &mut choices);
    }
    let mut answer = None;
    for (name, found) in NAMES.iter().zip(Query(&query).first(NAMES)) {
        let found = found.map(|value| value.decode().ok().map(std::borrow::Cow::into_owned));
        let expected = queries::first(&query, name);
        assert_eq!(found, expected, "seed {seed}: {}", query.escape_ascii());
        answer = match found {
            None => Some("missing"),
            Some(None) => Some("a broken escape"),
            Some(Some(_)) => answer,
        };
    }
    answer
}

#[test]
fn a_storm_of_queries_is_read_as_the_contract_says() {
    storm::run("query", 20_000, execute).reached(["missing", "a broken escape"]);
}
