//! What must hold before a table is published.
//!
//! [`RowChecks`] follows the rows in the order of their keys, a user at a time and with memory that
//! does not grow with them; several may each follow a range of users, and [`finish`] adds them up.
//! They know nothing of the engine that made the rows. [`source`] compares a run with the working
//! zone it was made of; [`requests`] holds requests and what the rows answer to them.
//!
//! That every text is UTF-8 needs no rule: columns are read as UTF-8 or refused. Nor has a
//! replacement character a way in: nothing on the way decodes with replacement.

mod pairs;
pub mod requests;
pub mod rule;
mod sampler;
pub mod source;
mod spill;

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};

use twitter_core::query::lower_tag;
use twitter_core::record::Row;

use self::pairs::check_pair;
pub use self::requests::Requests;
pub use self::rule::{Failures, Rule};
use self::source::PairSample;
pub(crate) use self::spill::nameless;
use self::spill::{Spill, unity};
use crate::report::{FileCounts, Stats};
use crate::score::Excluded;

/// The first tweet was posted on this day: 2006-03-21.
pub const FIRST_TWEET: i64 = 1_142_899_200;

/// Ids above this tell the time they were made.
const FIRST_TIMED_ID: u64 = 1 << 35;
/// Milliseconds that timed ids count from.
const ID_EPOCH_MS: u64 = 1_288_834_974_657;
/// Seconds by which an id's time may differ from the tweet's.
const ID_TIME_SLACK: u64 = 2;

/// Classes of a [`Histogram`].
pub const HISTOGRAM_CLASSES: usize = 32;

/// How many things there are of each size: class *n* holds those of 2^(n-1) to 2^n - 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Histogram([u64; HISTOGRAM_CLASSES]);

impl Histogram {
    /// Notes one thing.
    pub fn add(&mut self, size: u64) {
        let class = (u64::BITS - size.leading_zeros()) as usize;
        if let Some(count) = self.0.get_mut(class.min(HISTOGRAM_CLASSES - 1)) {
            *count += 1;
        }
    }

    /// Adds another's.
    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.0.iter_mut().zip(other.0) {
            *count += more;
        }
    }

    /// The classes up to the last that holds something: their greatest sizes and counts.
    pub fn classes(&self) -> Vec<(u64, u64)> {
        let used = self.0.iter().rposition(|count| *count > 0);
        let used = used.map_or(0, |last| last + 1);
        let classes = self.0.iter().take(used).enumerate();
        classes
            .map(|(class, count)| ((1u64 << class) - 1, *count))
            .collect()
    }
}

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
    /// Rows whose tweet id tells a time.
    pub rows_with_id_time: u64,
    /// Those of them whose id tells another time than the row.
    pub rows_off_id_time: u64,
    /// Rows of user 0, or with contact 0.
    pub rows_of_user_0: u64,
    /// Files whose share of valid lines is over 3 points off the mean.
    pub files_off_mean: u64,
    /// Users by number of rows.
    pub rows_per_user: Histogram,
}

impl Watch {
    fn merge(&mut self, other: &Self) {
        self.contacts += other.contacts;
        self.contacts_without_name += other.contacts_without_name;
        self.contacts_without_description += other.contacts_without_description;
        self.longest_text = self.longest_text.max(other.longest_text);
        self.longest_description = self.longest_description.max(other.longest_description);
        self.most_tags = self.most_tags.max(other.most_tags);
        if other.most_rows > self.most_rows {
            self.most_rows = other.most_rows;
            self.most_rows_user = other.most_rows_user;
        }
        self.rows_with_id_time += other.rows_with_id_time;
        self.rows_off_id_time += other.rows_off_id_time;
        self.rows_of_user_0 += other.rows_of_user_0;
        self.files_off_mean += other.files_off_mean;
        self.rows_per_user.merge(&other.rows_per_user);
    }
}

/// What the checks of one run have in common.
#[derive(Debug, Clone)]
pub struct Terms {
    hasher: RandomState,
    now: i64,
    excluded: Excluded,
    spill_folder: PathBuf,
}

impl Terms {
    /// No tweet may be later than `now`, in seconds since 1970. The sample for counting same tags again
    /// holds pairs who share some of the excluded tags. What does not fit in memory goes into nameless
    /// files in a folder.
    pub fn new(now: i64, excluded: Excluded, spill_folder: PathBuf) -> Self {
        Self {
            hasher: RandomState::new(),
            now,
            excluded,
            spill_folder,
        }
    }

    /// Where temporary files lie.
    pub fn spill_folder(&self) -> &Path {
        &self.spill_folder
    }
}

