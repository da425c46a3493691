//! The three services as programs of this workspace, with sample data, on ports of their own.

pub(crate) mod client;
mod log_line;
mod process;
pub(crate) mod sample;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use hyper::StatusCode;
use tokio::time::{Instant, sleep};

use crate::workspace::{Workspace, cargo};
use crate::{child, console};
use client::Client;
use process::Service;
use sample::Sample;

/// How long all services may take to become ready.
const READY_DEADLINE: Duration = Duration::from_mins(1);
/// Between two looks at `/readyz`.
const READY_INTERVAL: Duration = Duration::from_millis(100);
/// From the signal to the end of everything. What still runs then is killed.
const STOP_DEADLINE: Duration = Duration::from_millis(4_500);

/// The services and the paths that belong to them.
pub(crate) const SERVICES: [(&str, &str); 3] = [
    ("blockchain-service", "/blockchain"),
    ("qrcode-service", "/qrcode"),
    ("twitter-service", "/twitter"),
];

/// The team name and account number in the first line of every reply, unless asked otherwise.
pub(crate) const TEAM: &str = "Tripod";
pub(crate) const ACCOUNT: &str = "000000000000";

/// What has been built, and the sample data.
pub(crate) struct Prepared {
    /// Where cargo puts the programs.
    programs: PathBuf,
    pub(crate) sample: Sample,
}

impl Prepared {
    /// Builds the programs and makes the sample data.
    pub(crate) async fn make(workspace: &Workspace, debug: bool) -> Result<Self> {
        console::header("building the services (the first time takes some minutes)");
        let mut build = cargo();
        build.arg("build").current_dir(&workspace.root);
        if !debug {
            build.arg("--release");
        }
        for (name, _) in SERVICES {
            build.args(["-p", name]);
        }
        child::run(build.args(["-p", "etl"]), "cargo build").await?;
        let profile = if debug { "debug" } else { "release" };
        let programs = workspace.target.join(profile);
        let sample = Sample::make(workspace, &programs.join("etl")).await?;
        Ok(Self { programs, sample })
    }

    /// Starts the services; they are killed when the answer is dropped.
    pub(crate) fn start(&self, team: &str, account: &str) -> Result<Platform> {
        console::header("starting the services");
        let database = self.sample.url();
        let settings = [
            ("TEAM_ID", team),
            ("AWS_ACCOUNT_ID", account),
            // The two services without a database do not read it.
            ("DATABASE_URL", database.as_str()),
        ];
        let [first, second, third] = SERVICES.map(|(name, _)| {
            let command = child::tied_to_us(&self.programs.join(name), "INT");
            Service::start(name, command, &settings)
        });
        Ok(Platform {
            services: [first?, second?, third?],
            deadline: Instant::now() + READY_DEADLINE,
        })
    }
}

/// The running services.
pub(crate) struct Platform {
    services: [Service; 3],
    deadline: Instant,
}

/// Where one service is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// The binary's name.
    pub(crate) name: &'static str,
    /// What its paths begin with.
    pub(crate) prefix: &'static str,
    pub(crate) listen: SocketAddr,
    admin: SocketAddr,
}

impl Platform {
    /// Learns the ports, in the order of [`SERVICES`].
    pub(crate) async fn places(&mut self) -> Result<Vec<Place>> {
        let mut places = Vec::new();
        for (service, (name, prefix)) in self.services.iter_mut().zip(SERVICES) {
            let addresses = service.addresses(self.deadline).await?;
            places.push(Place {
                name,
                prefix,
                listen: addresses.listen,
                admin: addresses.admin,
            });
        }
        Ok(places)
    }

    /// Returns when a service has ended, with what to say about it.
    pub(crate) async fn death(&mut self) -> anyhow::Error {
        let [first, second, third] = &mut self.services;
        tokio::select! {
            error = first.death() => error,
            error = second.death() => error,
            error = third.death() => error,
        }
    }

    /// Ends all services, by force where they do not end in time.
    pub(crate) async fn stop(&mut self) {
        console::header("stopping");
        process::stop_all(&mut self.services, Instant::now() + STOP_DEADLINE).await;
    }
}

/// Waits until every `/readyz` says 200; when it takes too long, says which does not and what it
/// says instead.
pub(crate) async fn all_ready(client: &Client, places: &[Place]) -> Result<()> {
    let deadline = Instant::now() + READY_DEADLINE;
    for Place { name, admin, .. } in places {
        loop {
            let reason = match client.get(*admin, "/readyz").await {
                Ok((StatusCode::OK, _)) => break,
                Ok((status, text)) => format!("{status}: {}", text.trim()),
                Err(error) => format!("{error:#}"),
            };
            if Instant::now() >= deadline {
                bail!(
                    "{name} is not ready after {} s; http://{admin}/readyz says: {reason}",
                    READY_DEADLINE.as_secs()
                );
            }
            sleep(READY_INTERVAL).await;
        }
        console::say(&format!("{name} is ready"));
    }
    Ok(())
}
