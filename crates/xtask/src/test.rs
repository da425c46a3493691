//! `cargo xtask test`: every check, timed, with one sum at the end.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::database::TestDatabases;
use crate::mariadb::MariaDb;
use crate::mysql::MySql;
use crate::signals::StopSignal;
use crate::tally::{SKIPPED, Tally};
use crate::workspace::{Workspace, cargo};
use crate::{
    EXIT_INTERRUPTED, charts, child, cluster, conformance, console, counts, deny, images, s3,
    spark, typos, workflows,
};

/// How long building and running the comparison of engines may take.
const ENGINES_DEADLINE: Duration = Duration::from_mins(30);

/// How long building, assembling and running the images may take, from nothing on a busy machine.
const IMAGES_DEADLINE: Duration = Duration::from_mins(90);

/// What the user typed after `test`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Also run the store tests against a real MySQL server (Debian hosts, as root; fetches it once)
    #[arg(long)]
    mysql: bool,
    /// Leave out spelling, docs, dependency rules, counts, manifests, images, Spark and the database server; database tests skip
    #[arg(long, conflicts_with_all = ["only", "mysql"])]
    fast: bool,
    /// Run these steps only
    #[arg(long, value_name = "STEP", num_args = 1.., conflicts_with = "mysql")]
    only: Vec<Step>,
    /// Write the closing table and line to this file instead of printing them
    #[arg(long, value_name = "FILE")]
    summary: Option<PathBuf>,
}

/// One check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Step {
    /// Is everything formatted?
    Fmt,
    /// Misspelt words
    Typos,
    /// Lints, warnings denied
    Clippy,
    /// Do the docs build without warnings?
    Doc,
    /// Licences, sources, duplicate dependencies
    Deny,
    /// Instructions of each core's work against the baseline
    Counts,
    /// The Helm charts: lint, render, validate, unit tests, snapshots, alert rules
    Charts,
    /// Cluster specs, manifests and their scripts, judged by pinned tools
    Cluster,
    /// All tests, with a private MariaDB and an S3 server
    Test,
    /// The container images: assembled, checked, run without privileges
    Images,
    /// Pipelines, their scripts and the Dockerfile, by linters and by tests
    Workflows,
    /// The same SQL on DataFusion and on Spark
    Engines,
    /// The services against docs/openapi.yaml: its examples, and requests that a tool makes up
    Conformance,
    /// The store tests on a private MySQL
    Mysql,
}

