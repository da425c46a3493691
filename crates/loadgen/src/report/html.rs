//! For people who were not there: one file with tables and plots, which needs neither a script nor
//! anything from elsewhere.

mod plot;

use std::fmt::Write as _;

use super::{Report, Row, TimesReport};
use crate::record::Second;
use plot::{Line, Plot, Scale};

/// Points of a line over time; longer runs are drawn by the largest of neighbours.
const MAX_POINTS: usize = 1200;
/// Percentiles of the curve: equal steps of 1 / (1 - p), as usual.
const CURVE_STEPS: u32 = 60;
/// Nines of the curve's end.
const CURVE_NINES: f64 = 5.0;

const STYLE: &str = "body{font:14px/1.45 system-ui,sans-serif;margin:2em auto;max-width:88em;\
padding:0 1em;color:#1c2430;background:#fff}h1{font-size:1.5em}h2{font-size:1.15em;margin:2em 0 .5em}\
table{border-collapse:collapse;font-variant-numeric:tabular-nums;margin:.5em 0}\
th,td{padding:.25em .6em;border-bottom:1px solid #dde3ea;text-align:right;white-space:nowrap}\
th:first-child,td:first-child{text-align:left}.wide{overflow-x:auto}\
.facts td{text-align:left;white-space:normal;overflow-wrap:anywhere}.facts td:first-child{white-space:nowrap}\
.bad{color:#b3261e;font-weight:600}.good{color:#1b6e3c}pre{white-space:pre-wrap;word-break:break-all;\
background:#f4f6f8;padding:.6em;margin:.2em 0 1em}svg{width:100%;height:auto;max-width:72em}\
svg text{font:11px system-ui,sans-serif;fill:#4a5565}figure{margin:1em 0}figcaption{font-weight:600}\
@media (prefers-color-scheme:dark){body{color:#dfe5ec;background:#14181d}th,td{border-color:#333c46}\
pre{background:#1e242b}svg text{fill:#a9b4c0}.bad{color:#ff8a80}.good{color:#7bd29b}}";

/// A figure of a second.
type Figure = fn(&Second) -> f64;

/// The page. Writing to a string cannot fail, here and below.
pub fn write(report: &Report) -> String {
    let mut out = String::new();
    let title = format!("loadgen: {}", report.load());
    let _ = write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <title>{}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{}</h1>\n",
        escape(&title),
        escape(&title)
    );
    verdict(&mut out, report);
    let rows = report.rows();
    let open = report.lateness.is_some();
    let name = if open {
        "Response time, from when a request was due (ms)"
    } else {
        "Service time (ms)"
    };
    table(&mut out, name, &rows, |row| &row.response);
    if open {
        let name = "Service time, from when it was sent (ms)";
        table(&mut out, name, &rows, |row| &row.service);
    }
    stages(&mut out, report);
    plots(&mut out, report, &rows);
    errors(&mut out, &rows, &report.scenarios);
    environment(&mut out, report);
    out.push_str("</body>\n</html>\n");
    out
}

fn verdict(out: &mut String, report: &Report) {
    if let Some(reason) = &report.invalid_reason {
        let reason = escape(reason);
        let _ = writeln!(
            out,
            "<p class=\"bad\">Invalid: the tool fell behind: {reason}</p>"
        );
    }
    for note in &report.notes {
        let _ = writeln!(out, "<p class=\"bad\">Note: {}</p>", escape(note));
    }
    if report.stopped {
        let _ = writeln!(
            out,
            "<p class=\"bad\">Stopped with {} requests open.</p>",
            report.cut
        );
    }
    for verdict in &report.thresholds {
        let (class, word) = if verdict.failed {
            ("bad", "failed")
        } else {
            ("good", "ok")
        };
        let _ = writeln!(
            out,
            "<p class=\"{class}\">Limit {}: {word} ({})</p>",
            escape(&verdict.limit),
            escape(&verdict.value)
        );
    }
}

