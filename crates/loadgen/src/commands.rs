//! One function for each sub-command.

mod figures;
mod load;
mod smoke;

use std::io::{self, Write as _};

use anyhow::Context as _;
use loadgen::failure::Failure;

use crate::args::OpenFile;

pub(crate) use figures::{compare, merge, plan};
pub(crate) use load::{find_max, live_test, run};
pub(crate) use smoke::smoke;

/// What the exit code tells of a command that came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// All well.
    Good,
    /// A wrong answer, a broken limit or a worse run.
    Failed,
    /// The tool fell behind its schedule.
    TooSlow,
}

impl Verdict {
    fn of(report: &loadgen::report::Report) -> Self {
        if !report.valid {
            Self::TooSlow
        } else if report.failed() {
            Self::Failed
        } else {
            Self::Good
        }
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::io)
}

/// Writes to standard output.
fn print(text: &str) -> Result<(), Failure> {
    io::stdout()
        .write_all(text.as_bytes())
        .context("cannot write the report")
        .map_err(Failure::io)
}

/// Writes JSON with a line feed at the end, if it is wanted. Comes before what is printed, which may
/// go to a pipe that nobody reads any more.
fn write_json(file: Option<OpenFile>, value: &impl serde::Serialize) -> Result<(), Failure> {
    let Some(file) = file else { return Ok(()) };
    let written = serde_json::to_string_pretty(value).map_err(anyhow::Error::from);
    let written = written.and_then(|text| file.write(format!("{text}\n").as_bytes()));
    written.map_err(Failure::io)
}
