//! The S3 server of the tests: moto's, which the tests start themselves.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use crate::packages::Needed;
use crate::workspace::Workspace;
use crate::{child, console};

/// Where tests find the program.
pub(crate) const PROGRAM: &str = "TRIPOD_TEST_S3_SERVER";
/// The one version that is fetched.
const PACKAGE: &str = "moto[server]==5.1.22";

/// An installed server, one that we fetched earlier, or one fetched now.
pub(crate) async fn obtain(workspace: &Workspace) -> Result<PathBuf> {
    let home = workspace.scratch("s3");
    let ours = home.join("bin/moto_server");
    if let Some(found) = child::find_program("moto_server").or_else(|| present(&ours)) {
        return Ok(found);
    }
    let python = Needed {
        purpose: "the S3 server of the tests",
        programs: &["python3"],
        packages: &["python3", "python3-venv"],
    };
    python.ensure().await?;
    console::say(&format!(
        "moto_server is not installed; fetching it into {}",
        workspace.display(&home)
    ));
    let python = child::find_program("python3").context("no python3")?;
    let mut venv = Command::new(python);
    venv.args(["-m", "venv"]).arg(&home);
    let mut install = Command::new(home.join("bin/pip"));
    install.args(["install", "--quiet", "--disable-pip-version-check", PACKAGE]);
    for (mut command, what) in [(venv, "python3 -m venv"), (install, "pip install")] {
        child::run(command.stdin(Stdio::null()), what).await?;
    }
    match present(&ours) {
        Some(found) => Ok(found),
        None => bail!("{PACKAGE} was installed, but not as {}", ours.display()),
    }
}

fn present(file: &Path) -> Option<PathBuf> {
    file.is_file().then(|| file.to_owned())
}
