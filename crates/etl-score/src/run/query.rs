//! The queries of a run, one after another, with what they read and what becomes of their results.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::{Field, Schema};
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use datafusion::physical_plan::{
    ExecutionPlan, SendableRecordBatchStream, execute_stream, execute_stream_partitioned,
};
use etl::failure::{Failure, FailureKind};
use etl::score::Excluded;
use etl::zones::facts::file_name;
use etl::zones::processed::{ROWS, RowsFile};
use etl::zones::working::{InputManifest, Table};
use futures_util::StreamExt as _;

use super::Options;
use super::files::{escaped, file_url};
use crate::failure;
use crate::joins::BoundedJoins;
use crate::memory::MemoryPlan;
use crate::parts::{FileWriter, RowsWriter, WriteError, write_rows};
use crate::queries::{Query, RUN_INPUTS, TALLY};
use crate::session::{Engine, is_exhausted};

/// Batches of rows that may wait to be written.
const WAITING_BATCHES: usize = 2;

/// What came of a query.
pub(super) enum Output {
    Table(Arc<Schema>, Vec<PathBuf>),
    Rows(Vec<RowsFile>),
    Batches(Vec<RecordBatch>),
}

pub(super) struct Ran {
    pub(super) result: Output,
    pub(super) rows: u64,
    pub(super) spilled_bytes: u64,
    pub(super) is_second_try: bool,
}

pub(super) struct Run<'o> {
    options: &'o Options,
    engine: Engine,
    scratch: PathBuf,
    working: String,
}

impl<'o> Run<'o> {
    pub(super) fn new(options: &'o Options, scratch: &Path) -> Result<Self, Failure> {
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

    pub(super) fn rows_folder(&self) -> PathBuf {
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
    pub(super) fn add_facts(&mut self, inputs: &[InputManifest]) -> Result<(), Failure> {
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
    pub(super) fn add_lists(
        &mut self,
        inputs: &[InputManifest],
        excluded: &Excluded,
    ) -> Result<(), Failure> {
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

    pub(super) fn add(
        &mut self,
        name: &str,
        schema: &Schema,
        urls: Vec<String>,
    ) -> Result<(), Failure> {
        let table = self
            .engine
            .parquet(schema, urls)
            .map_err(|error| of_setup(&error))?;
        self.engine.add(name, table);
        Ok(())
    }

    /// Runs a query. If the memory does not suffice, again with sort-merge joins only, and then in
    /// one partition, whose operators have all of it.
    pub(super) async fn query(&self, query: Query) -> Result<Ran, Failure> {
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

/// Bytes spilled by all operators of a plan.
fn spilled_bytes(plan: &dyn ExecutionPlan) -> u64 {
    let own = plan.metrics().and_then(|metrics| metrics.spilled_bytes());
    let children = plan.children().into_iter();
    let below: u64 = children.map(|child| spilled_bytes(child.as_ref())).sum();
    own.unwrap_or(0) as u64 + below
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
