//! From the working zone to the processed zone.
//!
//! The engine of this program holds everything in memory; the larger one is a program of its own,
//! `etl-score`, which spills to disk and makes the same rows. A run whose inputs and excluded tags
//! are those of the rows that are there already has nothing to do.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use crate::failure::{Failure, FailureKind};
use crate::score::{Excluded, MemoryEngine, Table as _};
use crate::steps::clean::verify;
use crate::steps::progress::{Progress, Step};
use crate::zones::facts::read;
use crate::zones::lock::Lock;
use crate::zones::place::Place;
use crate::zones::processed::{
    PROCESSED_VERSION, ROWS, RowsWriter, RunInput, RunManifest, manifest, publish,
};
use crate::zones::working::{InputManifest, Table};

/// The program with the larger engine.
const PROGRAM: &str = "etl-score";
/// Facts between two reports of progress.
const PROGRESS_FACTS: u64 = 8192;

/// From what to what.
#[derive(Debug, Clone, Copy)]
pub struct Score<'a> {
    /// Facts.
    pub working: &'a Place,
    /// Rows.
    pub processed: &'a Place,
    /// The list of excluded tags.
    pub popular: &'a Path,
    /// Bytes that may be used; the engine's own default if not given.
    pub memory: Option<u64>,
    /// Threads of an engine that has several.
    pub jobs: usize,
}

/// What makes the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// This program: everything in memory.
    Memory,
    /// `etl-score`: spills to disk.
    DataFusion,
}

/// Reads the list of excluded tags.
///
/// # Errors
///
/// It cannot be read, or is not UTF-8.
pub fn read_excluded(path: &Path) -> Result<Excluded, Failure> {
    let text = fs::read_to_string(path).map_err(|error| {
        let line = format!("{}: {error}", path.display());
        Failure::new(FailureKind::Input, line)
    })?;
    Ok(Excluded::parse(&text))
}

impl Score<'_> {
    /// The run that is there, if it is of these inputs and excluded tags.
    ///
    /// # Errors
    ///
    /// The zone cannot be read or is of another version.
    pub fn done(&self, inputs: &[InputManifest]) -> Result<Option<RunManifest>, Failure> {
        let excluded = read_excluded(self.popular)?;
        let Some(run) = manifest(self.processed)? else {
            return Ok(None);
        };
        let files = self.processed.list(ROWS)?;
        let has = |name: &str, size: u64| {
            let name = format!("{ROWS}/{name}");
            files
                .iter()
                .any(|file| file.name == name && file.size_bytes == size)
        };
        let is_same = run.excluded_sha256 == excluded.sha256()
            && is_of(&run, inputs)
            && run.rows.iter().all(|file| has(&file.name, file.size_bytes));
        Ok(is_same.then_some(run))
    }

    /// Makes the rows. Takes the zones' locks.
    ///
    /// # Errors
    ///
    /// A zone is in use, cannot be read or written; the facts are damaged; they are more than the
    /// engine can take; or the engine's program is not there or failed.
    pub fn run(
        &self,
        inputs: &[InputManifest],
        engine: Engine,
        progress: &dyn Progress,
    ) -> Result<RunManifest, Failure> {
        match engine {
            Engine::Memory => self.in_memory(inputs, progress),
            Engine::DataFusion => self.elsewhere(inputs),
        }
    }

    fn in_memory(
        &self,
        inputs: &[InputManifest],
        progress: &dyn Progress,
    ) -> Result<RunManifest, Failure> {
        let excluded = read_excluded(self.popular)?;
        let needed = memory_needed(inputs);
        if self.memory.is_some_and(|memory| memory < needed) {
            let line = format!(
                "the memory engine needs about {} MB for these facts, more than --memory allows; use --engine datafusion",
                needed >> 20
            );
            return Err(Failure::new(FailureKind::Usage, line));
        }
        let _reading = Lock::shared(self.working)?;
        let _writing = Lock::exclusive(self.processed)?;
        verify(self.working, inputs, self.jobs)?;
        let (excluded_sha256, excluded_tags) = (excluded.sha256(), excluded.sorted());
        let mut engine = MemoryEngine::new(excluded);
        let mut run_inputs = Vec::with_capacity(inputs.len());
        let facts = |manifest: &InputManifest| -> u64 {
            manifest.tables.values().map(|table| table.rows).sum()
        };
        progress.begin(Step::Score, inputs.iter().map(facts).sum());
        let mut told = 0;
        for input in inputs {
            engine.begin_input();
            for table in Table::ALL {
                read(self.working, input, table, &mut |fact| {
                    told += 1;
                    if told >= PROGRESS_FACTS {
                        progress.advance(told, 0);
                        told = 0;
                    }
                    let taken = engine.take(fact);
                    taken.map_err(|error| Failure::new(FailureKind::Check, error.to_string()))
                })?;
            }
            let lost = engine.lost();
            run_inputs.push(RunInput {
                input: input.input.clone(),
                crc32: input.crc32.clone(),
                repeated_tweets: lost.tweets,
                repeated_relations: lost.relations.all,
                repeated_relations_with_oneself: lost.relations.with_oneself,
            });
        }
        let table = engine.finish();
        let tally = table.tally();
        progress.begin(Step::Write, tally.table_rows);
        let mut writer = RowsWriter::begin(self.processed)?;
        for number in 0..table.users() {
            let mut written = Ok(());
            table.with_user(number, &mut |rows| {
                written = rows.iter().try_for_each(|row| writer.push(row));
                progress.advance(rows.len() as u64, 0);
            });
            written?;
        }
        let run = RunManifest {
            processed_version: PROCESSED_VERSION,
            engine: "memory".to_owned(),
            inputs: run_inputs,
            working: self.working.absolute(),
            excluded: excluded_tags,
            excluded_sha256,
            tally: tally.to_map(),
            rows: writer.finish()?,
        };
        publish(self.processed, &run)?;
        Ok(run)
    }

    fn elsewhere(&self, inputs: &[InputManifest]) -> Result<RunManifest, Failure> {
        let mut command = Command::new(program()?);
        command
            .arg("--working")
            .arg(self.working.to_string())
            .arg("--processed")
            .arg(self.processed.to_string())
            .arg("--popular")
            .arg(self.popular)
            .arg("--jobs")
            .arg(self.jobs.to_string())
            .stdin(Stdio::null());
        if let Some(memory) = self.memory {
            command.arg("--memory").arg(memory.to_string());
        }
        let status = command.status().map_err(|error| {
            Failure::new(
                FailureKind::Software,
                format!("{PROGRAM} does not start: {error}"),
            )
        })?;
        if !status.success() {
            // With one of our codes it has said why in a line of its own.
            let kind = status.code().and_then(FailureKind::from_exit_code);
            return Err(kind.map_or_else(
                || {
                    let line = format!("{PROGRAM} ended with {status}");
                    Failure::new(FailureKind::Software, line)
                },
                |kind| Failure::new(kind, ""),
            ));
        }
        self.done(inputs)?.ok_or_else(|| {
            let place = self.processed;
            let line = format!("{PROGRAM} left no run of these inputs in {place}");
            Failure::new(FailureKind::Software, line)
        })
    }
}

