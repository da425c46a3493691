//! From the landing zone to the working zone: each raw file on its own.
//!
//! A raw file is read by one thread, which writes its facts and, last, its manifest. A file whose
//! manifest tells the same path, size and version is done; where only the version differs, as after
//! a copy, its bytes are read and their checksum decides. So a crash loses the files in hand, and a
//! file that changed is redone wholly: its manifest goes before its facts do.
//!
//! A job holds a file's tweet ids (some 16 bytes for each valid tweet), four writers of at most
//! [`WRITER_BYTES`](crate::zones::facts::WRITER_BYTES), and one line.

mod file;
mod survey;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use self::file::clean_file;
use self::survey::{MANIFESTS, manifest_name, survey};
pub use self::survey::{inputs, verify};
use crate::failure::{Failure, FailureKind};
use crate::steps::progress::{Progress, Step};
use crate::zones::facts::file_name;
use crate::zones::place::{Entry, Place};
use crate::zones::working::{InputManifest, Table, input_order};

/// Names of raw files end in one of these.
const RAW: [&str; 3] = [".gz", ".json", ".jsonl"];

/// What to do about inputs whose raw file is no longer in the landing zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Gone {
    /// Stop before anything is done: a folder that is not mounted must not empty the table.
    #[default]
    Refuse,
    /// Their facts stay and count.
    Keep,
    /// Their facts are removed.
    Drop,
}

/// A raw file.
#[derive(Debug, Clone)]
pub struct Raw {
    /// Its path in the landing zone, by which the input is named and ordered.
    pub path: String,
    /// Where it lies.
    pub place: Place,
    /// Its entry there.
    pub entry: Entry,
}

/// What there is to do.
#[derive(Debug)]
pub struct Plan {
    working: Place,
    /// To be cleaned, in input order.
    pub todo: Vec<Task>,
    /// Done already, in input order.
    pub done: Vec<InputManifest>,
    /// Done once, but no longer in the landing zone; they stay or go.
    pub gone: Vec<InputManifest>,
    gone_rule: Gone,
    /// Files that no manifest speaks for.
    leftovers: Vec<String>,
}

/// A raw file to be cleaned.
#[derive(Debug, Clone)]
pub struct Task {
    /// The file.
    pub raw: Raw,
    /// A manifest of as many bytes: if their checksum is the same too, nothing is left to do.
    pub perhaps: Option<InputManifest>,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cleaned {
    /// All inputs of the working zone, in input order.
    pub inputs: Vec<InputManifest>,
    /// Files that were cleaned now.
    pub files: u64,
    /// Bytes of their lines.
    pub raw_bytes: u64,
}

/// The raw files of a landing zone, in input order.
///
/// # Errors
///
/// The zone is not there or cannot be read.
pub fn landing(place: &Place) -> Result<Vec<Raw>, Failure> {
    if !place.exists() {
        let line = format!("{place}: there is no such folder");
        return Err(Failure::new(FailureKind::Input, line));
    }
    let is_raw = |entry: &Entry| RAW.iter().any(|end| entry.name.ends_with(end));
    let entries = place.list("")?.into_iter().filter(is_raw);
    let mut raws: Vec<Raw> = entries
        .map(|entry| Raw {
            path: entry.name.clone(),
            place: place.clone(),
            entry,
        })
        .collect();
    raws.sort_by(|a, b| input_order(&a.path).cmp(&input_order(&b.path)));
    Ok(raws)
}

/// Compares the landing zone with the working zone. Changes nothing.
///
/// # Errors
///
/// A zone cannot be read or is of another version, two raw files have one path, or inputs are gone
/// and `gone` does not allow that.
pub fn plan(landing: Vec<Raw>, working: &Place, gone: Gone) -> Result<Plan, Failure> {
    let (whole, broken, mut leftovers) = survey(working)?;
    let by_path = |list: Vec<InputManifest>| -> BTreeMap<String, InputManifest> {
        let paths = list.into_iter();
        paths
            .map(|manifest| (manifest.path.clone(), manifest))
            .collect()
    };
    let (mut known, mut broken) = (by_path(whole), by_path(broken));
    let (mut todo, mut done) = (Vec::new(), Vec::new());
    for raw in landing {
        let size_bytes = raw.entry.size_bytes;
        broken.remove(&raw.path);
        match known
            .remove(&raw.path)
            .filter(|known| known.size_bytes == size_bytes)
        {
            Some(manifest) if manifest.version == raw.entry.version => done.push(manifest),
            perhaps => todo.push(Task { raw, perhaps }),
        }
    }
    leftovers.sort();
    if let Some(path) = broken.keys().next()
        && gone == Gone::Keep
    {
        let line = format!(
            "{path} is gone from the landing zone and its facts are incomplete; put it back, or drop it with --gone"
        );
        return Err(Failure::new(FailureKind::Input, line));
    }
    known.append(&mut broken);
    let plan = Plan {
        working: working.clone(),
        todo,
        done,
        gone: known.into_values().collect(),
        gone_rule: gone,
        leftovers,
    };
    match plan.gone.first() {
        Some(first) if gone == Gone::Refuse => {
            let line = format!(
                "{} of the working zone's inputs are gone from the landing zone, first {}; put them back, or say with --gone whether to keep or drop their facts",
                plan.gone.len(),
                first.path
            );
            Err(Failure::new(FailureKind::Input, line))
        }
        _ => Ok(plan),
    }
}

impl Plan {
    /// Bytes of the files to be cleaned, as they lie there.
    pub fn bytes(&self) -> u64 {
        self.todo.iter().map(|task| task.raw.entry.size_bytes).sum()
    }

