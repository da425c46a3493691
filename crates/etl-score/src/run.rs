//! A run: queries over the working zone, rows into the processed zone.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, ErrorKind};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::{Field, Schema};
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use datafusion::physical_plan::{
    ExecutionPlan, SendableRecordBatchStream, execute_stream, execute_stream_partitioned,
};
use etl::failure::{Failure, FailureKind};
use etl::score::Excluded;
use etl::steps::clean;
use etl::steps::score::read_excluded;
use etl::zones::facts::file_name;
use etl::zones::lock::Lock;
use etl::zones::place::Place;
use etl::zones::processed::{
    PROCESSED_VERSION, ROWS, RUN, RowsFile, RunInput, RunManifest, publish,
};
use etl::zones::working::{InputManifest, Table};
use futures_util::StreamExt as _;
use serde_json::{Map, Value};

use crate::failure;
use crate::joins::BoundedJoins;
use crate::memory::{MemoryPlan, MemorySize};
use crate::parts::{FileWriter, RowsWriter, WriteError, write_rows};
use crate::queries::{QUERIES, Query, RUN_INPUTS, TALLY};
use crate::session::{Engine, is_exhausted};

/// Batches of rows that may wait to be written.
const WAITING_BATCHES: usize = 2;

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

/// What came of a query.
enum Output {
    Table(Arc<Schema>, Vec<PathBuf>),
    Rows(Vec<RowsFile>),
    Batches(Vec<RecordBatch>),
}

struct Ran {
    result: Output,
    rows: u64,
    spilled_bytes: u64,
    is_second_try: bool,
}

struct Run<'o> {
    options: &'o Options,
    engine: Engine,
    scratch: PathBuf,
    working: String,
}

impl<'o> Run<'o> {
    fn new(options: &'o Options, scratch: &Path) -> Result<Self, Failure> {
        let jobs = options.jobs.get();
        let plan = MemoryPlan::new(options.memory, jobs);
        let spill = scratch.join("spill");
        fs::create_dir_all(&spill)
            .map_err(|error| Failure::of_output(&spill.display().to_string(), &error))?;
        let engine = Engine::new(plan, &spill).map_err(|error| of_setup(&error))?;
        Ok(Self {
            options,
            engine,
            scratch: scratch.to_owned(),
            working: options.working.to_string(),
        })
    }

    fn rows_folder(&self) -> PathBuf {
        self.scratch.join(ROWS)
    }

