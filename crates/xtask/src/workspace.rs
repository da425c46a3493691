//! Where the workspace and its build products are.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;
use tokio::process::Command;

/// The folders everything else is found from.
#[derive(Debug, Clone)]
pub(crate) struct Workspace {
    /// The folder of the root `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Cargo's target folder, wherever the user's settings put it.
    pub(crate) target: PathBuf,
}

impl Workspace {
    /// Asks cargo, so that `CARGO_TARGET_DIR` and cargo's own configuration count.
    pub(crate) async fn locate() -> Result<Self> {
        let output = cargo()
            .args(["metadata", "--format-version", "1", "--no-deps"])
            .output()
            .await
            .context("cannot run `cargo metadata`; is cargo on the PATH?")?;
        if !output.status.success() {
            bail!(
                "`cargo metadata` failed; run this inside the clone\n{}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Self::from_metadata(&output.stdout)
    }

    fn from_metadata(json: &[u8]) -> Result<Self> {
        let metadata: Value =
            serde_json::from_slice(json).context("`cargo metadata` did not print JSON")?;
        let folder = |key: &str| {
            metadata[key]
                .as_str()
                .map(PathBuf::from)
                .ok_or_else(|| anyhow!("`cargo metadata` names no {key}"))
        };
        Ok(Self {
            root: folder("workspace_root")?,
            target: folder("target_directory")?,
        })
    }

    /// A folder of our own below the target folder.
    pub(crate) fn scratch(&self, name: &str) -> PathBuf {
        self.target.join("xtask").join(name)
    }

    /// `path` for a message: relative to the workspace where it is inside.
    pub(crate) fn display<'a>(&self, path: &'a Path) -> std::path::Display<'a> {
        path.strip_prefix(&self.root).unwrap_or(path).display()
    }
}

/// The cargo that runs us, so that the pinned toolchain is kept; without what it told us of our own
/// package, which some build scripts look at: they would run again, and all that depends on them be
/// built anew, each time after a cargo that was started by hand.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let is_ours = ["CARGO_PKG_", "CARGO_MANIFEST_"];
        if is_ours.iter().any(|start| text.starts_with(start)) {
            command.env_remove(&name);
        }
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_both_folders_from_the_metadata() {
        let json =
            br#"{"packages":[],"workspace_root":"/src/tripod","target_directory":"/cache/t"}"#;
        let workspace = Workspace::from_metadata(json).unwrap();
        assert_eq!(workspace.root, Path::new("/src/tripod"));
        assert_eq!(workspace.target, Path::new("/cache/t"));
        assert_eq!(workspace.scratch("up"), Path::new("/cache/t/xtask/up"));
        let inside = Path::new("/src/tripod/README.md");
        assert_eq!(workspace.display(inside).to_string(), "README.md");
    }

    #[test]
    fn says_which_key_is_missing() {
        let error = Workspace::from_metadata(br#"{"workspace_root":"/src"}"#).unwrap_err();
        assert!(error.to_string().contains("target_directory"));
    }
}
