//! A folder of input files that goes away with its owner, and runs over such files.

#![allow(dead_code, reason = "each test uses its part")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, process};

use etl::failure::Failure;
use etl::steps::gate::Checked;
use etl::steps::temporary::Temporary;

static COUNT: AtomicU32 = AtomicU32::new(0);

/// All steps up to the checked table.
pub(crate) fn run(files: &[PathBuf], popular: &Path, jobs: usize) -> Result<Checked, Failure> {
    let zones = Temporary::create()?;
    zones.run(files, popular, jobs).run(&())
}

pub(crate) struct Folder {
    path: PathBuf,
    files: Vec<PathBuf>,
}

impl Folder {
    /// One file for each list of lines, and the excluded tags.
    pub(crate) fn new(files: &[Vec<String>], excluded: &[&str]) -> Self {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("etl-test-{}-{number}", process::id()));
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("excluded"), excluded.join("\n")).unwrap();
        let files = files.iter().enumerate().map(|(number, lines)| {
            let file = path.join(format!("part-{number:03}.jsonl"));
            let text: Vec<String> = lines.iter().map(|line| format!("{line}\n")).collect();
            fs::write(&file, text.concat()).unwrap();
            file
        });
        Self {
            files: files.collect(),
            path,
        }
    }

    pub(crate) fn run(&self, jobs: usize) -> Result<Checked, Failure> {
        run(&self.files, &self.path.join("excluded"), jobs)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}
