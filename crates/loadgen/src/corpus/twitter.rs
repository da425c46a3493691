//! Requests for `/twitter` about given users.
//!
//! The answers are in the service's table, so only the shape of a reply can be checked; for exact
//! answers give its rows ([`super::rows`]) or a corpus file ([`super::file`]).

use std::path::Path;

use anyhow::{Context as _, Result, bail};

use super::{Expect, INVALID, Item, Recipe, escape_into};
use crate::random::Random;

const WORDS: [&str; 12] = [
    "the",
    "hello cc",
    "love",
    "I",
    "rt",
    "cloud",
    "new",
    "you",
    "life is",
    "a",
    "good morning",
    "computing",
];
const TAGS: [&str; 8] = [
    "cmu", "cloud", "music", "news", "love", "travel", "nba", "zzz",
];

/// Reads a file with one user id a line.
///
/// # Errors
///
/// When the file cannot be read, holds no user or something that is none.
pub fn read_users(path: &Path) -> Result<Vec<u64>> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let users = lines
        .map(|line| {
            line.parse::<u64>()
                .with_context(|| format!("{}: {line:?} is no user id", path.display()))
        })
        .collect::<Result<Vec<_>>>()?;
    if users.is_empty() {
        bail!("{} holds no user id", path.display());
    }
    Ok(users)
}

/// Values of a request but the user.
pub(super) struct Words {
    pub(super) contact_type: &'static str,
    pub(super) phrase: &'static str,
    pub(super) tag: &'static str,
}

impl Words {
    /// Draws them.
    pub(super) fn draw(random: &mut Random) -> Self {
        Self {
            contact_type: random.pick(&["reply", "retweet", "both"]),
            phrase: random.pick(&WORDS),
            tag: random.pick(&TAGS),
        }
    }
}

/// Which of the four values to replace, and by what, so that a request breaks a rule.
pub(super) fn broken(random: &mut Random) -> (usize, &'static str) {
    match random.below(3) {
        0 => (0, "x"),
        1 => (1, "neither"),
        _ => (2, ""),
    }
}

/// Path and query of a request: user, type, phrase and hashtag.
pub(super) fn target(values: [&str; 4]) -> String {
    let mut target = "/twitter".to_owned();
    let names = ["?user_id=", "&type=", "&phrase=", "&hashtag="];
    for (name, value) in names.into_iter().zip(values) {
        target.push_str(name);
        escape_into(&mut target, value.as_bytes());
    }
    target
}

/// Makes a corpus about these users, of whom there is at least one.
pub fn generate(recipe: Recipe, users: &[u64]) -> Vec<Item> {
    let mut random = Random::with_stream(recipe.seed, 2);
    (0..recipe.size)
        .map(|_| {
            let user = users[random.index(users.len())].to_string();
            let Words {
                contact_type,
                phrase,
                tag,
            } = Words::draw(&mut random);
            let mut values = [user.as_str(), contact_type, phrase, tag];
            let mut expect = Expect::Contacts;
            if random.chance(recipe.invalid) {
                let (place, text) = broken(&mut random);
                values[place] = text;
                expect = Expect::Rest(INVALID.to_vec());
            }
            Item {
                target: target(values),
                expect,
            }
        })
        .collect()
}
