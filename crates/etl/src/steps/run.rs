//! All steps up to the rows.

use std::path::PathBuf;

use crate::failure::{Failure, FailureKind};
use crate::steps::clean::{Cleaned, Gone, Plan, Raw, landing, plan};
use crate::steps::progress::Progress;
use crate::steps::score::{Engine, Score};
use crate::zones::lock::Lock;
use crate::zones::place::{Entry, Place, raw_file};
use crate::zones::processed::RunManifest;

/// Bytes that a job of the clean step may hold, about.
pub const JOB_BYTES: u64 = 128 << 20;

/// The clean step.
#[derive(Debug, Clone)]
pub struct Clean {
    /// Where raw files are.
    pub landing: Landing,
    /// For facts.
    pub working: Place,
    /// Bytes that may be used.
    pub memory: Option<u64>,
    /// Files at a time.
    pub jobs: usize,
    /// About inputs that are gone.
    pub gone: Gone,
}

/// A whole run.
#[derive(Debug, Clone)]
pub struct Run {
    /// Its first step.
    pub clean: Clean,
    /// For rows.
    pub processed: Place,
    /// The list of excluded tags.
    pub popular: PathBuf,
    /// What makes the rows.
    pub engine: Engine,
}

/// Where raw files are.
#[derive(Debug, Clone)]
pub enum Landing {
    /// In a zone.
    Zone(Place),
    /// Wherever the operator says, whatever their names.
    Files(Vec<PathBuf>),
}

impl Landing {
    /// The raw files, in input order.
    ///
    /// # Errors
    ///
    /// One is missing, one is given twice, or there is none.
    pub fn raws(&self) -> Result<Vec<Raw>, Failure> {
        match self {
            Self::Zone(place) => landing(place),
            Self::Files(files) => chosen(files),
        }
    }
}

/// Files by name, then path. Each is an input of its own, named so that this is the input order.
fn chosen(files: &[PathBuf]) -> Result<Vec<Raw>, Failure> {
    let usage = |line: String| Failure::new(FailureKind::Usage, line);
    let mut files = files.to_vec();
    files.sort_by(|a, b| (a.file_name(), a).cmp(&(b.file_name(), b)));
    if files.is_empty() {
        return Err(usage("no input files".to_owned()));
    }
    if let Some([file, _]) = files.array_windows().find(|[a, b]| a == b) {
        return Err(usage(format!("{} is given twice", file.display())));
    }
    let raw = |(number, file): (usize, PathBuf)| {
        let (place, entry): (Place, Entry) = raw_file(&file)?;
        Ok(Raw {
            path: format!("{number:09}/{}", entry.name),
            place,
            entry,
        })
    };
    files.into_iter().enumerate().map(raw).collect()
}

impl Clean {
    /// What the clean step has to do. Changes nothing.
    ///
    /// # Errors
    ///
    /// As [`plan`]; or one zone lies in another, or there is nothing at all.
    pub fn plan(&self) -> Result<Plan, Failure> {
        self.planned(self.raws()?)
    }

    fn raws(&self) -> Result<Vec<Raw>, Failure> {
        if let Landing::Zone(place) = &self.landing {
            apart(&[place, &self.working])?;
        }
        self.landing.raws()
    }

    /// A run over nothing would empty the table.
    fn planned(&self, raws: Vec<Raw>) -> Result<Plan, Failure> {
        let plan = plan(raws, &self.working, self.gone)?;
        let stays = match self.gone {
            Gone::Keep => plan.gone.len(),
            Gone::Refuse | Gone::Drop => 0,
        };
        if plan.todo.len() + plan.done.len() + stays > 0 {
            return Ok(plan);
        }
        let place = match &self.landing {
            Landing::Zone(place) => place.to_string(),
            Landing::Files(_) => "the input".to_owned(),
        };
        let line = format!("{place} has no raw files (*.gz, *.json, *.jsonl)");
        Err(Failure::new(FailureKind::Input, line))
    }

    /// Threads of the clean step: fewer where memory is short.
    pub fn fitting_jobs(&self) -> usize {
        let fit = self.memory.map_or(u64::MAX, |memory| memory / JOB_BYTES);
        self.jobs
            .min(usize::try_from(fit).unwrap_or(usize::MAX))
            .max(1)
    }

    /// Cleans what is new.
    ///
    /// # Errors
    ///
    /// As [`Plan::run`], or the working zone is in use.
    pub fn run(&self, progress: &dyn Progress) -> Result<Cleaned, Failure> {
        // Listed first, so that a mistake leaves no folder behind.
        let raws = self.raws()?;
        let _lock = Lock::exclusive(&self.working)?;
        self.planned(raws)?.run(self.fitting_jobs(), progress)
    }
}

impl Run {
    /// Makes the rows, if they are not there already.
    ///
    /// # Errors
    ///
    /// As [`Score::run`].
    pub fn score(
        &self,
        cleaned: &Cleaned,
        progress: &dyn Progress,
    ) -> Result<(RunManifest, bool), Failure> {
        let score = self.to_score();
        if let Some(run) = score.done(&cleaned.inputs)? {
            return Ok((run, false));
        }
        Ok((score.run(&cleaned.inputs, self.engine, progress)?, true))
    }

    /// The score step of this run.
    pub fn to_score(&self) -> Score<'_> {
        Score {
            working: &self.clean.working,
            processed: &self.processed,
            popular: &self.popular,
            memory: self.clean.memory,
            jobs: self.clean.jobs,
        }
    }

    /// Refuses zones of which one lies in another.
    ///
    /// # Errors
    ///
    /// Two are not apart.
    pub fn apart(&self) -> Result<(), Failure> {
        match &self.clean.landing {
            Landing::Zone(landing) => apart(&[landing, &self.clean.working, &self.processed]),
            Landing::Files(_) => apart(&[&self.clean.working, &self.processed]),
        }
    }
}

/// Refuses zones of which one lies in another: the facts of one run would be the raw files of the next.
///
/// # Errors
///
/// Two are not apart.
pub fn apart(zones: &[&Place]) -> Result<(), Failure> {
    for (number, zone) in zones.iter().enumerate() {
        for (other_number, other) in zones.iter().enumerate() {
            if number != other_number && zone.holds(other) {
                let line = format!("{other} lies in {zone}; each zone needs a place of its own");
                return Err(Failure::new(FailureKind::Usage, line));
            }
        }
    }
    Ok(())
}
