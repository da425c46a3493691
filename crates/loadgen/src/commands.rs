//! One function for each sub-command.

use std::io::{self, IsTerminal as _, Write as _};

use anyhow::Context as _;
use loadgen::failure::Failure;
use loadgen::report::{Report, text};
use loadgen::run::{self, Snapshot};

use crate::args::Run;
use crate::scenario;

/// What the exit code tells of a run that came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// All well.
    Good,
    /// A wrong answer or a broken limit.
    Failed,
    /// The tool fell behind its schedule.
    TooSlow,
}

/// `loadgen run`.
pub(crate) fn run(options: &Run) -> Result<Verdict, Failure> {
    let plan = scenario::plan(options).map_err(Failure::usage)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::io)?;
    let is_shown = !options.quiet;
    let outcome = runtime.block_on(run::run(&plan, |snapshot| {
        if is_shown {
            show(snapshot);
        }
    }))?;
    if is_shown && io::stderr().is_terminal() {
        // Leaves the line of the progress; nobody is told if that fails.
        let _ = writeln!(io::stderr());
    }
    let report = Report::new(&plan, &outcome, &options.fail_if);
    io::stdout()
        .write_all(text::write(&report).as_bytes())
        .context("cannot write the report")
        .map_err(Failure::io)?;
    if let Some(path) = &options.json {
        let json = report.json().map_err(Failure::io)?;
        std::fs::write(path, json)
            .with_context(|| format!("cannot write {}", path.display()))
            .map_err(Failure::io)?;
    }
    Ok(if !report.valid {
        Verdict::TooSlow
    } else if report.failed() {
        Verdict::Failed
    } else {
        Verdict::Good
    })
}

/// One line that a terminal overwrites; elsewhere one line a second.
fn show(snapshot: Snapshot) {
    let Snapshot {
        elapsed,
        done,
        errors,
    } = snapshot;
    let seconds = elapsed.as_secs();
    let line = format!("{seconds:>4} s  {done} requests, {errors} errors");
    let mut terminal = io::stderr();
    // A run goes on when nobody reads its progress.
    let _ = if terminal.is_terminal() {
        write!(terminal, "\r{line}")
    } else {
        writeln!(terminal, "{line}")
    };
}
