//! One report of several: shards of one load, or runs of the same plan. Counts and histograms add,
//! so that nothing is lost; only rates and shares are worked out again.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use super::{Report, Row};
use crate::record;

/// Examples of wrong replies that are kept in each row.
const MAX_EXAMPLES: usize = 10;
/// Most seconds between the begins of reports; more are no one load.
const MAX_APART_S: f64 = 3600.0;

/// Merges reports, of which there is at least one.
///
/// # Errors
///
/// When they are not of one load: other scenarios, stages or begins.
pub fn merge(reports: Vec<Report>) -> Result<Report> {
    let begin = |report: &Report| report.started_at;
    let first_begin = reports.iter().map(begin).fold(f64::INFINITY, f64::min);
    let mut reports = reports.into_iter();
    let Some(mut all) = reports.next() else {
        bail!("nothing to merge");
    };
    // The first report, too, may begin later than another one.
    let late = later(&all, first_begin)?;
    all.rows_mut().for_each(|row| delay(row, late));
    all.elapsed_s += count_s(late);
    all.started_at = first_begin;
    for report in reports {
        add(&mut all, report, first_begin)?;
    }
    let elapsed_s = all.elapsed_s;
    all.rows_mut().for_each(|row| row.derive(elapsed_s));
    all.cpu_us_per_request = all.cpu_s * 1e6 / super::count(all.total.requests).max(1.0);
    Ok(all)
}

fn add(all: &mut Report, report: Report, first_begin: f64) -> Result<()> {
    let names = |report: &Report| -> Vec<String> {
        let rows = report.scenarios.iter().map(|row| row.label.clone());
        let stages = report.stages.iter().map(|stage| stage.name.clone());
        rows.chain(stages).collect()
    };
    let (ours, theirs) = (names(all), names(&report));
    if ours != theirs || all.plan.load != report.plan.load {
        bail!(
            "reports of different loads: {} of {}, and {} of {}",
            all.plan.load,
            ours.join(" "),
            report.plan.load,
            theirs.join(" ")
        );
    }
    let late = later(&report, first_begin)?;
    all.valid &= report.valid;
    if all.invalid_reason.is_none() {
        all.invalid_reason = report.invalid_reason;
    }
    all.stopped |= report.stopped;
    all.cut += report.cut;
    for note in report.notes {
        if !all.notes.contains(&note) {
            all.notes.push(note);
        }
    }
    all.merged += report.merged;
    all.plan.connections += report.plan.connections;
    all.plan.threads += report.plan.threads;
    if all.plan.shard != report.plan.shard {
        all.plan.shard = format!("{}+{}", all.plan.shard, report.plan.shard);
    }
    all.elapsed_s = all.elapsed_s.max(count_s(late) + report.elapsed_s);
    all.cpu_s += report.cpu_s;
    all.busiest_thread = all.busiest_thread.max(report.busiest_thread);
    if let (Some(lateness), Some(more)) = (&mut all.lateness, &report.lateness) {
        lateness.sent += more.sent;
        lateness.late += more.late;
        lateness.late_by_tool += more.late_by_tool;
        lateness.lag.merge(&more.lag);
    }
    for (stage, more) in all.stages.iter_mut().zip(&report.stages) {
        stage.requests += more.requests;
        stage.errors += more.errors;
        stage.response.merge(&more.response);
    }
    for target in report.targets {
        if !all.targets.contains(&target) {
            all.targets.push(target);
        }
    }
    let rows = report.scenarios.iter().chain([&report.total]);
    for (row, more) in all.rows_mut().zip(rows) {
        add_row(row, more, late);
    }
    // Limits are about one run; whoever merges says them again.
    all.thresholds.clear();
    Ok(())
}

/// How many whole seconds after the first one a report begins.
fn later(report: &Report, first_begin: f64) -> Result<usize> {
    let apart = (report.started_at - first_begin).round();
    if !(0.0..=MAX_APART_S).contains(&apart) {
        bail!("reports of loads that began over an hour apart; compare them instead");
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a small whole number"
    )]
    let seconds = apart as usize;
    Ok(seconds)
}

fn count_s(seconds: usize) -> f64 {
    super::count(seconds as u64)
}

fn delay(row: &mut Row, late: usize) {
    let timeline = std::mem::take(&mut row.timeline);
    record::merge_timelines(&mut row.timeline, &timeline, late);
}

fn add_row(row: &mut Row, more: &Row, late: usize) {
    row.requests += more.requests;
    row.errors += more.errors;
    row.bytes_in += more.bytes_in;
    row.bytes_out += more.bytes_out;
    row.checked += more.checked;
    row.shape_checked += more.shape_checked;
    row.max_pause_ms = row.max_pause_ms.max(more.max_pause_ms);
    if row.team_line.is_none() {
        row.team_line.clone_from(&more.team_line);
    }
    row.intended_rate = match (row.intended_rate, more.intended_rate) {
        (Some(rate), Some(more)) => Some(rate + more),
        (rate, more) => rate.or(more),
    };
    add_counts(&mut row.wrong, &more.wrong);
    add_counts(&mut row.statuses, &more.statuses);
    add_counts(&mut row.failures, &more.failures);
    row.response.merge(&more.response);
    row.service.merge(&more.service);
    let room = MAX_EXAMPLES.saturating_sub(row.examples.len());
    row.examples
        .extend(more.examples.iter().take(room).cloned());
    record::merge_timelines(&mut row.timeline, &more.timeline, late);
}

fn add_counts<K: Ord + Clone>(to: &mut BTreeMap<K, u64>, from: &BTreeMap<K, u64>) {
    for (key, count) in from {
        *to.entry(key.clone()).or_default() += count;
    }
}

impl Report {
    fn rows_mut(&mut self) -> impl Iterator<Item = &mut Row> {
        self.scenarios.iter_mut().chain([&mut self.total])
    }
}
