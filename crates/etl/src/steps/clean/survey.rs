//! What a working zone holds.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::file::checksum;
use crate::failure::{Failure, FailureKind};
use crate::zones::facts::file_name;
use crate::zones::place::{Entry, Place};
use crate::zones::working::{InputManifest, Table, WORKING_VERSION, input_order};

/// A manifest has some 1,700 bytes.
const MAX_MANIFEST_BYTES: u64 = 1 << 20;
/// Folder of the manifests.
pub(super) const MANIFESTS: &str = "manifests";
/// Manifests that are read at a time: of a bucket each is a round trip.
const READERS: usize = 16;

/// The inputs of a working zone, in input order. Each has its files, of the sizes that its manifest says.
///
/// # Errors
///
/// The zone cannot be read, is of another version, or a manifest is damaged.
pub fn inputs(working: &Place) -> Result<Vec<InputManifest>, Failure> {
    let (inputs, broken, _) = survey(working)?;
    match broken.first() {
        None => Ok(inputs),
        Some(manifest) => {
            let line = format!(
                "{working}: the facts of {} are not what its manifest says; clean again",
                manifest.path
            );
            Err(Failure::new(FailureKind::Input, line))
        }
    }
}

/// Inputs that are complete, those that are not, and the names of files that are of neither.
pub(super) type Survey = (Vec<InputManifest>, Vec<InputManifest>, Vec<String>);

pub(super) fn survey(working: &Place) -> Result<Survey, Failure> {
    let mut sizes = BTreeMap::new();
    for table in Table::ALL {
        let files = working.list(table.name())?;
        sizes.extend(files.into_iter().map(|file| (file.name, file.size_bytes)));
    }
    let (mut whole, mut broken) = (Vec::new(), Vec::new());
    let entries = working.list(MANIFESTS)?;
    let manifests = in_order(READERS, &entries, |entry| {
        read_manifest(working, &entry.name)
    });
    for manifest in manifests {
        let manifest = manifest?;
        let mut is_whole = true;
        for table in Table::ALL {
            let size = sizes.remove(&file_name(table, &manifest.input));
            let wanted = manifest.tables.get(table.name());
            is_whole &= size.is_some() && size == wanted.map(|file| file.size_bytes);
        }
        if is_whole {
            whole.push(manifest);
        } else {
            broken.push(manifest);
        }
    }
    whole.sort_by(|a, b| input_order(&a.path).cmp(&input_order(&b.path)));
    Ok((whole, broken, sizes.into_keys().collect()))
}

pub(super) fn manifest_name(input: &str) -> String {
    format!("{MANIFESTS}/{input}.json")
}

fn read_manifest(working: &Place, name: &str) -> Result<InputManifest, Failure> {
    let bytes = working.read(name, MAX_MANIFEST_BYTES)?.unwrap_or_default();
    let damaged = |text: String| {
        let line = format!("{}: {text}", working.describe(name));
        Failure::new(FailureKind::Input, line)
    };
    let value: serde_json::Value = serde_json::from_slice(&bytes)
        .map_err(|error| damaged(format!("{error}; remove this file and clean again")))?;
    let version = value
        .get("working_version")
        .and_then(serde_json::Value::as_u64);
    if version != Some(u64::from(WORKING_VERSION)) {
        let found = version.map_or_else(|| "no".to_owned(), |version| version.to_string());
        return Err(damaged(format!(
            "the working zone has layout version {found}, this program reads and writes {WORKING_VERSION}; clean into an empty folder"
        )));
    }
    serde_json::from_value(value)
        .map_err(|error| damaged(format!("{error}; remove this file and clean again")))
}

/// Reads the facts of these inputs and compares their checksums, several files at a time. A byte that
/// a disk or a network changed would else be taken for what it now says, as Parquet of these writers
/// has no checksums.
///
/// # Errors
///
/// A file cannot be read, or is not what `etl clean` wrote.
pub fn verify(working: &Place, inputs: &[InputManifest], jobs: usize) -> Result<(), Failure> {
    let mut files = Vec::new();
    for table in Table::ALL {
        let entries = working.list(table.name())?.into_iter();
        let entries: BTreeMap<String, Entry> =
            entries.map(|entry| (entry.name.clone(), entry)).collect();
        for input in inputs {
            let name = file_name(table, &input.input);
            let wanted = input.tables.get(table.name()).map(|file| &file.crc32);
            files.push((entries.get(&name).cloned(), wanted, input));
        }
    }
    let verified = in_order(jobs.max(1), &files, |(entry, wanted, input)| {
        let found = entry.as_ref().map(|entry| checksum(working, entry));
        if found.transpose()?.as_ref() == *wanted {
            return Ok(());
        }
        let name = entry.as_ref().map_or("a file", |entry| &entry.name);
        let line = format!(
            "{}: it is not what was made of {}; remove its manifest in {MANIFESTS}/ and clean again",
            working.describe(name),
            input.path
        );
        Err(Failure::new(FailureKind::Input, line))
    });
    verified.into_iter().collect()
}

/// What `work` makes of each item, in their order, with so many threads.
fn in_order<T: Sync, R: Send>(
    threads: usize,
    items: &[T],
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(items.len()));
    thread::scope(|scope| {
        for _ in 0..threads.min(items.len()) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(at) else { break };
                    let result = work(item);
                    let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
                    results.push((at, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}