/// What the rows must come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Expected {
    /// Rows, as the engine counted them.
    pub rows: u64,
    /// Different contact tweets, as the engine counted them.
    pub contact_tweets: u64,
    /// Rows and rows with oneself, as they follow from the relations of the inputs.
    pub from_relations: (u64, u64),
}

/// Follows the rows of a range of users.
#[derive(Debug)]
pub struct RowChecks {
    terms: Terms,
    failures: Failures,
    watch: Watch,
    last_key: Option<(u64, u64, u64)>,
    rows: u64,
    self_rows: u64,
    /// Sum over rows with user below contact, minus that over the others.
    mirror: u64,
    contacts: Spill,
    tweets: Spill,
    pairs: PairSample,
    requests: Requests,
}

/// What the rows of all ranges came to.
#[derive(Debug)]
pub struct Checked {
    /// What does not hold.
    pub failures: Failures,
    /// Figures worth a look.
    pub watch: Watch,
    /// Rows.
    pub rows: u64,
    /// Pairs whose same tag count is to be counted again.
    pub pairs: PairSample,
    /// Requests for the table.
    pub requests: Requests,
}

impl RowChecks {
    /// Before the first user.
    pub fn new(terms: &Terms) -> Self {
        Self {
            terms: terms.clone(),
            failures: Failures::default(),
            watch: Watch::default(),
            last_key: None,
            rows: 0,
            self_rows: 0,
            mirror: 0,
            contacts: Spill::default(),
            tweets: Spill::default(),
            pairs: PairSample::default(),
            requests: Requests::default(),
        }
    }

