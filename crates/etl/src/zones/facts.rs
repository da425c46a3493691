//! Facts of one input: written from valid tweets, and read back.
//!
//! A writer holds at most [`WRITER_BYTES`] for each of the four tables, whatever the input: rows are
//! gathered in columns of at most [`BATCH_ROWS`] rows or [`BATCH_BYTES`] of text, and row groups end at
//! [`ROW_GROUP_BYTES`].

mod write;

use std::fs::File;

use arrow_array::types::{Decimal128Type, Int32Type, Int64Type};
use arrow_array::{Array, ArrowPrimitiveType, PrimitiveArray, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

pub use self::write::FactsWriter;
use super::key;
use super::place::{Pending, Place};
use super::working::{InputManifest, Table};
use crate::failure::{Failure, FailureKind};

/// Rows that are turned into columns together.
pub const BATCH_ROWS: usize = 4096;
/// Bytes of text that are turned into columns together; one row more may come on top.
pub const BATCH_BYTES: usize = 2 << 20;
/// Bytes of a row group, encoded.
pub const ROW_GROUP_BYTES: usize = 16 << 20;
/// Bytes of a page of facts. A column's buffer grows to this anew for each page: a larger one takes
/// fresh memory from the system every time, which the system clears first.
const PAGE_BYTES: usize = 128 << 10;
/// What a table's writer may hold: a row group, a batch as columns, and once more while encoding.
pub const WRITER_BYTES: usize = ROW_GROUP_BYTES + 4 * BATCH_BYTES;

/// One fact, as it is read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact<'a> {
    /// Of [`Table::Tweets`].
    Tweet {
        /// Its id.
        tweet_id: u64,
        /// Hashtags, repeats and excluded ones too.
        hashtags: u32,
    },
    /// Of [`Table::ContactTweets`].
    ContactTweet {
        /// Its id.
        tweet_id: u64,
        /// Who posted it.
        sender: u64,
        /// Whom it answers.
        reply_to: Option<u64>,
        /// Whose tweet it repeats.
        retweeted: Option<u64>,
        /// Seconds since 1970, UTC.
        created_at: i64,
        /// As posted.
        text: &'a str,
        /// Compact JSON array.
        hashtags: &'a str,
    },
    /// Of [`Table::TagUses`].
    TagUse {
        /// In which tweet.
        tweet_id: u64,
        /// By whom.
        user_id: u64,
        /// Lower-cased.
        tag: &'a str,
        /// How often.
        uses: u32,
    },
    /// Of [`Table::Sightings`].
    Sighting {
        /// In which tweet.
        tweet_id: u64,
        /// Of whom.
        user_id: u64,
        /// [`key::sighting_stamp`].
        stamp: i128,
        /// Empty where missing.
        screen_name: &'a str,
        /// Empty where missing.
        description: &'a str,
    },
}

/// How a file of facts is written: fast, since `etl clean` has little else to do. Sizes and times of the
/// alternatives are in `docs/etl.md`.
fn facts_properties() -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::UNCOMPRESSED)
        .set_dictionary_enabled(false)
        .set_data_page_size_limit(PAGE_BYTES)
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
        .set_statistics_enabled(EnabledStatistics::None);
    // The same for all rows, and the same again and again.
    for name in ["input", "tag"] {
        properties = properties.set_column_dictionary_enabled(ColumnPath::from(name), true);
    }
    // Ids and times are as good as random, and texts are what compresses.
    for name in ["tweet_text", "hashtags", "description"] {
        properties = properties.set_column_compression(ColumnPath::from(name), Compression::SNAPPY);
    }
    // The engine estimates joins by the ranges of keys.
    for name in [
        "tweet_key",
        "sender_key",
        "reply_key",
        "retweet_key",
        "user_key",
    ] {
        let name = ColumnPath::from(name);
        properties = properties.set_column_statistics_enabled(name, EnabledStatistics::Chunk);
    }
    properties.build()
}

/// How a file of rows is written: `etl load` finds ranges of users by the statistics of row groups.
fn rows_properties() -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
        .set_statistics_enabled(EnabledStatistics::Chunk);
    // Nearly all values differ, or are long: a dictionary is work for nothing.
    for name in ["tweet_key", "tweet_text", "created_at"] {
        properties = properties.set_column_dictionary_enabled(ColumnPath::from(name), false);
    }
    // The ends of a text tell nothing.
    for name in ["tweet_text", "hashtags", "contact_description"] {
        let name = ColumnPath::from(name);
        properties = properties.set_column_statistics_enabled(name, EnabledStatistics::None);
    }
    properties.build()
}

/// What writing Parquet met.
pub(crate) fn of_write(path: &str, error: &ParquetError) -> Failure {
    let text = match error {
        ParquetError::External(inner) => inner.to_string(),
        other => other.to_string(),
    };
    Failure::new(FailureKind::Disk, format!("cannot write {path}: {text}"))
}

/// What reading Parquet met.
pub(crate) fn of_read(path: &str, error: &dyn std::fmt::Display) -> Failure {
    let line = format!("cannot read {path}: {error}; remove its manifest and clean again");
    Failure::new(FailureKind::Input, line)
}

/// Begins a file of facts.
fn facts_file(
    pending: Pending,
    schema: arrow_schema::SchemaRef,
) -> Result<ArrowWriter<Pending>, Failure> {
    parquet(pending, schema, facts_properties())
}

