//! Commands that send nothing: they read reports and write others.

use anyhow::Result;
use loadgen::failure::Failure;
use loadgen::report::{self, json, text};

use super::{Verdict, print};
use crate::args::Merge;

/// `loadgen merge`.
pub(crate) fn merge(options: &Merge) -> Result<Verdict, Failure> {
    let reports = options.reports.iter().map(|path| json::read(path));
    let reports = reports.collect::<Result<Vec<_>>>();
    let merged = reports.and_then(report::merge::merge);
    let mut merged = merged.map_err(Failure::usage)?;
    merged.judge(&options.fail_if);
    print(&text::write(&merged))?;
    options.exports.write(&merged).map_err(Failure::io)?;
    Ok(Verdict::of(&merged))
}
