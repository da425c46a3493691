//! `cargo xtask torture`: the promises of docs/reliability.md, tried for longer than a test run has
//! time for. The suite holds the same tests in short; a variable makes them long.

pub(crate) mod overload;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Subcommand, ValueEnum};
use tokio::process::Command;

use crate::database::TestDatabases;
use crate::mariadb::MariaDb;
use crate::signals::StopSignal;
use crate::workspace::{Workspace, cargo};
use crate::{EXIT_INTERRUPTED, child, console};

/// The services' packages.
const SERVICES: [&str; 3] = ["blockchain-service", "qrcode-service", "twitter-service"];

/// What the user typed after `torture`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    promise: Promise,
    /// Give up after so many minutes
    #[arg(long, global = true, default_value_t = 180, value_parser = clap::value_parser!(u64).range(1..=1440))]
    minutes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
enum Promise {
    /// Replace each service under steady load; no request may be lost, doubled or wrong
    Deploys {
        /// Instances replaced, for each service
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        runs: u32,
    },
    /// Do to the database, and to connections with it, whatever can happen to them
    Database {
        /// How often all of it
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
        rounds: u32,
    },
    /// Ask all services at 60 % of what they can do while the database restarts each minute, its password too
    Soak {
        /// How long, in minutes
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=1440))]
        duration: u32,
    },
    /// Throw seeded input at one layer: right, broken in one rule, damaged
    Fuzz {
        /// Which layer
        #[arg(long, default_value = "blockchain")]
        target: Target,
        /// How many, for each storm of the layer
        #[arg(long, visible_alias = "runs", default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(100_000..))]
        executions: u32,
    },
    /// Ask each service for up to three times what it can do
    Overload {
        /// These only
        #[arg(long, value_name = "SERVICE", num_args = 1..)]
        only: Vec<overload::Subject>,
        /// How often each; the median counts
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
        rounds: u32,
        /// How long at each rate
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(2..=600))]
        seconds: u32,
        /// Measure the programs as they were built last
        #[arg(long)]
        no_build: bool,
    },
    /// Be every hostile client
    Hostile {
        /// How often all of them
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
        rounds: u32,
        /// Connections that send half a head, at a time; the limit of open files must allow them
        #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..=60_000))]
        connections: u32,
    },
}

/// A layer that has storms of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Target {
    /// Packed requests, from base64 to the rules of the chain
    Blockchain,
    /// Hex words, from text to the message
    Qrcode,
    /// Packs of rows, from bytes to the ranked reply, and the four values of a request
    Pack,
    /// Raw tweets, from a line to a valid tweet
    Line,
    /// Query strings, by themselves and through each running service
    Query,
    /// The environment of each service
    Settings,
}

impl Target {
    /// Packages, their test program and the names of the tests.
    fn storms(self) -> Vec<(&'static [&'static str], Tests, &'static [&'static str])> {
        const ONE: Tests = Tests::Named("storm");
        match self {
            Self::Blockchain => vec![(&["blockchain-core"], ONE, &[])],
            Self::Qrcode => vec![(&["qrcode-core"], ONE, &[])],
            Self::Pack => vec![(&["twitter-core"], ONE, &[])],
            Self::Line => vec![(&["etl"], ONE, &[])],
            Self::Query => vec![
                (&["service-kit"], Tests::Named("kit"), &["storm::"]),
                (&SERVICES, Tests::Named("service"), &["storm::"]),
            ],
            Self::Settings => vec![(&SERVICES, Tests::Programs, &["a_storm_of_environments"])],
        }
    }
}

/// Which tests of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tests {
    /// The test program of this name.
    Named(&'static str),
    /// Those inside of the programs themselves.
    Programs,
}

/// One call of `cargo test`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Run {
    packages: &'static [&'static str],
    tests: Tests,
    /// With all optimisation.
    is_release: bool,
    filters: &'static [&'static str],
    variable: Option<(&'static str, u32)>,
    rounds: u32,
    needs_database: bool,
    /// Programs that the test starts beside its own.
    programs: &'static [&'static str],
}

impl Promise {
    /// What is run for it.
    fn runs(&self) -> Vec<Run> {
        match *self {
            Self::Deploys { runs } => vec![Run {
                packages: &SERVICES,
                tests: Tests::Named("service"),
                is_release: false,
                filters: &["deploys::"],
                variable: Some(("TRIPOD_TORTURE_DEPLOYS", runs)),
                rounds: 1,
                needs_database: false,
                programs: &[],
            }],
            Self::Database { rounds } => vec![Run {
                packages: &["twitter-service"],
                tests: Tests::Named("service"),
                is_release: false,
                filters: &["sick::", "mysql::", "cancelled::", "failover::"],
                variable: Some(("TRIPOD_TORTURE_DATABASE", rounds)),
                rounds,
                needs_database: true,
                programs: &[],
            }],
            Self::Soak { duration } => vec![Run {
                packages: &["twitter-service"],
                tests: Tests::Named("service"),
                is_release: true,
                filters: &["soak::"],
                variable: Some(("TRIPOD_TORTURE_SOAK", duration * 60)),
                rounds: 1,
                needs_database: true,
                programs: &["blockchain-service", "qrcode-service"],
            }],
            Self::Fuzz { target, executions } => {
                let storms = target.storms().into_iter();
                let run = |(packages, tests, filters)| Run {
                    packages,
                    tests,
                    is_release: true,
                    filters,
                    variable: Some(("TRIPOD_TORTURE_FUZZ", executions)),
                    rounds: 1,
                    needs_database: false,
                    programs: &[],
                };
                storms.map(run).collect()
            }
            // No tests: a measurement.
            Self::Overload { .. } => Vec::new(),
            Self::Hostile {
                rounds,
                connections,
            } => [(&["service-kit"][..], "kit"), (&SERVICES, "service")]
                .map(|(packages, target)| Run {
                    packages,
                    tests: Tests::Named(target),
                    is_release: false,
                    filters: &["hostile::"],
                    variable: Some(("TRIPOD_TORTURE_CONNECTIONS", connections)),
                    rounds,
                    needs_database: false,
                    programs: &[],
                })
                .into(),
        }
    }
}

