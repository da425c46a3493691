//! `etl load`, and the reports of it.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Instant;

use etl::failure::{Failure, complain};
use etl::load::{Load, Mode, Origin, Published, Recorded, Written, ask};
use etl::report::Run;
use etl::steps::progress::{Progress as _, Step};
use etl::steps::score::read_excluded;
use etl::zones::place::Place;
use etl::zones::processed::manifest;

use super::{address, say};
use crate::args::{self, Loading};
use crate::progress::Shown;

/// Where the report of the last load lies in the processed zone, unless `--json` says otherwise.
const LAST: &str = "report.json";
/// Bytes of an earlier report that are read.
const MAX_REPORT_BYTES: u64 = 64 << 20;

/// Rows of the processed zone to the table.
pub(crate) fn load(options: &args::Load) -> Result<(), Failure> {
    let address = address(&options.database)?;
    let processed = Place::parse(&options.processed)?;
    let mut recorded = Recorded::of(&processed)?;
    if let Some(working) = &options.working {
        recorded.working = Place::parse(working)?;
    }
    if let Some(popular) = &options.popular {
        recorded.excluded = read_excluded(popular)?;
    }
    let temporary = std::env::temp_dir();
    let load = Load {
        processed: &processed,
        origin: Origin {
            working: &recorded.working,
            excluded: &recorded.excluded,
        },
        address: &address,
        jobs: super::steps::jobs(options.jobs),
        mode: mode(&options.loading),
        spill_folder: options.loading.spill.as_deref().unwrap_or(&temporary),
    };
    let said = publish(&load, &options.loading, Run::default(), &Shown::new())?;
    say(&said)
}

pub(super) fn mode(loading: &Loading) -> Mode {
    if loading.full {
        Mode::Full
    } else {
        Mode::Changes
    }
}

/// Loads, publishes and reports; the reports are written whatever comes of it. Gives the last line.
pub(super) fn publish(
    load: &Load<'_>,
    options: &Loading,
    mut report: Run,
    progress: &Shown,
) -> Result<String, Failure> {
    let started = Instant::now();
    let processed = load.processed;
    if let Some(last) = last_report(processed, options.json.as_deref()) {
        report.compare_with(last);
    }
    let rows = manifest(processed).ok().flatten();
    let rows = rows.map(|run| run.rows.iter().map(|file| file.rows).sum());
    progress.begin(Step::Load, rows.unwrap_or_default());
    let loaded = load.run(&mut report, &|rows| progress.advance(rows, 0));
    progress.finish();
    let loaded = loaded.and_then(|published| {
        if let Some(url) = &options.ask {
            let asked = ask(url, report.requests())?;
            report.asked(asked);
        }
        Ok(published)
    });
    if let Err(failure) = &loaded {
        report.failed(&failure.line);
    }
    let written = write_reports(&report, processed, options);
    say(&report.to_text())?;
    let published = loaded?;
    written?;
    Ok(format!(
        "{} {}, as load {}, after {:.1} s\n",
        load.address,
        said(&published),
        published.meta.generation,
        started.elapsed().as_secs_f64()
    ))
}

fn said(published: &Published) -> String {
    let (users, rows) = (published.meta.users, published.meta.rows);
    let holds = format!(
        "now holds {users} users with {rows} rows in {} bytes",
        published.bytes
    );
    match published.written {
        Written::Everything => holds,
        Written::Changes {
            replaced, removed, ..
        } => format!("{holds}, {replaced} parts of packs replaced and {removed} removed"),
        Written::Nothing => format!("{holds}, as before"),
    }
}

/// The report of the run before, if there is one. One that is garbled is no reason to stop.
fn last_report(processed: &Place, json: Option<&Path>) -> Option<serde_json::Value> {
    let bytes = match json {
        Some(path) => match fs::read(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            read => Some(read.ok()?),
        },
        None => None,
    };
    let bytes = match bytes {
        Some(bytes) => bytes,
        None => processed.read(LAST, MAX_REPORT_BYTES).ok()??,
    };
    serde_json::from_slice(&bytes).ok()
}

fn write_reports(report: &Run, processed: &Place, options: &Loading) -> Result<(), Failure> {
    let mut json = report.to_json().to_string();
    json.push('\n');
    let write = |path: &Path, text: &str| {
        let written = fs::write(path, text);
        written.map_err(|error| Failure::of_output(&path.display().to_string(), &error))
    };
    if let Some(path) = &options.report {
        write(path, &report.to_html())?;
    }
    if let Some(path) = &options.json {
        write(path, &json)?;
    }
    // Only what was published is compared with; a zone that cannot be written keeps no memory.
    if report.is_published()
        && let Err(failure) = processed.write(LAST, json.as_bytes())
    {
        complain(&format!(
            "the next run will not be compared with this one: {failure}"
        ));
    }
    Ok(())
}
