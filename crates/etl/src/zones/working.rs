//! The working zone: what raw files hold, as narrow facts.
//!
//! ```text
//! WORKING/manifests/<input>.json          written last: the input is done
//! WORKING/tweets/<input>.parquet          each valid tweet
//! WORKING/contact_tweets/<input>.parquet  each valid tweet that is a reply or a retweet
//! WORKING/tag_uses/<input>.parquet        each hashtag of each valid tweet
//! WORKING/sightings/<input>.parquet       each user seen
//! ```
//!
//! `<input>` is the raw file's path inside the landing zone with every byte outside `A-Z a-z 0-9 . -`
//! as `_` and two hexadecimal digits. Repeats *inside* a file are dropped here; those between files
//! stay, since which copy is the first can change when files are added, and are dropped by the score
//! step with the help of `input`.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};

/// Version of this zone's layout.
pub const WORKING_VERSION: u32 = 1;

/// One kind of fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Table {
    /// Each valid tweet: which exist, and in which input.
    Tweets,
    /// Each valid tweet that is a reply or a retweet, with its text.
    ContactTweets,
    /// How often a valid tweet uses a hashtag, excluded ones too.
    TagUses,
    /// Each valid tweet's sender, and each retweeted user.
    Sightings,
}

impl Table {
    /// All.
    pub const ALL: [Self; 4] = [
        Self::Tweets,
        Self::ContactTweets,
        Self::TagUses,
        Self::Sightings,
    ];

    /// Name of the folder, and of the table in SQL.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tweets => "tweets",
            Self::ContactTweets => "contact_tweets",
            Self::TagUses => "tag_uses",
            Self::Sightings => "sightings",
        }
    }

    /// The columns. Names that end in `_key` hold keys ([`super::key`]).
    ///
    /// | table | column | type | |
    /// | --- | --- | --- | --- |
    /// | all | `input` | string | the raw file, see the module |
    /// | all | `tweet_key` | bigint | |
    /// | `tweets` | `hashtags` | int | how many, repeats and excluded ones too |
    /// | `contact_tweets` | `sender_key` | bigint | |
    /// | | `reply_key`, `retweet_key` | bigint or null | of whom |
    /// | | `created_at` | bigint | seconds since 1970, UTC |
    /// | | `stamp` | decimal(38, 0) | [`super::key::stamp`] |
    /// | | `tweet_text` | string | |
    /// | | `hashtags` | string | compact JSON array, lower-cased, in order, with repeats |
    /// | `tag_uses` | `user_key` | bigint | the sender |
    /// | | `tag` | string | lower-cased |
    /// | | `uses` | int | at least 1 |
    /// | `sightings` | `user_key` | bigint | |
    /// | | `stamp` | decimal(38, 0) | [`super::key::sighting_stamp`] |
    /// | | `screen_name`, `description` | string | |
    pub fn schema(self) -> SchemaRef {
        let mut fields = vec![
            Field::new("input", DataType::Utf8, false),
            Field::new("tweet_key", DataType::Int64, false),
        ];
        let mut column =
            |name: &str, kind: DataType, null: bool| fields.push(Field::new(name, kind, null));
        match self {
            Self::Tweets => column("hashtags", DataType::Int32, false),
            Self::ContactTweets => {
                column("sender_key", DataType::Int64, false);
                column("reply_key", DataType::Int64, true);
                column("retweet_key", DataType::Int64, true);
                column("created_at", DataType::Int64, false);
                column("stamp", STAMP, false);
                column("tweet_text", DataType::Utf8, false);
                column("hashtags", DataType::Utf8, false);
            }
            Self::TagUses => {
                column("user_key", DataType::Int64, false);
                column("tag", DataType::Utf8, false);
                column("uses", DataType::Int32, false);
            }
            Self::Sightings => {
                column("user_key", DataType::Int64, false);
                column("stamp", STAMP, false);
                column("screen_name", DataType::Utf8, false);
                column("description", DataType::Utf8, false);
            }
        }
        Arc::new(Schema::new(fields))
    }
}

/// Type of stamps.
pub const STAMP: DataType = DataType::Decimal128(38, 0);

/// The name of the input that a raw file makes: see the module. Different paths have different names.
pub fn input_name(path: &str) -> String {
    let mut name = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-') {
            name.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(name, "_{byte:02x}");
        }
    }
    name
}

/// By what inputs are ordered: file name, then path.
pub fn input_order(path: &str) -> (&str, &str) {
    (path.rsplit('/').next().unwrap_or(path), path)
}

/// What was made of one raw file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputManifest {
    /// [`WORKING_VERSION`] of the writer.
    pub working_version: u32,
    /// Name of the input: see the module.
    pub input: String,
    /// The raw file's path inside the landing zone. Inputs count by (file name, path).
    pub path: String,
    /// Its size in bytes, as it lies there.
    pub size_bytes: u64,
    /// CRC-32 of its bytes, as they lie there; eight hexadecimal digits.
    pub crc32: String,
    /// What tells without reading that its bytes may be others: the time of its last change in
    /// nanoseconds since 1970, or the object's entity tag. Where only this differs, `crc32` decides.
    pub version: String,
    /// Bytes of its lines, inflated.
    pub raw_bytes: u64,
    /// Lines, valid tweets and `rejected_*` by reason; `duplicate` counts repeats inside the file.
    pub counts: serde_json::Map<String, serde_json::Value>,
    /// Relations of its valid tweets: all, and those of a sender with themself.
    pub relations: u64,
    /// See `relations`.
    pub relations_with_oneself: u64,
    /// The Parquet files, by table name.
    pub tables: std::collections::BTreeMap<String, TableFile>,
}

/// One Parquet file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableFile {
    /// Rows.
    pub rows: u64,
    /// Size in bytes.
    pub size_bytes: u64,
    /// CRC-32 of those; eight hexadecimal digits.
    pub crc32: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_inputs_are_plain_and_never_meet() {
        assert_eq!(input_name("part-r-00000.gz"), "part-r-00000.gz");
        assert_eq!(input_name("a/b_c é.gz"), "a_2fb_5fc_20_c3_a9.gz");
        assert_ne!(input_name("a/b"), input_name("a_2fb"));
    }

    #[test]
    fn inputs_are_ordered_by_file_name_first() {
        let mut paths = ["z/a", "b", "a/b", "a"];
        paths.sort_by_key(|path| input_order(path));
        assert_eq!(paths, ["a", "z/a", "a/b", "b"]);
    }
}
