//! buildah and podman on a storage of our own, removed at the end.
//!
//! The settings are what containers need on hosts that are containers
//! themselves: runc, because crun refuses hybrid control groups; limits that
//! stay below the host's hard ones, because raising those takes a privilege;
//! cgroupfs, because nothing there runs systemd.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Stdio};

use anyhow::{Context, Result, bail};
use rustix::process::{Resource, getrlimit};
use tokio::process::Command;

use crate::child::find_program;

/// Most open files and processes that a container is given.
const LIMIT: u64 = 32_768;

/// The engine and its storage.
pub(crate) struct Engine {
    folder: PathBuf,
}

impl Engine {
    /// Prepares the storage. Not below the target folder: the engine refuses
    /// long paths for its sockets.
    pub(crate) fn create() -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("tripod-images-{}", process::id()));
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        let engine = Self { folder };
        let limit = |resource| getrlimit(resource).maximum.unwrap_or(LIMIT).min(LIMIT);
        let (files, processes) = (limit(Resource::Nofile), limit(Resource::Nproc));
        let settings = format!(
            "[containers]\n\
             default_ulimits = [\"nofile={files}:{files}\", \"nproc={processes}:{processes}\"]\n\
             [engine]\n\
             runtime = \"runc\"\n\
             cgroup_manager = \"cgroupfs\"\n\
             events_logger = \"file\"\n"
        );
        let storage = format!(
            "[storage]\ndriver = \"overlay\"\ngraphroot = \"{0}/storage\"\nrunroot = \"{0}/run\"\n",
            engine.folder.display()
        );
        for (name, text) in [("containers.conf", settings), ("storage.conf", storage)] {
            let file = engine.folder.join(name);
            fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        }
        Ok(engine)
    }

    /// A folder for files that containers get to see.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// buildah on this storage.
    pub(crate) fn buildah(&self) -> Command {
        self.command("buildah")
    }

    /// podman on this storage.
    pub(crate) fn podman(&self) -> Command {
        self.command("podman")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("CONTAINERS_CONF", self.folder.join("containers.conf"))
            .env("CONTAINERS_STORAGE_CONF", self.folder.join("storage.conf"))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Removes containers, images and folder. A run that is cut short does the
    /// same as its handle is dropped.
    pub(crate) async fn remove(self) {
        drop(self);
        tokio::task::yield_now().await;
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Each fails where there is nothing to remove, which is fine. Blocking,
        // since nobody is left who could wait.
        // A build that was cut short leaves a working container, and its mounts, which only buildah knows of.
        for (mut engine, arguments) in [
            (self.podman(), ["rm", "--force", "--all"].as_slice()),
            (self.buildah(), &["rm", "--all"]),
            (self.podman(), &["rmi", "--force", "--all"]),
        ] {
            let engine = engine.as_std_mut().args(arguments);
            let _ = engine.stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
        // The storage mounts itself for the sake of its own mounts.
        if let Some(umount) = find_program("umount") {
            let mut umount = process::Command::new(umount);
            umount.arg(self.folder.join("storage/overlay"));
            let _ = umount.stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Runs a command to its end and takes its standard output; what it says on
/// standard error becomes part of the error.
pub(crate) async fn output(command: &mut Command, what: &str) -> Result<String> {
    let output = command
        .output()
        .await
        .with_context(|| format!("cannot start {what}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = said.trim().lines().collect();
        let tail = lines[lines.len().saturating_sub(5)..].join("\n");
        bail!("{what} failed ({}): {tail}", output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
