//! `docs/performance.md` from the newest results, with those of other machines beside them.
//!
//! What no measurement knows is kept by hand in `docs/performance/`: how it is measured
//! (`method.md`), what was tried and paid (`helpful.md`) or did not (`unhelpful.md`).

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use cost_model::Service;
use serde_json::Value;

use super::RESULTS;
use super::cost;
use super::plot;
use super::results;
use super::targets::{TARGETS, Target, Verdict};
use crate::console;

/// The page and what belongs to it, relative to the workspace.
const PAGE: &str = "docs/performance.md";
const FOLDER: &str = "docs/performance";

/// Writes the page and its plots.
pub(super) fn write(root: &Path) -> Result<()> {
    for (name, text) in files(root, &results::read_newest(&root.join(RESULTS))?)? {
        let file = root.join(&name);
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    console::say(&format!("wrote {PAGE} and what belongs to it"));
    Ok(())
}

/// All files with their names relative to the workspace, from the results of one or more machines.
fn files(root: &Path, machines: &[Value]) -> Result<Vec<(String, String)>> {
    let (results, others) = machines.split_first().context("nothing was measured")?;
    let kept = |name: &str| {
        let file = root.join(FOLDER).join(name);
        fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))
    };
    let plots = plot::all(results);
    let mut page = String::from("# Performance\n\n");
    page.push_str(
        "<!-- Written by `cargo xtask bench` from benches/results; edit docs/performance/*.md instead. -->\n\n",
    );
    page.push_str(&host(results));
    page.push_str("\n## Targets\n\n");
    page.push_str(&target_table(results));
    if !others.is_empty() {
        page.push_str("\n### On other machines\n\n");
        page.push_str(&machine_table(results, others));
    }
    page.push_str("\n## Servers\n\n");
    page.push_str(&series_table(results));
    page.push_str("\nWhen each row was measured, and what else the machine did:\n\n");
    page.push_str(&occasions(results));
    for plot in &plots {
        let _ = write!(page, "\n![{}](performance/{})\n", plot.title, plot.file);
    }
    let rates = cost::rates(results);
    page.push_str("\n## Cost\n\n");
    page.push_str(&cost::section(&rates)?);
    page.push_str("\n## Method\n\n");
    page.push_str(&kept("method.md")?);
    page.push_str("\n## What helped\n\n");
    page.push_str(&kept("helpful.md")?);
    page.push_str("\n## What did not help\n\n");
    page.push_str(&kept("unhelpful.md")?);
    let mut files = vec![(PAGE.to_owned(), page)];
    // A part of the rows says too little: the last whole measurement stays.
    if rates.per_core.len() == Service::ALL.len() {
        files.push((cost::RATES.to_owned(), rates.text()));
    }
    files.extend(
        plots
            .into_iter()
            .map(|plot| (format!("{FOLDER}/{}", plot.file), plot.svg)),
    );
    Ok(files)
}

/// When the rows were measured.
fn date(results: &Value) -> String {
    let rows = results["rows"].as_object().into_iter().flatten();
    let dates = rows.filter_map(|(_, row)| row["measured"]["date"].as_str());
    match (dates.clone().min(), dates.max()) {
        (Some(first), Some(last)) if first == last => first.to_owned(),
        (Some(first), Some(last)) => format!("{first} to {last}"),
        _ => "on an unknown day".to_owned(),
    }
}

/// What it ran on, and whether others did so too.
fn host(results: &Value) -> String {
    let host = &results["host"];
    let text = |key: &str| host[key].as_str().unwrap_or("unknown").to_owned();
    let sha = match host["sha_instructions"].as_bool() {
        Some(true) => "with SHA instructions",
        _ => "without SHA instructions",
    };
    let rows = || results["rows"].as_object().into_iter().flatten();
    // The load average is read before anything is built or measured.
    let load = |row: &Value| row["measured"]["load_before"].as_f64();
    let shared = match rows().filter_map(|(_, row)| load(row)).reduce(f64::max) {
        Some(load) if load > 0.5 => {
            format!("; **measured on a shared host**, whose load average was up to {load} before")
        }
        _ => String::new(),
    };
    format!(
        "Measured {} on {} x {} ({}, {sha}), {} MB, {}, Linux {}, {}{shared}. Absolute figures are of this \
         machine in this hour; **ratios are what counts**. To measure anew: `cargo xtask bench --install-peers`.\n",
        date(results),
        number(&host["processors"]),
        text("processor"),
        text("arch"),
        number(&host["memory_mb"]),
        text("system"),
        text("kernel"),
        text("rustc"),
    )
}

fn number(value: &Value) -> String {
    value
        .as_f64()
        .map_or("unknown".to_owned(), |value| format!("{value}"))
}

/// When each row was measured and how.
fn occasions(results: &Value) -> String {
    let mut table = String::from(
        "| row | measured | rounds of | load average before | after |\n| --- | --- | --- | --- | --- |\n",
    );
    for (row, measured) in results["rows"].as_object().into_iter().flatten() {
        let measured = &measured["measured"];
        let _ = writeln!(
            table,
            "| {row} | {} | {} x {} s | {} | {} |",
            measured["date"].as_str().unwrap_or("unknown"),
            number(&measured["rounds"]),
            number(&measured["seconds"]),
            number(&measured["load_before"]),
            number(&measured["load_after"]),
        );
    }
    table
}

fn target_table(results: &Value) -> String {
    let mut table = String::from("| what | target | measured | |\n| --- | --- | --- | --- |\n");
    for target in TARGETS {
        let _ = writeln!(
            table,
            "| {} | {} | {} | {} |",
            target.meaning,
            target.limit.text(),
            measured(target, results),
            target.verdict(results).text(),
        );
    }
    table
}

