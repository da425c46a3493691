//! From facts to denormalised rows, in memory.
//!
//! [`MemoryEngine`] takes the facts in input order, holds all that the rows need, and turns into a
//! [`Table`], which hands out the rows of one user at a time. Engines that spill to disk work from
//! the same facts to the same rows, in programs of their own.

mod memory;
mod tags;
mod users;

use std::collections::HashSet;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, to_value};
use sha2::{Digest as _, Sha256};
use twitter_core::query::lower_tag;
use twitter_core::record::Row;

pub use self::memory::{MemoryEngine, MemoryTable};
use crate::report::Relations;

/// More distinct things than a `u32` can number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many {what} for this engine")]
pub struct Overflow {
    /// Of what.
    pub what: &'static str,
}

/// What an input lost, since earlier inputs have the same tweets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lost {
    /// Valid tweets.
    pub tweets: u64,
    /// Relations of those.
    pub relations: Relations,
}

/// The denormalised table, user by user.
pub trait Table {
    /// Figures of what was built.
    fn tally(&self) -> Tally;

    /// Users with rows.
    fn users(&self) -> usize;

    /// Shows the rows of one user, sorted by (contact id, tweet id). Users are
    /// numbered from 0 by ascending id; beyond the last there are no rows.
    fn with_user(&self, number: usize, visit: &mut dyn FnMut(&[Row<'_>]));
}

/// Figures of what was built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    /// Hashtags of valid tweets, repeats and excluded ones too.
    pub hashtag_occurrences: u64,
    /// Reply relations.
    pub reply_tweets: u64,
    /// Tweets with any relation.
    pub contact_tweets: u64,
    /// Retweet relations.
    pub retweet_tweets: u64,
    /// Distinct hashtags of valid tweets, excluded ones too.
    pub distinct_hashtags: u64,
    /// Users seen as sender or retweeted.
    pub users_with_info: u64,
    /// Users with rows.
    pub users_with_contacts: u64,
    /// Those of them never seen.
    pub contacted_users_without_info: u64,
    /// Unordered pairs that met, with those of a user with themself.
    pub pairs: u64,
    /// Pairs of a user with themself.
    pub self_pairs: u64,
    /// Pairs with a same tag count over 10.
    pub pairs_with_hashtag_bonus: u64,
    /// Rows.
    pub table_rows: u64,
}

impl Tally {
    /// By name.
    ///
    /// # Panics
    ///
    /// Never: numbers always serialise.
    pub fn to_map(self) -> Map<String, Value> {
        match to_value(self) {
            Ok(Value::Object(map)) => map,
            _ => unreachable!("a struct of numbers is an object"),
        }
    }
}

/// The hashtags that earn nothing: lower-cased, compared whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Excluded(HashSet<String>);

impl Excluded {
    /// Reads a list of one tag a line; blank lines are ignored, and so is white
    /// space around a tag.
    pub fn parse(text: &str) -> Self {
        // Some editors begin a file with a byte order mark.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let tags = text.lines().map(str::trim).filter(|tag| !tag.is_empty());
        Self(tags.map(|tag| lower_tag(tag).into_owned()).collect())
    }

    /// Whether a lower-cased tag is on the list.
    pub fn contains(&self, tag: &str) -> bool {
        self.0.contains(tag)
    }

    /// Names the list: the SHA-256 of its tags, sorted, one a line, as hexadecimal digits.
    pub fn sha256(&self) -> String {
        let mut hasher = Sha256::new();
        for tag in self.sorted() {
            hasher.update(tag);
            hasher.update("\n");
        }
        let mut name = String::new();
        for byte in hasher.finalize() {
            // Writing to a string cannot fail.
            let _ = write!(name, "{byte:02x}");
        }
        name
    }

    /// The tags, sorted.
    pub fn sorted(&self) -> Vec<String> {
        let mut tags: Vec<String> = self.0.iter().cloned().collect();
        tags.sort();
        tags
    }

    /// The tags, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Tags on the list.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_lower_cased_and_blank_lines_do_not_count() {
        let excluded = Excluded::parse("\u{130}x\r\n\n  \nZipCode\nzipcode");
        assert_eq!(excluded.len(), 2);
        assert!(excluded.contains("zipcode") && excluded.contains("i\u{307}x"));
        assert!(!excluded.contains("") && !excluded.contains("ZipCode"));
    }

    #[test]
    fn a_list_is_named_by_its_tags_alone() {
        let name = Excluded::parse("b\na\n").sha256();
        // `printf 'a\nb\n' | sha256sum`
        let known = "911169ddaaf146aff539f58c26c489af3b892dff0fe283c1c264c65ae5aa59a2";
        assert_eq!(name, known);
        assert_eq!(name, Excluded::parse("A\r\n\nb").sha256());
    }
}
