//! What the manifests say of a run.

use std::path::PathBuf;

use serde_json::Value;

use super::processed::RunManifest;
use super::working::InputManifest;
use crate::failure::{Failure, FailureKind};
use crate::report::{Counts, FileCounts, Relations, Stats};
use crate::score::Tally;
use crate::steps::score::is_of;

/// The figures of a run and of each of its files, in input order. What a file lost to earlier ones
/// counts as duplicate there.
///
/// # Errors
///
/// The run is of other inputs, or a manifest lacks a figure.
pub fn figures(
    inputs: &[InputManifest],
    run: &RunManifest,
) -> Result<(Stats, Vec<FileCounts>), Failure> {
    if !is_of(run, inputs) {
        let line = "the rows are of other inputs than the working zone has; score again";
        return Err(Failure::new(FailureKind::Input, line));
    }
    let tally = serde_json::from_value::<Tally>(Value::Object(run.tally.clone()));
    let tally = tally.map_err(|error| {
        let line = format!("run.json: {error}; score again");
        Failure::new(FailureKind::Input, line)
    })?;
    let mut stats = Stats {
        tally,
        ..Stats::default()
    };
    let mut files = Vec::with_capacity(inputs.len());
    for (input, lost) in inputs.iter().zip(&run.inputs) {
        let mut counts = Counts::from_map(&input.counts).ok_or_else(|| {
            let line = format!("the manifest of {} lacks a count; clean again", input.path);
            Failure::new(FailureKind::Input, line)
        })?;
        counts.repeat(lost.repeated_tweets);
        stats.counts.add(&counts);
        let own = Relations {
            all: input.relations.saturating_sub(lost.repeated_relations),
            with_oneself: input
                .relations_with_oneself
                .saturating_sub(lost.repeated_relations_with_oneself),
        };
        stats.relations.all += own.all;
        stats.relations.with_oneself += own.with_oneself;
        files.push(FileCounts {
            path: PathBuf::from(&input.path),
            counts,
        });
    }
    Ok((stats, files))
}
