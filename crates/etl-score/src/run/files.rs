//! Files of a run: the scratch folder, what becomes of its rows, names of files as URLs.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use etl::failure::{Failure, FailureKind};
use etl::zones::place::Place;
use etl::zones::processed::{ROWS, RUN, RunManifest, publish};

/// Puts new rows in the place of old ones. Without a manifest nobody takes them for a run.
pub(super) fn replace_rows(
    processed: &Place,
    rows: &Path,
    manifest: &RunManifest,
) -> Result<(), Failure> {
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

/// A path as a URL; names that mean something in URLs or patterns are escaped.
pub(super) fn file_url(path: &Path) -> Result<String, Failure> {
    let absolute = std::path::absolute(path).map_err(|error| {
        Failure::new(FailureKind::Usage, format!("{}: {error}", path.display()))
    })?;
    Ok(format!(
        "file://{}",
        escaped(absolute.as_os_str().as_encoded_bytes())
    ))
}

/// A path as it stands in a URL.
pub(super) fn escaped(path: &[u8]) -> String {
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

/// The scratch folder of a run: emptied before, gone after.
pub(super) struct Scratch(pub(super) PathBuf);

impl Scratch {
    pub(super) fn begin(path: &Path) -> Result<Self, Failure> {
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
