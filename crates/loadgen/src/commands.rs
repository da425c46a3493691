//! One function for each sub-command.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use loadgen::check::TeamLine;
use loadgen::client::Client;
use loadgen::failure::Failure;
use loadgen::report::{Report, text};
use loadgen::run::{self, Snapshot};
use loadgen::smoke;

use crate::args::{Run, Smoke};
use crate::scenario;

/// How long `smoke` waits for its first connection.
const CONNECT_LIMIT: Duration = Duration::from_millis(900);

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
    let runtime = runtime()?;
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

/// `loadgen smoke`.
pub(crate) fn smoke(options: &Smoke) -> Result<Verdict, Failure> {
    let target = options.place.target.as_ref().context("no --target");
    let target = target.map_err(Failure::usage)?;
    let address = target.resolve(options.place.allow_remote);
    let address = address.map_err(Failure::usage)?;
    let line = match (&options.team, &options.account) {
        (Some(team), Some(account)) => Some(format!("{team},{account}")),
        _ => None,
    };
    let team = TeamLine::new(line.as_deref());
    let mut all = smoke::golden(options.twitter_tiny);
    if !options.services.is_empty() {
        all.retain(|golden| options.services.contains(&golden.service));
    }
    let mut written = Ok(());
    let is_good = runtime()?.block_on(async {
        let mut client = Client::new(address, CONNECT_LIMIT);
        if client.connect().await.is_err() {
            let error = anyhow!("{target} does not accept connections");
            return Err(Failure::unreachable(error));
        }
        let asked = smoke::ask(address, &target.authority, &team, all, |golden, result| {
            let line = match result {
                Ok(time) => format!("ok    {golden} ({:.1} ms)\n", time.as_secs_f64() * 1e3),
                Err(fault) => format!("WRONG {golden}: {fault}\n"),
            };
            if written.is_ok() {
                written = io::stdout().write_all(line.as_bytes());
            }
        });
        Ok(asked.await)
    })?;
    written.context("cannot write").map_err(Failure::io)?;
    Ok(if is_good {
        Verdict::Good
    } else {
        Verdict::Failed
    })
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::io)
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
