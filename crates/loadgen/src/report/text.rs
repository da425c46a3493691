//! For people: the aggregate table that JMeter made usual, and what it leaves out.

use std::fmt::Write as _;

use super::{Report, Row, TimesReport};

/// Longest reply that is shown of a wrong one, in characters; the JSON report has more.
const SHOWN_CHARS: usize = 120;

/// The whole report. Writing to a string cannot fail, here and below.
pub fn write(report: &Report) -> String {
    let mut out = String::new();
    head(&mut out, report);
    let rows = report.rows();
    let is_open = report.lateness.is_some();
    let title = if is_open {
        "Response time, from when a request was due (ms)"
    } else {
        "Service time (ms)"
    };
    table(&mut out, title, &rows, |row| &row.response);
    if is_open {
        table(
            &mut out,
            "Service time, from when it was sent (ms)",
            &rows,
            |row| &row.service,
        );
    }
    stages(&mut out, report);
    answers(&mut out, &rows);
    schedule(&mut out, report);
    for row in &report.scenarios {
        for example in row.examples.iter().take(2) {
            let body = example.body.escape_debug().to_string();
            let shown: String = body.chars().take(SHOWN_CHARS).collect();
            let target: String = example.target.chars().take(SHOWN_CHARS).collect();
            let expected = example.expected.escape_debug().to_string();
            let expected: String = expected.chars().take(SHOWN_CHARS).collect();
            let _ = writeln!(
                out,
                "Wrong ({}): {target}\n  => {shown}\n  expected {expected}",
                example.reason
            );
        }
    }
    for note in &report.notes {
        let _ = writeln!(out, "Note: {note}");
    }
    if report.total.requests == 0 {
        let _ = writeln!(out, "FAILED: not one request ended");
    }
    for verdict in &report.thresholds {
        let word = if verdict.failed { "FAILED" } else { "ok" };
        let _ = writeln!(out, "Limit {}: {word} ({})", verdict.limit, verdict.value);
    }
    if let Some(reason) = &report.invalid_reason {
        let _ = writeln!(out, "INVALID RUN: the tool fell behind: {reason}");
    }
    out
}

fn head(out: &mut String, report: &Report) {
    let plan = &report.plan;
    let load = report.load();
    if report.merged > 1 {
        let _ = write!(out, "{} reports merged: ", report.merged);
    }
    let _ = write!(
        out,
        "{load}, {} connections, {} threads, {:.3} s",
        plan.connections, plan.threads, report.elapsed_s
    );
    if report.stopped {
        let _ = write!(out, ", stopped with {} requests open", report.cut);
    }
    out.push('\n');
}

fn table(out: &mut String, title: &str, rows: &[&Row], times: fn(&Row) -> &TimesReport) {
    let widest = rows.iter().map(|row| row.label.chars().count()).max();
    let width = widest.unwrap_or(0).max(8);
    let _ = writeln!(out, "\n{title}");
    let _ = write!(out, "{:<width$} {:>9}", "Label", "Samples");
    for name in [
        "Average", "Median", "90%", "95%", "99%", "99.9%", "Min", "Max",
    ] {
        let _ = write!(out, " {name:>9}");
    }
    let _ = writeln!(
        out,
        " {:>8} {:>11} {:>9} {:>9} {:>11}",
        "Error %", "Throughput", "KB/s", "Max pause", "Intended"
    );
    for row in rows {
        let times = times(row);
        let _ = write!(out, "{:<width$} {:>9}", row.label, row.requests);
        let percentiles = [50.0, 90.0, 95.0, 99.0, 99.9].map(|percentile| times.at(percentile));
        let before = [times.mean_ms];
        let after = [times.min_ms, times.max_ms];
        for value in before.iter().chain(&percentiles).chain(&after) {
            let _ = write!(out, " {value:>9.3}");
        }
        let intended = match row.intended_rate {
            Some(rate) => format!("{rate:.1}/s"),
            None => "-".to_owned(),
        };
        let _ = writeln!(
            out,
            " {:>8.3} {:>9.1}/s {:>9.1} {:>9.1} {intended:>11}",
            row.error_share * 100.0,
            row.rate,
            row.bytes_in_per_s / 1024.0,
            row.max_pause_ms,
        );
    }
}

fn stages(out: &mut String, report: &Report) {
    if report.stages.is_empty() {
        return;
    }
    let names = report.stages.iter().map(|stage| stage.name.chars().count());
    let width = names.max().unwrap_or(0).max(8);
    let _ = writeln!(
        out,
        "\nStages, by when requests were due (response time in ms)"
    );
    let _ = write!(
        out,
        "{:<width$} {:>9} {:>11}",
        "Stage", "Samples", "Intended"
    );
    for name in ["Median", "90%", "99%", "99.9%", "Max"] {
        let _ = write!(out, " {name:>9}");
    }
    let _ = writeln!(out, " {:>8}", "Error %");
    for stage in &report.stages {
        let _ = write!(
            out,
            "{:<width$} {:>9} {:>9.1}/s",
            stage.name,
            stage.requests,
            stage.mean_rate()
        );
        for percentile in [50.0, 90.0, 99.0, 99.9, 100.0] {
            let _ = write!(out, " {:>9.3}", stage.response.at(percentile));
        }
        let share = super::count(stage.errors) / super::count(stage.requests.max(1));
        let _ = writeln!(out, " {:>8.3}", share * 100.0);
    }
}

fn answers(out: &mut String, rows: &[&Row]) {
    out.push('\n');
    for row in rows {
        let _ = write!(
            out,
            "{}: {} of {} ended well, {}",
            row.label,
            row.requests - row.errors,
            row.requests,
            row.checked()
        );
        for (status, count) in &row.statuses {
            let _ = write!(out, ", status {status}: {count}");
        }
        for (reason, count) in row.wrong.iter().chain(&row.failures) {
            let _ = write!(out, ", {reason}: {count}");
        }
        out.push('\n');
    }
}

fn schedule(out: &mut String, report: &Report) {
    if let Some(lateness) = &report.lateness {
        let _ = writeln!(
            out,
            "Schedule: {} sent, {} over {} ms late, {} of them by the tool; its lag is {:.3} ms \
             (99 %), {:.3} ms (max)",
            lateness.sent,
            lateness.late,
            lateness.tolerance_ms,
            lateness.late_by_tool,
            lateness.lag.at(99.0),
            lateness.lag.max_ms
        );
    }
    let _ = writeln!(
        out,
        "Tool: {:.2} us of processor time a request, busiest thread {:.0} %",
        report.cpu_us_per_request,
        report.busiest_thread * 100.0
    );
}
