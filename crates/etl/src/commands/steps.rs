//! The sub-commands that take data from zone to zone.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;
use std::{fs, thread};

use database_address::Address;
use etl::failure::{Failure, FailureKind};
use etl::load::{self, Load, Origin};
use etl::report;
use etl::steps::clean::{Cleaned, Plan};
use etl::steps::run::{Clean, Landing, Run, apart};
use etl::steps::score::{Engine, Score, read_excluded};
use etl::steps::temporary::Temporary;
use etl::zones::figures::figures;
use etl::zones::place::Place;

use super::{address, say, wait};
use crate::args;
use crate::progress::Shown;

/// Files that a dry run names.
const NAMED_FILES: usize = 20;

/// Landing to working.
pub(crate) fn clean(options: &args::Clean) -> Result<(), Failure> {
    let started = Instant::now();
    let clean = Clean {
        landing: Landing::Zone(Place::parse(&options.landing)?),
        working: Place::parse(&options.working)?,
        memory: options.memory,
        jobs: jobs(options.jobs),
        gone: options.gone.into(),
    };
    let progress = Shown::new();
    let cleaned = clean.run(&progress);
    progress.finish();
    say(&cleaned_line(&cleaned?, started))
}

/// Working to processed.
pub(crate) fn score(options: &args::Score) -> Result<(), Failure> {
    let started = Instant::now();
    let (working, processed) = (
        Place::parse(&options.working)?,
        Place::parse(&options.processed)?,
    );
    apart(&[&working, &processed])?;
    let score = Score {
        working: &working,
        processed: &processed,
        popular: &options.popular,
        memory: options.memory,
        jobs: jobs(options.jobs),
    };
    let inputs = etl::steps::clean::inputs(&working)?;
    if inputs.is_empty() {
        let line = format!("{working} holds no facts; clean first");
        return Err(Failure::new(FailureKind::Input, line));
    }
    if score.done(&inputs)?.is_some() {
        return say(&format!("{processed} is up to date\n"));
    }
    let progress = Shown::new();
    let scored = score.run(&inputs, options.engine.into(), &progress);
    progress.finish();
    let rows: u64 = scored?.rows.iter().map(|file| file.rows).sum();
    let seconds = started.elapsed().as_secs_f64();
    say(&format!(
        "{processed} now holds {rows} rows of {} inputs, after {seconds:.1} s\n",
        inputs.len()
    ))
}

/// All steps.
pub(crate) fn run(options: &args::Run) -> Result<(), Failure> {
    let address = address(&options.database)?;
    let run = Run {
        clean: Clean {
            landing: Landing::Zone(Place::parse(&options.landing)?),
            working: Place::parse(&options.working)?,
            memory: options.memory,
            jobs: jobs(options.jobs),
            gone: options.gone.into(),
        },
        processed: Place::parse(&options.processed)?,
        popular: options.popular.clone(),
        engine: options.engine.into(),
    };
    if options.is_dry {
        return dry_run(&run, &address);
    }
    publish(&run, &address, options.stats.as_deref(), &options.loading)
}

/// All steps, over a temporary folder and in memory.
pub(crate) fn build(options: &args::Build) -> Result<(), Failure> {
    let address = address(&options.database)?;
    // Gone with everything in it when this ends.
    let zones = Temporary::create()?;
    let run = zones.run(&options.input, &options.popular, jobs(options.jobs));
    publish(&run, &address, options.stats.as_deref(), &options.loading)
}

fn publish(
    run: &Run,
    address: &Address,
    stats: Option<&Path>,
    loading: &args::Loading,
) -> Result<(), Failure> {
    // Before hours of reading, not after them.
    wait(load::probe(address))??;
    run.apart()?;
    let excluded = read_excluded(&run.popular)?;
    let mut report = report::Run::default();
    let progress = Shown::new();
    let began = report.begin();
    let cleaned = run.clean.run(&progress);
    report.end("clean", began);
    let began = report.begin();
    let scored = cleaned.and_then(|cleaned| {
        let (scored, _) = run.score(&cleaned, &progress)?;
        figures(&cleaned.inputs, &scored)
    });
    report.end("score", began);
    progress.finish();
    let (counted, files) = scored?;
    if let Some(path) = stats {
        let written = fs::write(path, counted.to_json());
        written.map_err(|error| Failure::of_output(&path.display().to_string(), &error))?;
    }
    say(&report::text(&files, &counted))?;
    report.source_was_said();
    let temporary = std::env::temp_dir();
    let load = Load {
        processed: &run.processed,
        origin: Origin {
            working: &run.clean.working,
            excluded: &excluded,
        },
        address,
        jobs: run.clean.jobs,
        mode: super::load::mode(loading),
        spill_folder: loading.spill.as_deref().unwrap_or(&temporary),
    };
    let said = super::load::publish(&load, loading, report, &progress)?;
    say(&said)
}

fn cleaned_line(cleaned: &Cleaned, started: Instant) -> String {
    let seconds = started.elapsed().as_secs_f64();
    let bytes = megabytes(cleaned.raw_bytes);
    format!(
        "{} of {} inputs cleaned, {bytes} of lines, after {seconds:.1} s\n",
        cleaned.files,
        cleaned.inputs.len(),
    )
}

/// What a run would do.
fn dry_run(run: &Run, address: &Address) -> Result<(), Failure> {
    run.apart()?;
    let plan = run.clean.plan()?;
    // Whether the list of tags and the database are there is part of what would happen.
    let score = run.to_score();
    let done = score.done(&plan.done)?;
    if run.engine == Engine::DataFusion {
        etl::steps::score::program()?;
    }
    wait(load::probe(address))??;
    say(&described(
        run,
        &plan,
        done.is_some() && plan.todo.is_empty(),
        address,
    ))
}

fn described(run: &Run, plan: &Plan, is_scored: bool, address: &Address) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "clean: {} of {} files, {}, with {} jobs, into {}",
        plan.todo.len(),
        plan.todo.len() + plan.done.len(),
        megabytes(plan.bytes()),
        run.clean.fitting_jobs(),
        run.clean.working,
    );
    for task in plan.todo.iter().take(NAMED_FILES) {
        let size = megabytes(task.raw.entry.size_bytes);
        let _ = writeln!(text, "  {} {size}", task.raw.path);
    }
    if plan.todo.len() > NAMED_FILES {
        let _ = writeln!(text, "  and {} more", plan.todo.len() - NAMED_FILES);
    }
    if !plan.gone.is_empty() {
        let _ = writeln!(
            text,
            "  {} inputs are gone from the landing zone: {:?}",
            plan.gone.len(),
            run.clean.gone
        );
    }
    let engine = match run.engine {
        Engine::Memory => "memory",
        Engine::DataFusion => "datafusion",
    };
    if is_scored {
        let _ = writeln!(text, "score: {} is up to date", run.processed);
    } else {
        let memory = run.clean.memory.map_or_else(
            || "its own limit of memory".to_owned(),
            |memory| format!("{} of memory", megabytes(memory)),
        );
        let _ = writeln!(
            text,
            "score: engine {engine}, {memory}, into {}",
            run.processed
        );
    }
    let _ = writeln!(text, "load: check, then replace what {address} holds");
    text
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

pub(super) fn jobs(wanted: Option<std::num::NonZeroUsize>) -> usize {
    let cpus = || thread::available_parallelism().map_or(1, usize::from);
    wanted.map_or_else(cpus, usize::from)
}
