//! What a run counted, for people and for other programs.

mod page;
mod run;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

pub use self::run::{FORMAT, Run};
use crate::clean::Reason;
use crate::score::Tally;

/// Lines by what became of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// All.
    pub lines: u64,
    /// Those that count.
    pub valid: u64,
    rejected: [u64; Reason::ALL.len()],
}

impl Counts {
    /// Notes a line that does not count.
    pub fn reject(&mut self, reason: Reason) {
        self.lines += 1;
        if let Some(count) = self.rejected.get_mut(reason as usize) {
            *count += 1;
        }
    }

    /// Notes a line that counts.
    pub fn accept(&mut self) {
        self.lines += 1;
        self.valid += 1;
    }

    /// Lines dropped for a reason.
    pub fn rejected(&self, reason: Reason) -> u64 {
        self.rejected
            .get(reason as usize)
            .copied()
            .unwrap_or_default()
    }

    /// Adds another's counts.
    pub fn add(&mut self, other: &Self) {
        self.lines += other.lines;
        self.valid += other.valid;
        for (count, more) in self.rejected.iter_mut().zip(other.rejected) {
            *count += more;
        }
    }

    /// By name, as in [`Stats`]: lines, `rejected_*` and valid tweets.
    pub fn to_map(&self) -> Map<String, Value> {
        let rejected = Reason::ALL.map(|reason| (rejected_key(reason), self.rejected(reason)));
        let mut map = Map::new();
        map.insert("lines".to_owned(), self.lines.into());
        map.extend(rejected.map(|(key, count)| (key, count.into())));
        map.insert("valid_tweets".to_owned(), self.valid.into());
        map
    }

    /// The reverse of [`Self::to_map`]; `None` if a count is missing.
    pub fn from_map(map: &Map<String, Value>) -> Option<Self> {
        let count = |key: &str| map.get(key)?.as_u64();
        let mut counts = Self {
            lines: count("lines")?,
            valid: count("valid_tweets")?,
            ..Self::default()
        };
        for (slot, reason) in counts.rejected.iter_mut().zip(Reason::ALL) {
            *slot = count(&rejected_key(reason))?;
        }
        Some(counts)
    }

    /// Counts valid tweets as duplicates instead, as an earlier file has them too.
    pub fn repeat(&mut self, tweets: u64) {
        let tweets = tweets.min(self.valid);
        self.valid -= tweets;
        if let Some(count) = self.rejected.get_mut(Reason::Duplicate as usize) {
            *count += tweets;
        }
    }

    /// Whether every line is accounted for.
    pub fn is_complete(&self) -> bool {
        self.lines == self.valid + self.rejected.iter().sum::<u64>()
    }
}

/// The counts of one input file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileCounts {
    /// The file.
    pub path: PathBuf,
    /// Its lines.
    pub counts: Counts,
}

/// The figures of a run: lines by reason, and what was built.
///
/// Serialised as one flat object with the keys always in the same order:
/// `lines`, `rejected_*` in the order of [`Reason::ALL`], `valid_tweets`, then
/// those of [`Tally`]. The relations are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Lines of all files.
    pub counts: Counts,
    /// What was built.
    pub tally: Tally,
    /// What the rows must come to, counted without the engine.
    pub relations: Relations,
}

/// Relations of valid tweets: a tweet and another user, or its sender again.
/// A tweet that answers and repeats one user is one relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Relations {
    /// All.
    pub all: u64,
    /// Those of a sender with themself.
    pub with_oneself: u64,
}

impl Relations {
    /// Notes a tweet that counts.
    pub fn add(&mut self, sender: u64, reply_to: Option<u64>, retweeted: Option<u64>) {
        let retweeted = retweeted.filter(|user| reply_to != Some(*user));
        for other in [reply_to, retweeted].into_iter().flatten() {
            self.all += 1;
            self.with_oneself += u64::from(other == sender);
        }
    }

    /// Rows of the table.
    pub fn rows(&self) -> u64 {
        2 * self.all - self.with_oneself
    }
}

impl Serialize for Stats {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("lines", &self.counts.lines)?;
        for reason in Reason::ALL {
            map.serialize_entry(&rejected_key(reason), &self.counts.rejected(reason))?;
        }
        map.serialize_entry("valid_tweets", &self.counts.valid)?;
        serialize_tally(&self.tally, &mut map)?;
        map.end()
    }
}

