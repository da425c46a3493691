//! `cargo xtask monitoring`: rules and dashboards as plain files, for those who
//! run Prometheus and Grafana without the operator. The charts are the source.

use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use clap::Args;
use tokio::io::AsyncWriteExt;

use crate::console;
use crate::tools::{Kit, Tools};
use crate::workspace::Workspace;

/// The chart that has everything, and where its monitoring goes.
const CHART: &str = "charts/tripod";
const FOLDER: &str = "k8s/monitoring";
/// What the chart wants to know before it renders, and the switches; it makes no rules without a
/// ServiceMonitor, whose job they ask for.
const VALUES: [&str; 10] = [
    "global.teamId=Tripod",
    "twitter.database.host=database",
    "twitter.database.existingSecret=database",
    "twitter.database.sslMode=REQUIRED",
    "blockchain.monitoring.serviceMonitor=true",
    "blockchain.monitoring.rules=true,blockchain.monitoring.dashboards=true",
    "qrcode.monitoring.serviceMonitor=true",
    "qrcode.monitoring.rules=true,qrcode.monitoring.dashboards=true",
    "twitter.monitoring.serviceMonitor=true",
    "twitter.monitoring.rules=true,twitter.monitoring.dashboards=true",
];

/// What the user typed after `monitoring`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Write the files instead of comparing them
    #[arg(long)]
    write: bool,
}

/// Renders, then compares or writes.
pub(crate) async fn run(options: Options) -> Result<ExitCode> {
    let workspace = Workspace::locate().await?;
    let tools = Tools::obtain(&workspace, &[Kit::Linters, Kit::Helm]).await?;
    compare(&tools, &workspace, options.write).await?;
    console::say(&format!("{FOLDER} is what {CHART} renders"));
    Ok(ExitCode::SUCCESS)
}

/// Compares or writes the files.
pub(crate) async fn compare(tools: &Tools, workspace: &Workspace, write: bool) -> Result<()> {
    let mut helm = tools.command("helm")?;
    helm.args(["template", "tripod", CHART, "--namespace", "tripod"])
        .args(["--api-versions", "monitoring.coreos.com/v1/PrometheusRule"])
        .args(["--set-string", "global.awsAccountId=000000000000"]);
    for value in VALUES {
        helm.args(["--set", value]);
    }
    let rendered = helm
        .current_dir(&workspace.root)
        .stderr(Stdio::inherit())
        .output()
        .await
        .context("cannot start helm")?;
    if !rendered.status.success() {
        bail!("helm template {CHART} failed ({})", rendered.status);
    }
    let mut python = tools.command("python3")?;
    python.args(["-B", "k8s/monitoring/render.py"]);
    if write {
        python.arg("--write");
    }
    let mut process = python
        .arg(FOLDER)
        .current_dir(&workspace.root)
        .stdin(Stdio::piped())
        .spawn()
        .context("cannot start render.py")?;
    let mut input = process.stdin.take().context("render.py has no input")?;
    input.write_all(&rendered.stdout).await?;
    drop(input);
    let status = process.wait().await?;
    if !status.success() {
        bail!("{FOLDER} is not what {CHART} renders");
    }
    Ok(())
}
