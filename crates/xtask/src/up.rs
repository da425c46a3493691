//! `cargo xtask up`: the whole platform on this machine, until Ctrl-C.

mod client;
mod examples;
mod log_line;
mod process;
mod router;
mod sample;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use hyper::StatusCode;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::signals::StopSignal;
use crate::workspace::{Workspace, cargo};
use crate::{EXIT_INTERRUPTED, EXIT_UNAVAILABLE, child, console};
use client::Client;
use process::Service;
use router::{Route, Router};
use sample::Sample;

/// How long all services may take to become ready.
const READY_DEADLINE: Duration = Duration::from_mins(1);
/// Between two looks at `/readyz`.
const READY_INTERVAL: Duration = Duration::from_millis(100);
/// From the signal to the end of everything. What still runs then is killed.
const STOP_DEADLINE: Duration = Duration::from_millis(4_500);

/// The services and the paths that belong to them.
const SERVICES: [(&str, &str); 3] = [
    ("blockchain-service", "/blockchain"),
    ("qrcode-service", "/qrcode"),
    ("twitter-service", "/twitter"),
];

/// What the user typed after `up`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The one address in front of the three services; port 0 picks one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// The team name in the first line of every reply
    #[arg(long, value_name = "ID", default_value = "Tripod")]
    team: String,
    /// The account number in the first line of every reply
    #[arg(long, value_name = "NUMBER", default_value = "000000000000")]
    account: String,
    /// Build without optimisation: starts sooner, answers slower
    #[arg(long)]
    debug: bool,
    /// Write the address to this file once everything answers, for scripts
    #[arg(long, value_name = "FILE")]
    address_file: Option<PathBuf>,
}

/// Builds, starts, serves and stops.
pub(crate) async fn run(options: Options) -> Result<ExitCode> {
    let mut stop = StopSignal::listen()?;
    // Now, not after some minutes of building; bound again below.
    if let Err(error) = router::bind(options.listen) {
        eprintln!("xtask: {error:#}");
        return Ok(ExitCode::from(EXIT_UNAVAILABLE));
    }
    let prepared = tokio::select! {
        prepared = prepare(&options) => prepared?,
        () = stop.received() => {
            eprintln!("\nxtask: stopped by a signal");
            return Ok(ExitCode::from(EXIT_INTERRUPTED));
        }
    };
    let mut services = start_services(&options, &prepared)?;
    let outcome = tokio::select! {
        result = serve(&options, &prepared, &mut services) => result,
        () = stop.received() => Ok(()),
    };
    console::header("stopping");
    process::stop_all(&mut services, Instant::now() + STOP_DEADLINE).await;
    outcome?;
    console::say("all stopped");
    Ok(ExitCode::SUCCESS)
}

/// What `serve` needs from the build.
struct Prepared {
    /// Where cargo puts the programs.
    programs: PathBuf,
    sample: Sample,
}

/// Builds the programs and makes the sample data.
async fn prepare(options: &Options) -> Result<Prepared> {
    let workspace = Workspace::locate().await?;
    console::header("building the services (the first time takes some minutes)");
    let mut build = cargo();
    build.arg("build").current_dir(&workspace.root);
    if !options.debug {
        build.arg("--release");
    }
    for (name, _) in SERVICES {
        build.args(["-p", name]);
    }
    child::run(build.args(["-p", "etl"]), "cargo build").await?;
    let profile = if options.debug { "debug" } else { "release" };
    let programs = workspace.target.join(profile);
    let sample = Sample::make(&workspace, &programs.join("etl")).await?;
    Ok(Prepared { programs, sample })
}

fn start_services(options: &Options, prepared: &Prepared) -> Result<[Service; 3]> {
    console::header("starting the services");
    let database = prepared.sample.url();
    let settings = [
        ("TEAM_ID", options.team.as_str()),
        ("AWS_ACCOUNT_ID", options.account.as_str()),
        // The two services without a database do not read it.
        ("DATABASE_URL", database.as_str()),
    ];
    let [first, second, third] = SERVICES.map(|(name, _)| {
        let command = child::tied_to_us(&prepared.programs.join(name), "INT");
        Service::start(name, command, &settings)
    });
    Ok([first?, second?, third?])
}

/// Puts the router in front, says how to ask, and watches the services.
/// Returns only with an error, such as the death of a service.
async fn serve(options: &Options, prepared: &Prepared, services: &mut [Service; 3]) -> Result<()> {
    let deadline = Instant::now() + READY_DEADLINE;
    let mut routes = Vec::new();
    let mut health = Vec::new();
    for (service, (name, prefix)) in services.iter_mut().zip(SERVICES) {
        let addresses = service.addresses(deadline).await?;
        health.push((name, addresses.admin));
        routes.push(Route {
            prefix,
            service: name,
            address: addresses.listen,
        });
    }
    let (page, front_page) = watch::channel("the services are starting\n".to_owned());
    let front = Router::start(router::bind(options.listen)?, routes, front_page)?;
    let [first, second, third] = services;
    let work = async {
        let client = Client::new();
        all_ready(&client, &health, deadline).await?;
        let lines = examples::ask(&client, front.address, &prepared.sample).await?;
        console::header(&format!("http://{} answers; try", front.address));
        for line in lines.lines() {
            console::say(line);
        }
        console::say("Ctrl-C ends it");
        page.send_replace(lines);
        if let Some(file) = &options.address_file {
            std::fs::write(file, format!("{}\n", front.address))
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
        std::future::pending().await
    };
    tokio::select! {
        result = work => result,
        error = first.death() => Err(error),
        error = second.death() => Err(error),
        error = third.death() => Err(error),
    }
}

/// Waits until every `/readyz` says 200; at the deadline, says which does not
/// and what it says instead.
async fn all_ready(
    client: &Client,
    health: &[(&'static str, SocketAddr)],
    deadline: Instant,
) -> Result<()> {
    for &(name, address) in health {
        loop {
            let reason = match client.get(address, "/readyz").await {
                Ok((StatusCode::OK, _)) => break,
                Ok((status, text)) => format!("{status}: {}", text.trim()),
                Err(error) => format!("{error:#}"),
            };
            if Instant::now() >= deadline {
                bail!(
                    "{name} is not ready after {} s; http://{address}/readyz says: {reason}",
                    READY_DEADLINE.as_secs()
                );
            }
            sleep(READY_INTERVAL).await;
        }
        console::say(&format!("{name} is ready"));
    }
    Ok(())
}