/// The targets' figures on each machine, as the programs were on that day.
fn machine_table(results: &Value, others: &[Value]) -> String {
    let machines = || std::iter::once(results).chain(others);
    let mut table =
        String::from("The newest of each, with the programs of that day.\n\n| what | target |");
    for machine in machines() {
        let processor = machine["host"]["processor"].as_str();
        let _ = write!(
            table,
            " {}, {} |",
            processor.unwrap_or("unknown"),
            date(machine)
        );
    }
    table.push_str("\n| --- | --- |");
    table.push_str(&" --- |".repeat(1 + others.len()));
    table.push('\n');
    for target in TARGETS {
        let _ = write!(table, "| {} | {} |", target.meaning, target.limit.text());
        for machine in machines() {
            let _ = write!(table, " {} |", measured(target, machine));
        }
        table.push('\n');
    }
    table
}

fn measured(target: &Target, results: &Value) -> String {
    let value = target.value(results);
    value.map_or("-".to_owned(), |value| format!("{value:.2}"))
}

/// For the terminal.
pub(super) fn closing_table(results: &Value) -> String {
    let mut rows = vec![["what", "target", "measured", ""].map(String::from)];
    for target in TARGETS {
        let verdict = target.verdict(results);
        if verdict != Verdict::NotMeasured {
            rows.push([
                target.meaning.replace('`', ""),
                target.limit.text(),
                measured(target, results),
                verdict.text().replace('*', ""),
            ]);
        }
    }
    console::table(&rows)
}

/// Processor time and rate of everything that was measured.
fn series_table(results: &Value) -> String {
    let mut table = String::from(
        "CPU is the server's processor time for a request, a core's limit the rate that follows from it, the rate what \
         the load tool on the other core reached. p99 is of a closed loop: for comparisons only.\n\n\
         | row | server | CPU us | least to most | core's limit, requests/s | rate, requests/s | p99 ms | database CPU us |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for (row, measured) in results["rows"].as_object().into_iter().flatten() {
        for series in measured["series"].as_array().into_iter().flatten() {
            let number = |key: &str| series[key].as_f64().unwrap_or(0.0);
            let database = series["database_cpu_us"].as_f64();
            let _ = writeln!(
                table,
                "| {row} | {} | {:.2} | {:.2} to {:.2} | {:.0} | {:.0} | {:.2} | {} |",
                series["name"].as_str().unwrap_or_default(),
                number("cpu_us"),
                number("cpu_us_least"),
                number("cpu_us_most"),
                1e6 / number("cpu_us").max(1e-3),
                number("requests_per_s"),
                number("p99_ms"),
                database.map_or(String::new(), |micros| format!("{micros:.2}")),
            );
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
    }

    #[test]
    fn the_page_is_what_the_newest_results_give() {
        let root = root();
        if !root.join(RESULTS).exists() {
            // Nothing was measured for the repository yet, so there must be no page either.
            assert!(!root.join(PAGE).exists(), "{PAGE} has no results");
            return;
        }
        let results = results::read_newest(&root.join(RESULTS)).unwrap();
        for (name, text) in files(&root, &results).unwrap() {
            let kept = fs::read_to_string(root.join(&name)).unwrap();
            assert_eq!(kept, text, "{name}: run `cargo xtask bench --render`");
        }
    }

    #[test]
    fn a_part_of_the_rows_does_not_replace_the_rates() {
        let files = files(&root(), &[Value::Null]).unwrap();
        assert!(files.iter().all(|(name, _)| name != cost::RATES));
    }

    #[test]
    fn each_row_says_when_it_was_measured() {
        let measured = |date: &str, load: f64| {
            serde_json::json!({ "measured": {
                "date": date, "load_before": load, "load_after": 1.5, "rounds": 3, "seconds": 2,
            } })
        };
        let results = serde_json::json!({
            "rows": { "kit": measured("2026-01-01", 0.2), "tool": measured("2026-01-03", 4.0) },
        });
        let table = occasions(&results);
        assert!(
            table.contains("| kit | 2026-01-01 | 3 x 2 s | 0.2 | 1.5 |\n"),
            "{table}"
        );
        assert!(
            table.contains("| tool | 2026-01-03 | 3 x 2 s | 4 | 1.5 |\n"),
            "{table}"
        );
        let head = host(&results);
        assert!(
            head.starts_with("Measured 2026-01-01 to 2026-01-03 on "),
            "{head}"
        );
        assert!(
            head.contains("shared host**, whose load average was up to 4 before"),
            "{head}"
        );
    }

    #[test]
    fn other_machines_stand_beside_the_newest() {
        let machine = |name: &str, ratio: f64| {
            serde_json::json!({
                "host": { "processor": name },
                "rows": { "kit": { "figures": { "kit / raw": ratio }, "measured": { "date": "2026-01-01" } } },
            })
        };
        let table = machine_table(&machine("a", 1.1), &[machine("b", 1.3)]);
        for expected in [
            "| what | target | a, 2026-01-01 | b, 2026-01-01 |\n| --- | --- | --- | --- |\n",
            "| <= 1.17 | 1.10 | 1.30 |\n",
            "| <= 32 | - | - |\n",
        ] {
            assert!(table.contains(expected), "{table}");
        }
    }

    #[test]
    fn a_row_that_was_not_measured_is_shown_as_such() {
        let table = target_table(&Value::Null);
        assert_eq!(table.lines().count(), TARGETS.len() + 2);
        assert!(table.contains("| - | not measured |"));
        assert_eq!(closing_table(&Value::Null).lines().count(), 1);
    }
}
