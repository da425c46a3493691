//! Commands that send nothing: they read reports and write others.

use anyhow::Result;
use loadgen::compare::{self, Verdict as Change};
use loadgen::failure::Failure;
use loadgen::report::{self, json, text};

use super::{Verdict, print, write_json};
use crate::args::{Compare, Merge};

/// `loadgen compare`.
pub(crate) fn compare(options: &Compare) -> Result<Verdict, Failure> {
    let a = json::read(&options.a).map_err(Failure::usage)?;
    let b = json::read(&options.b).map_err(Failure::usage)?;
    let comparison = compare::compare(&a, &b, options.tolerance);
    print(&comparison.to_string())?;
    if let Some(path) = &options.json {
        write_json(path, &comparison).map_err(Failure::io)?;
    }
    Ok(if !comparison.valid {
        Verdict::TooSlow
    } else if comparison.verdict == Change::Worse {
        Verdict::Failed
    } else {
        Verdict::Good
    })
}

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
