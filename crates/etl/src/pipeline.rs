//! From files to a checked table.
//!
//! Files are read and cleaned by several threads, a file by one of them. Their
//! tweets reach the engine in input order, which is file name, then path, then
//! position: each file has a bounded queue, and the queues are emptied one
//! after the other. So the outcome does not depend on the number of threads.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::checks::{self, Watch};
use crate::clean::{Cleaner, Reason, Tweet};
use crate::denormalise::Packs;
use crate::extract::{Line, Lines, ReadError};
use crate::failure::FailureKind;
use crate::report::{Counts, FileCounts, Relations, Stats};
use crate::score::{Engine, Excluded, MemoryEngine, MemoryTable, Overflow, Table, Taken};

/// Tweets that travel together.
const BATCH_TWEETS: usize = 256;
/// Batches of a file that may wait. A file of the real data has some 39,000
/// valid tweets and so fits; a thread is then never held up by earlier files.
const QUEUED_BATCHES: usize = 256;
/// Lines between two reports of progress.
const PROGRESS_LINES: u64 = 1024;

/// Follows a run. Called from several threads.
pub trait Progress: Sync {
    /// A reading pass begins over files with so many bytes on disk. The second
    /// pass checks a sample against the source.
    fn begin(&self, pass: Pass, total_bytes: u64) {
        let _ = (pass, total_bytes);
    }

    /// So many more bytes and lines of this pass were read.
    fn advance(&self, bytes: u64, lines: u64) {
        let _ = (bytes, lines);
    }
}

/// Follows nothing.
impl Progress for () {}

/// Why the files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// To build the table.
    Build,
    /// To compare a sample of it with the source.
    Recheck,
}

/// Why there is no table.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// There is no input, or one file is given twice.
    #[error("{0}")]
    BadArguments(String),
    /// An input file is missing, cut, garbled or unreadable.
    #[error(transparent)]
    BadInput(#[from] ReadError),
    /// The list of excluded tags cannot be read, or is not UTF-8.
    #[error("{}: {source}", path.display())]
    BadTagList {
        /// The list.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// More input than the engine can take.
    #[error(transparent)]
    Overflow(#[from] Overflow),
    /// The table breaks rules; one line each.
    #[error("{} failed checks, first: {}", .0.len(), .0.first().map_or("", String::as_str))]
    CheckFailed(Vec<String>),
}

impl BuildError {
    /// The kind of failure that a program ends with.
    pub const fn kind(&self) -> FailureKind {
        match self {
            Self::BadArguments(_) => FailureKind::Usage,
            Self::BadInput(_) | Self::BadTagList { .. } => FailureKind::Input,
            Self::Overflow(_) | Self::CheckFailed(_) => FailureKind::Check,
        }
    }
}

/// A checked table and its figures.
#[derive(Debug)]
pub struct Outcome<T = MemoryTable> {
    /// The rows.
    pub table: T,
    /// Figures in total.
    pub stats: Stats,
    /// Lines of each file, in input order.
    pub files: Vec<FileCounts>,
    /// Figures worth a look.
    pub watch: Watch,
}

impl<T: Table> Outcome<T> {
    /// The packs by ascending user id.
    pub fn packs(&self) -> Packs<'_, T> {
        Packs::new(&self.table)
    }
}

/// Reads `files` with `jobs` threads, builds the table and checks it.
///
/// # Errors
///
/// See [`BuildError`]. There is no table unless every file was read to its end
/// and every check held.
pub fn run(
    files: &[PathBuf],
    popular: &Path,
    jobs: usize,
    progress: &dyn Progress,
) -> Result<Outcome, BuildError> {
    let files = input_order(files)?;
    let excluded = read_excluded(popular)?;
    let engine = MemoryEngine::new(excluded.clone());
    let (table, stats, files_counts) = build(engine, &files, jobs, progress)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(i64::MAX, |now| {
        i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
    });
    let (watch, mut failures) = checks::table(&table, &stats, &files_counts, now);
    if failures.is_empty() {
        let sample = checks::Sample::of(&table);
        failures = checks::recheck_tags(sample, &files, &excluded, jobs, progress)?;
    }
    if !failures.is_empty() {
        return Err(BuildError::CheckFailed(failures));
    }
    Ok(Outcome {
        table,
        stats,
        files: files_counts,
        watch,
    })
}

/// Reads the list of excluded tags.
///
/// # Errors
///
/// It cannot be read, or is not UTF-8.
pub fn read_excluded(path: &Path) -> Result<Excluded, BuildError> {
    let text = fs::read_to_string(path).map_err(|source| BuildError::BadTagList {
        path: path.to_owned(),
        source,
    })?;
    Ok(Excluded::parse(&text))
}

/// The files by name, then path.
///
/// # Errors
///
/// There is none, or one is given twice.
pub fn input_order(files: &[PathBuf]) -> Result<Vec<PathBuf>, BuildError> {
    let mut files = files.to_vec();
    files.sort_by(|a, b| (a.file_name(), a).cmp(&(b.file_name(), b)));
    if files.is_empty() {
        return Err(BuildError::BadArguments("no input files".to_owned()));
    }
    if let Some([file, _]) = files.array_windows().find(|[a, b]| a == b) {
        let message = format!("{} is given twice", file.display());
        return Err(BuildError::BadArguments(message));
    }
    Ok(files)
}

/// Feeds an engine and returns its table, with the counts of each file.
///
/// # Errors
///
/// A file cannot be read, or the engine is full.
pub fn build<E: Engine>(
    mut engine: E,
    files: &[PathBuf],
    jobs: usize,
    progress: &dyn Progress,
) -> Result<(E::Table, Stats, Vec<FileCounts>), BuildError> {
    let mut all: Vec<FileCounts> = Vec::with_capacity(files.len());
    let mut judged = Counts::default();
    let mut relations = Relations::default();
    progress.begin(Pass::Build, disk_bytes(files));
    read_all(files, jobs, progress, &mut |event| match event {
        Event::Tweets(tweets) => {
            for tweet in &tweets {
                match engine.add(tweet)? {
                    Taken::Kept => {
                        relations.add(tweet);
                        judged.accept();
                    }
                    Taken::Duplicate => judged.reject(Reason::Duplicate),
                }
            }
            Ok(())
        }
        Event::End(path, mut counts) => {
            // The lines were counted when read, what they are worth here.
            let judged = std::mem::take(&mut judged);
            let lines = counts.lines;
            counts.add(&judged);
            counts.lines = lines;
            all.push(FileCounts { path, counts });
            Ok(())
        }
    })?;
    let table = engine.finish()?;
    let mut stats = Stats {
        tally: table.tally(),
        relations,
        ..Stats::default()
    };
    for file in &all {
        stats.counts.add(&file.counts);
    }
    Ok((table, stats, all))
}

/// What comes out of a file.
pub(crate) enum Event {
    /// Valid tweets, duplicates not told apart.
    Tweets(Vec<Tweet>),
    /// The file ends. Counted are all lines, and those rejected so far.
    End(PathBuf, Counts),
}

/// Hands the events of all files to `take`, in input order, whatever the
/// number of threads.
pub(crate) fn read_all(
    files: &[PathBuf],
    jobs: usize,
    progress: &dyn Progress,
    take: &mut dyn FnMut(Event) -> Result<(), BuildError>,
) -> Result<(), BuildError> {
    type Message = Result<Event, ReadError>;
    type Task<'f> = (&'f Path, Sender<Message>);

    let (tasks, queue) = bounded::<Task<'_>>(files.len());
    let mut queues: Vec<Receiver<Message>> = Vec::with_capacity(files.len());
    for file in files {
        let (sender, receiver) = bounded(QUEUED_BATCHES);
        queues.push(receiver);
        // There is room for all of them.
        let _ = tasks.send((file, sender));
    }
    drop(tasks);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        // Files are begun in order, so the one that is waited for is always
        // being read, and its thread is never held up.
        for _ in 0..jobs.clamp(1, files.len().max(1)) {
            scope.spawn(|| {
                while let Ok((path, sender)) = queue.recv() {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let sent =
                        read_file(path, progress, &mut |event| sender.send(Ok(event)).is_ok());
                    if let Err(error) = sent {
                        let _ = sender.send(Err(error));
                    }
                }
            });
        }
        let collect = || {
            for queue in queues {
                for message in queue {
                    take(message?)?;
                }
            }
            Ok(())
        };
        // Ends with all queues dropped, so that nobody waits to send.
        let result = collect();
        stop.store(true, Ordering::Relaxed);
        result
    })
}

