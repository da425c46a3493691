//! Rows back from their files.

use std::borrow::Cow;

use arrow_array::types::{Int32Type, Int64Type};
use twitter_core::record::{Hashtags, Kind, Latest, Row};
use twitter_core::score::base_score;

use super::{MAX_MANIFEST_BYTES, PROCESSED_VERSION, ROWS, RUN, RunManifest};
use crate::failure::{Failure, FailureKind};
use crate::zones::facts::{Columns, batches};
use crate::zones::key;
use crate::zones::place::Place;

/// The manifest of a processed zone; `None` if there is no finished run.
///
/// # Errors
///
/// It cannot be read, is of another version or damaged.
pub fn manifest(place: &Place) -> Result<Option<RunManifest>, Failure> {
    let Some(bytes) = place.read(RUN, MAX_MANIFEST_BYTES)? else {
        return Ok(None);
    };
    let path = place.describe(RUN);
    let refuse = |text: String| Failure::new(FailureKind::Input, format!("{path}: {text}"));
    let damaged = |error| refuse(format!("{error}; remove it and score again"));
    let value: serde_json::Value = serde_json::from_slice(&bytes).map_err(damaged)?;
    let version = value.get("processed_version");
    let version = version.and_then(serde_json::Value::as_u64);
    if version != Some(u64::from(PROCESSED_VERSION)) {
        let found = version.map_or_else(|| "no".to_owned(), |version| version.to_string());
        return Err(refuse(format!(
            "the processed zone has layout version {found}, this program reads and writes {PROCESSED_VERSION}; score into an empty folder"
        )));
    }
    serde_json::from_value(value).map(Some).map_err(damaged)
}

/// Hands over all rows in the order of the key. Holds one batch.
///
/// # Errors
///
/// A file is missing or damaged, or has another number of rows than the manifest says; or `each`
/// says so.
pub fn for_each_row(
    place: &Place,
    run: &RunManifest,
    each: &mut dyn FnMut(&Row<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    for file in &run.rows {
        let name = format!("{ROWS}/{}", file.name);
        let path = place.describe(&name);
        let mut rows = 0;
        for batch in batches(place.open(&name)?, &path)? {
            let batch = batch?;
            rows += batch.num_rows() as u64;
            let columns = Columns {
                batch: &batch,
                path: &path,
            };
            hand_over(&columns, each)?;
        }
        if rows != file.rows {
            return Err(damaged(&path, "it has other rows than run.json says"));
        }
    }
    Ok(())
}

fn damaged(path: &str, what: &str) -> Failure {
    let line = format!("{path}: {what}; score again");
    Failure::new(FailureKind::Input, line)
}

fn hand_over(
    columns: &Columns<'_>,
    each: &mut dyn FnMut(&Row<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let longs = |name| columns.numbers::<Int64Type>(name);
    let ints = |name| columns.numbers::<Int32Type>(name);
    let texts = |name| columns.texts(name);
    let bad = |what| damaged(columns.path, what);
    let (users, contacts) = (longs("user_key")?, longs("contact_key")?);
    let (tweets, created_at) = (longs("tweet_key")?, longs("created_at")?);
    let (kinds, latest) = (ints("kind")?, ints("latest")?);
    let (tweet_texts, hashtags) = (texts("tweet_text")?, texts("hashtags")?);
    let names = texts("contact_screen_name")?;
    let descriptions = texts("contact_description")?;
    let (replies, retweets) = (longs("reply_count")?, longs("retweet_count")?);
    let same_tags = longs("same_tag_count")?;
    for row in 0..columns.batch.num_rows() {
        let tags: Vec<Cow<'_, str>> = serde_json::from_str(hashtags.value(row))
            .map_err(|_| bad("a list of hashtags is no JSON array of texts"))?;
        let tags: Vec<&str> = tags.iter().map(AsRef::as_ref).collect();
        let count = |value: i64| u32::try_from(value).map_err(|_| bad("a count is out of range"));
        let reply_count = count(replies.value(row))?;
        let retweet_count = count(retweets.value(row))?;
        let same_tag_count = count(same_tags.value(row))?;
        let kind = u8::try_from(kinds.value(row)).ok();
        let marks = u8::try_from(latest.value(row)).ok();
        each(&Row {
            user_id: key::id(users.value(row)),
            contact_id: key::id(contacts.value(row)),
            tweet_id: key::id(tweets.value(row)),
            created_at: created_at.value(row),
            kind: kind
                .and_then(Kind::from_bits)
                .ok_or_else(|| bad("a kind is out of range"))?,
            tweet_text: tweet_texts.value(row),
            hashtags: Hashtags::from(tags.as_slice()),
            contact_screen_name: names.value(row),
            contact_description: descriptions.value(row),
            reply_count,
            retweet_count,
            same_tag_count,
            base_score: base_score(reply_count, retweet_count, same_tag_count),
            latest: marks
                .and_then(Latest::from_bits)
                .ok_or_else(|| bad("a latest mark is out of range"))?,
        })?;
    }
    Ok(())
}
