//! From the processed zone to a table that is fit to be published.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::checks::{self, Watch};
use crate::denormalise::Packs;
use crate::failure::{Failure, FailureKind, complain};
use crate::report::{FileCounts, Stats};
use crate::score::Excluded;
use crate::steps::clean::inputs;
use crate::steps::progress::{Progress, Step};
use crate::zones::figures::figures;
use crate::zones::lock::Lock;
use crate::zones::place::Place;
use crate::zones::processed::{WholeTable, manifest};

/// A checked table and its figures.
#[derive(Debug)]
pub struct Checked {
    /// The rows.
    pub table: WholeTable,
    /// Figures in total.
    pub stats: Stats,
    /// Lines of each file, in input order.
    pub files: Vec<FileCounts>,
    /// Figures worth a look.
    pub watch: Watch,
}

impl Checked {
    /// The packs by ascending user id.
    pub fn packs(&self) -> Packs<'_, WholeTable> {
        Packs::new(&self.table)
    }
}

/// Reads the rows of a processed zone and checks them against its working zone. Failed checks are
/// said, a line each.
///
/// # Errors
///
/// There is no finished run of what the working zone has, a zone cannot be read, or a check failed.
pub fn check(
    working: &Place,
    processed: &Place,
    excluded: &Excluded,
    progress: &dyn Progress,
) -> Result<Checked, Failure> {
    let _facts = Lock::shared(working)?;
    let _rows = Lock::shared(processed)?;
    let inputs = inputs(working)?;
    let run = manifest(processed)?.ok_or_else(|| {
        let line = format!("{processed} has no finished run; score first");
        Failure::new(FailureKind::Input, line)
    })?;
    if run.excluded_sha256 != excluded.sha256() {
        let line = format!("{processed} was made with other excluded tags; score again");
        return Err(Failure::new(FailureKind::Input, line));
    }
    let (stats, files) = figures(&inputs, &run)?;
    progress.begin(Step::Check, stats.tally.table_rows);
    let table = WholeTable::read(processed, &run, stats.tally, progress)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(i64::MAX, |now| {
        i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
    });
    let (watch, mut failures) = checks::table(&table, &stats, &files, now);
    if failures.is_empty() {
        let sample = checks::Sample::of(&table);
        failures = checks::recheck_tags(sample, working, &inputs, excluded)?;
    }
    if let Some(first) = failures.first() {
        let line = format!("{} failed checks, first: {first}", failures.len());
        for line in &failures {
            complain(&format!("check failed: {line}"));
        }
        return Err(Failure::new(FailureKind::Check, line));
    }
    Ok(Checked {
        table,
        stats,
        files,
        watch,
    })
}
