//! For spreadsheets: one line for each second and scenario.

use std::fmt::Write as _;

use super::Report;

/// The first line.
pub const HEAD: &str =
    "second,scenario,requests,errors,bytes_in,p50_ms,p90_ms,p99_ms,p99_9_ms,max_ms";

/// The timelines. Writing to a string cannot fail; times that are broken count as none.
pub fn write(report: &Report) -> String {
    let mut out = format!("{HEAD}\n");
    let longest = report.scenarios.iter().map(|row| row.timeline.len()).max();
    for number in 0..longest.unwrap_or(0) {
        for row in &report.scenarios {
            let Some(second) = row.timeline.get(number) else {
                continue;
            };
            let tally = second.tally;
            let times = second.times.unpack().unwrap_or_default();
            let _ = write!(
                out,
                "{number},{},{},{},{}",
                row.label, tally.done, tally.errors, tally.bytes_in
            );
            for percentile in [50.0, 90.0, 99.0, 99.9, 100.0] {
                let _ = write!(out, ",{:.3}", times.percentile_ms(percentile));
            }
            out.push('\n');
        }
    }
    out
}
