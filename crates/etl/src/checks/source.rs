//! A run against the working zone that it was made of: the inputs, their counts, and the same tag
//! counts of a sample of pairs.
//!
//! How independent this is: it reads the facts that `etl clean` wrote, not the raw files, and counts
//! in plain maps, with none of the SQL or code of the engines. What `etl clean` misread it cannot see.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use twitter_core::record::Row;

use super::rule::{Failures, Rule};
use super::sampler::{Sampler, mix};
use crate::failure::{Failure, FailureKind};
use crate::report::{Counts, FileCounts, Relations, Stats};
use crate::score::Excluded;
use crate::zones::facts::{self, Fact};
use crate::zones::place::Place;
use crate::zones::processed::RunManifest;
use crate::zones::working::{InputManifest, Table};

/// Pairs of each sort that are counted again.
const PAIRS: usize = 512;

/// A pair and the same tag count that its rows state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Claim {
    user: u64,
    contact: u64,
    same_tags: u32,
}

/// Pairs by chance: any, those with common tags, and those who met with an excluded tag.
#[derive(Debug, Clone)]
pub struct PairSample([Sampler<Claim>; 3]);

impl Default for PairSample {
    fn default() -> Self {
        Self([(); 3].map(|()| Sampler::new(PAIRS)))
    }
}

impl PairSample {
    /// Looks at the rows of a pair.
    pub(super) fn pair(&mut self, rows: &[Row<'_>], excluded: &Excluded) {
        let Some(row) = rows.first() else { return };
        let rank = mix(row.user_id ^ mix(row.contact_id));
        let claim = Claim {
            user: row.user_id,
            contact: row.contact_id,
            same_tags: row.same_tag_count,
        };
        let [any, common, with_excluded] = &mut self.0;
        let take = |sampler: &mut Sampler<Claim>| sampler.push(rank, row.user_id, claim);
        if any.wants(rank, row.user_id) {
            take(any);
        }
        if row.same_tag_count > 0 && common.wants(rank, row.user_id) {
            take(common);
        }
        let has_excluded = || {
            let mut tags = rows.iter().flat_map(|row| row.hashtags.iter());
            tags.any(|tag| excluded.contains(tag))
        };
        if with_excluded.wants(rank, row.user_id) && has_excluded() {
            take(with_excluded);
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        for (sampler, more) in self.0.iter_mut().zip(other.0) {
            sampler.merge(more);
        }
    }

    fn into_claims(self) -> BTreeMap<(u64, u64), u32> {
        let all = self.0.into_iter().flat_map(Sampler::into_items);
        all.map(|(_, claim)| ((claim.user, claim.contact), claim.same_tags))
            .collect()
    }
}

/// The counts of the inputs after those tweets were dropped that earlier inputs have too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// By file, in input order.
    pub files: Vec<FileCounts>,
    /// In total.
    pub stats: Stats,
}

/// Compares a run's inputs with the manifests of the working zone, and counts.
pub fn compare(run: &RunManifest, inputs: &[InputManifest], failures: &mut Failures) -> Source {
    let by_name: HashMap<&str, &InputManifest> =
        inputs.iter().map(|input| (&*input.input, input)).collect();
    failures.unless(Rule::Inputs, run.inputs.len() == inputs.len(), || {
        let (run, now) = (run.inputs.len(), inputs.len());
        format!("the run has {run} inputs, the working zone now holds {now}; score again")
    });
    let mut source = Source {
        files: Vec::with_capacity(run.inputs.len()),
        stats: Stats {
            // Figures that are missing are missed where they are needed.
            tally: serde_json::from_value(serde_json::Value::Object(run.tally.clone()))
                .unwrap_or_default(),
            ..Stats::default()
        },
    };
    for used in &run.inputs {
        let name = &used.input;
        let Some(manifest) = by_name.get(name.as_str()) else {
            failures.unless(Rule::Inputs, false, || {
                format!("{name} is not in the working zone any more; score again")
            });
            continue;
        };
        failures.unless(Rule::Inputs, used.crc32 == manifest.crc32, || {
            format!("{name} has changed since the run; score again")
        });
        let path = &manifest.path;
        let Some(mut counts) = Counts::from_map(&manifest.counts) else {
            failures.unless(Rule::Lines, false, || format!("{path}: counts are missing"));
            continue;
        };
        let fits = used.repeated_tweets <= counts.valid
            && used.repeated_relations <= manifest.relations
            && used.repeated_relations_with_oneself <= manifest.relations_with_oneself;
        failures.unless(Rule::Rows, fits, || {
            format!("{path}: more repeated tweets or relations than it has")
        });
        counts.repeat(used.repeated_tweets);
        source.stats.counts.add(&counts);
        let left = |all: u64, repeated: u64| all.saturating_sub(repeated);
        let relations = &mut source.stats.relations;
        *relations = Relations {
            all: relations.all + left(manifest.relations, used.repeated_relations),
            with_oneself: relations.with_oneself
                + left(
                    manifest.relations_with_oneself,
                    used.repeated_relations_with_oneself,
                ),
        };
        source.files.push(FileCounts {
            path: PathBuf::from(path),
            counts,
        });
    }
    source
}

/// What counting again came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recounted {
    /// Pairs counted again.
    pub pairs: u64,
    /// Those of them who both used a tag that is excluded.
    pub with_excluded: u64,
}

