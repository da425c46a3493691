//! All rows in memory.

use std::ops::Range;

use etl::failure::Failure;
use etl::score::{Table, Tally};
use etl::zones::place::Place;
use etl::zones::processed::{RunManifest, for_each_row};
use twitter_core::record::{Hashtags, Kind, Latest, Row};

/// The rows of a processed zone, held in memory.
#[derive(Debug)]
pub(crate) struct WholeTable {
    rows: Vec<Owned>,
    /// Where each user's rows end.
    ends: Vec<usize>,
    tally: Tally,
}

#[derive(Debug)]
struct Owned {
    user_id: u64,
    contact_id: u64,
    tweet_id: u64,
    created_at: i64,
    kind: Kind,
    latest: Latest,
    counts: [u32; 3],
    base_score: f64,
    tweet_text: Box<str>,
    hashtags: Vec<String>,
    names: [Box<str>; 2],
}

impl WholeTable {
    /// Reads all rows.
    ///
    /// # Errors
    ///
    /// As [`for_each_row`].
    pub(crate) fn read(place: &Place, run: &RunManifest, tally: Tally) -> Result<Self, Failure> {
        let mut table = Self {
            rows: Vec::new(),
            ends: Vec::new(),
            tally,
        };
        for_each_row(place, run, &mut |row| {
            if table
                .rows
                .last()
                .is_some_and(|last| last.user_id != row.user_id)
            {
                table.ends.push(table.rows.len());
            }
            table.rows.push(Owned::from(row));
            Ok(())
        })?;
        if !table.rows.is_empty() {
            table.ends.push(table.rows.len());
        }
        Ok(table)
    }

    fn range(&self, number: usize) -> Range<usize> {
        let end = self.ends.get(number).copied().unwrap_or_default();
        let before = number.checked_sub(1).and_then(|last| self.ends.get(last));
        before.copied().unwrap_or_default().min(end)..end
    }
}

impl From<&Row<'_>> for Owned {
    fn from(row: &Row<'_>) -> Self {
        Self {
            user_id: row.user_id,
            contact_id: row.contact_id,
            tweet_id: row.tweet_id,
            created_at: row.created_at,
            kind: row.kind,
            latest: row.latest,
            counts: [row.reply_count, row.retweet_count, row.same_tag_count],
            base_score: row.base_score,
            tweet_text: row.tweet_text.into(),
            hashtags: row.hashtags.iter().map(str::to_owned).collect(),
            names: [
                row.contact_screen_name.into(),
                row.contact_description.into(),
            ],
        }
    }
}

impl Owned {
    fn row(&self) -> Row<'_> {
        let [reply_count, retweet_count, same_tag_count] = self.counts;
        let [contact_screen_name, contact_description] = &self.names;
        Row {
            user_id: self.user_id,
            contact_id: self.contact_id,
            tweet_id: self.tweet_id,
            created_at: self.created_at,
            kind: self.kind,
            tweet_text: &self.tweet_text,
            hashtags: Hashtags::from(self.hashtags.as_slice()),
            contact_screen_name,
            contact_description,
            reply_count,
            retweet_count,
            same_tag_count,
            base_score: self.base_score,
            latest: self.latest,
        }
    }
}

impl Table for WholeTable {
    fn tally(&self) -> Tally {
        self.tally
    }

    fn users(&self) -> usize {
        self.ends.len()
    }

    fn with_user(&self, number: usize, visit: &mut dyn FnMut(&[Row<'_>])) {
        let rows = self.rows.get(self.range(number)).unwrap_or_default();
        let rows: Vec<Row<'_>> = rows.iter().map(Owned::row).collect();
        visit(&rows);
    }
}