fn table(out: &mut String, title: &str, rows: &[&Row], times: fn(&Row) -> &TimesReport) {
    let _ = write!(
        out,
        "<h2>{title}</h2>\n<div class=\"wide\"><table>\n<tr><th>Label</th><th>Samples</th>\
         <th>Average</th><th>Median</th><th>90%</th><th>95%</th><th>99%</th><th>99.9%</th>\
         <th>Min</th><th>Max</th><th>Error %</th><th>Throughput /s</th><th>KB/s</th>\
         <th>Max pause</th><th>Intended /s</th></tr>\n"
    );
    for row in rows {
        let times = times(row);
        let _ = write!(
            out,
            "<tr><td>{}</td><td>{}</td>",
            escape(&row.label),
            row.requests
        );
        let percentiles = [50.0, 90.0, 95.0, 99.0, 99.9].map(|percentile| times.at(percentile));
        let ends = [times.min_ms, times.max_ms];
        for value in [times.mean_ms].iter().chain(&percentiles).chain(&ends) {
            let _ = write!(out, "<td>{value:.3}</td>");
        }
        let intended = row.intended_rate.map(|rate| format!("{rate:.1}"));
        let _ = writeln!(
            out,
            "<td>{:.3}</td><td>{:.1}</td><td>{:.1}</td><td>{:.1}</td><td>{}</td></tr>",
            row.error_share * 100.0,
            row.rate,
            row.bytes_in_per_s / 1024.0,
            row.max_pause_ms,
            intended.as_deref().unwrap_or("-")
        );
    }
    out.push_str("</table></div>\n");
}

fn stages(out: &mut String, report: &Report) {
    if report.stages.is_empty() {
        return;
    }
    out.push_str(
        "<h2>Stages, by when requests were due (ms)</h2>\n<div class=\"wide\"><table>\n\
         <tr><th>Stage</th><th>Samples</th><th>Intended /s</th><th>Median</th><th>99%</th>\
         <th>99.9%</th><th>Max</th><th>Errors</th></tr>\n",
    );
    for stage in &report.stages {
        let at = |percentile| stage.response.at(percentile);
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{:.1}</td><td>{:.3}</td><td>{:.3}</td><td>{:.3}</td>\
             <td>{:.3}</td><td>{}</td></tr>",
            escape(&stage.name),
            stage.requests,
            stage.mean_rate(),
            at(50.0),
            at(99.0),
            at(99.9),
            at(100.0),
            stage.errors
        );
    }
    out.push_str("</table></div>\n");
}

fn plots(out: &mut String, report: &Report, rows: &[&Row]) {
    let curves = rows.iter().map(|row| Line {
        name: row.label.clone(),
        points: curve(&row.response),
    });
    let mut plot = Plot::new("Response time by percentile", Scale::Nines, "ms");
    plot.lines = curves.collect();
    plot.write(out);
    // A run ends a little after a whole second, which would look like a fall to nothing.
    let whole = |timeline: &'_ [Second]| {
        let seconds = timeline.len();
        let lasted = report.elapsed_s - super::count(seconds.saturating_sub(1) as u64);
        if lasted < 0.5 && seconds > 1 {
            seconds - 1
        } else {
            seconds
        }
    };
    let ended: Figure = |second| super::count(second.tally.done);
    let lines = report.scenarios.iter().map(|row| Line {
        name: row.label.clone(),
        points: over_seconds(&row.timeline[..whole(&row.timeline)], ended),
    });
    let mut plot = Plot::new("Requests that ended, a second", Scale::Seconds, "/s");
    plot.lines = lines.collect();
    plot.write(out);
    let over_time: [(&str, &str, Figure); 2] = [
        (
            "99th percentile of the response time, each second",
            "ms",
            |second| {
                second
                    .times
                    .unpack()
                    .unwrap_or_default()
                    .percentile_ms(99.0)
            },
        ),
        ("Requests that did not end well, a second", "/s", |second| {
            super::count(second.tally.errors)
        }),
    ];
    for (title, unit, figure) in over_time {
        let lines = report.scenarios.iter().map(|row| Line {
            name: row.label.clone(),
            points: over_seconds(&row.timeline, figure),
        });
        let mut plot = Plot::new(title, Scale::Seconds, unit);
        plot.lines = lines.collect();
        plot.write(out);
    }
}

/// A time for each percentile; x is the number of nines.
fn curve(times: &TimesReport) -> Vec<(f64, f64)> {
    if times.histogram.is_empty() {
        return Vec::new();
    }
    // Beyond the share that one request is there is nothing but the longest time.
    let nines = super::count(times.histogram.len())
        .log10()
        .clamp(1.0, CURVE_NINES);
    (0..=CURVE_STEPS)
        .map(|step| {
            let x = nines * f64::from(step) / f64::from(CURVE_STEPS);
            (x, times.at(100.0 * (1.0 - 10_f64.powf(-x))))
        })
        .collect()
}