    /// Looks at the rows of the next user.
    ///
    /// # Errors
    ///
    /// The file for what does not fit in memory cannot be written.
    pub fn user(&mut self, rows: &[Row<'_>]) -> io::Result<()> {
        let count = rows.len() as u64;
        self.watch.rows_per_user.add(count);
        if count > self.watch.most_rows {
            self.watch.most_rows = count;
            self.watch.most_rows_user = rows.first().map_or(0, |row| row.user_id);
        }
        for row in rows {
            self.row(row)?;
        }
        for rows in rows.chunk_by(|a, b| a.contact_id == b.contact_id) {
            check_pair(rows, &mut self.failures);
            let Some(row) = rows.first() else { continue };
            self.watch.contacts += 1;
            self.watch.contacts_without_name += u64::from(row.contact_screen_name.is_empty());
            self.watch.contacts_without_description +=
                u64::from(row.contact_description.is_empty());
            self.pairs.pair(rows, &self.terms.excluded);
        }
        self.requests.user(rows);
        Ok(())
    }

    /// Whether nothing was found wrong so far.
    pub(crate) fn holds(&self) -> bool {
        self.failures.is_empty()
    }

    fn row(&mut self, row: &Row<'_>) -> io::Result<()> {
        let key = (row.user_id, row.contact_id, row.tweet_id);
        let failures = &mut self.failures;
        failures.unless(Rule::UniqueKey, self.last_key < Some(key), || {
            format!("row {key:?} is out of order or twice")
        });
        self.last_key = Some(key);
        let in_time = (FIRST_TWEET..=self.terms.now).contains(&row.created_at);
        failures.unless(Rule::Times, in_time, || {
            format!("row {key:?} was created at {}", row.created_at)
        });
        failures.unless(Rule::Texts, !row.tweet_text.is_empty(), || {
            format!("row {key:?} has no text")
        });
        let mut tags = 0usize;
        for tag in row.hashtags.iter() {
            tags += 1;
            let is_lower = !tag.is_empty() && lower_tag(tag) == tag;
            failures.unless(Rule::Tags, is_lower, || {
                format!("row {key:?} has the tag {tag:?}")
            });
        }
        let hasher = &self.terms.hasher;
        let list: Vec<&str> = row.hashtags.iter().collect();
        let content = hasher.hash_one((row.tweet_text, row.created_at, list));
        let names = hasher.hash_one((row.contact_screen_name, row.contact_description));
        let folder = &self.terms.spill_folder;
        self.contacts.push(folder, row.contact_id, names)?;
        // The other side's row has the same content, or the mirror is broken.
        if row.user_id <= row.contact_id {
            self.tweets.push(folder, row.tweet_id, content)?;
        }
        self.rows += 1;
        self.mirror(row, content);
        let watch = &mut self.watch;
        watch.longest_text = watch.longest_text.max(row.tweet_text.len());
        watch.longest_description = watch.longest_description.max(row.contact_description.len());
        watch.most_tags = watch.most_tags.max(tags);
        watch.rows_of_user_0 += u64::from(row.user_id == 0 || row.contact_id == 0);
        watch.rows_with_id_time += u64::from(row.tweet_id > FIRST_TIMED_ID);
        watch.rows_off_id_time += u64::from(is_off_id_time(row));
        Ok(())
    }

    /// Rows and their mirror images cancel out.
    fn mirror(&mut self, row: &Row<'_>, content: u64) {
        let low = row.user_id.min(row.contact_id);
        let high = row.user_id.max(row.contact_id);
        let counts = (row.reply_count, row.retweet_count, row.same_tag_count);
        let marks = (row.kind, row.latest, row.base_score.to_bits());
        let image = (low, high, row.tweet_id, counts, marks, content);
        let image = self.terms.hasher.hash_one(image);
        match row.user_id.cmp(&row.contact_id) {
            std::cmp::Ordering::Less => self.mirror = self.mirror.wrapping_add(image),
            std::cmp::Ordering::Greater => self.mirror = self.mirror.wrapping_sub(image),
            std::cmp::Ordering::Equal => self.self_rows += 1,
        }
    }
}

/// Adds up what the checks of all ranges found; compares contents with so many threads.
///
/// # Errors
///
/// What did not fit in memory cannot be read back.
pub fn finish(parts: Vec<RowChecks>, expected: &Expected, jobs: usize) -> io::Result<Checked> {
    let contacts: Vec<&Spill> = parts.iter().map(|part| &part.contacts).collect();
    let names = unity(&contacts, jobs)?;
    let tweets: Vec<&Spill> = parts.iter().map(|part| &part.tweets).collect();
    let tweets = unity(&tweets, jobs)?;
    let mut checked = Checked {
        failures: Failures::default(),
        watch: Watch::default(),
        rows: 0,
        pairs: PairSample::default(),
        requests: Requests::default(),
    };
    let (mut self_rows, mut mirror) = (0, 0u64);
    for part in parts {
        checked.failures.merge(part.failures);
        checked.watch.merge(&part.watch);
        checked.rows += part.rows;
        checked.pairs.merge(part.pairs);
        checked.requests.merge(part.requests);
        self_rows += part.self_rows;
        mirror = mirror.wrapping_add(part.mirror);
    }
    let failures = &mut checked.failures;
    failures.unless(Rule::Mirror, mirror == 0, || {
        "some rows have no equal one under the other user".to_owned()
    });
    failures.unless(Rule::OneName, names.torn == 0, || {
        let (count, examples) = (names.torn, &names.examples);
        format!("{count} contacts have several names or descriptions, first {examples:?}")
    });
    failures.unless(Rule::OneTweet, tweets.torn == 0, || {
        let (count, examples) = (tweets.torn, &tweets.examples);
        format!("{count} tweets have several texts, times or lists of tags, first {examples:?}")
    });
    let rows = checked.rows;
    failures.unless(Rule::Rows, rows == expected.rows, || {
        format!("{rows} rows, but the engine counted {}", expected.rows)
    });
    let holds = tweets.distinct == expected.contact_tweets;
    failures.unless(Rule::Rows, holds, || {
        let (found, counted) = (tweets.distinct, expected.contact_tweets);
        format!("{found} contact tweets, but the engine counted {counted}")
    });
    let wanted = expected.from_relations;
    failures.unless(Rule::Rows, (rows, self_rows) == wanted, || {
        let (rows_wanted, self_wanted) = wanted;
        format!(
            "{rows} rows, {self_rows} of them with oneself, but the relations make {rows_wanted} and {self_wanted}"
        )
    });
    Ok(checked)
}

/// Counts the files whose share of valid lines is far from the mean.
pub fn files_off_mean(files: &[FileCounts], stats: &Stats) -> u64 {
    let is_off = |file: &&FileCounts| {
        // Compared by cross-multiplication.
        let (valid, all) = (u128::from(file.counts.valid), u128::from(file.counts.lines));
        let mean_valid = u128::from(stats.counts.valid) * all;
        let own_valid = valid * u128::from(stats.counts.lines);
        let slack = 3 * all * u128::from(stats.counts.lines) / 100;
        own_valid.abs_diff(mean_valid) > slack
    };
    files.iter().filter(is_off).count() as u64
}

/// Whether every line of every file, and of all together, is accounted for.
pub fn check_lines(stats: &Stats, files: &[FileCounts], failures: &mut Failures) {
    let mut lines = 0;
    for file in files {
        failures.unless(Rule::Lines, file.counts.is_complete(), || {
            let name = file.path.display();
            format!("{name}: reasons and valid tweets do not add up to its lines")
        });
        lines += file.counts.lines;
    }
    let is_sum = lines == stats.counts.lines && stats.counts.is_complete();
    failures.unless(Rule::Lines, is_sum, || {
        "the total is not the sum of the files".to_owned()
    });
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
