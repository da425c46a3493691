//! Some hundreds of requests, and what the rows answer to them.
//!
//! The replies are worked out here from bare rows, with none of the code that the service matches,
//! scores and orders with.

use std::collections::HashMap;

use twitter_core::query::{Query, RawQuery};
use twitter_core::record::Row;

use super::sampler::{Sampler, mix};

/// Users asked for by chance, and those with the most rows.
const USERS: usize = 128;
const LARGEST: usize = 8;

/// The three types.
const TYPES: [(&str, u8); 3] = [("reply", 1), ("retweet", 2), ("both", 3)];

/// A request and the reply to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The user asked for.
    pub user_id: u64,
    /// `reply`, `retweet` or `both`.
    pub contact_type: &'static str,
    /// The phrase.
    pub phrase: String,
    /// The hashtag.
    pub hashtag: String,
    /// Bytes of the reply behind its first line.
    pub reply_len: u64,
    /// [`fingerprint`] of these.
    pub reply_print: u64,
}

impl Request {
    /// As the service parses it.
    pub fn query(&self) -> Option<Query<'_>> {
        let user_id = self.user_id.to_string();
        let raw = RawQuery {
            user_id: Some(user_id.as_bytes()),
            contact_type: Some(self.contact_type.as_bytes()),
            phrase: Some(self.phrase.as_bytes()),
            hashtag: Some(self.hashtag.as_bytes()),
        };
        Query::parse(raw).ok().map(Query::into_owned)
    }

    /// Whether this is the reply, given without its first line.
    pub fn is_answered_by(&self, reply: &[u8]) -> bool {
        self.reply_len == reply.len() as u64 && self.reply_print == fingerprint(reply)
    }
}

/// The users to ask for: some by chance, and the largest.
#[derive(Debug, Clone)]
pub struct Requests {
    chosen: Sampler<Vec<Request>>,
    /// Ordered by rows, inverted: the sampler keeps the least.
    largest: Sampler<Vec<Request>>,
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            chosen: Sampler::new(USERS),
            largest: Sampler::new(LARGEST),
        }
    }
}

impl Requests {
    /// Looks at a user's rows.
    pub(super) fn user(&mut self, rows: &[Row<'_>]) {
        let Some(first) = rows.first() else { return };
        let rank = mix(first.user_id);
        if self.chosen.wants(rank, first.user_id) {
            self.chosen.push(rank, first.user_id, requests(rows, rank));
        }
        let rank = u64::MAX - rows.len() as u64;
        if self.largest.wants(rank, first.user_id) {
            self.largest.push(rank, first.user_id, requests(rows, rank));
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.chosen.merge(other.chosen);
        self.largest.merge(other.largest);
    }

    /// All requests, by user; with them some for users who have no rows.
    pub fn into_requests(self) -> Vec<Request> {
        let mut all: HashMap<u64, Vec<Request>> = HashMap::new();
        for (user_id, requests) in self.chosen.into_items().chain(self.largest.into_items()) {
            all.insert(user_id, requests);
        }
        let mut all: Vec<Request> = all.into_values().flatten().collect();
        all.sort_by_key(|request| request.user_id);
        all
    }
}

/// One request of each type, with a phrase and a hashtag out of the rows.
fn requests(rows: &[Row<'_>], seed: u64) -> Vec<Request> {
    let mut numbers = (0..).map(|number| mix(seed ^ number));
    let mut pick = |count: usize| {
        let number = numbers.next().unwrap_or_default() % (count.max(1) as u64);
        usize::try_from(number).unwrap_or_default()
    };
    TYPES
        .into_iter()
        .filter_map(|(contact_type, kinds)| {
            let row = rows.get(pick(rows.len()))?;
            let words: Vec<&str> = row.tweet_text.split_whitespace().collect();
            // Half of the phrases are parts of words.
            let word = words.get(pick(words.len())).copied().unwrap_or("a");
            let phrase: String = match pick(2) {
                0 => word.to_owned(),
                _ => word.chars().take(2).collect(),
            };
            let row = rows.get(pick(rows.len()))?;
            let hashtag = row.hashtags.iter().next().unwrap_or("none").to_owned();
            let reply = reply(rows, kinds, &phrase, &hashtag);
            Some(Request {
                user_id: row.user_id,
                contact_type,
                phrase,
                hashtag,
                reply_len: reply.len() as u64,
                reply_print: fingerprint(&reply),
            })
        })
        .collect()
}

/// The reply without its first line, straight from the rules.
fn reply(rows: &[Row<'_>], kinds: u8, phrase: &str, hashtag: &str) -> Vec<u8> {
    let mut shown = Vec::new();
    for rows in rows.chunk_by(|a, b| a.contact_id == b.contact_id) {
        let asked = || rows.iter().filter(|row| row.kind.bits() & kinds != 0);
        let latest = asked().max_by_key(|row| (row.created_at, row.tweet_id));
        let Some(latest) = latest else { continue };
        let mut matches = 0u32;
        for row in asked() {
            let (text, phrase) = (row.tweet_text.as_bytes(), phrase.as_bytes());
            let found = text.windows(phrase.len()).filter(|part| *part == phrase);
            let tags = row.hashtags.iter().filter(|tag| *tag == hashtag);
            matches += u32::try_from(found.count() + tags.count()).unwrap_or_default();
        }
        let keywords = 1.0 + f64::from(matches).ln_1p();
        let keywords = if matches == 0 { 1.0 } else { keywords };
        shown.push((rounded(latest.base_score * keywords), latest));
    }
    shown.sort_by(|(a_score, a), (b_score, b)| {
        (b_score, b.contact_id).cmp(&(a_score, a.contact_id))
    });
    let mut reply = Vec::new();
    for (_, row) in shown {
        let id = row.contact_id.to_string();
        for (mark, field) in [
            ("\n", id.as_str()),
            ("\t", row.contact_screen_name),
            ("\t", row.contact_description),
            ("\t", row.tweet_text),
        ] {
            reply.extend_from_slice(mark.as_bytes());
            reply.extend_from_slice(field.as_bytes());
        }
    }
    reply
}

/// Five decimals, half up.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "scores are positive and far below 2^64 hundred-thousandths"
)]
fn rounded(score: f64) -> u64 {
    (score * 1e5 + 0.5).floor() as u64
}

/// Tells replies apart: FNV-1a.
pub fn fingerprint(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}
