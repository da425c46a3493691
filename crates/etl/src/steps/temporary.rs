//! Zones that go away with a run.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};
use std::{env, fs, process};

use crate::failure::{Failure, complain};
use crate::steps::clean::Gone;
use crate::steps::run::{Clean, Landing, Run};
use crate::steps::score::Engine;
use crate::zones::lock::Lock;
use crate::zones::place::Place;

/// Begin of the names of these folders.
const NAME: &str = "etl-build-";
/// After this time a folder is locked by its run, or was left by one that was killed.
const SETTLED: Duration = Duration::from_mins(1);

/// A folder for the zones of one run, in the folder for temporary files. What a run that was killed
/// left there is removed by a later one.
#[derive(Debug)]
pub struct Temporary {
    folder: PathBuf,
    lock: Option<Lock>,
}

impl Temporary {
    /// Makes the folder.
    ///
    /// # Errors
    ///
    /// The folder for temporary files is read-only, full or broken.
    pub fn create() -> Result<Self, Failure> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let parent = env::temp_dir();
        sweep(&parent);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = parent.join(format!("{NAME}{}-{number}", process::id()));
        let failed = |error| Failure::of_output(&folder.display().to_string(), &error);
        // An earlier process of this number may have been killed.
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        fs::create_dir_all(&folder).map_err(failed)?;
        let lock = Some(Lock::exclusive(&Place::local(&folder))?);
        Ok(Self { folder, lock })
    }

    /// A run over these files, in memory.
    pub fn run(&self, files: &[PathBuf], popular: &Path, jobs: usize) -> Run {
        Run {
            clean: Clean {
                landing: Landing::Files(files.to_vec()),
                working: Place::local(self.folder.join("working")),
                memory: None,
                jobs,
                gone: Gone::Refuse,
            },
            processed: Place::local(self.folder.join("processed")),
            popular: popular.to_owned(),
            engine: Engine::Memory,
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        self.lock = None;
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            complain(&format!("cannot remove {}: {error}", self.folder.display()));
        }
    }
}

/// Removes folders that nobody holds. What cannot be removed is no failure.
fn sweep(parent: &Path) {
    let Ok(listed) = fs::read_dir(parent) else {
        return;
    };
    for entry in listed.flatten() {
        let name = entry.file_name();
        let is_ours = name.to_str().is_some_and(|name| name.starts_with(NAME));
        let changed = entry.metadata().and_then(|metadata| metadata.modified());
        let age = changed
            .ok()
            .and_then(|time| SystemTime::now().duration_since(time).ok());
        if !is_ours || age.is_none_or(|age| age < SETTLED) {
            continue;
        }
        if let Ok(lock) = Lock::exclusive(&Place::local(entry.path())) {
            let _ = fs::remove_dir_all(entry.path());
            drop(lock);
        }
    }
}