impl Step {
    fn name(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

impl Options {
    fn plan(&self) -> Vec<Step> {
        if !self.only.is_empty() {
            return self.only.clone();
        }
        if self.fast {
            return vec![Step::Fmt, Step::Clippy, Step::Test];
        }
        let mut plan = vec![
            Step::Fmt,
            Step::Typos,
            Step::Clippy,
            Step::Doc,
            Step::Deny,
            Step::Counts,
            Step::Charts,
            Step::Cluster,
            Step::Test,
            Step::Engines,
            Step::Workflows,
            Step::Images,
            Step::Conformance,
        ];
        if self.mysql {
            plan.push(Step::Mysql);
        }
        plan
    }
}

/// How one step ended.
struct Outcome {
    step: Step,
    time: Duration,
    result: Result<Tally>,
}

impl Outcome {
    fn row(&self) -> [String; 4] {
        let (result, note) = match &self.result {
            Ok(tally) if tally.failed > 0 => ("FAILED", format!("{} tests failed", tally.failed)),
            Ok(tally) if tally.passed > 0 => ("ok", format!("{} tests", tally.passed)),
            Ok(_) => ("ok", String::new()),
            Err(error) => {
                let text = format!("{error:#}");
                ("FAILED", text.lines().next().unwrap_or_default().to_owned())
            }
        };
        [
            self.step.name(),
            result.to_owned(),
            console::minutes(self.time),
            note,
        ]
    }
}

/// Runs the steps; a failed step does not keep the later ones from running.
pub(crate) async fn run(options: Options) -> Result<ExitCode> {
    let mut stop = StopSignal::listen()?;
    tokio::select! {
        result = run_plan(&options) => result,
        () = stop.received() => {
            // Everything that runs is killed as its handle is dropped here.
            eprintln!("\nxtask: stopped by a signal");
            Ok(ExitCode::from(EXIT_INTERRUPTED))
        }
    }
}

async fn run_plan(options: &Options) -> Result<ExitCode> {
    let workspace = Workspace::locate().await?;
    let mut outcomes = Vec::new();
    for step in options.plan() {
        console::header(&step.name());
        let start = Instant::now();
        let result = run_step(step, options, &workspace).await;
        if let Err(error) = &result {
            eprintln!("xtask: {}: {error:#}", step.name());
        }
        outcomes.push(Outcome {
            step,
            time: start.elapsed(),
            result,
        });
    }
    let must_not_skip = env::var_os("CI").is_some_and(|value| value == "true");
    let (text, passed) = summary(&outcomes, must_not_skip);
    match &options.summary {
        Some(file) => std::fs::write(file, text)
            .with_context(|| format!("cannot write {}", file.display()))?,
        None => print!("\n{text}"),
    }
    Ok(if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The closing text, and whether all is well.
fn summary(outcomes: &[Outcome], must_not_skip: bool) -> (String, bool) {
    let mut rows = vec![["step", "result", "time", ""].map(String::from)];
    rows.extend(outcomes.iter().map(Outcome::row));
    let mut sum = Tally::default();
    let mut passed = true;
    for outcome in outcomes {
        match &outcome.result {
            Ok(tally) => sum.add(tally.clone()),
            Err(_) => passed = false,
        }
    }
    passed &= sum.failed == 0;
    let mut text = console::table(&rows);
    for what in &sum.skipped {
        for part in [SKIPPED, " ", what, "\n"] {
            text.push_str(part);
        }
    }
    if must_not_skip && !sum.skipped.is_empty() {
        text.push_str("With CI=true no test may be skipped: FAILED\n");
        passed = false;
    }
    text.push('\n');
    text.push_str(&sum.closing_line());
    text.push('\n');
    (text, passed)
}

async fn run_step(step: Step, options: &Options, workspace: &Workspace) -> Result<Tally> {
    match step {
        Step::Fmt => {
            child::run(cargo().args(["fmt", "--all", "--check"]), "cargo fmt").await?;
        }
        Step::Typos => typos::check(workspace).await?,
        Step::Clippy => {
            let mut clippy = cargo();
            clippy.args(["clippy", "--workspace", "--all-targets", "--locked"]);
            child::run(clippy.args(["--", "-D", "warnings"]), "cargo clippy").await?;
        }
        Step::Doc => {
            let mut doc = cargo();
            doc.args(["doc", "--workspace", "--no-deps", "--locked"])
                .env("RUSTDOCFLAGS", "-D warnings");
            child::run(&mut doc, "cargo doc").await?;
        }
        Step::Deny => deny::check(workspace).await?,
        Step::Counts => return counts::check(workspace).await,
        Step::Charts => return charts::check(workspace).await,
        Step::Cluster => return cluster::check(workspace).await,
        Step::Test => return all_tests(options, workspace).await,
        Step::Images => {
            let checked = tokio::time::timeout(IMAGES_DEADLINE, images::check(workspace)).await;
            return checked.with_context(|| {
                let minutes = IMAGES_DEADLINE.as_secs() / 60;
                format!("the images were not done within {minutes} minutes")
            })?;
        }
        Step::Workflows => return workflows::check(workspace).await,
        Step::Engines => return engines(workspace).await,
        Step::Conformance => return conformance::check(workspace).await,
        Step::Mysql => {
            let s3_server = s3::obtain(workspace).await?;
            let product = MySql::obtain(workspace).await?;
            let databases = TestDatabases::start(&product, workspace).await?;
            let packages = ["-p", "twitter-service", "-p", "etl"];
            let tally = cargo_test(&packages, Some(&databases), Some(&s3_server)).await;
            databases.stop().await;
            return tally;
        }
    }
    Ok(Tally::default())
}

async fn all_tests(options: &Options, workspace: &Workspace) -> Result<Tally> {
    // The query engine is built once, for the step `engines`.
    let packages = ["--workspace", "--exclude", "etl-score"];
    if options.fast {
        return cargo_test(&packages, None, None).await;
    }
    let s3_server = s3::obtain(workspace).await?;
    let product = MariaDb::obtain().await?;
    let databases = TestDatabases::start(&product, workspace).await?;
    let tally = cargo_test(&packages, Some(&databases), Some(&s3_server)).await;
    databases.stop().await;
    tally
}

/// All tests of the query engine, also those that need Spark.
async fn engines(workspace: &Workspace) -> Result<Tally> {
    let s3_server = s3::obtain(workspace).await?;
    let pyspark = spark::obtain(workspace).await?;
    let mut command = cargo();
    command.env("TRIPOD_TEST_PYSPARK", pyspark);
    let packages = ["--profile", "engine", "-p", "etl-score"];
    let arguments = ["--include-ignored"];
    let tests = cargo_test_by(command, &packages, &arguments, None, Some(&s3_server));
    let tally = tokio::time::timeout(ENGINES_DEADLINE, tests).await;
    let tally = tally.with_context(|| {
        let minutes = ENGINES_DEADLINE.as_secs() / 60;
        format!("the engines were not done within {minutes} minutes")
    })??;
    anyhow::ensure!(
        tally.passed + tally.failed > 0,
        "no test compared the engines"
    );
    Ok(tally)
}

/// Runs `cargo test`, passing its output on while counting.
async fn cargo_test(
    packages: &[&str],
    databases: Option<&TestDatabases>,
    s3_server: Option<&Path>,
) -> Result<Tally> {
    cargo_test_by(cargo(), packages, &[], databases, s3_server).await
}

/// The same by another command that takes cargo's arguments.
pub(crate) async fn cargo_test_by(
    mut command: Command,
    packages: &[&str],
    arguments: &[&str],
    databases: Option<&TestDatabases>,
    s3_server: Option<&Path>,
) -> Result<Tally> {
    command
        .arg("test")
        .args(packages)
        .args(["--locked", "--no-fail-fast", "--", "--show-output"])
        .args(arguments)
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    if let Some(databases) = databases {
        databases.announce(&mut command);
    }
    if let Some(program) = s3_server {
        command.env(s3::PROGRAM, program);
    }
    let mut process = command.spawn().context("cannot start `cargo test`")?;
    let output = process
        .stdout
        .take()
        .context("`cargo test` has no output")?;
    let mut lines = BufReader::new(output).split(b'\n');
    let mut tally = Tally::default();
    while let Some(line) = lines
        .next_segment()
        .await
        .context("`cargo test` broke off")?
    {
        let line = String::from_utf8_lossy(&line);
        if tally.take(&line) {
            println!("{line}");
        }
    }
    let status = process.wait().await?;
    if !status.success() && tally.failed == 0 {
        // It did not build, or a test binary died before it could say its sum.
        eprintln!("xtask: `cargo test` failed ({status}) without naming a test; counted as one");
        tally.failed = 1;
    }
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    fn options(arguments: &[&str]) -> Options {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            options: Options,
        }
        let line = ["test"].iter().chain(arguments);
        <Line as clap::Parser>::try_parse_from(line)
            .unwrap()
            .options
    }

    fn outcome(step: Step, result: Result<Tally>) -> Outcome {
        Outcome {
            step,
            time: Duration::from_secs(83),
            result,
        }
    }

    fn counted(passed: u64, failed: u64, skipped: &[&str]) -> Tally {
        let mut tally = Tally::default();
        tally.take(&format!(
            "test result: ok. {passed} passed; {failed} failed; 0 ignored"
        ));
        for what in skipped {
            tally.take(&format!("{SKIPPED} {what}"));
        }
        tally
    }

    #[test]
    fn plans_what_was_asked_for() {
        assert_eq!(options(&[]).plan().len(), 13);
        assert_eq!(options(&["--mysql"]).plan().last(), Some(&Step::Mysql));
        assert_eq!(
            options(&["--fast"]).plan(),
            [Step::Fmt, Step::Clippy, Step::Test]
        );
        assert_eq!(
            options(&["--only", "deny", "mysql"]).plan(),
            [Step::Deny, Step::Mysql]
        );
    }

    #[test]
    fn the_closing_line_stands_alone_at_the_end() {
        let outcomes = [
            outcome(Step::Fmt, Ok(Tally::default())),
            outcome(Step::Test, Ok(counted(7, 0, &[]))),
            outcome(Step::Mysql, Ok(counted(2, 0, &[]))),
        ];
        let (text, passed) = summary(&outcomes, true);
        assert!(passed);
        assert_eq!(
            text,
            "step   result  time\n\
             fmt    ok      1:23\n\
             test   ok      1:23  7 tests\n\
             mysql  ok      1:23  2 tests\n\
             \n\
             9 passed, 0 failed\n"
        );
    }

    #[test]
    fn a_failed_step_fails_the_run_though_no_test_failed() {
        let outcomes = [
            outcome(Step::Clippy, Err(anyhow!("cargo clippy failed"))),
            outcome(Step::Test, Ok(counted(7, 0, &[]))),
        ];
        let (text, passed) = summary(&outcomes, false);
        assert!(!passed);
        assert!(text.contains("clippy  FAILED  1:23  cargo clippy failed\n"));
        assert!(text.ends_with("\n7 passed, 0 failed\n"));
    }

    #[test]
    fn skipped_tests_are_named_and_fail_a_pipeline() {
        let outcomes = [outcome(
            Step::Test,
            Ok(counted(7, 0, &["store: no database"])),
        )];
        let (text, passed) = summary(&outcomes, false);
        assert!(passed);
        assert!(text.contains("SKIPPED: store: no database\n"));
        assert!(!summary(&outcomes, true).1);
    }
}
