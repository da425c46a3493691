//! What happens inside the namespaces, from the first mount to the last check.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use super::node::Cluster;
use super::platform::Platform;
use super::{sandbox, trials};
use crate::console;
use crate::images::Checks;
use crate::workspace::Workspace;

/// Brings the cluster up and tries everything. What still runs at the end is ended with us.
pub(super) async fn run(folder: &Path) -> Result<ExitCode> {
    let workspace = Workspace::locate().await?;
    sandbox::furnish(folder).await?;
    let mut checks = Checks::default();

    console::header("cluster");
    let mut cluster = Cluster::start(&workspace, folder).await?;
    console::say("the API server answers");
    cluster.join().await?;
    console::say("the node is ready");

    console::header("platform");
    let mut platform = Platform::install(&workspace, folder, cluster, &mut checks).await?;
    let tried = trials::run(&mut platform, &mut checks).await;
    if tried.is_err() {
        platform.show_state().await;
    }
    tried?;
    platform.end().await;

    Ok(checks.finish().conclude())
}
