//! The rows of one user, as they lie in decoded batches.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{Array as _, Int32Array, Int64Array, RecordBatch, StringArray};
use twitter_core::record::{Hashtags, Kind, Latest, Row};
use twitter_core::score::base_score;

use crate::failure::{Failure, FailureKind};
use crate::zones::key;

/// The columns of one batch.
#[derive(Debug)]
pub(super) struct Batch {
    user: Int64Array,
    contact: Int64Array,
    tweet: Int64Array,
    created_at: Int64Array,
    kind: Int32Array,
    text: StringArray,
    hashtags: StringArray,
    screen_name: StringArray,
    description: StringArray,
    replies: Int64Array,
    retweets: Int64Array,
    same_tags: Int64Array,
    latest: Int32Array,
}

impl Batch {
    /// Takes the columns, none of which may hold a null.
    pub(super) fn new(batch: &RecordBatch) -> Result<Self, String> {
        for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
            if column.null_count() > 0 {
                return Err(format!("column {} holds a null", field.name()));
            }
        }
        let column = |name: &str| {
            let column = batch.column_by_name(name);
            column.ok_or_else(|| format!("no column {name}"))
        };
        let longs = |name: &str| Ok::<_, String>(column(name)?.as_primitive::<Int64Type>().clone());
        let ints = |name: &str| Ok::<_, String>(column(name)?.as_primitive::<Int32Type>().clone());
        let texts = |name: &str| Ok::<_, String>(column(name)?.as_string::<i32>().clone());
        Ok(Self {
            user: longs("user_key")?,
            contact: longs("contact_key")?,
            tweet: longs("tweet_key")?,
            created_at: longs("created_at")?,
            kind: ints("kind")?,
            text: texts("tweet_text")?,
            hashtags: texts("hashtags")?,
            screen_name: texts("contact_screen_name")?,
            description: texts("contact_description")?,
            replies: longs("reply_count")?,
            retweets: longs("retweet_count")?,
            same_tags: longs("same_tag_count")?,
            latest: ints("latest")?,
        })
    }
}

/// Some rows of a batch.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    batch: Arc<Batch>,
    rows: Range<usize>,
}

impl Segment {
    pub(super) fn all(batch: Arc<Batch>) -> Self {
        let rows = 0..batch.user.len();
        Self { batch, rows }
    }

    /// The users' keys.
    pub(super) fn keys(&self) -> &[i64] {
        let keys: &[i64] = self.batch.user.values();
        keys.get(self.rows.clone()).unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The first `count` rows, and the others.
    pub(super) fn split(&self, count: usize) -> (Self, Self) {
        let middle = (self.rows.start + count).min(self.rows.end);
        let part = |rows| Self {
            batch: Arc::clone(&self.batch),
            rows,
        };
        (part(self.rows.start..middle), part(middle..self.rows.end))
    }
}

/// All rows of one user.
#[derive(Debug)]
pub struct UserRows {
    segments: Vec<Segment>,
}

impl UserRows {
    pub(super) fn new(segments: Vec<Segment>) -> Self {
        Self { segments }
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.segments.iter().map(|segment| segment.rows.len()).sum()
    }