    fn place<'a>(&'a self, query: &'a str, scratch: &'a str) -> failure::Place<'a> {
        failure::Place {
            query,
            working: &self.working,
            scratch,
            memory: self.options.memory,
        }
    }

    /// The tables of the working zone, each of the files that the manifests name.
    fn add_facts(&mut self, inputs: &[InputManifest]) -> Result<(), Failure> {
        if let Some((bucket, client)) = self.options.working.as_bucket() {
            self.engine
                .add_bucket(bucket, client)
                .map_err(|error| of_setup(&error))?;
        }
        for table in Table::ALL {
            let urls = inputs.iter().map(|manifest| {
                let path = self
                    .options
                    .working
                    .describe(&file_name(table, &manifest.input));
                match path.strip_prefix("s3://") {
                    Some(rest) if self.options.working.as_local().is_none() => {
                        Ok(format!("s3://{}", escaped(rest.as_bytes())))
                    }
                    _ => file_url(Path::new(&path)),
                }
            });
            let urls = urls.collect::<Result<_, _>>()?;
            self.add(table.name(), &table.schema(), urls)?;
        }
        Ok(())
    }

    /// The small tables that are made here: inputs in their order, and excluded tags.
    fn add_lists(&mut self, inputs: &[InputManifest], excluded: &Excluded) -> Result<(), Failure> {
        let names: StringArray = inputs
            .iter()
            .map(|manifest| Some(&*manifest.input))
            .collect();
        let numbers: Int64Array = (0..).take(inputs.len()).map(Some).collect();
        let tags: StringArray = excluded.iter().map(Some).collect();
        let lists: [(&str, Vec<(&str, ArrayRef)>); 2] = [
            (
                "inputs",
                vec![("input", Arc::new(names)), ("input_no", Arc::new(numbers))],
            ),
            ("popular", vec![("tag", Arc::new(tags))]),
        ];
        for (name, columns) in lists {
            let fields = columns
                .iter()
                .map(|(name, column)| Field::new(*name, column.data_type().clone(), false));
            let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
            let columns = columns.into_iter().map(|(_, column)| column).collect();
            let table = RecordBatch::try_new(Arc::clone(&schema), columns)
                .map_err(Into::into)
                .and_then(|batch| MemTable::try_new(schema, vec![vec![batch]]));
            self.engine
                .add(name, Arc::new(table.map_err(|error| of_setup(&error))?));
        }
        Ok(())
    }

    fn add(&mut self, name: &str, schema: &Schema, urls: Vec<String>) -> Result<(), Failure> {
        let table = self
            .engine
            .parquet(schema, urls)
            .map_err(|error| of_setup(&error))?;
        self.engine.add(name, table);
        Ok(())
    }

    /// Runs a query. If the memory does not suffice, again with sort-merge joins only, and then in
    /// one partition, whose operators have all of it.
    async fn query(&self, query: Query) -> Result<Ran, Failure> {
        let scratch = self.scratch.display().to_string();
        let place = self.place(query.name, &scratch);
        let jobs = self.options.jobs.get();
        let (first, later) = if self.options.sort_merge_only {
            (BoundedJoins::NONE, BoundedJoins::NONE)
        } else {
            let bytes = self.engine.plan().join_bytes;
            (BoundedJoins::within(bytes), BoundedJoins::SMALL)
        };
        let mut ran = self.attempt(query, first, jobs).await;
        for partitions in [jobs, 1] {
            match ran {
                Err(WriteError::Query(error)) if is_exhausted(&error) => {}
                ran => return ran.map_err(|error| place.of_write(&error)),
            }
            ran = self.attempt(query, later, partitions).await;
            if let Ok(ran) = &mut ran {
                ran.is_second_try = true;
            }
        }
        ran.map_err(|error| place.of_write(&error))
    }

    async fn attempt(
        &self,
        query: Query,
        joins: BoundedJoins,
        partitions: usize,
    ) -> Result<Ran, WriteError> {
        let session = self.engine.session(joins, partitions)?;
        let plan = session.sql(query.sql).await?.create_physical_plan().await?;
        let context = session.task_ctx();
        let (result, rows) = match query.name {
            ROWS => {
                let stream = execute_stream(Arc::clone(&plan), context)?;
                let files = self.write_rows(stream).await?;
                let rows = files.iter().map(|file| file.rows).sum();
                (Output::Rows(files), rows)
            }
            TALLY | RUN_INPUTS => {
                let mut stream = execute_stream(Arc::clone(&plan), context)?;
                let mut batches = Vec::new();
                while let Some(batch) = stream.next().await {
                    batches.push(batch?);
                }
                let rows = batches.iter().map(|batch| batch.num_rows() as u64).sum();
                (Output::Batches(batches), rows)
            }
            name => {
                let streams = execute_stream_partitioned(Arc::clone(&plan), context)?;
                let (files, rows) = self.write_table(name, plan.schema(), streams).await?;
                (Output::Table(plan.schema(), files), rows)
            }
        };
        Ok(Ran {
            result,
            rows,
            spilled_bytes: spilled_bytes(plan.as_ref()),
            is_second_try: false,
        })
    }

    /// Writes each partition of a result to a file of its own.
    async fn write_table(
        &self,
        name: &str,
        schema: Arc<Schema>,
        streams: Vec<SendableRecordBatchStream>,
    ) -> Result<(Vec<PathBuf>, u64), WriteError> {
        let group_bytes = self.engine.plan().row_group_bytes;
        let mut tasks = tokio::task::JoinSet::new();
        for (number, mut stream) in streams.into_iter().enumerate() {
            let path = self.scratch.join(format!("{name}-{number:03}.parquet"));
            let schema = Arc::clone(&schema);
            tasks.spawn(async move {
                let mut file = FileWriter::scratch(path.clone(), schema, group_bytes)?;
                while let Some(batch) = stream.next().await {
                    file.write(&batch?)?;
                }
                let (rows, _) = file.finish()?;
                Ok::<_, WriteError>((path, rows))
            });
        }
        let (mut files, mut rows) = (Vec::new(), 0);
        while let Some(ended) = tasks.join_next().await {
            let (path, written) = ended.map_err(of_task)??;
            files.push(path);
            rows += written;
        }
        files.sort();
        Ok((files, rows))
    }

    async fn write_rows(
        &self,
        mut stream: SendableRecordBatchStream,
    ) -> Result<Vec<RowsFile>, WriteError> {
        let writer = RowsWriter::new(self.rows_folder(), self.engine.plan().row_group_bytes)?;
        let (sender, receiver) = tokio::sync::mpsc::channel(WAITING_BATCHES);
        let writing = tokio::task::spawn_blocking(move || write_rows(receiver, writer));
        let mut failed = None;
        while let Some(batch) = stream.next().await {
            match batch {
                Ok(batch) => {
                    // Nobody listens: the writer has failed, and says so below.
                    if sender.send(batch).await.is_err() {
                        break;
                    }
                }
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        drop(sender);
        let written = writing.await.map_err(of_task)?;
        match failed {
            Some(error) => Err(error.into()),
            None => written,
        }
    }
}

/// Puts new rows in the place of old ones. Without a manifest nobody takes them for a run.
fn replace_rows(processed: &Place, rows: &Path, manifest: &RunManifest) -> Result<(), Failure> {
    processed.remove(RUN)?;
    for old in processed.list(ROWS)? {
        processed.remove(&old.name)?;
    }
    for file in &manifest.rows {
        put(
            processed,
            &rows.join(&file.name),
            &format!("{ROWS}/{}", file.name),
        )?;
    }
    publish(processed, manifest)
}

/// Moves a finished file into a zone.
fn put(zone: &Place, file: &Path, name: &str) -> Result<(), Failure> {
    if let Some(folder) = zone.as_local() {
        let target = folder.join(name);
        let moved = target.parent().map_or(Ok(()), fs::create_dir_all);
        match moved.and_then(|()| fs::rename(file, &target)) {
            Err(error) if error.kind() == ErrorKind::CrossesDevices => {}
            moved => {
                return moved.map_err(|error| Failure::of_output(&zone.describe(name), &error));
            }
        }
    }
    let failed = |error: &io::Error| Failure::of_output(&zone.describe(name), error);
    let mut source = fs::File::open(file).map_err(|error| failed(&error))?;
    let mut target = zone.create(name)?;
    io::copy(&mut source, &mut target).map_err(|error| failed(&error))?;
    target.commit()
}

/// Bytes spilled by all operators of a plan.
fn spilled_bytes(plan: &dyn ExecutionPlan) -> u64 {
    let own = plan.metrics().and_then(|metrics| metrics.spilled_bytes());
    let children = plan.children().into_iter();
    let below: u64 = children.map(|child| spilled_bytes(child.as_ref())).sum();
    own.unwrap_or(0) as u64 + below
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

/// A path as a URL; names that mean something in URLs or patterns are escaped.
fn file_url(path: &Path) -> Result<String, Failure> {
    let absolute = std::path::absolute(path).map_err(|error| {
        Failure::new(FailureKind::Usage, format!("{}: {error}", path.display()))
    })?;
    Ok(format!(
        "file://{}",
        escaped(absolute.as_os_str().as_encoded_bytes())
    ))
}

fn escaped(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for byte in path {
        if byte.is_ascii_alphanumeric() || b"/.-_".contains(byte) {
            text.push(char::from(*byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

fn of_setup(error: &DataFusionError) -> Failure {
    Failure::new(
        FailureKind::Software,
        format!("the engine does not start: {error}"),
    )
}

fn of_task(error: tokio::task::JoinError) -> WriteError {
    WriteError::Query(DataFusionError::ExecutionJoin(Box::new(error)))
}

/// The scratch folder of a run: emptied before, gone after.
struct Scratch(PathBuf);

impl Scratch {
    fn begin(path: &Path) -> Result<Self, Failure> {
        let failed = |error: &io::Error| Failure::of_output(&path.display().to_string(), error);
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(&error)),
            _ => {}
        }
        fs::create_dir_all(path).map_err(|error| failed(&error))?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now is removed when the next run begins.
        let _ = fs::remove_dir_all(&self.0);
    }
}
