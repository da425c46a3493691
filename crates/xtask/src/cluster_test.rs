//! `cargo xtask cluster-test`: the platform on a real cluster, from the charts and images that ship.
//!
//! Where only Debian can be reached there is one Kubernetes to be had, as source and old (1.20): an
//! API server, controllers, a scheduler, one kubelet with containerd. That is enough to see what no
//! rendering shows: that an API server takes the objects, that the images run under its limits, that
//! a roll-out under steady load loses no request, that a node that loses all pods at once and a
//! database that goes away and returns leave no trace. Not there: what enforces network policies,
//! metrics for the autoscaler, a cloud's load balancer (nginx routes by the Ingress objects instead).
//!
//! Everything runs in namespaces of its own, below one process: network, mounts and process numbers.
//! When that process ends, however it does, the kernel ends all the others and takes network and
//! mounts away; what is left, control groups and a scratch folder, is removed here.

mod client;
mod daemon;
mod database;
mod images;
mod inside;
mod kubernetes;
mod load;
mod node;
mod platform;
mod router;
mod sandbox;
mod trials;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;

use crate::mariadb::MariaDb;
use crate::packages::{Needed, is_root};
use crate::signals::StopSignal;
use crate::tools::{Kit, Tools};
use crate::workspace::Workspace;
use crate::{EXIT_INTERRUPTED, console};

/// What the user typed after `cluster-test`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Leave logs and rendered files behind, in the target folder, also when all went well
    #[arg(long)]
    keep: bool,
    /// Give up after so many minutes, building included
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=1440))]
    minutes: u64,
    /// We are in the namespaces already
    #[arg(long, hide = true, value_name = "FOLDER")]
    inside: Option<PathBuf>,
}

/// Who this needs beside Kubernetes itself.
const PROGRAMS: Needed<'static> = Needed {
    purpose: "the cluster test",
    programs: &[
        "containerd",
        "ctr",
        "runc",
        "etcd",
        "nginx",
        "dnsmasq",
        "iptables",
        "conntrack",
        "ip",
        "mount",
        "unshare",
        "openssl",
        "buildah",
        "catatonit",
    ],
    packages: &[
        "containerd",
        "runc",
        "containernetworking-plugins",
        "etcd-server",
        "nginx-light",
        "dnsmasq-base",
        "iptables",
        "conntrack",
        "iproute2",
        "mount",
        "util-linux",
        "openssl",
        "buildah",
        "catatonit",
    ],
};

/// Runs all of it and says the sum.
pub(crate) async fn run(options: Options) -> Result<ExitCode> {
    if let Some(folder) = options.inside {
        return inside::run(&folder).await;
    }
    if !is_root() {
        bail!("this starts containers and makes namespaces, which needs root: run it as root");
    }
    let mut stop = StopSignal::listen()?;
    let limit = Duration::from_secs(options.minutes * 60);
    tokio::select! {
        result = tokio::time::timeout(limit, prepare_and_run(options.keep)) => match result {
            Ok(result) => result,
            Err(_) => bail!("not done within {} minutes; --minutes allows more", options.minutes),
        },
        () = stop.received() => {
            // Everything that runs is ended as its handle is dropped here.
            eprintln!("\nxtask: stopped by a signal");
            Ok(ExitCode::from(EXIT_INTERRUPTED))
        }
    }
}

async fn prepare_and_run(keep: bool) -> Result<ExitCode> {
    sandbox::is_possible()?;
    let workspace = Workspace::locate().await?;
    console::header("programs");
    PROGRAMS.ensure().await?;
    MariaDb::obtain().await?;
    Tools::obtain(&workspace, &[Kit::Helm]).await?;
    kubernetes::obtain(&workspace).await?;
    let scratch = sandbox::Scratch::create(&workspace)?;
    console::header("images");
    images::make(&workspace, scratch.folder()).await?;
    let code = sandbox::enter(&scratch).await;
    scratch.remove(keep || !matches!(code, Ok(ExitCode::SUCCESS)));
    code
}
