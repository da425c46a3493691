//! `cargo xtask up`: the whole platform on this machine, until Ctrl-C.

mod examples;
mod router;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use tokio::sync::watch;

use crate::platform::client::Client;
use crate::platform::{ACCOUNT, Platform, Prepared, TEAM, all_ready};
use crate::signals::StopSignal;
use crate::workspace::Workspace;
use crate::{EXIT_INTERRUPTED, EXIT_UNAVAILABLE, console};
use router::{Route, Router};

/// What the user typed after `up`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The one address in front of the three services; port 0 picks one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// The team name in the first line of every reply
    #[arg(long, value_name = "ID", default_value = TEAM)]
    team: String,
    /// The account number in the first line of every reply
    #[arg(long, value_name = "NUMBER", default_value = ACCOUNT)]
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
    let mut platform = prepared.start(&options.team, &options.account)?;
    let outcome = tokio::select! {
        result = serve(&options, &prepared, &mut platform) => result,
        () = stop.received() => Ok(()),
    };
    platform.stop().await;
    outcome?;
    console::say("all stopped");
    Ok(ExitCode::SUCCESS)
}

async fn prepare(options: &Options) -> Result<Prepared> {
    let workspace = Workspace::locate().await?;
    Prepared::make(&workspace, options.debug).await
}

/// Puts the router in front, says how to ask, and watches the services.
/// Returns only with an error, such as the death of a service.
async fn serve(options: &Options, prepared: &Prepared, platform: &mut Platform) -> Result<()> {
    let places = platform.places().await?;
    let routes = places.iter().map(|place| Route {
        prefix: place.prefix,
        service: place.name,
        address: place.listen,
    });
    let (page, front_page) = watch::channel("the services are starting\n".to_owned());
    let front = Router::start(router::bind(options.listen)?, routes.collect(), front_page)?;
    let work = async {
        let client = Client::new();
        all_ready(&client, &places).await?;
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
        error = platform.death() => Err(error),
    }
}