/// Reads one file until its end, or until `send` says that nobody listens.
fn read_file(
    path: &Path,
    progress: &dyn Progress,
    send: &mut dyn FnMut(Event) -> bool,
) -> Result<(), ReadError> {
    let mut lines = Lines::open(path)?;
    let mut cleaner = Cleaner::default();
    let mut counts = Counts::default();
    let mut batch = Vec::new();
    let (mut bytes_told, mut lines_told) = (0, 0);
    while let Some(line) = lines.next_line()? {
        let judged = match line {
            Line::Whole(line) => cleaner.clean(line),
            Line::TooLong => Err(Reason::MalformedJson),
        };
        match judged {
            Ok(tweet) => {
                counts.lines += 1;
                batch.push(tweet);
                if batch.len() >= BATCH_TWEETS && !send(Event::Tweets(std::mem::take(&mut batch))) {
                    return Ok(());
                }
            }
            Err(reason) => counts.reject(reason),
        }
        if counts.lines - lines_told >= PROGRESS_LINES {
            progress.advance(lines.bytes() - bytes_told, counts.lines - lines_told);
            (bytes_told, lines_told) = (lines.bytes(), counts.lines);
        }
    }
    progress.advance(lines.bytes() - bytes_told, counts.lines - lines_told);
    let _ = send(Event::Tweets(batch)) && send(Event::End(path.to_owned(), counts));
    Ok(())
}

/// Bytes on disk; a file that cannot be asked counts nothing.
pub(crate) fn disk_bytes(files: &[PathBuf]) -> u64 {
    let sizes = files.iter().filter_map(|file| fs::metadata(file).ok());
    sizes.map(|metadata| metadata.len()).sum()
}
