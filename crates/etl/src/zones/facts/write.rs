//! Valid tweets to the four tables of one input.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow_array::builder::{Decimal128Builder, Int32Builder, Int64Builder, StringBuilder};
use arrow_array::{ArrayRef, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;

use super::{BATCH_BYTES, BATCH_ROWS, facts_file, file_name, of_write};
use crate::clean::{Sighting, Tweet};
use crate::failure::{Failure, FailureKind};
use crate::zones::key;
use crate::zones::place::{Pending, Place};
use crate::zones::working::{STAMP, Table, TableFile};

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
    ///
    /// # Panics
    ///
    /// Never: texts always serialise.
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
            writer: facts_file(pending, Arc::clone(&schema))?,
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

    fn end(self) -> Result<(Pending, TableFile), Failure> {
        let pending = self.writer.into_inner();
        let pending = pending.map_err(|error| of_write(&self.path, &error))?;
        let file = TableFile {
            rows: self.total_rows,
            size_bytes: pending.written_bytes(),
            crc32: format!("{:08x}", pending.crc32()),
        };
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
