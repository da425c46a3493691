//! A slow second implementation: rows from bare tweets, and replies from rows,
//! written straight from the rules with none of the crate's code for matching,
//! scoring or ordering. Property tests and fuzz targets share it.

use std::collections::{BTreeMap, HashMap};

use twitter_core::query::{ContactType, Query};
use twitter_core::record::{Hashtags, Kind, Latest, Row};

/// A contact tweet as a generator makes it.
#[derive(Debug, Clone)]
#[expect(clippy::struct_field_names, reason = "the names of the columns")]
pub(crate) struct Tweet {
    pub(crate) contact_id: u64,
    pub(crate) tweet_id: u64,
    pub(crate) created_at: i64,
    /// Any number; its last bits become the kind.
    pub(crate) kind: u8,
    pub(crate) text: String,
    pub(crate) tags: Vec<String>,
}

/// A row that owns its strings.
#[derive(Debug, Clone)]
pub(crate) struct OwnedRow {
    pub(crate) user_id: u64,
    pub(crate) contact_id: u64,
    pub(crate) tweet_id: u64,
    pub(crate) created_at: i64,
    pub(crate) kind: Kind,
    pub(crate) text: String,
    pub(crate) tags: Vec<String>,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) reply_count: u32,
    pub(crate) retweet_count: u32,
    pub(crate) same_tag_count: u32,
    pub(crate) base_score: f64,
    pub(crate) latest: Latest,
}

impl OwnedRow {
    pub(crate) fn row(&self) -> Row<'_> {
        Row {
            user_id: self.user_id,
            contact_id: self.contact_id,
            tweet_id: self.tweet_id,
            created_at: self.created_at,
            kind: self.kind,
            tweet_text: &self.text,
            hashtags: Hashtags::from(self.tags.as_slice()),
            contact_screen_name: &self.name,
            contact_description: &self.description,
            reply_count: self.reply_count,
            retweet_count: self.retweet_count,
            same_tag_count: self.same_tag_count,
            base_score: self.base_score,
            latest: self.latest,
        }
    }
}

/// Rows in key order. `contact` gives screen name, description and common tag
/// uses of a contact. Of tweets with one key the last stays.
pub(crate) fn rows(
    user_id: u64,
    tweets: &[Tweet],
    contact: impl Fn(u64) -> (String, String, u32),
) -> Vec<OwnedRow> {
    let mut by_contact: BTreeMap<u64, BTreeMap<u64, &Tweet>> = BTreeMap::new();
    for tweet in tweets.iter().filter(|tweet| !tweet.text.is_empty()) {
        let of_contact = by_contact.entry(tweet.contact_id).or_default();
        of_contact.insert(tweet.tweet_id, tweet);
    }
    let mut rows = Vec::new();
    for (contact_id, tweets) in by_contact {
        let kind_of = |tweet: &Tweet| Kind::from_bits(tweet.kind % 3 + 1).unwrap();
        let stamps = |bit: u8| {
            let of_kind = tweets
                .values()
                .filter(move |tweet| kind_of(tweet).bits() & bit != 0);
            of_kind.map(|tweet| (tweet.created_at, tweet.tweet_id))
        };
        let (name, description, same_tags) = contact(contact_id);
        let same_tag_count = if contact_id == user_id { 0 } else { same_tags };
        let reply_count = u32::try_from(stamps(1).count()).unwrap();
        let retweet_count = u32::try_from(stamps(2).count()).unwrap();
        for tweet in tweets.values() {
            let stamp = Some((tweet.created_at, tweet.tweet_id));
            let bits = u8::from(stamps(1).max() == stamp)
                | u8::from(stamps(2).max() == stamp) << 1
                | u8::from(stamps(3).max() == stamp) << 2;
            rows.push(OwnedRow {
                user_id,
                contact_id,
                tweet_id: tweet.tweet_id,
                created_at: tweet.created_at,
                kind: kind_of(tweet),
                text: tweet.text.clone(),
                tags: tweet
                    .tags
                    .iter()
                    .filter(|tag| !tag.is_empty())
                    .map(|tag| tag.to_lowercase())
                    .collect(),
                name: name.clone(),
                description: description.clone(),
                reply_count,
                retweet_count,
                same_tag_count,
                base_score: interaction(reply_count, retweet_count) * hashtag(same_tag_count),
                latest: Latest::from_bits(bits).unwrap(),
            });
        }
    }
    rows
}

/// The reply to `query`, row by row.
pub(crate) fn reply(head: &[u8], query: &Query<'_>, rows: &[OwnedRow]) -> Vec<u8> {
    let bit = match query.contact_type() {
        ContactType::Reply => 1,
        ContactType::Retweet => 2,
        ContactType::Both => 3,
    };
    let mut pairs: HashMap<u64, Vec<&OwnedRow>> = HashMap::new();
    for row in rows.iter().filter(|row| row.kind.bits() & bit != 0) {
        pairs.entry(row.contact_id).or_default().push(row);
    }
    let mut shown: Vec<(u64, u64, &OwnedRow)> = pairs
        .into_iter()
        .map(|(contact_id, rows)| {
            let matches: u32 = rows.iter().map(|row| matches(row, query)).sum();
            let keywords = 1.0 + (1.0 + f64::from(matches)).ln();
            let first = rows[0];
            let score = keywords
                * hashtag(first.same_tag_count)
                * interaction(first.reply_count, first.retweet_count);
            let latest = rows
                .into_iter()
                .max_by_key(|row| (row.created_at, row.tweet_id));
            (key(score), contact_id, latest.unwrap())
        })
        .collect();
    shown.sort_by_key(|(key, contact_id, _)| (*key, *contact_id));
    shown.reverse();
    let mut lines = vec![head.to_vec()];
    for (_, contact_id, row) in shown {
        let OwnedRow {
            name,
            description,
            text,
            ..
        } = row;
        lines.push(format!("{contact_id}\t{name}\t{description}\t{text}").into_bytes());
    }
    lines.join(&b'\n')
}

fn matches(row: &OwnedRow, query: &Query<'_>) -> u32 {
    let phrase = query.phrase().as_bytes();
    let windows = row.text.as_bytes().windows(phrase.len());
    let in_text = windows.filter(|window| *window == phrase).count();
    let tags = row.tags.iter();
    let equal = tags.filter(|tag| *tag == query.hashtag_lower()).count();
    u32::try_from(in_text + equal).unwrap()
}

fn interaction(replies: u32, retweets: u32) -> f64 {
    (1.0 + 2.0 * f64::from(replies) + f64::from(retweets)).ln()
}

fn hashtag(same_tags: u32) -> f64 {
    if same_tags > 10 {
        1.0 + (1.0 + f64::from(same_tags) - 10.0).ln()
    } else {
        1.0
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "generated scores are small and positive"
)]
fn key(score: f64) -> u64 {
    (score * 100_000.0 + 0.5).floor() as u64
}
