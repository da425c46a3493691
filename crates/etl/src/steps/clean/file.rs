//! One raw file to facts.

use std::collections::HashSet;
use std::path::Path;

use crc32fast::Hasher;

use super::survey::manifest_name;
use super::{Raw, Task};
use crate::clean::{Cleaner, Reason};
use crate::extract::{Line, Lines};
use crate::failure::{Failure, FailureKind};
use crate::report::{Counts, Relations};
use crate::steps::progress::Progress;
use crate::zones::facts::FactsWriter;
use crate::zones::place::{Entry, Place};
use crate::zones::working::{InputManifest, WORKING_VERSION, input_name};

/// Lines between two reports of progress.
const PROGRESS_LINES: u64 = 1024;
/// Bytes read at a time for a checksum.
const CHUNK_BYTES: usize = 1 << 17;

/// Cleans one file. The manifest, and whether it was work.
pub(super) fn clean_file(
    task: &Task,
    working: &Place,
    progress: &dyn Progress,
) -> Result<(InputManifest, bool), Failure> {
    let raw = &task.raw;
    let input = input_name(&raw.path);
    let name = manifest_name(&input);
    if let Some(manifest) = &task.perhaps
        && checksum(&raw.place, &raw.entry)? == manifest.crc32
    {
        let manifest = InputManifest {
            version: raw.entry.version.clone(),
            ..manifest.clone()
        };
        write_manifest(working, &name, &manifest)?;
        progress.advance(raw.entry.size_bytes, 0);
        return Ok((manifest, false));
    }
    // From here on the input is not done.
    working.remove(&name)?;
    let manifest = facts(raw, input, working, progress)?;
    write_manifest(working, &name, &manifest)?;
    Ok((manifest, true))
}

fn write_manifest(working: &Place, name: &str, manifest: &InputManifest) -> Result<(), Failure> {
    let mut text = serde_json::to_vec_pretty(manifest).map_err(|error| {
        Failure::new(FailureKind::Software, format!("{}: {error}", manifest.path))
    })?;
    text.push(b'\n');
    working.write(name, &text)
}

fn facts(
    raw: &Raw,
    input: String,
    working: &Place,
    progress: &dyn Progress,
) -> Result<InputManifest, Failure> {
    let mut lines = Lines::of(
        Path::new(&raw.place.describe(&raw.entry.name)),
        raw.place.stream(&raw.entry),
    )?;
    let mut writer = FactsWriter::create(working, &input)?;
    let mut cleaner = Cleaner::default();
    let mut counts = Counts::default();
    let mut relations = Relations::default();
    let mut ids = HashSet::new();
    let (mut bytes_told, mut lines_told) = (0, 0);
    while let Some(line) = lines.next_line()? {
        let judged = match line {
            Line::Whole(line) => cleaner.clean(line),
            Line::TooLong => Err(Reason::MalformedJson),
        };
        match judged {
            Ok(tweet) if ids.insert(tweet.id) => {
                counts.accept();
                let retweeted = tweet.retweeted.as_ref().map(|user| user.user_id);
                relations.add(tweet.sender.user_id, tweet.reply_to, retweeted);
                writer.push(&tweet)?;
            }
            Ok(_) => counts.reject(Reason::Duplicate),
            Err(reason) => counts.reject(reason),
        }
        if counts.lines - lines_told >= PROGRESS_LINES {
            progress.advance(lines.bytes() - bytes_told, counts.lines - lines_told);
            (bytes_told, lines_told) = (lines.bytes(), counts.lines);
        }
    }
    progress.advance(lines.bytes() - bytes_told, counts.lines - lines_told);
    if lines.bytes() != raw.entry.size_bytes {
        let line = format!(
            "{} changed while it was read: {} bytes, then {}; clean again when it is complete",
            raw.place.describe(&raw.entry.name),
            raw.entry.size_bytes,
            lines.bytes()
        );
        return Err(Failure::new(FailureKind::Input, line));
    }
    Ok(InputManifest {
        working_version: WORKING_VERSION,
        input,
        path: raw.path.clone(),
        size_bytes: raw.entry.size_bytes,
        crc32: format!("{:08x}", lines.crc32()),
        version: raw.entry.version.clone(),
        raw_bytes: lines.raw_bytes(),
        counts: counts.to_map(),
        relations: relations.all,
        relations_with_oneself: relations.with_oneself,
        tables: writer.finish()?,
    })
}

/// The CRC-32 of a file, as in manifests.
pub(super) fn checksum(place: &Place, entry: &Entry) -> Result<String, Failure> {
    let failed = |error: std::io::Error| {
        let line = format!("{}: {error}", place.describe(&entry.name));
        Failure::new(FailureKind::Input, line)
    };
    let mut file = place.stream(entry).map_err(failed)?;
    let mut hasher = Hasher::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match file.read(&mut chunk).map_err(failed)? {
            0 => return Ok(format!("{:08x}", hasher.finalize())),
            read => hasher.update(chunk.get(..read).unwrap_or_default()),
        }
    }
}
