//! From a raw line to a valid tweet, or the reason why it is none.
//!
//! Only the fields that the rules name are read; the rest of the line is
//! checked to be JSON and skipped. Of a key that an object has twice the last
//! one counts. A field of another type than expected counts as missing.
//!
//! # What makes a line malformed
//!
//! Anything that is not exactly one JSON object in UTF-8, white space around
//! it apart; also in fields that are not used. There is no limit to nesting.
//!
//! Half of a surrogate pair written as an escape is valid JSON but no text.
//! It makes the line malformed in a *string used*, which is a string standing
//! at one of the named fields ([`Cleaner::clean`] lists them), whether or not
//! that field then decides anything. Elsewhere, keys included, it is ignored.

#![warn(clippy::indexing_slicing)]

#[warn(clippy::arithmetic_side_effects)]
mod json;
mod raw;
mod time;

use std::borrow::Cow;

use serde::Serialize;
use twitter_core::query::lower_tag;

use self::raw::RawTweet;
pub use self::time::parse_created_at;

/// Greatest length of a line in bytes, its end not counted; a longer one is
/// malformed.
pub const MAX_LINE_BYTES: usize = 1 << 20;

/// Languages that count. `in` is Indonesian.
pub const LANGUAGES: [&str; 8] = ["ar", "en", "fr", "in", "pt", "es", "tr", "ja"];

/// Why a line does not count. The first that holds, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Not one JSON object in UTF-8, or half a character in a string used.
    MalformedJson,
    /// No usable `id` and no usable `id_str`.
    NoTweetId,
    /// No `user`, or none of its ids usable.
    NoUserId,
    /// `created_at` is missing or not of the one form.
    BadCreatedAt,
    /// `text` is missing or empty.
    NoText,
    /// No `entities.hashtags`, or an empty array.
    NoHashtags,
    /// `lang` is not one of [`LANGUAGES`].
    Language,
    /// A valid tweet with this id came before. Judged by the engine, last.
    Duplicate,
}

impl Reason {
    /// All, in order.
    pub const ALL: [Self; 8] = [
        Self::MalformedJson,
        Self::NoTweetId,
        Self::NoUserId,
        Self::BadCreatedAt,
        Self::NoText,
        Self::NoHashtags,
        Self::Language,
        Self::Duplicate,
    ];

    /// The name used in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MalformedJson => "malformed_json",
            Self::NoTweetId => "no_tweet_id",
            Self::NoUserId => "no_user_id",
            Self::BadCreatedAt => "bad_created_at",
            Self::NoText => "no_text",
            Self::NoHashtags => "no_hashtags",
            Self::Language => "language",
            Self::Duplicate => "duplicate",
        }
    }
}

/// A user as a tweet shows them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Sighting {
    /// Who.
    pub user_id: u64,
    /// Empty where null or missing.
    pub screen_name: String,
    /// Empty where null or missing.
    pub description: String,
}

/// A valid tweet: what the scores need of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tweet {
    /// Its id.
    pub id: u64,
    /// Seconds since 1970, UTC.
    pub created_at: i64,
    /// Who posted it.
    pub sender: Sighting,
    /// Whose tweet it repeats.
    pub retweeted: Option<Sighting>,
    /// Whom it answers.
    pub reply_to: Option<u64>,
    /// As posted; never empty.
    pub text: String,
    /// Lower-cased, in order, repeats kept; may be empty.
    pub hashtags: Vec<String>,
}

/// Cleans lines one after the other, keeping its scratch memory.
#[derive(Debug, Default)]
pub struct Cleaner {
    open: Vec<u8>,
}

impl Cleaner {
    /// Reads one line, with or without its `\n`.
    ///
    /// Used are `id`, `created_at`, `text`, `lang`, `entities.hashtags[].text`,
    /// `in_reply_to_user_id` and, under `user` and `retweeted_status.user`,
    /// `id`, `screen_name` and `description`; and the `_str` twin of each id.
    ///
    /// # Errors
    ///
    /// The first reason that holds; never [`Reason::Duplicate`].
    pub fn clean(&mut self, line: &[u8]) -> Result<Tweet, Reason> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        if line.len() > MAX_LINE_BYTES {
            return Err(Reason::MalformedJson);
        }
        let line = simdutf8::basic::from_utf8(line).map_err(|_| Reason::MalformedJson)?;
        RawTweet::scan(line, &mut self.open)
            .and_then(RawTweet::decode)
            .map_err(|_| Reason::MalformedJson)?
            .judge()
    }
}

/// [`Cleaner::clean`] for a single line.
///
/// # Errors
///
/// The same.
pub fn clean(line: &[u8]) -> Result<Tweet, Reason> {
    Cleaner::default().clean(line)
}

/// The fields of a line, decoded, before any rule.
struct Fields<'a> {
    id: Option<u64>,
    user: UserFields<'a>,
    created_at: Option<Cow<'a, str>>,
    text: Option<Cow<'a, str>>,
    /// `None` without a usable array, or with an empty one.
    hashtags: Option<Vec<Cow<'a, str>>>,
    lang: Option<Cow<'a, str>>,
    reply_to: Option<u64>,
    retweeted: UserFields<'a>,
}

struct UserFields<'a> {
    id: Option<u64>,
    screen_name: Cow<'a, str>,
    description: Cow<'a, str>,
}

impl UserFields<'_> {
    fn sighting(self) -> Option<Sighting> {
        Some(Sighting {
            user_id: self.id?,
            screen_name: self.screen_name.into_owned(),
            description: self.description.into_owned(),
        })
    }
}

impl Fields<'_> {
    fn judge(self) -> Result<Tweet, Reason> {
        let id = self.id.ok_or(Reason::NoTweetId)?;
        // Owned only once every rule holds.
        if self.user.id.is_none() {
            return Err(Reason::NoUserId);
        }
        let created_at = self.created_at.as_deref().and_then(parse_created_at);
        let created_at = created_at.ok_or(Reason::BadCreatedAt)?;
        let text = self.text.filter(|text| !text.is_empty());
        let text = text.ok_or(Reason::NoText)?;
        let hashtags = self.hashtags.ok_or(Reason::NoHashtags)?;
        let lang = self.lang.as_deref().unwrap_or_default();
        if !LANGUAGES.contains(&lang) {
            return Err(Reason::Language);
        }
        let lower = |tag: &Cow<'_, str>| lower_tag(tag).into_owned();
        Ok(Tweet {
            id,
            created_at,
            sender: self.user.sighting().ok_or(Reason::NoUserId)?,
            retweeted: self.retweeted.sighting(),
            reply_to: self.reply_to,
            text: text.into_owned(),
            hashtags: hashtags.iter().map(lower).collect(),
        })
    }
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a test may panic")]
mod tests;
