//! Facts of one input: written from valid tweets, and read back.
//!
//! A writer holds at most [`WRITER_BYTES`] for each of the four tables, whatever the input: rows are
//! gathered in columns of at most [`BATCH_ROWS`] rows or [`BATCH_BYTES`] of text, and row groups end at
//! [`ROW_GROUP_BYTES`].

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::sync::Arc;

use arrow_array::builder::{Decimal128Builder, Int32Builder, Int64Builder, StringBuilder};
use arrow_array::types::{Decimal128Type, Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, PrimitiveArray, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::key;
use super::place::{Pending, Place};
use super::working::{InputManifest, STAMP, Table, TableFile};
use crate::clean::{Sighting, Tweet};
use crate::failure::{Failure, FailureKind};

/// Rows that are turned into columns together.
pub const BATCH_ROWS: usize = 4096;
/// Bytes of text that are turned into columns together; one row more may come on top.
pub const BATCH_BYTES: usize = 2 << 20;
/// Bytes of a row group, encoded.
pub const ROW_GROUP_BYTES: usize = 16 << 20;
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

/// How a table's file is written.
pub(crate) fn properties() -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
        .set_statistics_enabled(EnabledStatistics::Chunk);
    // Nearly all values differ, or are long: a dictionary is work for nothing.
    for name in ["tweet_key", "stamp", "tweet_text", "created_at"] {
        properties = properties.set_column_dictionary_enabled(ColumnPath::from(name), false);
    }
    // The ends of a text tell nothing.
    for name in [
        "tweet_text",
        "hashtags",
        "description",
        "contact_description",
    ] {
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

/// Begins a Parquet file.
pub(crate) fn parquet(
    pending: Pending,
    schema: arrow_schema::SchemaRef,
) -> Result<ArrowWriter<Pending>, Failure> {
    let path = pending.describe();
    // The schema of Arrow would only repeat what Parquet's own says.
    let options = ArrowWriterOptions::new()
        .with_properties(properties())
        .with_skip_arrow_metadata(true);
    ArrowWriter::try_new_with_options(pending, schema, options)
        .map_err(|error| of_write(&path, &error))
}

/// Where a table's file of an input is.
pub fn file_name(table: Table, input: &str) -> String {
    format!("{}/{input}.parquet", table.name())
}

/// Writes the facts of one input.
pub struct FactsWriter {
    tweets: Tweets,
    contact_tweets: ContactTweets,
    tag_uses: TagUses,
    sightings: Sightings,
    json: Vec<u8>,
    counted: Vec<(usize, i32)>,
}

impl std::fmt::Debug for FactsWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FactsWriter").finish_non_exhaustive()
    }
}

impl FactsWriter {
    /// Begins the four files of an input.
    ///
    /// # Errors
    ///
    /// The place is read-only, full or broken.
    pub fn create(place: &Place, input: &str) -> Result<Self, Failure> {
        let file = |table| TableWriter::create(place, table, input);
        Ok(Self {
            tweets: Tweets {
                file: file(Table::Tweets)?,
                tweet_key: Int64Builder::new(),
                hashtags: Int32Builder::new(),
            },
            contact_tweets: ContactTweets {
                file: file(Table::ContactTweets)?,
                tweet_key: Int64Builder::new(),
                sender_key: Int64Builder::new(),
                reply_key: Int64Builder::new(),
                retweet_key: Int64Builder::new(),
                created_at: Int64Builder::new(),
                stamp: Decimal128Builder::new().with_data_type(STAMP),
                tweet_text: StringBuilder::new(),
                hashtags: StringBuilder::new(),
            },
            tag_uses: TagUses {
                file: file(Table::TagUses)?,
                tweet_key: Int64Builder::new(),
                user_key: Int64Builder::new(),
                tag: StringBuilder::new(),
                uses: Int32Builder::new(),
            },
            sightings: Sightings {
                file: file(Table::Sightings)?,
                tweet_key: Int64Builder::new(),
                user_key: Int64Builder::new(),
                stamp: Decimal128Builder::new().with_data_type(STAMP),
                screen_name: StringBuilder::new(),
                description: StringBuilder::new(),
            },
            json: Vec::new(),
            counted: Vec::new(),
        })
    }