/// A figure for each second, or the largest of several.
fn over_seconds(timeline: &[Second], figure: fn(&Second) -> f64) -> Vec<(f64, f64)> {
    let step = timeline.len().div_ceil(MAX_POINTS).max(1);
    let chunks = timeline.chunks(step).enumerate();
    chunks
        .map(|(number, seconds)| {
            let largest = seconds.iter().map(figure).fold(0.0, f64::max);
            (super::count((number * step) as u64), largest)
        })
        .collect()
}

/// `rows` has the total, whose examples are those of the scenarios once more.
fn errors(out: &mut String, rows: &[&Row], scenarios: &[Row]) {
    out.push_str("<h2>Answers</h2>\n<ul>\n");
    for row in rows {
        let _ = write!(
            out,
            "<li>{}: {} of {} ended well, {}",
            escape(&row.label),
            row.requests - row.errors,
            row.requests,
            row.checked()
        );
        for (status, count) in &row.statuses {
            let _ = write!(out, ", status {status}: {count}");
        }
        for (reason, count) in row.wrong.iter().chain(&row.failures) {
            let _ = write!(out, ", {}: {count}", escape(reason));
        }
        out.push_str("</li>\n");
    }
    out.push_str("</ul>\n");
    let examples = scenarios.iter().flat_map(|row| &row.examples);
    for example in examples {
        let _ = writeln!(
            out,
            "<p class=\"bad\">Wrong ({}): {}</p>\n<pre>{}</pre>\n<p>expected</p>\n<pre>{}</pre>",
            escape(&example.reason),
            escape(&example.target),
            escape(&example.body),
            escape(&example.expected)
        );
    }
}

fn environment(out: &mut String, report: &Report) {
    let (plan, host) = (&report.plan, &report.host);
    let unknown = "unknown".to_owned();
    let mut lines = vec![
        ("Tool", format!("loadgen {}", report.version)),
        ("Began", date(report.started_at)),
        ("Took", format!("{:.3} s", report.elapsed_s)),
        ("Connections", plan.connections.to_string()),
        ("Threads", plan.threads.to_string()),
        ("Replies checked", plan.check.clone()),
        ("Seed", plan.seed.to_string()),
        ("Shard", plan.shard.clone()),
        (
            "Processor",
            host.cpu.clone().unwrap_or_else(|| unknown.clone()),
        ),
        ("Processors", format!("{} ({})", host.cpus, host.arch)),
        ("Kernel", host.kernel.clone().unwrap_or(unknown)),
        (
            "Tool's processor time",
            format!(
                "{:.2} us a request, busiest thread {:.0} %",
                report.cpu_us_per_request,
                report.busiest_thread * 100.0
            ),
        ),
    ];
    if let Some(lateness) = &report.lateness {
        lines.push((
            "Schedule",
            format!(
                "{} sent, {} over {} ms late, {} of them by the tool",
                lateness.sent, lateness.late, lateness.tolerance_ms, lateness.late_by_tool
            ),
        ));
    }
    for row in &report.scenarios {
        lines.push(("Target", row.url.clone().unwrap_or_default()));
    }
    for target in &report.targets {
        let version = match &target.version {
            Some(version) => version.to_string(),
            None => "not reached".to_owned(),
        };
        lines.push(("Version", format!("{}: {version}", target.asked)));
    }
    out.push_str("<h2>Environment</h2>\n<table class=\"facts\">\n");
    for (name, value) in lines {
        let _ = writeln!(out, "<tr><td>{name}</td><td>{}</td></tr>", escape(&value));
    }
    out.push_str("</table>\n");
}

/// Seconds since 1970 as a date and a time of day, UTC.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a time after 1970 and before the year 10,000"
)]
fn date(seconds: f64) -> String {
    let seconds = seconds.clamp(0.0, 253_402_300_799.0) as u64;
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Years begin in March here, so that the odd day of a leap year is the last one; eras of 400
    // years begin in the year 0.
    let day = days + 719_468;
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    format!(
        "{:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC",
        era * 400 + year + next_year,
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// Text that is no markup, whatever came from a server; what XML cannot hold is replaced.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(char),
            char if char.is_control() || matches!(char, '\u{fffe}' | '\u{ffff}') => {
                out.push('\u{fffd}');
            }
            char => out.push(char),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0.0, "1970-01-01 00:00:00 UTC"),
            (951_782_399.9, "2000-02-28 23:59:59 UTC"),
            (951_782_400.0, "2000-02-29 00:00:00 UTC"),
            (1_735_689_599.0, "2024-12-31 23:59:59 UTC"),
            (4_107_542_400.0, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(date(seconds), expected);
        }
    }
}
