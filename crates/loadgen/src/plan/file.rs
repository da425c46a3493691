//! Plan files: everything about a run, in TOML, to keep beside the code that it measures.
//!
//! ```toml
//! target = "http://127.0.0.1:8080"
//! connections = 64
//! fail_if = ["p99>20ms", "errors>0.1%"]
//!
//! [[scenario]]
//! kind = "qrcode"
//! weight = 3
//!
//! [[scenario]]
//! kind = "twitter"
//! rows = "rows.tsv"              # from `etl rows`, beside the plan file
//!
//! [[stage]]
//! name = "warm up"
//! from = 10
//! to = 100
//! duration = "10s"
//!
//! [[stage]]
//! rate = 500
//! duration = "1m"
//! ```

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use serde::Deserialize;

use super::settings::{Pace, Settings};
use super::spec::Spec;
use crate::schedule::{Rate, Stage};
use crate::units;

/// Largest plan file, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The keys of a plan file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    target: Option<String>,
    headers: Vec<String>,
    team_line: Option<String>,
    invalid: Option<String>,
    size: Option<usize>,
    seed: Option<u64>,
    closed: bool,
    rate: Option<Number>,
    duration: Option<String>,
    requests: Option<u64>,
    connections: Option<u16>,
    threads: Option<u16>,
    timeout: Option<String>,
    check: Option<String>,
    fail_if: Vec<String>,
    late_after: Option<String>,
    max_late: Option<String>,
    spin: Option<bool>,
    scenario: Vec<FileScenario>,
    stage: Vec<FileStage>,
}

/// A scenario.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileScenario {
    kind: String,
    name: Option<String>,
    weight: Option<u64>,
    target: Option<String>,
    invalid: Option<String>,
    corpus: Option<PathBuf>,
    users: Option<PathBuf>,
    rows: Option<PathBuf>,
    size: Option<usize>,
}

/// A stage.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileStage {
    name: Option<String>,
    rate: Option<Number>,
    from: Option<Number>,
    to: Option<Number>,
    duration: String,
}

/// A rate may be written with or without a point.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
enum Number {
    Whole(u64),
    Real(f64),
}

impl Number {
    fn rate(self) -> Result<Rate> {
        Ok(match self {
            Self::Whole(0) => Rate::ZERO,
            Self::Whole(number) => number.to_string().parse().map_err(|why| anyhow!("{why}"))?,
            Self::Real(number) => Rate::new(number).context("a rate is above 0, up to 10000000")?,
        })
    }
}