    /// Cleans with `jobs` threads. Nobody else may be writing into the working zone.
    ///
    /// A file that cannot be read does not keep the others from being cleaned; the failure then
    /// names the first of them, in input order. A working zone that cannot be written does.
    ///
    /// # Errors
    ///
    /// See above. What was cleaned stays.
    pub fn run(mut self, jobs: usize, progress: &dyn Progress) -> Result<Cleaned, Failure> {
        self.tidy()?;
        progress.begin(Step::Clean, self.bytes());
        let next = AtomicUsize::new(0);
        let stop = AtomicBool::new(false);
        let results = Mutex::new(Vec::new());
        // The largest first, so that no thread is left with it in the end.
        let mut order: Vec<usize> = (0..self.todo.len()).collect();
        order.sort_by_key(|at| {
            let size = self.todo.get(*at).map(|task| task.raw.entry.size_bytes);
            std::cmp::Reverse(size)
        });
        let work = || {
            while !stop.load(Ordering::Relaxed)
                && let Some(at) = order.get(next.fetch_add(1, Ordering::Relaxed))
                && let Some(task) = self.todo.get(*at)
            {
                let result = clean_file(task, &self.working, progress);
                let is_input = |failure: &Failure| failure.kind == FailureKind::Input;
                if !result.as_ref().err().is_none_or(is_input) {
                    stop.store(true, Ordering::Relaxed);
                }
                let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
                results.push((*at, result));
            }
        };
        thread::scope(|scope| {
            for _ in 0..jobs.clamp(1, self.todo.len().max(1)) {
                scope.spawn(work);
            }
        });
        let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
        results.sort_by_key(|(at, _)| *at);
        let mut failures = Vec::new();
        let (mut files, mut raw_bytes) = (0, 0);
        for (_, result) in results {
            match result {
                Ok((manifest, is_new)) => {
                    if is_new {
                        files += 1;
                        raw_bytes += manifest.raw_bytes;
                    }
                    self.done.push(manifest);
                }
                Err(failure) => failures.push(failure),
            }
        }
        // A broken disk explains the rest.
        failures.sort_by_key(|failure| failure.kind == FailureKind::Input);
        if let Some(first) = failures.first() {
            let mut first = first.clone();
            let others = failures.len() - 1;
            if others > 0 && first.kind == FailureKind::Input {
                first.line = format!("{} (and {others} more files are bad)", first.line);
            }
            return Err(first);
        }
        if self.gone_rule == Gone::Keep {
            self.done.append(&mut self.gone);
        }
        let mut inputs = self.done;
        inputs.sort_by(|a, b| input_order(&a.path).cmp(&input_order(&b.path)));
        Ok(Cleaned {
            inputs,
            files,
            raw_bytes,
        })
    }

    /// Removes what crashes left, and what is no longer wanted.
    fn tidy(&mut self) -> Result<(), Failure> {
        for folder in Table::ALL.map(Table::name).into_iter().chain([MANIFESTS]) {
            self.working.sweep(folder)?;
        }
        // A manifest goes before the files it speaks for.
        if self.gone_rule == Gone::Drop {
            for manifest in std::mem::take(&mut self.gone) {
                self.working.remove(&manifest_name(&manifest.input))?;
                for table in Table::ALL {
                    self.working.remove(&file_name(table, &manifest.input))?;
                }
            }
        }
        for name in std::mem::take(&mut self.leftovers) {
            self.working.remove(&name)?;
        }
        Ok(())
    }
}
