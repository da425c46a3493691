//! For plotters of HdrHistogram logs: an interval histogram for each second and scenario, response
//! times in nanoseconds, tagged with the scenario's name.

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, anyhow};
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use super::Report;

/// What logs show the largest value in: milliseconds, as the original tools do.
const NANOS_PER_MS: f64 = 1e6;

/// The log.
///
/// # Errors
///
/// Never in practice: nothing in it can fail to be written.
pub fn write(report: &Report) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let start = Duration::try_from_secs_f64(report.started_at).unwrap_or_default();
    let start_time = SystemTime::UNIX_EPOCH + start;
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment(&format!(
            "[loadgen {}: response times in nanoseconds]",
            report.version
        ))
        .with_start_time(start_time)
        .with_base_time(start_time)
        .with_max_value_divisor(NANOS_PER_MS)
        .begin_log_with(&mut out, &mut serializer)
        .context("cannot begin the log")?;
    let longest = report.scenarios.iter().map(|row| row.timeline.len()).max();
    for number in 0..longest.unwrap_or(0) {
        for row in &report.scenarios {
            let Some(second) = row.timeline.get(number).filter(|s| !s.times.is_empty()) else {
                continue;
            };
            let times = second.times.unpack()?;
            let tag = Tag::new(&row.label).context("a label without commas and spaces")?;
            log.write_histogram(
                times.histogram(),
                Duration::from_secs(number as u64),
                Duration::from_secs(1),
                Some(tag),
            )
            .map_err(|error| anyhow!("cannot write the log: {error}"))?;
        }
    }
    drop(log);
    Ok(out)
}