    /// Shows the rows, in the order of the files, with base scores worked out from the counts.
    ///
    /// # Errors
    ///
    /// A row holds a kind, marks, count or list of hashtags that is none.
    pub fn with_rows<T>(&self, visit: impl FnOnce(&[Row<'_>]) -> T) -> Result<T, Failure> {
        let count = self.count();
        let mut lists = TagLists::with_capacity(count);
        for segment in &self.segments {
            for row in segment.rows.clone() {
                let list = segment.batch.hashtags.value(row);
                lists
                    .push(list)
                    .map_err(|error| segment.broken(row, &format!("hashtags: {error}")))?;
            }
        }
        let lists = lists.finish();
        let mut rows = Vec::with_capacity(count);
        let mut number = 0;
        for segment in &self.segments {
            for row in segment.rows.clone() {
                let tags = lists.get(number);
                number += 1;
                rows.push(segment.row(row, Hashtags::from(tags))?);
            }
        }
        Ok(visit(&rows))
    }
}

impl Segment {
    fn row<'a>(&'a self, row: usize, hashtags: Hashtags<'a>) -> Result<Row<'a>, Failure> {
        let batch = &*self.batch;
        let count = |column: &Int64Array, name: &str| {
            let value = column.value(row);
            u32::try_from(value).map_err(|_| self.broken(row, &format!("{name} is {value}")))
        };
        let bits = |column: &Int32Array| u8::try_from(column.value(row)).ok();
        let kind = bits(&batch.kind).and_then(Kind::from_bits);
        let latest = bits(&batch.latest).and_then(Latest::from_bits);
        let reply_count = count(&batch.replies, "reply_count")?;
        let retweet_count = count(&batch.retweets, "retweet_count")?;
        let same_tag_count = count(&batch.same_tags, "same_tag_count")?;
        Ok(Row {
            user_id: key::id(batch.user.value(row)),
            contact_id: key::id(batch.contact.value(row)),
            tweet_id: key::id(batch.tweet.value(row)),
            created_at: batch.created_at.value(row),
            kind: kind.ok_or_else(|| self.broken(row, "kind is not 1, 2 or 3"))?,
            tweet_text: batch.text.value(row),
            hashtags,
            contact_screen_name: batch.screen_name.value(row),
            contact_description: batch.description.value(row),
            reply_count,
            retweet_count,
            same_tag_count,
            base_score: base_score(reply_count, retweet_count, same_tag_count),
            latest: latest.ok_or_else(|| self.broken(row, "latest is not 0 to 7"))?,
        })
    }

    fn broken(&self, row: usize, text: &str) -> Failure {
        let user = key::id(self.batch.user.value(row));
        let contact = key::id(self.batch.contact.value(row));
        let tweet = key::id(self.batch.tweet.value(row));
        let line = format!("the row ({user}, {contact}, {tweet}): {text}");
        Failure::new(FailureKind::Input, line)
    }
}

/// The hashtags of many rows. Most lists need no unescaping and are borrowed.
struct TagLists<'a> {
    tags: Vec<Tag<'a>>,
    ends: Vec<usize>,
}

enum Tag<'a> {
    Plain(&'a str),
    Unescaped(String),
}

impl<'a> TagLists<'a> {
    fn with_capacity(rows: usize) -> Self {
        Self {
            tags: Vec::with_capacity(rows),
            ends: Vec::with_capacity(rows),
        }
    }

    /// Adds a list in its compact JSON form.
    fn push(&mut self, list: &'a str) -> Result<(), serde_json::Error> {
        let plain = list
            .strip_prefix("[\"")
            .and_then(|list| list.strip_suffix("\"]"));
        let is_plain = |list: &&str| memchr::memchr(b'\\', list.as_bytes()).is_none();
        if let Some(plain) = plain.filter(is_plain)
            && plain.split("\",\"").all(|tag| !tag.contains('"'))
        {
            self.tags.extend(plain.split("\",\"").map(Tag::Plain));
        } else {
            let list: Vec<String> = serde_json::from_str(list)?;
            self.tags.extend(list.into_iter().map(Tag::Unescaped));
        }
        self.ends.push(self.tags.len());
        Ok(())
    }

    fn finish(&self) -> Lists<'_> {
        let tags = self.tags.iter().map(|tag| match tag {
            Tag::Plain(tag) => *tag,
            Tag::Unescaped(tag) => tag.as_str(),
        });
        Lists {
            tags: tags.collect(),
            ends: &self.ends,
        }
    }
}

struct Lists<'a> {
    tags: Vec<&'a str>,
    ends: &'a [usize],
}

impl Lists<'_> {
    fn get(&self, number: usize) -> &[&str] {
        let end = self.ends.get(number).copied().unwrap_or_default();
        let before = number.checked_sub(1).and_then(|last| self.ends.get(last));
        let start = before.copied().unwrap_or_default();
        self.tags.get(start..end).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_tags_are_read_plain_or_escaped() {
        let mut lists = TagLists::with_capacity(4);
        for list in [
            r#"["a","b,c"]"#,
            "[]",
            r#"["q\"r","\u00e9","\\"]"#,
            r#"["é"]"#,
        ] {
            lists.push(list).unwrap();
        }
        assert!(lists.push(r#"["a"b"]"#).is_err());
        assert!(lists.push(r#"["a""#).is_err());
        let lists = lists.finish();
        assert_eq!(lists.get(0), ["a", "b,c"]);
        assert!(lists.get(1).is_empty());
        assert_eq!(lists.get(2), ["q\"r", "é", "\\"]);
        assert_eq!(lists.get(3), ["é"]);
    }
}