/// Runs what was asked for, until it is done, fails, is given up or stopped.
pub(crate) async fn run(options: Options) -> Result<ExitCode> {
    let mut stop = StopSignal::listen()?;
    let limit = Duration::from_secs(options.minutes * 60);
    tokio::select! {
        result = tokio::time::timeout(limit, torture(options.promise)) => {
            result.with_context(|| format!("not done within {} minutes", options.minutes))??;
            Ok(ExitCode::SUCCESS)
        }
        () = stop.received() => {
            // Everything that runs is killed as its handle is dropped here.
            eprintln!("\nxtask: stopped by a signal");
            Ok(ExitCode::from(EXIT_INTERRUPTED))
        }
    }
}

async fn torture(promise: Promise) -> Result<()> {
    if let Promise::Overload {
        only,
        rounds,
        seconds,
        no_build,
    } = promise
    {
        let subjects = match only.as_slice() {
            [] => <overload::Subject as ValueEnum>::value_variants(),
            only => only,
        };
        let measure = overload::Measure {
            rounds,
            seconds,
            is_built: no_build,
        };
        return overload::run(subjects, measure).await;
    }
    let workspace = Workspace::locate().await?;
    let runs = promise.runs();
    let databases = if runs.iter().any(|run| run.needs_database) {
        let product = MariaDb::obtain().await?;
        Some(TestDatabases::start(&product, &workspace).await?)
    } else {
        None
    };
    let mut result = Ok(());
    for run in &runs {
        result = repeat(run, databases.as_ref()).await;
        if result.is_err() {
            break;
        }
    }
    if let Some(databases) = databases {
        databases.stop().await;
    }
    result
}

async fn repeat(run: &Run, databases: Option<&TestDatabases>) -> Result<()> {
    if !run.programs.is_empty() {
        let mut command = cargo();
        command.args(["build", "--locked"]);
        command.args(run.is_release.then_some("--release"));
        for package in run.programs {
            command.args(["-p", package]);
        }
        child::run(&mut command, "the build").await?;
    }
    for round in 1..=run.rounds {
        console::say(&format!("round {round} of {}", run.rounds));
        let mut command = command(run);
        if let Some(databases) = databases {
            databases.announce(&mut command);
        }
        child::run(&mut command, "the torture").await?;
    }
    Ok(())
}

/// The tests one after the other, their figures on the screen.
fn command(run: &Run) -> Command {
    let mut command = cargo();
    command.args(["test", "--locked"]);
    match run.tests {
        Tests::Named(name) => command.args(["--test", name]),
        Tests::Programs => command.arg("--bins"),
    };
    if run.is_release {
        command.arg("--release");
    }
    for package in run.packages {
        command.args(["-p", package]);
    }
    command.arg("--").args(run.filters);
    command.args(["--nocapture", "--test-threads", "1"]);
    if let Some((name, value)) = run.variable {
        command.env(name, value.to_string());
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn runs(arguments: &[&str]) -> Vec<Run> {
        let line = ["torture"].iter().chain(arguments);
        let line = <Line as clap::Parser>::try_parse_from(line).unwrap();
        line.options.promise.runs()
    }

    #[test]
    fn deploys_are_as_many_as_asked_for() {
        let [run] = <[Run; 1]>::try_from(runs(&["deploys", "--runs", "7"])).unwrap();
        assert_eq!(run.variable, Some(("TRIPOD_TORTURE_DEPLOYS", 7)));
        let command = command(&run);
        let words: Vec<_> = command.as_std().get_args().collect();
        assert!(
            words
                .windows(2)
                .any(|pair| pair == ["-p", "qrcode-service"])
        );
        assert!(words.ends_with(&["--test-threads".as_ref(), "1".as_ref()]));
    }

    #[test]
    fn a_layer_may_have_several_storms() {
        let line = ["fuzz", "--target", "query", "--runs", "200000"];
        let [kit, services] = <[Run; 2]>::try_from(runs(&line)).unwrap();
        assert_eq!(kit.packages, ["service-kit"]);
        assert_eq!(services.variable, Some(("TRIPOD_TORTURE_FUZZ", 200_000)));
        let [settings] = <[Run; 1]>::try_from(runs(&["fuzz", "--target", "settings"])).unwrap();
        let command = command(&settings);
        let words: Vec<_> = command.as_std().get_args().collect();
        assert!(words.contains(&"--bins".as_ref()) && words.contains(&"--release".as_ref()));
    }

    #[test]
    fn only_what_needs_a_database_gets_one() {
        for promise in ["database", "soak"] {
            assert!(runs(&[promise]).iter().all(|run| run.needs_database));
        }
        assert!(runs(&["hostile"]).iter().all(|run| !run.needs_database));
    }
}