fn rejected_key(reason: Reason) -> String {
    format!("rejected_{}", reason.name())
}

fn serialize_tally<M: SerializeMap>(tally: &Tally, map: &mut M) -> Result<(), M::Error> {
    for (key, value) in [
        ("hashtag_occurrences", tally.hashtag_occurrences),
        ("reply_tweets", tally.reply_tweets),
        ("contact_tweets", tally.contact_tweets),
        ("retweet_tweets", tally.retweet_tweets),
        ("distinct_hashtags", tally.distinct_hashtags),
        ("users_with_info", tally.users_with_info),
        ("users_with_contacts", tally.users_with_contacts),
        (
            "contacted_users_without_info",
            tally.contacted_users_without_info,
        ),
        ("pairs", tally.pairs),
        ("self_pairs", tally.self_pairs),
        ("pairs_with_hashtag_bonus", tally.pairs_with_hashtag_bonus),
        ("table_rows", tally.table_rows),
    ] {
        map.serialize_entry(key, &value)?;
    }
    Ok(())
}

impl Stats {
    /// As JSON text, one key a line, indented by one space, with a newline at
    /// the end.
    ///
    /// # Panics
    ///
    /// Never: numbers under text keys always serialise.
    pub fn to_json(&self) -> String {
        let mut text = Vec::new();
        let indent = serde_json::ser::PrettyFormatter::with_indent(b" ");
        let mut serializer = serde_json::Serializer::with_formatter(&mut text, indent);
        self.serialize(&mut serializer)
            .expect("numbers under text keys always serialise");
        text.push(b'\n');
        String::from_utf8(text).expect("JSON is UTF-8")
    }
}

/// A table for the terminal: a line for each file, one for all of them, and
/// the figures of what was built.
pub fn text(files: &[FileCounts], stats: &Stats) -> String {
    let mut rows = vec![header()];
    rows.extend(files.iter().map(|file| {
        let name = file.path.file_name().map(Path::new);
        line(
            &name.unwrap_or(&file.path).display().to_string(),
            &file.counts,
        )
    }));
    rows.push(line("total", &stats.counts));
    let widths: Vec<usize> = (0..rows.first().map_or(0, Vec::len))
        .map(|column| {
            let lens = rows.iter().filter_map(|row| row.get(column));
            lens.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in &rows {
        let mut cells = row.iter().zip(&widths);
        // Writing to a string cannot fail.
        if let Some((name, width)) = cells.next() {
            let _ = write!(text, "{name:<width$}");
        }
        for (cell, width) in cells {
            let _ = write!(text, "  {cell:>width$}");
        }
        text.push('\n');
    }
    let tally = &stats.tally;
    let _ = write!(
        text,
        "\n{} contact tweets, {} pairs ({} of a user with themself), {} users, {} rows\n",
        tally.contact_tweets,
        tally.pairs,
        tally.self_pairs,
        tally.users_with_contacts,
        tally.table_rows,
    );
    text
}

fn header() -> Vec<String> {
    let names = Reason::ALL.map(Reason::name);
    let cells = ["file", "lines"]
        .into_iter()
        .chain(names)
        .chain(["valid", "%"]);
    cells.map(str::to_owned).collect()
}

fn line(name: &str, counts: &Counts) -> Vec<String> {
    let rejected = Reason::ALL.map(|reason| counts.rejected(reason));
    let numbers = [counts.lines]
        .into_iter()
        .chain(rejected)
        .chain([counts.valid]);
    // In tenths of a percent, rounded down.
    let share = (counts.valid * 1000)
        .checked_div(counts.lines)
        .unwrap_or_default();
    let mut cells = vec![name.to_owned()];
    cells.extend(numbers.map(|number| number.to_string()));
    cells.push(format!("{}.{}", share / 10, share % 10));
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_lines_up() {
        let mut counts = Counts::default();
        counts.accept();
        counts.reject(Reason::Language);
        counts.reject(Reason::Language);
        assert!(counts.is_complete());
        let file = FileCounts {
            path: PathBuf::from("folder/part-r-00000.gz"),
            counts,
        };
        let stats = Stats {
            counts,
            ..Stats::default()
        };
        let text = text(&[file], &stats);
        let lens: Vec<usize> = text.lines().take(3).map(str::len).collect();
        assert!(lens.iter().all(|len| *len == lens[0]), "{text}");
        assert!(text.contains("part-r-00000.gz") && text.contains("33.3"));
    }
}