/// Reads a plan file; what it does not say is as usual.
///
/// # Errors
///
/// When the file cannot be read, or says something that is wrong: where and how to mend it.
pub fn read(path: &Path) -> Result<Settings> {
    let shown = path.display();
    let size = std::fs::metadata(path)
        .with_context(|| format!("cannot read {shown}"))?
        .len();
    if size > MAX_FILE_BYTES {
        bail!("{shown} has {size} bytes, and {MAX_FILE_BYTES} are allowed");
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    parse(&text, folder).with_context(|| format!("plan {shown}"))
}

/// Reads the text of a plan file; other files are looked for in `folder`.
///
/// # Errors
///
/// What is wrong in it.
pub fn parse(text: &str, folder: &Path) -> Result<Settings> {
    // The parser's own words show the line and what was expected there.
    let file: File = toml::from_str(text).map_err(|error| anyhow!("{error}"))?;
    let mut settings = Settings {
        target: value("target", file.target.as_deref(), str::parse)?,
        team_line: file.team_line,
        ..Settings::default()
    };
    for header in &file.headers {
        let field = units::field(header).map_err(|why| anyhow!("headers: {header:?}: {why}"))?;
        settings.headers.push(field);
    }
    let share = |text: &str| units::share(text).map_err(|why| anyhow!(why));
    let time = |text: &str| units::duration(text).map_err(|why| anyhow!(why));
    set(
        &mut settings.invalid,
        "invalid",
        file.invalid.as_deref(),
        share,
    )?;
    set(
        &mut settings.max_late,
        "max_late",
        file.max_late.as_deref(),
        share,
    )?;
    set(
        &mut settings.timeout,
        "timeout",
        file.timeout.as_deref(),
        time,
    )?;
    set(
        &mut settings.late_after,
        "late_after",
        file.late_after.as_deref(),
        time,
    )?;
    settings.duration = value("duration", file.duration.as_deref(), time)?;
    set(
        &mut settings.check,
        "check",
        file.check.as_deref(),
        |text| text.parse().map_err(|why| anyhow!("{why}")),
    )?;
    settings.size = range("size", file.size, 1, 1_000_000)?.unwrap_or(settings.size);
    settings.requests = range("requests", file.requests, 1, u64::MAX)?;
    settings.connections =
        range("connections", file.connections, 1, 20_000)?.unwrap_or(settings.connections);
    settings.spin = file.spin.unwrap_or(settings.spin);
    settings.threads = range("threads", file.threads, 1, 256)?.unwrap_or(settings.threads);
    settings.seed = file.seed.unwrap_or(settings.seed);
    for limit in &file.fail_if {
        let limit = limit
            .parse()
            .map_err(|why| anyhow!("fail_if: {limit:?}: {why}"))?;
        settings.fail_if.push(limit);
    }
    for (number, scenario) in file.scenario.into_iter().enumerate() {
        let spec = scenario_of(scenario, folder);
        let spec = spec.with_context(|| format!("scenario number {}", number + 1))?;
        settings.scenarios.push(spec);
    }
    let mut stages = Vec::new();
    for (number, stage) in file.stage.into_iter().enumerate() {
        let stage = stage_of(stage).with_context(|| format!("stage number {}", number + 1))?;
        stages.push(stage);
    }
    settings.pace = match (file.closed, file.rate, stages.is_empty()) {
        (false, None, true) => Pace::Unsaid,
        (true, None, true) => Pace::Closed,
        (false, Some(rate), true) => match rate.rate().context("rate")? {
            Rate::ZERO => bail!("rate: nothing is sent at a rate of 0"),
            rate => Pace::Rate(rate),
        },
        (false, None, false) => {
            crate::schedule::check_stages(&stages).map_err(|why| anyhow!("stages: {why}"))?;
            Pace::Stages(stages)
        }
        _ => bail!("say one of closed, rate and [[stage]]"),
    };
    Ok(settings)
}

fn scenario_of(scenario: FileScenario, folder: &Path) -> Result<Spec> {
    let mut spec = Spec::new(scenario.kind.parse()?);
    spec.name = scenario.name;
    spec.weight = scenario.weight.unwrap_or(spec.weight);
    spec.target = value("target", scenario.target.as_deref(), str::parse)?;
    spec.invalid = value("invalid", scenario.invalid.as_deref(), |text| {
        units::share(text).map_err(|why| anyhow!(why))
    })?;
    spec.corpus = scenario.corpus.map(|file| folder.join(file));
    spec.users = scenario.users.map(|file| folder.join(file));
    spec.rows = scenario.rows.map(|file| folder.join(file));
    spec.size = scenario.size;
    spec.check()?;
    Ok(spec)
}

fn stage_of(stage: FileStage) -> Result<Stage> {
    let (from, to) = match (stage.rate, stage.from, stage.to) {
        (Some(rate), None, None) => (rate, rate),
        (None, Some(from), Some(to)) => (from, to),
        _ => bail!("say either rate, or from and to"),
    };
    let duration = units::duration(&stage.duration);
    Ok(Stage {
        name: stage.name,
        from: from.rate()?,
        to: to.rate()?,
        duration: duration.map_err(|why| anyhow!("duration: {why}"))?,
    })
}

/// A value by its key, if it is there.
fn value<T>(
    key: &str,
    text: Option<&str>,
    parse: impl FnOnce(&str) -> Result<T>,
) -> Result<Option<T>> {
    let Some(text) = text else { return Ok(None) };
    let parsed = parse(text).with_context(|| format!("{key} = {text:?}"))?;
    Ok(Some(parsed))
}

/// Puts a value in its place, if it is there.
fn set<T>(
    place: &mut T,
    key: &str,
    text: Option<&str>,
    parse: impl FnOnce(&str) -> Result<T>,
) -> Result<()> {
    if let Some(value) = value(key, text, parse)? {
        *place = value;
    }
    Ok(())
}

/// A number within limits, if it is there.
fn range<T: PartialOrd + Copy + std::fmt::Display>(
    key: &str,
    number: Option<T>,
    least: T,
    most: T,
) -> Result<Option<T>> {
    match number {
        Some(number) if number < least || number > most => {
            bail!("{key} is a number from {least} to {most}, not {number}")
        }
        number => Ok(number),
    }
}
