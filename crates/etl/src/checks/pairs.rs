//! What must hold among the rows of one pair under one user.

use twitter_core::record::{Kind, Latest, Row};

use super::rule::{Failures, Rule};

/// How far a base score may be from its formula.
const TOLERANCE: f64 = 1e-12;

const SETS: [(Kind, Latest, &str); 3] = [
    (Kind::REPLY, Latest::REPLY, "reply"),
    (Kind::RETWEET, Latest::RETWEET, "retweet"),
    (Kind::BOTH, Latest::ANY, "tweet"),
];

pub(super) fn check_pair(rows: &[Row<'_>], failures: &mut Failures) {
    let Some(first) = rows.first() else { return };
    let pair = (first.user_id, first.contact_id);
    let counts = |row: &Row<'_>| {
        let base_score = row.base_score.to_bits();
        let counts = (row.reply_count, row.retweet_count, row.same_tag_count);
        (counts, base_score)
    };
    let is_one = rows.iter().all(|row| counts(row) == counts(first));
    failures.unless(Rule::PairCounts, is_one, || {
        format!("pair {pair:?} has different counts in its rows")
    });
    let of = |kinds: Kind| rows.iter().filter(move |row| row.kind.meets(kinds));
    for (kinds, expected) in [
        (Kind::REPLY, first.reply_count),
        (Kind::RETWEET, first.retweet_count),
    ] {
        let holds = of(kinds).count() == expected as usize;
        failures.unless(Rule::PairCounts, holds, || {
            format!("pair {pair:?} has other rows than its counts")
        });
    }
    for (kinds, mark, name) in SETS {
        let stamp = |row: &&Row<'_>| (row.created_at, row.tweet_id);
        let greatest = of(kinds).map(|row| stamp(&row)).max();
        let mut marked = rows.iter().filter(|row| row.latest.has(mark));
        let holds = marked.next().map(|row| stamp(&row)) == greatest && marked.next().is_none();
        failures.unless(Rule::Latest, holds, || {
            format!("pair {pair:?} has its latest {name} marked wrongly")
        });
    }
    let holds = first.user_id != first.contact_id || first.same_tag_count == 0;
    failures.unless(Rule::Score, holds, || {
        format!("pair {pair:?} counts tags with oneself")
    });
    let formula = formula(first);
    let score = first.base_score;
    let is_near = (score - formula).abs() <= TOLERANCE * formula;
    let in_range = score.is_finite() && score >= std::f64::consts::LN_2 - TOLERANCE;
    failures.unless(Rule::Score, is_near && in_range, || {
        format!("pair {pair:?} has the base score {score:?}")
    });
}

/// The rule once more, in other words than the engine's: `ln_1p` for `ln`.
fn formula(row: &Row<'_>) -> f64 {
    let interaction = (2.0 * f64::from(row.reply_count) + f64::from(row.retweet_count)).ln_1p();
    match row.same_tag_count.checked_sub(10) {
        None | Some(0) => interaction,
        Some(over) => interaction * (1.0 + f64::from(over).ln_1p()),
    }
}
