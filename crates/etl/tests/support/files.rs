//! A folder of input files that goes away with its owner, and runs over such files.

#![allow(dead_code, reason = "each test uses its part")]

#[path = "whole.rs"]
mod whole;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, process};

use etl::checks::source::{compare, recount};
use etl::checks::{Expected, Failures, RowChecks, Terms, check_lines, finish};
use etl::denormalise::{PackedUser, pack};
use etl::failure::{Failure, FailureKind};
use etl::report::{FileCounts, Stats};
use etl::score::Table as _;
use etl::steps::score::read_excluded;
use etl::steps::temporary::Temporary;
use twitter_core::record::PackWriter;

use self::whole::WholeTable;

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A table and its figures, all of which passed the checks.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) table: WholeTable,
    pub(crate) stats: Stats,
    pub(crate) files: Vec<FileCounts>,
}

impl Checked {
    /// The packs by ascending user id.
    pub(crate) fn packs(&self) -> Vec<PackedUser> {
        let mut writer = PackWriter::default();
        let mut packs = Vec::new();
        for number in 0..self.table.users() {
            self.table.with_user(number, &mut |rows| {
                packs.push(pack(&mut writer, rows).unwrap());
            });
        }
        packs
    }
}

/// All steps up to the rows, which are checked.
pub(crate) fn run(files: &[PathBuf], popular: &Path, jobs: usize) -> Result<Checked, Failure> {
    let zones = Temporary::create()?;
    let run = zones.run(files, popular, jobs);
    let cleaned = run.clean.run(&())?;
    let (manifest, _) = run.score(&cleaned, &())?;
    let mut failures = Failures::default();
    let source = compare(&manifest, &cleaned.inputs, &mut failures);
    check_lines(&source.stats, &source.files, &mut failures);
    let tally = source.stats.tally;
    let table = WholeTable::read(&run.processed, &manifest, tally)?;
    let excluded = read_excluded(popular)?;
    let terms = Terms::new(i64::MAX, excluded.clone(), env::temp_dir());
    let mut rows = RowChecks::new(&terms);
    for number in 0..table.users() {
        table.with_user(number, &mut |user| rows.user(user).unwrap());
    }
    let relations = source.stats.relations;
    let expected = Expected {
        rows: tally.table_rows,
        contact_tweets: tally.contact_tweets,
        from_relations: (relations.rows(), relations.with_oneself),
    };
    let checked = finish(vec![rows], &expected, 1).unwrap();
    failures.merge(checked.failures);
    let working = &run.clean.working;
    recount(
        checked.pairs,
        working,
        &cleaned.inputs,
        &excluded,
        &mut failures,
    )?;
    if !failures.is_empty() {
        return Err(Failure::new(
            FailureKind::Check,
            failures.lines().join("; "),
        ));
    }
    Ok(Checked {
        table,
        stats: source.stats,
        files: source.files,
    })
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