/// Whether a run is of these inputs.
pub fn is_of(run: &RunManifest, inputs: &[InputManifest]) -> bool {
    let same = |(a, b): (&RunInput, &InputManifest)| a.input == b.input && a.crc32 == b.crc32;
    run.inputs.len() == inputs.len() && run.inputs.iter().zip(inputs).all(same)
}

/// Bytes that the memory engine needs, about: see [`MemoryEngine`]. Texts are two to four times as
/// long as their compressed files.
pub fn memory_needed(inputs: &[InputManifest]) -> u64 {
    let sum = |of: &dyn Fn(&InputManifest) -> u64| inputs.iter().map(of).sum::<u64>();
    let table = |table: Table| {
        let of = move |input: &InputManifest| {
            let file = input.tables.get(table.name());
            file.map_or((0, 0), |file| (file.rows, file.size_bytes))
        };
        (sum(&|input| of(input).0), sum(&|input| of(input).1))
    };
    let (tweets, _) = table(Table::Tweets);
    let (contacts, contact_bytes) = table(Table::ContactTweets);
    let (uses, _) = table(Table::TagUses);
    let (_, sighting_bytes) = table(Table::Sightings);
    20 * tweets + 150 * contacts + 3 * contact_bytes + 24 * uses + 3 * sighting_bytes
}

/// The larger engine's program: beside this one, or on the path.
///
/// # Errors
///
/// It is neither.
pub fn program() -> Result<PathBuf, Failure> {
    let own = env::current_exe().ok();
    let beside = own.as_deref().and_then(Path::parent).map(Path::to_owned);
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = beside.into_iter().chain(env::split_paths(&path));
    let found = folders
        .map(|folder| folder.join(PROGRAM))
        .find(|file| file.is_file());
    found.ok_or_else(|| {
        let line = format!(
            "the program {PROGRAM} is neither beside etl nor on the path; build it with `cargo build --profile engine -p etl-score`, or use --engine memory"
        );
        Failure::new(FailureKind::Usage, line)
    })
}