/// Counts the same tags of a sample again, from the facts. Reads all tag uses and all tweet ids of
/// the zone and holds those of the sampled users.
///
/// # Errors
///
/// The working zone cannot be read.
pub fn recount(
    sample: PairSample,
    working: &Place,
    inputs: &[InputManifest],
    excluded: &Excluded,
    failures: &mut Failures,
) -> Result<Recounted, Failure> {
    let claims = sample.into_claims();
    let mut users: HashMap<u64, HashMap<String, u64>> = HashMap::new();
    for (a, b) in claims.keys() {
        users.entry(*a).or_default();
        users.entry(*b).or_default();
    }
    // Uses by tweet and input: of a tweet in several inputs the first counts.
    let mut found: HashMap<u64, Vec<(usize, u64, String, u32)>> = HashMap::new();
    for (number, input) in inputs.iter().enumerate() {
        facts::read(working, input, Table::TagUses, &mut |fact| {
            if let Fact::TagUse {
                tweet_id,
                user_id,
                tag,
                uses,
            } = fact
                && users.contains_key(&user_id)
            {
                let of_tweet = found.entry(tweet_id).or_default();
                of_tweet.push((number, user_id, tag.to_owned(), uses));
            }
            Ok(())
        })?;
    }
    let mut first: HashMap<u64, usize> = HashMap::with_capacity(found.len());
    for (number, input) in inputs.iter().enumerate() {
        facts::read(working, input, Table::Tweets, &mut |fact| {
            if let Fact::Tweet { tweet_id, .. } = fact
                && found.contains_key(&tweet_id)
            {
                first.entry(tweet_id).or_insert(number);
            }
            Ok(())
        })?;
    }
    for (tweet_id, uses) in found {
        for (number, user_id, tag, uses) in uses {
            if first.get(&tweet_id) == Some(&number)
                && let Some(user) = users.get_mut(&user_id)
            {
                *user.entry(tag).or_default() += u64::from(uses);
            }
        }
    }
    let mut recounted = Recounted::default();
    for ((a, b), claimed) in claims {
        recounted.pairs += 1;
        let (mut counted, mut has_excluded) = (0, false);
        if let (Some(first), Some(second)) = (users.get(&a), users.get(&b))
            && a != b
        {
            for (tag, count) in first {
                let Some(other) = second.get(tag) else {
                    continue;
                };
                if excluded.contains(tag) {
                    has_excluded = true;
                } else {
                    counted += count + other;
                }
            }
        }
        recounted.with_excluded += u64::from(has_excluded);
        let holds =
            counted == u64::from(claimed) || (claimed == u32::MAX && counted > u64::from(claimed));
        failures.unless(Rule::SameTags, holds, || {
            format!("pair ({a}, {b}) has same tag count {claimed}, its facts say {counted}")
        });
    }
    Ok(recounted)
}

/// A run's figure by its name, as in the vectors' statistics.
///
/// # Errors
///
/// The manifest does not have it.
pub fn tallied(run: &RunManifest, name: &str) -> Result<u64, Failure> {
    let value = run.tally.get(name).and_then(serde_json::Value::as_u64);
    value.ok_or_else(|| {
        let line = format!("run.json: the tally has no number {name}; score again");
        Failure::new(FailureKind::Input, line)
    })
}