    /// Adds a valid tweet that the input did not have before.
    ///
    /// # Errors
    ///
    /// The place is full or broken.
    pub fn push(&mut self, tweet: &Tweet) -> Result<(), Failure> {
        let sender = tweet.sender.user_id;
        // No line holds so many.
        let count = |len| i32::try_from(len).unwrap_or(i32::MAX);
        self.tweets.push(tweet.id, count(tweet.hashtags.len()))?;
        count_tags(&tweet.hashtags, &mut self.counted);
        for (first, uses) in &self.counted {
            let tag = tweet.hashtags.get(*first).map_or("", String::as_str);
            self.tag_uses.push(tweet.id, sender, tag, *uses)?;
        }
        let stamp = |is_sender| key::sighting_stamp(tweet.created_at, tweet.id, is_sender);
        self.sightings.push(tweet.id, &tweet.sender, stamp(true))?;
        if let Some(retweeted) = &tweet.retweeted {
            self.sightings.push(tweet.id, retweeted, stamp(false))?;
        }
        if tweet.reply_to.is_some() || tweet.retweeted.is_some() {
            self.json.clear();
            let written = serde_json::to_writer(&mut self.json, &tweet.hashtags);
            let hashtags = written.ok().and_then(|()| str::from_utf8(&self.json).ok());
            let hashtags = hashtags.expect("texts always serialise");
            self.contact_tweets.push(tweet, hashtags)?;
        }
        Ok(())
    }

    /// Ends the files and puts them in force; rows and bytes of each.
    ///
    /// # Errors
    ///
    /// The place is full or broken.
    pub fn finish(mut self) -> Result<BTreeMap<String, TableFile>, Failure> {
        self.tweets.flush()?;
        self.contact_tweets.flush()?;
        self.tag_uses.flush()?;
        self.sightings.flush()?;
        let files = [
            (Table::Tweets, self.tweets.file),
            (Table::ContactTweets, self.contact_tweets.file),
            (Table::TagUses, self.tag_uses.file),
            (Table::Sightings, self.sightings.file),
        ];
        // All are complete before the first is in force.
        let mut ended = Vec::with_capacity(files.len());
        for (table, file) in files {
            ended.push((table, file.end()?));
        }
        let mut tables = BTreeMap::new();
        for (table, (pending, file)) in ended {
            pending.commit()?;
            tables.insert(table.name().to_owned(), file);
        }
        Ok(tables)
    }
}

/// Lists of tags up to this length are searched, longer ones hashed.
const SEARCHED_TAGS: usize = 16;

/// Where each tag of a list stands first, and how often it occurs.
fn count_tags(tags: &[String], counted: &mut Vec<(usize, i32)>) {
    counted.clear();
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    for (at, tag) in tags.iter().enumerate() {
        let known = if tags.len() <= SEARCHED_TAGS {
            let same = |(first, _): &(usize, i32)| tags.get(*first) == Some(tag);
            counted.iter().position(same)
        } else {
            let number = *numbers.entry(tag).or_insert(counted.len());
            Some(number).filter(|number| *number < counted.len())
        };
        match known.and_then(|number| counted.get_mut(number)) {
            Some((_, uses)) => *uses = uses.saturating_add(1),
            None => counted.push((at, 1)),
        }
    }
}

/// One file of facts, with the rows gathered for its next batch.
struct TableWriter {
    writer: ArrowWriter<Pending>,
    path: String,
    schema: arrow_schema::SchemaRef,
    /// The column that names the input: the same text, often enough for any batch.
    input: StringArray,
    rows: usize,
    bytes: usize,
    total_rows: u64,
}

impl TableWriter {
    fn create(place: &Place, table: Table, input: &str) -> Result<Self, Failure> {
        let pending = place.create(&file_name(table, input))?;
        let path = pending.describe();
        let schema = table.schema();
        let mut column = StringBuilder::with_capacity(BATCH_ROWS, BATCH_ROWS * input.len());
        column.append_value_n(input, BATCH_ROWS);
        Ok(Self {
            writer: parquet(pending, Arc::clone(&schema))?,
            path,
            schema,
            input: column.finish(),
            rows: 0,
            bytes: 0,
            total_rows: 0,
        })
    }

    /// Notes a row with so much text. Whether the batch is full.
    fn note(&mut self, bytes: usize) -> bool {
        self.rows += 1;
        self.bytes += bytes;
        self.rows >= BATCH_ROWS || self.bytes >= BATCH_BYTES
    }

