//! What two runs differ in, and whether that is more than chance.
//!
//! Requests of one second share its luck, so that single requests say less than their number. The
//! intervals come from drawing whole stretches of each run again and again (a block bootstrap)
//! and looking at how much the figures change by that alone.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::random::Random;
use crate::record::Second;
use crate::report::{Report, Row};

/// The name of the format, with its version; `compare.schema.json` of this crate describes it.
pub const FORMAT: &str = "tripod-loadgen-compare/1";

/// Draws of each interval.
const DRAWS: usize = 1000;
/// Stretches that a run is cut into, at most; more would only take longer.
const MAX_BLOCKS: usize = 40;
/// Fewer stretches say nothing about chance.
const MIN_BLOCKS: usize = 5;
/// What intervals leave out at each end: they hold 99 % of the draws.
const TAIL: f64 = 0.005;
/// Change of the share of errors that is as good as none.
const ERRORS_TOLERANCE: f64 = 0.001;
/// The seed of the draws, so that a comparison says the same each time.
const SEED: u64 = 15_619;
/// Percentiles that are compared.
const PERCENTILES: [f64; 5] = [50.0, 90.0, 95.0, 99.0, 99.9];

/// What became of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// B is better, whatever chance did.
    Better,
    /// Both are as good, within the tolerance.
    Same,
    /// Chance may have done it.
    Unclear,
    /// B is worse, whatever chance did.
    Worse,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Better => "better",
            Self::Same => "same",
            Self::Unclear => "unclear",
            Self::Worse => "WORSE",
        })
    }
}

/// A figure of two runs.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// Its name; of one scenario after the scenario's and a point, as in limits.
    pub name: String,
    /// Its unit.
    pub unit: &'static str,
    /// In the first run.
    pub a: f64,
    /// In the second.
    pub b: f64,
    /// The change: a share of `a`, or the difference for errors.
    pub change: f64,
    /// What the change is at least and at most but for chance; nothing when the runs are too short.
    pub interval: Option<(f64, f64)>,
    /// What that means.
    pub verdict: Verdict,
}

/// A comparison.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// [`FORMAT`].
    pub format: String,
    /// The figures.
    pub figures: Vec<Figure>,
    /// The worst that became of any.
    pub verdict: Verdict,
    /// Whether both runs have figures of their targets.
    pub valid: bool,
    /// What a reader should know before believing it.
    pub warnings: Vec<String>,
}

/// Compares two reports, all requests together and, where both have the same several scenarios, each of
/// these; changes up to the share `tolerance` are as good as none.
pub fn compare(a: &Report, b: &Report, tolerance: f64) -> Comparison {
    let mut figures = Vec::new();
    let is_long_enough = add_figures(&mut figures, "", (&a.total, &b.total), tolerance);
    if a.scenarios.len() > 1 && labels(a) == labels(b) {
        for rows in a.scenarios.iter().zip(&b.scenarios) {
            add_figures(&mut figures, &format!("{}.", rows.0.label), rows, tolerance);
        }
    }
    let is = |verdict| figures.iter().any(|figure| figure.verdict == verdict);
    let order = [Verdict::Worse, Verdict::Unclear, Verdict::Better];
    let verdict = order.into_iter().find(|verdict| is(*verdict));
    Comparison {
        format: FORMAT.to_owned(),
        verdict: verdict.unwrap_or(Verdict::Same),
        valid: a.valid && b.valid,
        warnings: warnings(a, b, is_long_enough),
        figures,
    }
}

/// Adds the figures of two rows, with a prefix to their names; whether both are long enough to tell
/// chance from change.
fn add_figures(
    figures: &mut Vec<Figure>,
    prefix: &str,
    (a, b): (&Row, &Row),
    tolerance: f64,
) -> bool {
    let (blocks_a, blocks_b) = (Blocks::new(a), Blocks::new(b));
    let draws = (blocks_a.len() >= MIN_BLOCKS && blocks_b.len() >= MIN_BLOCKS)
        .then(|| draw(&blocks_a, &blocks_b));
    for (place, percentile) in PERCENTILES.into_iter().enumerate() {
        let values = (a.response.at(percentile), b.response.at(percentile));
        let changes = draws.as_ref().map(|draws| draws[place].as_slice());
        let name = format!("{prefix}p{percentile}");
        figures.push(relative(&name, "ms", values, changes, tolerance, true));
    }
    let places = PERCENTILES.len();
    let rates = draws.as_ref().map(|draws| draws[places].as_slice());
    let name = format!("{prefix}rate");
    let values = (a.rate, b.rate);
    figures.push(relative(&name, "/s", values, rates, tolerance, false));
    let errors = draws.as_ref().map(|draws| draws[places + 1].as_slice());
    let name = format!("{prefix}errors");
    figures.push(share_of_errors(name, (a, b), errors));
    draws.is_some()
}

