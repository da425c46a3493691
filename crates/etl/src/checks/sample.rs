//! Some pairs' same tag counts, counted again from the source.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::rule::{Failures, Rule};
use crate::failure::Failure;
use crate::score::Excluded;
use crate::zones::facts::{Fact, read};
use crate::zones::place::Place;
use crate::zones::working::{InputManifest, Table};

/// Users whose pairs are looked at, evenly spread over the table.
const USERS: usize = 256;
/// Pairs taken of each of them.
const PAIRS_EACH: usize = 4;

/// Pairs and the same tag count that the table gives them. Pairs with a count
/// are preferred, since in most the users have no tag in common.
#[derive(Debug, Clone, Default)]
pub struct Sample(BTreeMap<(u64, u64), u32>);

impl Sample {
    /// Takes a sample of a table.
    pub fn of(table: &impl crate::score::Table) -> Self {
        let mut pairs = BTreeMap::new();
        let step = table.users().div_ceil(USERS).max(1);
        for number in (0..table.users()).step_by(step) {
            table.with_user(number, &mut |rows| {
                let firsts = rows.chunk_by(|a, b| a.contact_id == b.contact_id);
                let mut found: Vec<_> = firsts.filter_map(|rows| rows.first()).collect();
                found.sort_by_key(|row| std::cmp::Reverse(row.same_tag_count));
                let least = found.iter().rev().take(1);
                for row in found.iter().take(PAIRS_EACH).chain(least) {
                    pairs.insert((row.user_id, row.contact_id), row.same_tag_count);
                }
            });
        }
        Self(pairs)
    }
}

/// Counts again from the tag uses of the working zone and compares. Returns what differs, a line
/// each.
///
/// # Errors
///
/// The facts cannot be read any more.
pub fn recheck_tags(
    sample: Sample,
    working: &Place,
    inputs: &[InputManifest],
    excluded: &Excluded,
) -> Result<Vec<String>, Failure> {
    let mut uses: HashMap<u64, HashMap<String, u64>> = HashMap::new();
    for (a, b) in sample.0.keys() {
        uses.entry(*a).or_default();
        uses.entry(*b).or_default();
    }
    let mut ids = HashSet::new();
    for input in inputs {
        // A later copy may be of another user, so all ids are noted.
        let mut repeated = HashSet::new();
        read(working, input, Table::Tweets, &mut |fact| {
            if let Fact::Tweet { tweet_id, .. } = fact
                && !ids.insert(tweet_id)
            {
                repeated.insert(tweet_id);
            }
            Ok(())
        })?;
        read(working, input, Table::TagUses, &mut |fact| {
            if let Fact::TagUse {
                tweet_id,
                user_id,
                tag,
                uses: more,
            } = fact
                && !repeated.contains(&tweet_id)
                && let Some(user) = uses.get_mut(&user_id)
            {
                *user.entry(tag.to_owned()).or_default() += u64::from(more);
            }
            Ok(())
        })?;
    }
    let mut failures = Failures::default();
    for ((a, b), claimed) in sample.0 {
        let counted = match (uses.get(&a), uses.get(&b)) {
            (Some(first), Some(second)) if a != b => common(first, second, excluded),
            _ => 0,
        };
        let holds = counted == u64::from(claimed) || claimed == u32::MAX;
        failures.unless(Rule::SameTags, holds, || {
            format!("pair ({a}, {b}) has same tag count {claimed}, the source says {counted}")
        });
    }
    Ok(failures.lines())
}

fn common(a: &HashMap<String, u64>, b: &HashMap<String, u64>, excluded: &Excluded) -> u64 {
    let allowed = a.iter().filter(|(tag, _)| !excluded.contains(tag));
    let both = allowed.filter_map(|(tag, count)| Some(count + b.get(tag)?));
    both.sum()
}