    fn write(&mut self, columns: Vec<ArrayRef>) -> Result<(), Failure> {
        let mut all: Vec<ArrayRef> = vec![Arc::new(self.input.slice(0, self.rows))];
        all.extend(columns);
        self.total_rows += self.rows as u64;
        (self.rows, self.bytes) = (0, 0);
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), all);
        let batch = batch.map_err(|error| {
            let line = format!("{}: {error}", self.path);
            Failure::new(FailureKind::Software, line)
        })?;
        let written = self.writer.write(&batch);
        written.map_err(|error| of_write(&self.path, &error))
    }

    fn end(mut self) -> Result<(Pending, TableFile), Failure> {
        let failed = |error: &ParquetError| of_write(&self.path, error);
        self.writer.finish().map_err(|error| failed(&error))?;
        let file = TableFile {
            rows: self.total_rows,
            size_bytes: self.writer.bytes_written() as u64,
        };
        let pending = self.writer.into_inner().map_err(|error| failed(&error))?;
        Ok((pending, file))
    }
}

macro_rules! columns {
    ($self:ident, $($name:ident),+) => {
        vec![$(Arc::new($self.$name.finish()) as ArrayRef),+]
    };
}

struct Tweets {
    file: TableWriter,
    tweet_key: Int64Builder,
    hashtags: Int32Builder,
}

impl Tweets {
    fn push(&mut self, tweet_id: u64, hashtags: i32) -> Result<(), Failure> {
        self.tweet_key.append_value(key::of(tweet_id));
        self.hashtags.append_value(hashtags);
        if self.file.note(0) {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failure> {
        let columns = columns!(self, tweet_key, hashtags);
        self.file.write(columns)
    }
}

struct ContactTweets {
    file: TableWriter,
    tweet_key: Int64Builder,
    sender_key: Int64Builder,
    reply_key: Int64Builder,
    retweet_key: Int64Builder,
    created_at: Int64Builder,
    stamp: Decimal128Builder,
    tweet_text: StringBuilder,
    hashtags: StringBuilder,
}

impl ContactTweets {
    fn push(&mut self, tweet: &Tweet, hashtags: &str) -> Result<(), Failure> {
        let retweeted = tweet.retweeted.as_ref().map(|user| user.user_id);
        self.tweet_key.append_value(key::of(tweet.id));
        self.sender_key.append_value(key::of(tweet.sender.user_id));
        self.reply_key.append_option(tweet.reply_to.map(key::of));
        self.retweet_key.append_option(retweeted.map(key::of));
        self.created_at.append_value(tweet.created_at);
        self.stamp
            .append_value(key::stamp(tweet.created_at, tweet.id));
        self.tweet_text.append_value(&tweet.text);
        self.hashtags.append_value(hashtags);
        if self.file.note(tweet.text.len() + hashtags.len()) {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failure> {
        let columns = columns!(
            self,
            tweet_key,
            sender_key,
            reply_key,
            retweet_key,
            created_at,
            stamp,
            tweet_text,
            hashtags
        );
        self.file.write(columns)
    }
}

struct TagUses {
    file: TableWriter,
    tweet_key: Int64Builder,
    user_key: Int64Builder,
    tag: StringBuilder,
    uses: Int32Builder,
}

impl TagUses {
    fn push(&mut self, tweet_id: u64, user_id: u64, tag: &str, uses: i32) -> Result<(), Failure> {
        self.tweet_key.append_value(key::of(tweet_id));
        self.user_key.append_value(key::of(user_id));
        self.tag.append_value(tag);
        self.uses.append_value(uses);
        if self.file.note(tag.len()) {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failure> {
        let columns = columns!(self, tweet_key, user_key, tag, uses);
        self.file.write(columns)
    }
}

struct Sightings {
    file: TableWriter,
    tweet_key: Int64Builder,
    user_key: Int64Builder,
    stamp: Decimal128Builder,
    screen_name: StringBuilder,
    description: StringBuilder,
}

impl Sightings {
    fn push(&mut self, tweet_id: u64, user: &Sighting, stamp: i128) -> Result<(), Failure> {
        self.tweet_key.append_value(key::of(tweet_id));
        self.user_key.append_value(key::of(user.user_id));
        self.stamp.append_value(stamp);
        self.screen_name.append_value(&user.screen_name);
        self.description.append_value(&user.description);
        if self
            .file
            .note(user.screen_name.len() + user.description.len())
        {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failure> {
        let columns = columns!(self, tweet_key, user_key, stamp, screen_name, description);
        self.file.write(columns)
    }
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
                let uses = self.numbers::<Int32Type>("uses")?;
                for row in rows {
                    each(Fact::TagUse {
                        tweet_id: tweet_id(row),
                        user_id: key::id(users.value(row)),
                        tag: tags.value(row),
                        uses: count(uses.value(row)),
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
