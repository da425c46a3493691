//! Apache Spark for tests: PySpark in a folder below the target folder, Java from Debian.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use tokio::process::Command;

use crate::packages::Needed;
use crate::workspace::Workspace;
use crate::{child, console};

/// The version that the queries are tested with. It brings its jars; only Java must be there.
const VERSION: &str = "4.3.0";

/// Uses the folder of an earlier run, or fetches some 450 MB. For `PYTHONPATH`.
pub(crate) async fn obtain(workspace: &Workspace) -> Result<PathBuf> {
    Needed {
        purpose: "the comparison with Spark",
        programs: &["java", "python3"],
        packages: &["openjdk-17-jre-headless", "python3"],
    }
    .ensure()
    .await?;
    let folder = workspace.scratch(&format!("pyspark-{VERSION}"));
    if folder.join("pyspark").is_dir() {
        return Ok(folder);
    }
    Needed {
        purpose: "fetching PySpark",
        programs: &["pip3"],
        packages: &["python3-pip"],
    }
    .ensure()
    .await?;
    console::say(&format!("fetching PySpark {VERSION} (some 450 MB)"));
    // Renamed when whole, so that an interrupted download is not taken for one.
    let unfinished = folder.with_extension("unfinished");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished)
            .with_context(|| format!("cannot remove {}", unfinished.display()))?;
    }
    let mut install = Command::new("pip3");
    install
        .args([
            "install",
            "--quiet",
            "--no-cache-dir",
            "--no-compile",
            "--target",
        ])
        .arg(&unfinished)
        .arg(format!("pyspark=={VERSION}"));
    child::run(&mut install, "pip3 install pyspark").await?;
    fs::rename(&unfinished, &folder)
        .with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder)
}
