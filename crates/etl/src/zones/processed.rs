//! The processed zone: the denormalised rows, in the order of the key.
//!
//! ```text
//! PROCESSED/rows/part-00000.parquet …   rows sorted by (user, contact, tweet), over all files in the order of their names
//! PROCESSED/run.json                    written last: a [`RunManifest`]
//! ```
//!
//! A run writes into `PROCESSED/rows` only after the old `run.json` is gone, so that what is there
//! without a manifest is never loaded.

mod read;
mod write;

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};

pub use self::read::{for_each_row, manifest};
pub use self::write::{RowsWriter, publish};

/// Version of this zone's layout.
pub const PROCESSED_VERSION: u32 = 1;

/// Name of the manifest.
pub const RUN: &str = "run.json";
/// Folder of the files of rows.
pub const ROWS: &str = "rows";
/// Some 300 bytes for each input.
const MAX_MANIFEST_BYTES: u64 = 1 << 28;

/// Columns of the rows. `base_score` is not stored: it is a function of the three counts, and
/// `etl load` works it out with the same code as everything else.
///
/// | column | type | |
/// | --- | --- | --- |
/// | `user_key`, `contact_key`, `tweet_key` | bigint | keys ([`super::key`]); sorted by these |
/// | `created_at` | bigint | seconds since 1970, UTC |
/// | `kind` | int | 1 reply, 2 retweet, 3 both |
/// | `tweet_text` | string | |
/// | `hashtags` | string | compact JSON array |
/// | `contact_screen_name`, `contact_description` | string | latest, of the contact; empty if never seen |
/// | `reply_count`, `retweet_count`, `same_tag_count` | bigint | of the pair |
/// | `latest` | int | 1 latest reply, 2 latest retweet, 4 latest of both |
pub fn schema() -> SchemaRef {
    let not_null = |name: &str, kind: DataType| Field::new(name, kind, false);
    Arc::new(Schema::new(vec![
        not_null("user_key", DataType::Int64),
        not_null("contact_key", DataType::Int64),
        not_null("tweet_key", DataType::Int64),
        not_null("created_at", DataType::Int64),
        not_null("kind", DataType::Int32),
        not_null("tweet_text", DataType::Utf8),
        not_null("hashtags", DataType::Utf8),
        not_null("contact_screen_name", DataType::Utf8),
        not_null("contact_description", DataType::Utf8),
        not_null("reply_count", DataType::Int64),
        not_null("retweet_count", DataType::Int64),
        not_null("same_tag_count", DataType::Int64),
        not_null("latest", DataType::Int32),
    ]))
}

/// What a run of the score step made, and of what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunManifest {
    /// [`PROCESSED_VERSION`] of the writer.
    pub processed_version: u32,
    /// `memory`, `datafusion` or `spark`.
    pub engine: String,
    /// The inputs, by (file name, path).
    pub inputs: Vec<RunInput>,
    /// The working zone, as [`super::place::Place::absolute`] names it: `etl load` checks the rows against it.
    pub working: String,
    /// The excluded tags: lower-cased, sorted.
    pub excluded: Vec<String>,
    /// SHA-256 of those, one a line.
    pub excluded_sha256: String,
    /// Figures of what was built, as in the `*_stats.json` of the vectors from `hashtag_occurrences` on.
    pub tally: serde_json::Map<String, serde_json::Value>,
    /// The files of rows, in order.
    pub rows: Vec<RowsFile>,
}

/// An input of a run, and what it lost to earlier inputs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunInput {
    /// As in the working zone's manifest.
    pub input: String,
    /// As in the working zone's manifest: whether the run is of what is there now.
    pub crc32: String,
    /// Valid tweets that an earlier input has too.
    pub repeated_tweets: u64,
    /// Relations of those.
    pub repeated_relations: u64,
    /// Those of them of a sender with themself.
    pub repeated_relations_with_oneself: u64,
}

/// One file of rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowsFile {
    /// Name inside `rows/`.
    pub name: String,
    /// Rows in it.
    pub rows: u64,
    /// Its size in bytes.
    pub size_bytes: u64,
}
