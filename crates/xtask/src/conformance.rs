//! The step `conformance`: do the services answer as `docs/openapi.yaml` says?
//!
//! The services run as programs with the sample data. The file's examples are asked and compared
//! to the byte; then schemathesis, which knows nothing of us but the file, makes up requests, good
//! and bad, and looks for replies that the file does not describe.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use tokio::time::timeout;

use crate::platform::client::Client;
use crate::platform::{ACCOUNT, Place, Platform, Prepared, TEAM, all_ready};
use crate::tally::Tally;
use crate::tools::{Kit, Tools};
use crate::workspace::Workspace;
use crate::{child, console};

/// The description of the services, from the root.
const FILE: &str = "docs/openapi.yaml";
/// What asks the examples, from the root.
const GOLDEN: &str = "crates/xtask/tools/golden.py";
/// Requests that are made up for each path, besides those that cover each parameter.
const REQUESTS: &str = "1000";
/// The same requests each time.
const SEED: &str = "15619";
/// How long one run may take, on a host that is busy with other things.
const DEADLINE: Duration = Duration::from_mins(10);
/// What breaks a rule of the contract is answered 200 with `INVALID`: no status tells good
/// requests from bad ones.
const LEFT_OUT: &str = "negative_data_rejection,positive_data_acceptance";

/// Starts the services, asks, and stops them.
pub(crate) async fn check(workspace: &Workspace) -> Result<Tally> {
    let tools = Tools::obtain(workspace, &[Kit::Linters, Kit::Schemathesis]).await?;
    let prepared = Prepared::make(workspace, false).await?;
    let mut platform = prepared.start(TEAM, ACCOUNT)?;
    let result = ask_all(workspace, &tools, &mut platform).await;
    platform.stop().await;
    result
}

async fn ask_all(workspace: &Workspace, tools: &Tools, platform: &mut Platform) -> Result<Tally> {
    let places = platform.places().await?;
    let work = async {
        all_ready(&Client::new(), &places).await?;
        let mut tally = golden(workspace, tools, &places).await?;
        for place in &places {
            if made_up(workspace, tools, place).await? {
                tally.passed += 1;
            } else {
                tally.failed += 1;
            }
        }
        Ok(tally)
    };
    tokio::select! {
        result = work => result,
        error = platform.death() => Err(error),
    }
}

/// Asks the examples of the file.
async fn golden(workspace: &Workspace, tools: &Tools, places: &[Place]) -> Result<Tally> {
    console::header(&format!("the examples of {FILE}"));
    let mut command = tools.command("python3")?;
    command
        .args(["-B", GOLDEN, FILE])
        .args(
            places
                .iter()
                .map(|place| format!("{}={}", place.prefix, place.listen)),
        )
        .current_dir(&workspace.root)
        .stderr(Stdio::inherit());
    let output = bounded(command.output(), GOLDEN).await?;
    let output = output.with_context(|| format!("cannot start {GOLDEN}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    print!("{text}");
    let tally = text.lines().last().and_then(closing_line);
    tally.with_context(|| format!("{GOLDEN} broke off ({})", output.status))
}

/// Lets schemathesis make up requests; says whether all replies were as described.
async fn made_up(workspace: &Workspace, tools: &Tools, place: &Place) -> Result<bool> {
    console::header(&format!(
        "requests that schemathesis makes up for {}",
        place.name
    ));
    let scratch = workspace.scratch("conformance");
    std::fs::create_dir_all(&scratch)
        .with_context(|| format!("cannot create {}", scratch.display()))?;
    let mut command = tools.command("schemathesis")?;
    command
        .arg("run")
        .arg(workspace.root.join(FILE))
        .args(["--url", &format!("http://{}", place.listen)])
        .args([
            "--include-path-regex",
            &format!("^({}|/readyz)(/|$)", place.prefix),
        ])
        .args(["--phases", "examples,coverage,fuzzing"])
        .args(["--max-examples", REQUESTS, "--seed", SEED])
        .args(["--exclude-checks", LEFT_OUT])
        .args(["--request-timeout", "30", "--suppress-health-check", "all"])
        // It leaves a database of examples in the folder where it runs.
        .current_dir(&scratch)
        .env("NO_COLOR", "1");
    let status = bounded(child::status(&mut command, "schemathesis"), "schemathesis").await??;
    Ok(status.success())
}

async fn bounded<T>(work: impl Future<Output = T>, what: &str) -> Result<T> {
    timeout(DEADLINE, work).await.map_err(|_| {
        anyhow!(
            "{what} did not end within {} minutes",
            DEADLINE.as_secs() / 60
        )
    })
}

/// The counts of a line `3 passed, 0 failed`.
fn closing_line(line: &str) -> Option<Tally> {
    let (passed, failed) = line.split_once(" passed, ")?;
    let mut tally = Tally::default();
    tally.passed = passed.parse().ok()?;
    tally.failed = failed.strip_suffix(" failed")?.parse().ok()?;
    Some(tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_closing_line() {
        let tally = closing_line("12 passed, 3 failed").unwrap();
        assert_eq!((tally.passed, tally.failed), (12, 3));
        assert!(closing_line("12 passed").is_none());
        assert!(closing_line("no passed, 0 failed").is_none());
    }
}
