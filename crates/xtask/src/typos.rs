//! Step `typos`: misspelt words in code and prose. `.typos.toml` says what is left out and why.

use anyhow::Result;

use crate::child;
use crate::tools::{Kit, Tools};
use crate::workspace::Workspace;

/// Reads every file of the repository, those in `.github` too.
pub(crate) async fn check(workspace: &Workspace) -> Result<()> {
    let tools = Tools::obtain(workspace, &[Kit::Linters]).await?;
    let mut command = tools.command("typos")?;
    command
        .args(["--hidden", "--exclude", ".git/", "--exclude", "target/"])
        .current_dir(&workspace.root);
    child::run(&mut command, "typos").await
}
