//! What must hold before a table is published.
//!
//! [`table`] walks the rows once and follows what the rules demand of them,
//! without help from the engine that made them; [`recheck_tags`] reads the
//! facts again and counts the hashtags of some pairs in the plainest way.
//! That every text is UTF-8 without replacement characters of ours needs no
//! check: nothing on the way decodes with replacement.

mod pairs;
mod sample;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use twitter_core::query::lower_tag;
use twitter_core::record::Row;

use self::pairs::check_pair;
pub use self::sample::{Sample, recheck_tags};
use crate::report::{FileCounts, Stats};
use crate::score::Table;

/// The first tweet was posted on this day: 2006-03-21.
pub const FIRST_TWEET: i64 = 1_142_899_200;

/// Failures reported in full; more are only counted.
const MAX_FAILURES: usize = 50;

/// Ids above this tell the time they were made.
const FIRST_TIMED_ID: u64 = 1 << 35;
/// Milliseconds that timed ids count from.
const ID_EPOCH_MS: u64 = 1_288_834_974_657;
/// Seconds by which an id's time may differ from the tweet's.
const ID_TIME_SLACK: u64 = 2;

/// Figures that are no failure but worth a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Watch {
    /// Contacts, of all users together.
    pub contacts: u64,
    /// Those of them with an empty screen name.
    pub contacts_without_name: u64,
    /// Those of them with an empty description.
    pub contacts_without_description: u64,
    /// Bytes of the longest text.
    pub longest_text: usize,
    /// Bytes of the longest description.
    pub longest_description: usize,
    /// Tags of the longest list.
    pub most_tags: usize,
    /// Rows of the user with the most.
    pub most_rows: u64,
    /// Who that is.
    pub most_rows_user: u64,
    /// Rows whose tweet id tells another time than the row.
    pub rows_off_id_time: u64,
    /// Rows of user 0, or with contact 0.
    pub rows_of_user_0: u64,
    /// Files whose share of valid lines is over 3 points off the mean.
    pub files_off_mean: u64,
}

/// Checks the rows and figures of a run. Returns what failed, a line each.
pub fn table(
    table: &impl Table,
    stats: &Stats,
    files: &[FileCounts],
    now: i64,
) -> (Watch, Vec<String>) {
    let mut check = Check {
        now,
        hasher: RandomState::new(),
        failures: Failures::default(),
        watch: Watch::default(),
        last_key: None,
        rows: 0,
        self_rows: 0,
        mirror: 0,
        contacts: HashMap::new(),
        tweets: HashMap::new(),
    };
    check.files(stats, files);
    for number in 0..table.users() {
        table.with_user(number, &mut |rows| check.user(rows));
    }
    check.end(stats);
    (check.watch, check.failures.into_lines())
}

/// Failed checks.
#[derive(Debug, Default)]
struct Failures {
    lines: Vec<String>,
    more: u64,
}

impl Failures {
    fn unless(&mut self, holds: bool, message: impl FnOnce() -> String) {
        if holds {
            return;
        }
        if self.lines.len() < MAX_FAILURES {
            self.lines.push(message());
        } else {
            self.more += 1;
        }
    }

    fn into_lines(mut self) -> Vec<String> {
        if self.more > 0 {
            self.lines.push(format!("and {} more", self.more));
        }
        self.lines
    }
}

struct Check {
    now: i64,
    hasher: RandomState,
    failures: Failures,
    watch: Watch,
    last_key: Option<(u64, u64, u64)>,
    rows: u64,
    self_rows: u64,
    /// Sum over rows with user below contact, minus that over the others.
    mirror: u64,
    /// A fingerprint of each contact's names.
    contacts: HashMap<u64, u64>,
    /// A fingerprint of each tweet.
    tweets: HashMap<u64, u64>,
}

impl Check {
    fn files(&mut self, stats: &Stats, files: &[FileCounts]) {
        let mut lines = 0;
        for file in files {
            let name = file.path.display();
            let is_complete = file.counts.is_complete();
            let message = || format!("{name}: reasons and valid tweets do not add up to its lines");
            self.failures.unless(is_complete, message);
            lines += file.counts.lines;
            // Thousandths, compared by cross-multiplication.
            let (valid, all) = (u128::from(file.counts.valid), u128::from(file.counts.lines));
            let mean_valid = u128::from(stats.counts.valid) * all;
            let own_valid = valid * u128::from(stats.counts.lines);
            let slack = 3 * all * u128::from(stats.counts.lines) / 100;
            self.watch.files_off_mean += u64::from(own_valid.abs_diff(mean_valid) > slack);
        }
        let is_sum = lines == stats.counts.lines && stats.counts.is_complete();
        self.failures.unless(is_sum, || {
            "the total is not the sum of the files".to_owned()
        });
    }

