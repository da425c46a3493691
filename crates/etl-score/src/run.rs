//! A run: queries over the working zone, rows into the processed zone.

mod files;
mod query;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use arrow_array::{Int64Array, RecordBatch};
use etl::failure::{Failure, FailureKind};
use etl::steps::clean;
use etl::steps::score::read_excluded;
use etl::zones::lock::Lock;
use etl::zones::place::Place;
use etl::zones::processed::{PROCESSED_VERSION, RunInput, RunManifest};
use etl::zones::working::InputManifest;
use serde_json::{Map, Value};

use self::files::{Scratch, file_url, replace_rows};
use self::query::{Output, Run};
use crate::memory::MemorySize;
use crate::queries::{QUERIES, RUN_INPUTS, TALLY};

/// What to read, what to write and what may be used for it.
#[derive(Debug, Clone)]
pub struct Options {
    /// The working zone.
    pub working: Place,
    /// The processed zone.
    pub processed: Place,
    /// The list of excluded tags.
    pub popular: PathBuf,
    /// Memory that the process may hold.
    pub memory: MemorySize,
    /// Threads.
    pub jobs: NonZeroUsize,
    /// A folder for intermediate tables and spilled data, emptied at the start and gone at the end.
    pub scratch: PathBuf,
    /// Whether every join sorts, as those do whose tables outgrow the memory.
    pub sort_merge_only: bool,
}

/// A query is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Its name.
    pub query: &'static str,
    /// Rows of its result.
    pub rows: u64,
    /// How long it took.
    pub time: Duration,
    /// Bytes that it spilled to the disk.
    pub spilled_bytes: u64,
    /// Whether it was run again in a way that needs less, for want of memory.
    pub is_second_try: bool,
}

/// What a run made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// The manifest, as it was written.
    pub manifest: RunManifest,
    /// Rows in all.
    pub rows: u64,
}

/// Scores a working zone. Takes the zones' locks and starts `jobs` threads; not for use inside a runtime.
///
/// # Errors
///
/// A zone is in use or cannot be read, a disk is full or read-only, the memory does not suffice, or
/// the rows break a rule. The processed zone is then as it was, unless its own disk failed while the
/// new rows took the place of the old; then it has no manifest.
pub fn score(options: &Options, progress: &mut dyn FnMut(Step)) -> Result<Done, Failure> {
    let excluded = read_excluded(&options.popular)?;
    let _reading = Lock::shared(&options.working)?;
    let _writing = Lock::exclusive(&options.processed)?;
    let inputs = clean::inputs(&options.working)?;
    if inputs.is_empty() {
        let line = format!(
            "{}: there is nothing to score; run `etl clean` first",
            options.working
        );
        return Err(Failure::new(FailureKind::Input, line));
    }
    clean::verify(&options.working, &inputs, options.jobs.get())?;
    let scratch = Scratch::begin(&options.scratch)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(options.jobs.get())
        .enable_all()
        .build()
        .map_err(|error| Failure::new(FailureKind::Software, format!("no threads: {error}")))?;
    let mut run = Run::new(options, &scratch.0)?;
    run.add_facts(&inputs)?;
    run.add_lists(&inputs, &excluded)?;
    let mut rows = Vec::new();
    let mut tally = Map::new();
    let mut run_inputs = Vec::new();
    for query in QUERIES {
        let started = Instant::now();
        let ran = runtime.block_on(run.query(query))?;
        let mut step = Step {
            query: query.name,
            rows: ran.rows,
            time: Duration::ZERO,
            spilled_bytes: ran.spilled_bytes,
            is_second_try: ran.is_second_try,
        };
        match (query.name, ran.result) {
            (_, Output::Rows(files)) => rows = files,
            (TALLY, Output::Batches(batches)) => tally = as_map(&batches)?,
            (RUN_INPUTS, Output::Batches(batches)) => run_inputs = as_inputs(&batches, &inputs)?,
            (name, Output::Table(schema, files)) => {
                let urls = files.iter().map(|path| file_url(path));
                run.add(name, &schema, urls.collect::<Result<_, _>>()?)?;
            }
            (name, Output::Batches(_)) => {
                let line = format!("nobody asked for the result of `{name}`");
                return Err(Failure::new(FailureKind::Software, line));
            }
        }
        step.time = started.elapsed();
        progress(step);
    }
    let count = rows.iter().map(|file| file.rows).sum::<u64>();
    check_count(count, &tally)?;
    let manifest = RunManifest {
        processed_version: PROCESSED_VERSION,
        engine: "datafusion".to_owned(),
        inputs: run_inputs,
        working: options.working.absolute(),
        excluded: excluded.sorted(),
        excluded_sha256: excluded.sha256(),
        tally,
        rows,
    };
    replace_rows(&options.processed, &run.rows_folder(), &manifest)?;
    Ok(Done {
        manifest,
        rows: count,
    })
}

/// Rows that are there and rows that must be: each relation from both sides.
fn check_count(rows: u64, tally: &Map<String, Value>) -> Result<(), Failure> {
    let wanted = tally.get("table_rows").and_then(Value::as_u64);
    if wanted == Some(rows) {
        return Ok(());
    }
    let wanted = wanted.map_or_else(|| "no number".to_owned(), |wanted| wanted.to_string());
    let line = format!("there are {rows} rows, but the pairs come to {wanted}");
    Err(Failure::new(FailureKind::Check, line))
}

/// The one row of the tally by column.
fn as_map(batches: &[RecordBatch]) -> Result<Map<String, Value>, Failure> {
    let failed = |what: &str| Failure::new(FailureKind::Software, format!("the tally {what}"));
    let mut rows = batches.iter().filter(|batch| batch.num_rows() > 0);
    let batch = rows.next().ok_or_else(|| failed("is empty"))?;
    let mut map = Map::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let numbers = column.as_any().downcast_ref::<Int64Array>();
        let number = numbers
            .ok_or_else(|| failed("has a column that is no number"))?
            .value(0);
        map.insert(field.name().clone(), number.into());
    }
    Ok(map)
}

/// The inputs with what they lost, in their order.
fn as_inputs(batches: &[RecordBatch], inputs: &[InputManifest]) -> Result<Vec<RunInput>, Failure> {
    let mut found = Vec::new();
    for batch in batches {
        let count = |index: usize, row: usize| {
            let column = batch.columns().get(index)?;
            let numbers = column.as_any().downcast_ref::<Int64Array>()?;
            u64::try_from(numbers.value(row)).ok()
        };
        for row in 0..batch.num_rows() {
            found.push((count(1, row), count(2, row), count(3, row)));
        }
    }
    let all = inputs.iter().zip(&found);
    let all: Option<Vec<RunInput>> = all
        .map(|(manifest, (tweets, relations, with_oneself))| {
            Some(RunInput {
                input: manifest.input.clone(),
                crc32: manifest.crc32.clone(),
                repeated_tweets: (*tweets)?,
                repeated_relations: (*relations)?,
                repeated_relations_with_oneself: (*with_oneself)?,
            })
        })
        .collect();
    let all = all.filter(|all| all.len() == inputs.len() && found.len() == inputs.len());
    all.ok_or_else(|| {
        let line = "the counts of repeated tweets are not one for each input".to_owned();
        Failure::new(FailureKind::Software, line)
    })
}
