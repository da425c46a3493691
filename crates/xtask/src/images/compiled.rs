//! `cargo xtask image-test`: the images as a release makes them, compiled by the Dockerfile itself.
//!
//! The step `images` takes binaries that exist already. What it cannot see is whether the compile stage
//! still works: the skeleton of manifests, the layer of dependencies, what the base image must hold.
//! Where no registry of images can be reached, the base is a Debian folder with a C compiler, imported,
//! and the pinned toolchain of this host, mounted into the build beside the sources of dependencies.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use tokio::process::Command;

use super::engine::{Engine, output};
use super::source::Source;
use super::{Checks, PROGRAMS, TARGETS, assemble, run};
use crate::packages::is_root;
use crate::signals::StopSignal;
use crate::workspace::{Workspace, cargo};
use crate::{EXIT_INTERRUPTED, child, console, debian};

/// The release that the published base image is made of.
const SUITE: &str = "bookworm";
/// What `rust:slim` has beside the toolchain.
const PACKAGES: [&str; 3] = ["ca-certificates", "gcc", "libc6-dev"];
/// Left in the folder when it is complete.
const COMPLETE: &str = "etc/tripod-base";
/// The name that the base is imported by.
const BASE: &str = "localhost/tripod-base:check";
/// Where the build finds the toolchain, and the sources of dependencies.
const TOOLCHAIN: &str = "/opt/toolchain";
const REGISTRY: &str = "/opt/cargo/registry";

/// What the user typed after `image-test`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Build and look at this image only, and run none: blockchain, qrcode, twitter or tools
    #[arg(long, value_name = "TARGET", value_parser = TARGETS)]
    only: Option<String>,
    /// Give up after so many minutes; all takes half an hour on two processors with nothing else to do
    #[arg(long, default_value_t = 240, value_parser = clap::value_parser!(u64).range(1..=1440))]
    minutes: u64,
}

/// Builds the images, runs the services in them and says the sum.
pub(crate) async fn test(options: Options) -> Result<ExitCode> {
    if !is_root() {
        bail!("this unpacks a Debian folder and runs containers, which needs root: run it as root");
    }
    let mut stop = StopSignal::listen()?;
    let limit = Duration::from_secs(options.minutes * 60);
    tokio::select! {
        result = tokio::time::timeout(limit, build_and_check(&options)) => match result {
            Ok(result) => result,
            Err(_) => bail!("not done within {} minutes; --minutes allows more", options.minutes),
        },
        () = stop.received() => {
            // What runs is killed, and the storage removed, as the handles are dropped here.
            eprintln!("\nxtask: stopped by a signal");
            Ok(ExitCode::from(EXIT_INTERRUPTED))
        }
    }
}

async fn build_and_check(options: &Options) -> Result<ExitCode> {
    let workspace = Workspace::locate().await?;
    PROGRAMS.ensure().await?;
    console::header("base image");
    let root = root(&workspace).await?;
    let mut fetch = cargo();
    fetch.args(["fetch", "--locked"]);
    child::run(fetch.current_dir(&workspace.root), "cargo fetch").await?;
    let engine = Engine::create()?;
    import(&engine, &root).await?;

    console::header("images, compiled by the Dockerfile");
    let folders = [(toolchain().await?, TOOLCHAIN), (registry()?, REGISTRY)];
    let source = Source::compiled(&workspace, BASE, &folders);
    let mut checks = Checks::default();
    let only = options.only.as_deref();
    let has_engine = assemble::check(&engine, &workspace, &source, only, &mut checks).await?;
    if only.is_none() {
        let there = has_engine.then_some(());
        checks.count("tools: holds the query engine", there.context("it lacks"));
        run::check_engine(&engine, &mut checks).await;
        run::check(&engine, &workspace, &mut checks).await?;
    }
    engine.remove().await;
    Ok(checks.finish().conclude())
}

/// The Debian folder: that of an earlier run, or a new one.
async fn root(workspace: &Workspace) -> Result<PathBuf> {
    let root = workspace.scratch("image-base");
    let complete = root.join(COMPLETE);
    if !complete.is_file() {
        debian::bootstrap(SUITE, &PACKAGES, &root).await?;
        fs::write(&complete, "").with_context(|| format!("cannot write {}", complete.display()))?;
    }
    Ok(root)
}

/// Makes an image of the folder, with the variables by which the toolchain is found.
async fn import(engine: &Engine, root: &Path) -> Result<()> {
    let archive = engine.folder().join("base.tar");
    let mut pack = Command::new("tar");
    pack.arg("--directory").arg(root);
    pack.args(["--create", "--one-file-system", "--file"]);
    output(pack.arg(&archive).arg("."), "tar").await?;
    let mut import = engine.podman();
    import.args(["import", "--quiet"]);
    for variable in [
        format!(
            "PATH={TOOLCHAIN}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        ),
        "CARGO_HOME=/opt/cargo".to_owned(),
        // All that the lock file names has been fetched.
        "CARGO_NET_OFFLINE=true".to_owned(),
    ] {
        import.arg("--change").arg(format!("ENV {variable}"));
    }
    output(import.arg(&archive).arg(BASE), "podman import").await?;
    fs::remove_file(&archive).with_context(|| format!("cannot remove {}", archive.display()))
}

/// The folder of the compiler that runs here, which is the pinned one.
async fn toolchain() -> Result<PathBuf> {
    let mut rustc = Command::new("rustc");
    let sysroot = output(rustc.args(["--print", "sysroot"]), "rustc --print sysroot").await?;
    Ok(PathBuf::from(sysroot))
}

/// Where this host's cargo keeps the sources of dependencies.
fn registry() -> Result<PathBuf> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
    let registry = home.context("neither CARGO_HOME nor HOME is set")?;
    Ok(registry.join("registry"))
}