/// The scenarios' names.
fn labels(report: &Report) -> Vec<&str> {
    let rows = report.scenarios.iter();
    rows.map(|row| row.label.as_str()).collect()
}

fn relative(
    name: &str,
    unit: &'static str,
    (a, b): (f64, f64),
    changes: Option<&[f64]>,
    tolerance: f64,
    less_is_better: bool,
) -> Figure {
    let interval = changes.map(interval);
    Figure {
        name: name.to_owned(),
        unit,
        a,
        b,
        change: ratio(a, b),
        interval,
        verdict: judge(interval, tolerance, less_is_better),
    }
}

fn share_of_errors(name: String, (a, b): (&Row, &Row), changes: Option<&[f64]>) -> Figure {
    let (a, b) = (a.error_share, b.error_share);
    let interval = changes.map(interval);
    Figure {
        name,
        unit: "%",
        a: a * 100.0,
        b: b * 100.0,
        change: b - a,
        interval,
        verdict: judge(interval, ERRORS_TOLERANCE, true),
    }
}

fn judge(interval: Option<(f64, f64)>, tolerance: f64, less_is_better: bool) -> Verdict {
    let Some((low, high)) = interval else {
        return Verdict::Unclear;
    };
    let (less, more) = if less_is_better {
        (Verdict::Better, Verdict::Worse)
    } else {
        (Verdict::Worse, Verdict::Better)
    };
    if low > tolerance {
        more
    } else if high < -tolerance {
        less
    } else if low >= -tolerance && high <= tolerance {
        Verdict::Same
    } else {
        Verdict::Unclear
    }
}

/// The change from `a` to `b` as a share of `a`.
fn ratio(a: f64, b: f64) -> f64 {
    if a > 0.0 { b / a - 1.0 } else { 0.0 }
}

fn interval(changes: &[f64]) -> (f64, f64) {
    let mut sorted = changes.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a small whole number"
    )]
    let cut = (last as f64 * TAIL).round() as usize;
    (
        sorted.get(cut).copied().unwrap_or(0.0),
        sorted.get(last - cut.min(last)).copied().unwrap_or(0.0),
    )
}

fn warnings(a: &Report, b: &Report, is_long_enough: bool) -> Vec<String> {
    let mut warnings = Vec::new();
    for (name, report) in [("A", a), ("B", b)] {
        if let Some(reason) = &report.invalid_reason {
            warnings.push(format!("{name} is invalid: {reason}"));
        }
        if report.stopped {
            warnings.push(format!("{name} was stopped"));
        }
    }
    if !is_long_enough {
        warnings.push(format!(
            "too short for intervals: each run must last {MIN_BLOCKS} seconds at least"
        ));
    }
    if a.host != b.host {
        warnings.push("the tool ran on different machines".to_owned());
    }
    if (a.plan.load.as_str(), a.plan.rate, a.plan.connections)
        != (b.plan.load.as_str(), b.plan.rate, b.plan.connections)
    {
        warnings.push("the loads differ: rate, loop or connections".to_owned());
    }
    if labels(a) != labels(b) {
        warnings.push("the scenarios differ".to_owned());
    }
    warnings
}

/// Stretches of a run.
struct Blocks {
    /// Different times, ascending, over all stretches.
    times: Vec<u64>,
    blocks: Vec<Block>,
}

/// A stretch of a run.
#[derive(Default)]
struct Block {
    /// Places in the times of all stretches, and counts.
    counts: Vec<(usize, u64)>,
    done: u64,
    errors: u64,
    seconds: u64,
}