/// Begins a file of rows.
pub(crate) fn rows_file(
    pending: Pending,
    schema: arrow_schema::SchemaRef,
) -> Result<ArrowWriter<Pending>, Failure> {
    parquet(pending, schema, rows_properties())
}

fn parquet(
    pending: Pending,
    schema: arrow_schema::SchemaRef,
    properties: WriterProperties,
) -> Result<ArrowWriter<Pending>, Failure> {
    let path = pending.describe();
    // The schema of Arrow would only repeat what Parquet's own says.
    let options = ArrowWriterOptions::new()
        .with_properties(properties)
        .with_skip_arrow_metadata(true);
    ArrowWriter::try_new_with_options(pending, schema, options)
        .map_err(|error| of_write(&path, &error))
}

/// Where a table's file of an input is.
pub fn file_name(table: Table, input: &str) -> String {
    format!("{}/{input}.parquet", table.name())
}

/// Hands over the facts of one input and kind, in the order of its lines. Holds one batch of rows.
///
/// # Errors
///
/// The file is missing, damaged or not of this version, or has another number of rows than its
/// manifest says; or `each` says so.
pub fn read(
    place: &Place,
    manifest: &InputManifest,
    table: Table,
    each: &mut dyn FnMut(Fact<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let name = file_name(table, &manifest.input);
    let path = place.describe(&name);
    let batches = batches(place.open(&name)?, &path)?;
    let mut rows = 0;
    for batch in batches {
        let batch = batch?;
        rows += batch.num_rows() as u64;
        let columns = Columns {
            batch: &batch,
            path: &path,
        };
        columns.hand_over(table, each)?;
    }
    let expected = manifest.tables.get(table.name()).map(|file| file.rows);
    if expected == Some(rows) {
        return Ok(());
    }
    Err(of_read(&path, &"it has other rows than its manifest says"))
}

/// The batches of a Parquet file.
pub(crate) fn batches(
    file: File,
    path: &str,
) -> Result<impl Iterator<Item = Result<RecordBatch, Failure>>, Failure> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .and_then(|builder| builder.with_batch_size(BATCH_ROWS).build())
        .map_err(|error| of_read(path, &error))?;
    Ok(reader.map(move |batch| batch.map_err(|error| of_read(path, &error))))
}

/// A batch whose columns are asked for by name.
pub(crate) struct Columns<'a> {
    pub(crate) batch: &'a RecordBatch,
    pub(crate) path: &'a str,
}

impl<'a> Columns<'a> {
    pub(crate) fn numbers<T: ArrowPrimitiveType>(
        &self,
        name: &str,
    ) -> Result<&'a PrimitiveArray<T>, Failure> {
        self.column(name)
    }

    pub(crate) fn texts(&self, name: &str) -> Result<&'a StringArray, Failure> {
        self.column(name)
    }

    fn column<A: Array + 'static>(&self, name: &str) -> Result<&'a A, Failure> {
        let column = self.batch.column_by_name(name);
        column
            .and_then(|column| column.as_any().downcast_ref())
            .ok_or_else(|| of_read(self.path, &format_args!("no such column {name}")))
    }

    fn hand_over(
        &self,
        table: Table,
        each: &mut dyn FnMut(Fact<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let rows = 0..self.batch.num_rows();
        let ids = |name| self.numbers::<Int64Type>(name);
        let tweets = ids("tweet_key")?;
        let tweet_id = |row| key::id(tweets.value(row));
        let count = |value: i32| u32::try_from(value).unwrap_or_default();
        match table {
            Table::Tweets => {
                let hashtags = self.numbers::<Int32Type>("hashtags")?;
                for row in rows {
                    each(Fact::Tweet {
                        tweet_id: tweet_id(row),
                        hashtags: count(hashtags.value(row)),
                    })?;
                }
            }
            Table::ContactTweets => {
                let (senders, created_at) = (ids("sender_key")?, ids("created_at")?);
                let (replies, retweets) = (ids("reply_key")?, ids("retweet_key")?);
                let (texts, hashtags) = (self.texts("tweet_text")?, self.texts("hashtags")?);
                let id = |keys: &PrimitiveArray<Int64Type>, row| {
                    keys.is_valid(row).then(|| key::id(keys.value(row)))
                };
                for row in rows {
                    each(Fact::ContactTweet {
                        tweet_id: tweet_id(row),
                        sender: key::id(senders.value(row)),
                        reply_to: id(replies, row),
                        retweeted: id(retweets, row),
                        created_at: created_at.value(row),
                        text: texts.value(row),
                        hashtags: hashtags.value(row),
                    })?;
                }
            }
            Table::TagUses => {
                let (users, tags) = (ids("user_key")?, self.texts("tag")?);
                let counts = self.numbers::<Int32Type>("uses")?;
                for row in rows {
                    each(Fact::TagUse {
                        tweet_id: tweet_id(row),
                        user_id: key::id(users.value(row)),
                        tag: tags.value(row),
                        uses: count(counts.value(row)),
                    })?;
                }
            }
            Table::Sightings => {
                let (users, stamps) = (ids("user_key")?, self.numbers::<Decimal128Type>("stamp")?);
                let names = self.texts("screen_name")?;
                let descriptions = self.texts("description")?;
                for row in rows {
                    each(Fact::Sighting {
                        tweet_id: tweet_id(row),
                        user_id: key::id(users.value(row)),
                        stamp: stamps.value(row),
                        screen_name: names.value(row),
                        description: descriptions.value(row),
                    })?;
                }
            }
        }
        Ok(())
    }
}