    fn user(&mut self, rows: &[Row<'_>]) {
        let count = rows.len() as u64;
        if count > self.watch.most_rows {
            self.watch.most_rows = count;
            self.watch.most_rows_user = rows.first().map_or(0, |row| row.user_id);
        }
        for row in rows {
            self.row(row);
        }
        for rows in rows.chunk_by(|a, b| a.contact_id == b.contact_id) {
            check_pair(rows, &mut self.failures);
            let Some(row) = rows.first() else { continue };
            self.watch.contacts += 1;
            self.watch.contacts_without_name += u64::from(row.contact_screen_name.is_empty());
            self.watch.contacts_without_description +=
                u64::from(row.contact_description.is_empty());
        }
    }

    fn row(&mut self, row: &Row<'_>) {
        let key = (row.user_id, row.contact_id, row.tweet_id);
        let is_next = self.last_key < Some(key);
        let failures = &mut self.failures;
        failures.unless(is_next, || format!("row {key:?} is out of order or twice"));
        self.last_key = Some(key);
        let in_time = (FIRST_TWEET..=self.now).contains(&row.created_at);
        failures.unless(in_time, || {
            format!("row {key:?} was created at {}", row.created_at)
        });
        let has_text = !row.tweet_text.is_empty();
        failures.unless(has_text, || format!("row {key:?} has no text"));
        let mut tags = 0usize;
        for tag in row.hashtags.iter() {
            tags += 1;
            let is_lower = !tag.is_empty() && lower_tag(tag) == tag;
            failures.unless(is_lower, || format!("row {key:?} has the tag {tag:?}"));
        }

        let names = (row.contact_screen_name, row.contact_description);
        let names = self.hasher.hash_one(names);
        let known = *self.contacts.entry(row.contact_id).or_insert(names);
        failures.unless(known == names, || {
            format!("row {key:?} has other names than an earlier one")
        });
        let list: Vec<&str> = row.hashtags.iter().collect();
        let content = self.hasher.hash_one((row.tweet_text, row.created_at, list));
        let known = *self.tweets.entry(row.tweet_id).or_insert(content);
        failures.unless(known == content, || {
            format!("row {key:?} has another text, time or tags than an earlier one")
        });

        self.rows += 1;
        self.mirror(row);
        let watch = &mut self.watch;
        watch.longest_text = watch.longest_text.max(row.tweet_text.len());
        watch.longest_description = watch.longest_description.max(row.contact_description.len());
        watch.most_tags = watch.most_tags.max(tags);
        watch.rows_of_user_0 += u64::from(row.user_id == 0 || row.contact_id == 0);
        watch.rows_off_id_time += u64::from(is_off_id_time(row));
    }

    /// Rows and their mirror images cancel out.
    fn mirror(&mut self, row: &Row<'_>) {
        let (low, high) = (
            row.user_id.min(row.contact_id),
            row.user_id.max(row.contact_id),
        );
        let counts = (row.reply_count, row.retweet_count, row.same_tag_count);
        let marks = (row.kind, row.latest, row.base_score.to_bits());
        let image = self
            .hasher
            .hash_one((low, high, row.tweet_id, counts, marks));
        match row.user_id.cmp(&row.contact_id) {
            std::cmp::Ordering::Less => self.mirror = self.mirror.wrapping_add(image),
            std::cmp::Ordering::Greater => self.mirror = self.mirror.wrapping_sub(image),
            std::cmp::Ordering::Equal => self.self_rows += 1,
        }
    }

    fn end(&mut self, stats: &Stats) {
        let failures = &mut self.failures;
        failures.unless(self.mirror == 0, || {
            "some rows have no equal one under the other user".to_owned()
        });
        let tally = &stats.tally;
        let holds = self.rows == tally.table_rows
            && self.rows == stats.relations.rows()
            && self.self_rows == stats.relations.with_oneself
            && self.tweets.len() as u64 == tally.contact_tweets;
        failures.unless(holds, || {
            format!(
                "{} rows, {} of them with oneself, do not fit {:?} and {} contact tweets",
                self.rows, self.self_rows, stats.relations, tally.contact_tweets
            )
        });
    }
}

/// Whether a timed tweet id tells another second than the row.
fn is_off_id_time(row: &Row<'_>) -> bool {
    if row.tweet_id <= FIRST_TIMED_ID {
        return false;
    }
    let id_time = ((row.tweet_id >> 22) + ID_EPOCH_MS) / 1000;
    let time = u64::try_from(row.created_at).unwrap_or_default();
    id_time.abs_diff(time) > ID_TIME_SLACK
}

#[cfg(test)]
mod tests;
