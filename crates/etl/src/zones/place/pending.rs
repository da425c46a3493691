//! Files that are being written.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crc32fast::Hasher;

use super::{Kind, Place, TEMPORARY};
use crate::failure::Failure;

/// A file that is being written.
#[derive(Debug)]
pub struct Pending {
    file: File,
    place: Place,
    name: String,
    /// Where it lies until it is renamed, in a folder.
    temporary: Option<PathBuf>,
    written_bytes: u64,
    crc32: Hasher,
}

impl Pending {
    /// Takes over an empty file.
    pub(super) fn new(file: File, place: &Place, name: &str, temporary: Option<PathBuf>) -> Self {
        Self {
            file,
            place: place.clone(),
            name: name.to_owned(),
            temporary,
            written_bytes: 0,
            crc32: Hasher::new(),
        }
    }

    /// Puts the file in force, on the disk as far as the system promises.
    ///
    /// # Errors
    ///
    /// The place is read-only, full or broken; what had the name before stays.
    pub fn commit(mut self) -> Result<(), Failure> {
        let committed = match (&self.place.kind, &self.temporary) {
            (Kind::Local(root), Some(temporary)) => {
                let target = root.join(&self.name);
                let sync = self.file.sync_all();
                sync.and_then(|()| fs::rename(temporary, &target))
                    .and_then(|()| sync_folder(&target))
            }
            (Kind::Local(_), None) => Ok(()),
            (Kind::Store(store), _) => return store.send(&self.name, &mut self.file),
        };
        let failed = |error| Failure::of_output(&self.place.describe(&self.name), &error);
        committed.map_err(failed)?;
        self.temporary = None;
        Ok(())
    }

    /// Bytes written so far.
    pub fn written_bytes(&self) -> u64 {
        self.written_bytes
    }

    /// CRC-32 of those.
    pub fn crc32(&self) -> u32 {
        self.crc32.clone().finalize()
    }

    /// How people know the file.
    pub fn describe(&self) -> String {
        self.place.describe(&self.name)
    }
}

impl Write for Pending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.written_bytes = self.written_bytes.saturating_add(written as u64);
        self.crc32.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(temporary) = self.temporary.take() {
            // What cannot be removed now is swept up by the next run.
            let _ = fs::remove_file(temporary);
        }
    }
}

pub(super) fn temporary(target: &Path) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    target.with_file_name(format!("{}{name}{}", TEMPORARY.0, TEMPORARY.1))
}

/// A rename is on the disk once its folder is.
fn sync_folder(target: &Path) -> io::Result<()> {
    let folder = target.parent().filter(|path| !path.as_os_str().is_empty());
    OpenOptions::new()
        .read(true)
        .open(folder.unwrap_or(Path::new(".")))?
        .sync_all()
}