impl Blocks {
    fn new(row: &Row) -> Self {
        // The last second is seldom a whole one.
        let whole = row.timeline.len().saturating_sub(1);
        let timeline = &row.timeline[..whole];
        let step = timeline.len().div_ceil(MAX_BLOCKS).max(1);
        let stretches: Vec<BTreeMap<u64, u64>> = timeline.chunks(step).map(counts).collect();
        let mut times: Vec<u64> = stretches.iter().flat_map(BTreeMap::keys).copied().collect();
        times.sort_unstable();
        times.dedup();
        let blocks = timeline.chunks(step).zip(stretches);
        let blocks = blocks
            .map(|(seconds, counts)| Block {
                counts: counts
                    .into_iter()
                    .filter_map(|(time, count)| Some((times.binary_search(&time).ok()?, count)))
                    .collect(),
                done: seconds.iter().map(|second| second.tally.done).sum(),
                errors: seconds.iter().map(|second| second.tally.errors).sum(),
                seconds: seconds.len() as u64,
            })
            .collect();
        Self { times, blocks }
    }

    fn len(&self) -> usize {
        self.blocks.len()
    }

    /// The figures of as many stretches, drawn with repetition: percentiles, rate, errors.
    fn resample(&self, random: &mut Random, scratch: &mut Vec<u64>) -> Vec<f64> {
        scratch.clear();
        scratch.resize(self.times.len(), 0);
        let (mut done, mut errors, mut seconds) = (0, 0, 0);
        for _ in 0..self.blocks.len() {
            let block = &self.blocks[random.index(self.blocks.len())];
            for (place, count) in &block.counts {
                scratch[*place] += count;
            }
            done += block.done;
            errors += block.errors;
            seconds += block.seconds;
        }
        let as_f64 = crate::report::count;
        let all: u64 = scratch.iter().sum();
        let mut figures = Vec::with_capacity(PERCENTILES.len() + 2);
        let (mut seen, mut place) = (0, 0);
        for percentile in PERCENTILES {
            let rank = as_f64(all) * percentile / 100.0;
            while place < scratch.len() && as_f64(seen + scratch[place]) < rank {
                seen += scratch[place];
                place += 1;
            }
            let last = self.times.len().saturating_sub(1);
            figures.push(
                self.times
                    .get(place.min(last))
                    .map_or(0.0, |time| as_f64(*time)),
            );
        }
        figures.push(as_f64(done) / as_f64(seconds.max(1)));
        figures.push(as_f64(errors) / as_f64(done.max(1)));
        figures
    }
}

fn counts(seconds: &[Second]) -> BTreeMap<u64, u64> {
    let mut counts = BTreeMap::new();
    for second in seconds {
        // Reports are checked when they are read.
        for (time, count) in second.times.unpack().unwrap_or_default().counts() {
            *counts.entry(time).or_default() += count;
        }
    }
    counts
}

/// Changes of each figure over all draws.
fn draw(a: &Blocks, b: &Blocks) -> Vec<Vec<f64>> {
    let mut random = Random::new(SEED);
    let mut scratch = Vec::new();
    let mut changes = vec![Vec::with_capacity(DRAWS); PERCENTILES.len() + 2];
    let errors = PERCENTILES.len() + 1;
    for _ in 0..DRAWS {
        let one = a.resample(&mut random, &mut scratch);
        let two = b.resample(&mut random, &mut scratch);
        for (place, (a, b)) in one.into_iter().zip(two).enumerate() {
            let change = if place == errors { b - a } else { ratio(a, b) };
            changes[place].push(change);
        }
    }
    changes
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.figures.iter().map(|figure| figure.name.len());
        let width = widths.max().unwrap_or(0).max(8);
        writeln!(
            f,
            "{:<width$} {:>12} {:>12} {:>9}  {:<20} Verdict",
            "Figure", "A", "B", "Change", "but for chance (99%)"
        )?;
        for figure in &self.figures {
            let points = |change: f64| format!("{:+.1}%", change * 100.0);
            let interval = match figure.interval {
                Some((low, high)) => format!("{} to {}", points(low), points(high)),
                None => "-".to_owned(),
            };
            let unit = figure.unit;
            writeln!(
                f,
                "{:<width$} {:>12} {:>12} {:>9}  {interval:<20} {}",
                figure.name,
                format!("{:.3}{unit}", figure.a),
                format!("{:.3}{unit}", figure.b),
                points(figure.change),
                figure.verdict
            )?;
        }
        for warning in &self.warnings {
            writeln!(f, "Note: {warning}")?;
        }
        writeln!(
            f,
            "Verdict: B is {}",
            match self.verdict {
                Verdict::Worse => "worse",
                Verdict::Unclear => "not clearly different; longer runs tell more",
                Verdict::Same => "the same",
                Verdict::Better => "better",
            }
        )
    }
}
