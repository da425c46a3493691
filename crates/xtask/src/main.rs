//! `cargo xtask`: what people and pipelines run.
//!
//! * `up` builds the three services, gives them sample data and puts a path
//!   router in front of them, all on one machine.
//! * `test` runs every check of the workspace and sums the tests up.
//! * `bench` measures the services against yardsticks and writes docs/performance.md.
//! * `counts` compares the instructions that requests take with a baseline.
//! * `coverage` says how many lines of the cores the tests reach.
//! * `arm64-test` runs the cores' tests, built for arm64, on an emulated processor.
//! * `cluster-test` tries the platform on a real cluster of one node.
//! * `image-test` builds the images by the Dockerfile's own compile stage and runs them.
//! * `readme-check` runs the commands of the README against a running `up`.
//! * `charts` checks the Helm charts.
//! * `monitoring` renders alert rules and dashboards out of the charts.
//! * `torture` tries the promises of docs/reliability.md for longer than the tests do.
//! * `tool` runs one of the pinned check tools.
//!
//! The program stays small on purpose: it is the first thing a fresh clone
//! builds. It knows the services by their settings and replies only, never by
//! their code.

mod arm64;
mod bench;
mod charts;
mod child;
mod cluster;
mod cluster_test;
mod conformance;
mod console;
mod counts;
mod coverage;
mod database;
mod debian;
mod deny;
mod images;
mod mariadb;
mod mysql;
mod packages;
mod platform;
mod readme;
mod s3;
mod signals;
mod spark;
mod tally;
mod test;
mod tools;
mod torture;
mod typos;
mod up;
mod workflows;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Exit code for bad settings or usage.
const EXIT_USAGE: u8 = 64;
/// Exit code for a peer that cannot be reached, here: a port that is taken.
const EXIT_UNAVAILABLE: u8 = 69;
/// Exit code after a signal that cut the work short.
const EXIT_INTERRUPTED: u8 = 130;

/// What the user typed.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    about = "Run and check the platform on this machine"
)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Build and run the three services with sample data behind one address, until Ctrl-C
    Up(up::Options),
    /// Run all checks: format, lints, docs, dependencies, tests on a private database
    Test(test::Options),
    /// Measure the services on two cores and write docs/performance.md (takes some ten minutes)
    Bench(bench::Options),
    /// Count the instructions of each core's work and compare them with the baseline
    Counts(counts::Options),
    /// Say how many lines of the pure crates the tests reach, and fail below a share
    Coverage(coverage::Options),
    /// Run the tests of the cores, built for arm64, on an emulated processor (Debian hosts, as root)
    Arm64Test,
    /// Try charts and images on a real Kubernetes of one node (Debian 12 hosts, as root; builds it once)
    ClusterTest(cluster_test::Options),
    /// Compile the images as a release does, on a base made here, and run them (Debian hosts, as root)
    ImageTest(images::compiled::Options),
    /// Compare rules and dashboards in k8s/monitoring with what the charts render, or write them
    Monitoring(cluster::MonitoringOptions),
    /// Run the commands of the README's `sh ci` blocks and compare their output
    ReadmeCheck(readme::Options),
    /// Check the Helm charts: lint, render, validate, unit tests, snapshots, alert rules
    Charts(charts::Options),
    /// Try what docs/reliability.md promises for as long as it takes
    Torture(torture::Options),
    /// Keep a processor busy, for `torture overload`
    #[command(hide = true)]
    Occupy(torture::overload::share::Occupy),
    /// Run a pinned check tool, such as helm or yamllint, fetching it first where it lacks
    Tool(tools::Options),
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // A closed terminal is the only way this fails; there is nobody left to tell.
            let _ = error.print();
            return if error.use_stderr() {
                ExitCode::from(EXIT_USAGE)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    match run(arguments.task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one task on a single-threaded runtime: the work is waiting for children.
fn run(task: Task) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match task {
            Task::Up(options) => up::run(options).await,
            Task::Test(options) => test::run(options).await,
            Task::Bench(options) => bench::run(options).await,
            Task::Counts(options) => counts::run(options).await,
            Task::Coverage(options) => coverage::run(options).await,
            Task::Arm64Test => arm64::run().await,
            Task::ClusterTest(options) => cluster_test::run(options).await,
            Task::ImageTest(options) => images::compiled::test(options).await,
            Task::Monitoring(options) => cluster::monitoring(options).await,
            Task::ReadmeCheck(options) => readme::run(options).await,
            Task::Charts(options) => charts::run(options).await,
            Task::Torture(options) => torture::run(options).await,
            Task::Occupy(options) => Ok(torture::overload::share::occupy(&options)),
            Task::Tool(options) => tools::run(options).await,
        }
    })
}
