//! `cargo xtask bench`: measures the table of targets on this machine and writes it down.
//!
//! The server has one core, the load tool the other. What is compared is the processor time of a
//! request, by the scheduler's accounts, as a ratio to a yardstick that ran in turn with it: that
//! holds on a machine which others use too, where a rate does not.

mod cost;
mod host;
mod load;
mod measure;
mod page;
mod peers;
mod plot;
mod results;
mod rows;
pub(crate) mod server;
mod targets;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::Value;
use tokio::process::Command;
use tokio::time::Instant;

use self::load::Wrk;
use self::measure::Pace;
use self::peers::Peers;
use self::results::Occasion;
use self::rows::{Bench, RowName};
use crate::database::BenchDatabase;
use crate::mariadb::MariaDb;
use crate::packages::Needed;
use crate::signals::StopSignal;
use crate::workspace::{Workspace, cargo};
use crate::{EXIT_INTERRUPTED, child, console};

pub(crate) use self::host::load_average;
pub(crate) use self::load::{percentile, reported};
pub(crate) use self::measure::median;

/// Where results are kept, relative to the workspace.
const RESULTS: &str = "benches/results";
/// Database of the twitter service.
const DATABASE: &str = "tripod";
/// Database of sysbench.
const SYSBENCH_DATABASE: &str = "sbtest";

/// What the user typed after `bench`.
#[derive(Debug, Args)]
// Each is a switch of its own on the command line.
#[allow(clippy::struct_excessive_bools)]
pub(crate) struct Options {
    /// Measure these rows only; the others stay as they are in the file of today
    #[arg(long, value_name = "ROW", num_args = 1..)]
    only: Vec<RowName>,
    /// Rounds, in each of which every server has its turn
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Length of one turn, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=60))]
    seconds: u32,
    /// Name of this machine in the name of the file [default: from its processor]
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// Measure the programs as they were built last
    #[arg(long)]
    no_build: bool,
    /// Fetch nginx, Go and fasthttp from Debian, to compare with
    #[arg(long)]
    install_peers: bool,
    /// Measure nothing; write docs/performance.md and benches/rates.toml from the newest results
    #[arg(long, conflicts_with_all = ["only", "rounds", "seconds", "host", "no_build", "install_peers"])]
    render: bool,
    /// Do not write docs/performance.md and benches/rates.toml
    #[arg(long, conflicts_with = "render")]
    no_page: bool,
}

/// Measures, writes the results and the page.
pub(crate) async fn run(options: Options) -> Result<ExitCode> {
    let mut stop = StopSignal::listen()?;
    tokio::select! {
        result = measure_and_write(&options) => result,
        () = stop.received() => {
            // Everything that runs is killed as its handle is dropped here.
            eprintln!("\nxtask: stopped by a signal");
            Ok(ExitCode::from(EXIT_INTERRUPTED))
        }
    }
}

