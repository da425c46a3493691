//! The rules, and what broke them.

/// Failures of one rule reported in full; more are only counted.
const MAX_LINES: usize = 10;

/// What must hold before a table is published. The order is that of reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// The run is of the inputs that are in the working zone now.
    Inputs,
    /// Lines are the sum of the reasons and the valid tweets, for each file and in total.
    Lines,
    /// As many rows as the relations make, and contact tweets as were counted.
    Rows,
    /// A pair has as many rows of each kind as it counts.
    PairCounts,
    /// No column is null, no text empty.
    Texts,
    /// No key occurs twice.
    UniqueKey,
    /// One text, time and list of tags for a tweet.
    OneTweet,
    /// One name and description for a contact.
    OneName,
    /// Each row has its mirror image under the other user.
    Mirror,
    /// The latest tweets are marked, and only they.
    Latest,
    /// Base scores are what their counts make.
    Score,
    /// Times lie between the first tweet ever and now.
    Times,
    /// Tags are lower case and not empty.
    Tags,
    /// Same tag counts of a sample, counted again from the facts.
    SameTags,
    /// The database holds what was sent, and has warned of nothing.
    Loaded,
    /// Sampled requests, answered from the table, equal what the rows say.
    Serving,
}

impl Rule {
    /// All.
    pub const ALL: [Self; 16] = [
        Self::Inputs,
        Self::Lines,
        Self::Rows,
        Self::PairCounts,
        Self::Texts,
        Self::UniqueKey,
        Self::OneTweet,
        Self::OneName,
        Self::Mirror,
        Self::Latest,
        Self::Score,
        Self::Times,
        Self::Tags,
        Self::SameTags,
        Self::Loaded,
        Self::Serving,
    ];

    /// A short name, for reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inputs => "inputs",
            Self::Lines => "lines",
            Self::Rows => "rows",
            Self::PairCounts => "pair_counts",
            Self::Texts => "texts",
            Self::UniqueKey => "unique_key",
            Self::OneTweet => "one_tweet",
            Self::OneName => "one_name",
            Self::Mirror => "mirror",
            Self::Latest => "latest",
            Self::Score => "score",
            Self::Times => "times",
            Self::Tags => "tags",
            Self::SameTags => "same_tags",
            Self::Loaded => "loaded",
            Self::Serving => "serving",
        }
    }

    /// What it demands, in a few words.
    pub const fn demand(self) -> &'static str {
        match self {
            Self::Inputs => "the run is of the inputs that the working zone holds",
            Self::Lines => "lines = reasons + valid tweets, per file and in total",
            Self::Rows => "rows = 2 x relations - those with oneself; contact tweets as counted",
            Self::PairCounts => "a pair has the rows that its counts say",
            Self::Texts => "no null, no empty text",
            Self::UniqueKey => "keys ascend and occur once",
            Self::OneTweet => "one text, time and tag list for a tweet",
            Self::OneName => "one name and description for a contact",
            Self::Mirror => "each row has its equal under the other user",
            Self::Latest => "exactly the latest tweets are marked",
            Self::Score => "base scores are finite, at least ln 2, and follow from the counts",
            Self::Times => "tweets are from 2006-03-21 to now",
            Self::Tags => "tags are lower case and not empty",
            Self::SameTags => "same tag counts of a sample, counted again from the facts",
            Self::Loaded => "the database holds what was sent, without a warning",
            Self::Serving => "sampled requests are answered as the rows say",
        }
    }
}

/// What broke the rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failures([Broken; Rule::ALL.len()]);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Broken {
    lines: Vec<String>,
    count: u64,
}

impl Failures {
    /// Notes a failure of a rule unless something holds.
    pub fn unless(&mut self, rule: Rule, holds: bool, message: impl FnOnce() -> String) {
        if holds {
            return;
        }
        if let Some(broken) = self.0.get_mut(rule as usize) {
            broken.count += 1;
            if broken.lines.len() < MAX_LINES {
                broken.lines.push(message());
            }
        }
    }

    /// Adds what another found.
    pub fn merge(&mut self, other: Self) {
        for (broken, more) in self.0.iter_mut().zip(other.0) {
            broken.count += more.count;
            let room = MAX_LINES.saturating_sub(broken.lines.len());
            broken.lines.extend(more.lines.into_iter().take(room));
        }
    }

    /// How often a rule was broken.
    pub fn count(&self, rule: Rule) -> u64 {
        self.0.get(rule as usize).map_or(0, |broken| broken.count)
    }

    /// The first failures of a rule.
    pub fn of(&self, rule: Rule) -> &[String] {
        self.0
            .get(rule as usize)
            .map_or(&[], |broken| broken.lines.as_slice())
    }

    /// Whether every rule held.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|broken| broken.count == 0)
    }

    /// A line for each of the first failures, with the rule's name before it.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for rule in Rule::ALL {
            let shown = self.of(rule);
            lines.extend(shown.iter().map(|line| format!("{}: {line}", rule.name())));
            let more = self.count(rule) - shown.len() as u64;
            if more > 0 {
                lines.push(format!("{}: and {more} more", rule.name()));
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_of_failures_is_cut() {
        let mut failures = Failures::default();
        let mut others = Failures::default();
        for number in 0..8 {
            failures.unless(Rule::Rows, false, || number.to_string());
            others.unless(Rule::Rows, false, || number.to_string());
            others.unless(Rule::Score, true, String::new);
        }
        failures.merge(others);
        let lines = failures.lines();
        assert_eq!(lines.len(), MAX_LINES + 1);
        assert_eq!(lines.last().map(String::as_str), Some("rows: and 6 more"));
        assert_eq!(
            (failures.count(Rule::Rows), failures.count(Rule::Score)),
            (16, 0)
        );
    }

    #[test]
    fn rules_stand_in_the_order_of_their_numbers() {
        assert!(
            Rule::ALL
                .iter()
                .enumerate()
                .all(|(at, rule)| *rule as usize == at)
        );
    }
}