async fn measure_and_write(options: &Options) -> Result<ExitCode> {
    let workspace = Workspace::locate().await?;
    if options.render {
        page::write(&workspace.root)?;
        return Ok(ExitCode::SUCCESS);
    }
    let host = host::describe().await;
    let load_before = load_average();
    let label = options.host.clone().unwrap_or_else(|| host::label(&host));
    if !label
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    {
        bail!("--host takes letters, digits and -");
    }
    if std::thread::available_parallelism()?.get() < 2 {
        bail!("this takes two processors, one for the server and one for the load");
    }
    let rows = match options.only.as_slice() {
        [] => <RowName as clap::ValueEnum>::value_variants(),
        only => only,
    };
    let file = workspace
        .root
        .join(RESULTS)
        .join(format!("{}-{label}.json", host::today()));
    let mut results = match options.only.as_slice() {
        [] => results::new(&host),
        _ => results::to_add_to(&file, &host)?,
    };
    raise_open_file_limit();
    let (bench, inputs) = prepare(&workspace, options, rows).await?;
    let started = Instant::now();

    let mut failed = Vec::new();
    for row in rows {
        let name = row.name();
        console::header(&format!("{name} ({})", console::minutes(started.elapsed())));
        let row_started = Instant::now();
        match bench.row(*row).await {
            Ok(measured) => {
                show(&measured);
                let occasion = Occasion {
                    date: host::today(),
                    load_before,
                    load_after: load_average(),
                    rounds: options.rounds,
                    seconds: options.seconds,
                    took_s: row_started.elapsed().as_secs(),
                };
                results::add(&mut results, &name, measured, &occasion);
            }
            Err(error) => {
                eprintln!("xtask: {name}: {error:#}");
                failed.push(name);
            }
        }
    }
    if let Some(database) = bench.database {
        database.stop().await;
    }

    results::add_inputs(&mut results, inputs);
    fs::create_dir_all(workspace.root.join(RESULTS))
        .context("cannot create the results' folder")?;
    fs::write(&file, format!("{results:#}\n"))
        .with_context(|| format!("cannot write {}", file.display()))?;
    console::header(&format!("wrote {}", workspace.display(&file)));
    if !options.no_page {
        page::write(&workspace.root)?;
    }
    print!("\n{}", page::closing_table(&results));
    if !failed.is_empty() {
        bail!("not measured: {}", failed.join(", "));
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds and makes everything that the rows need.
async fn prepare(
    workspace: &Workspace,
    options: &Options,
    rows: &[RowName],
) -> Result<(Bench, Value)> {
    let has = |wanted: &[RowName]| rows.iter().any(|row| wanted.contains(row));
    Needed {
        purpose: "measuring",
        programs: &["wrk", "taskset"],
        packages: &["wrk", "util-linux"],
    }
    .ensure()
    .await?;
    if has(&[RowName::TwitterMisses]) {
        Needed {
            purpose: "the database row",
            programs: &["sysbench"],
            packages: &["sysbench"],
        }
        .ensure()
        .await?;
    }
    if !options.no_build {
        console::header("building (the first time takes some minutes)");
        build(workspace).await?;
    }

    let folder = workspace.scratch("bench");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    rows::write_short(&folder)?;
    let programs = workspace.target.join("release");
    let program = programs.join("prepare");
    let mut requests = Command::new(&program);
    requests.arg("requests").arg(&folder);
    requests.args(vectors(&workspace.root));
    let mut inputs = told(&mut requests).await?;

    let peers = if has(&[RowName::Kit, RowName::Qrcode]) {
        Peers::find(workspace, options.install_peers).await?
    } else {
        Peers::default()
    };
    let database = if has(&[RowName::TwitterMisses]) {
        let product = MariaDb::obtain().await?;
        let names = [DATABASE, SYSBENCH_DATABASE];
        Some(BenchDatabase::start(&product, workspace, &names).await?)
    } else {
        None
    };
    let tables = [
        RowName::TwitterHits,
        RowName::TwitterMisses,
        RowName::Memory,
        RowName::Latency,
    ];
    if has(&tables) {
        console::header("making the table of the twitter service");
        for end in ["", "-wal", "-shm"] {
            // Most often there is none.
            let _ = fs::remove_file(folder.join(format!("twitter.sqlite{end}")));
        }
        let mut table = Command::new(&program);
        table.arg("table").arg(&folder).arg(sqlite_url(&folder));
        table.args(database.as_ref().map(|database| database.url(DATABASE)));
        inputs["table"] = told(&mut table).await?;
    }
    let pace = Pace {
        rounds: options.rounds,
        seconds: options.seconds,
    };
    let wrk = Wrk::new(&folder)?;
    let bench = Bench {
        programs,
        folder,
        wrk,
        pace,
        peers,
        database,
    };
    Ok((bench, inputs))
}

pub(crate) async fn build(workspace: &Workspace) -> Result<()> {
    let mut build = cargo();
    build
        .args(["build", "--release", "--locked"])
        .current_dir(&workspace.root);
    // With all of `up`'s packages, so that both share what they build.
    for package in [
        "benches",
        "blockchain-service",
        "qrcode-service",
        "twitter-service",
        "loadgen",
        "etl",
    ] {
        build.args(["-p", package]);
    }
    child::run(&mut build, "cargo build").await?;
    let mut example = cargo();
    example
        .args(["build", "--release", "--locked", "-p", "service-kit"])
        .args(["--example", "null_service"])
        .current_dir(&workspace.root);
    child::run(&mut example, "cargo build").await
}

/// The embedded table in the bench's folder.
fn sqlite_url(folder: &Path) -> String {
    format!("sqlite://{}", folder.join("twitter.sqlite").display())
}

/// The folder of vectors, where the tests look for it too.
fn vectors(root: &Path) -> Option<PathBuf> {
    let named = std::env::var_os("TRIPOD_VECTORS").map(PathBuf::from);
    let folder = named.unwrap_or_else(|| root.join("../shared/vectors"));
    folder.is_dir().then_some(folder)
}

/// Runs a program that prints a line of JSON.
pub(crate) async fn told(command: &mut Command) -> Result<Value> {
    let output = command.kill_on_drop(true).output().await;
    let output = output.context("cannot start `prepare`")?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("`prepare` failed ({}): {errors}", output.status);
    }
    serde_json::from_slice(&output.stdout).context("`prepare` printed no JSON")
}

/// Thousands of connections take as many descriptors, in the server and in the load tool.
pub(crate) fn raise_open_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // What cannot be raised is told by the row that needs it.
    let _ = setrlimit(Resource::Nofile, raised);
}

fn show(row: &Value) {
    for series in row["series"].as_array().into_iter().flatten() {
        console::say(&format!(
            "{:28} {:8.2} us/request {:9.0} requests/s",
            series["name"].as_str().unwrap_or_default(),
            series["cpu_us"].as_f64().unwrap_or(0.0),
            series["requests_per_s"].as_f64().unwrap_or(0.0),
        ));
    }
    for (name, value) in row["figures"].as_object().into_iter().flatten() {
        console::say(&format!("{name:48} {value}"));
    }
}
