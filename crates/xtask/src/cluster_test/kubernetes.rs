//! The programs of Kubernetes, built once from the source package that Debian has.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use crate::packages::Needed;
use crate::workspace::Workspace;
use crate::{child, console, debian};

/// The release that has the source package, and a compiler as old as the source.
const SUITE: &str = "bookworm";
/// What is built.
const PROGRAMS: [&str; 5] = [
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
];

/// Where the programs are.
pub(super) fn folder(workspace: &Workspace) -> PathBuf {
    workspace.scratch("kubernetes").join("bin")
}

/// Uses the programs of an earlier run, or builds them.
pub(super) async fn obtain(workspace: &Workspace) -> Result<()> {
    let bin = folder(workspace);
    if PROGRAMS.iter().all(|name| bin.join(name).is_file()) {
        return Ok(());
    }
    let home = workspace.scratch("kubernetes");
    console::say(
        "building Kubernetes from Debian's source package, once \
         (35 MB fetched, 2 GB for the time of the build, some ten minutes)",
    );
    Needed {
        purpose: "building Kubernetes",
        programs: &["/usr/lib/go-1.19/bin/go", "tar", "gzip"],
        packages: &["golang-1.19-go", "tar", "gzip"],
    }
    .ensure()
    .await?;
    let tree = home.join("source");
    remove(&tree)?;
    fetch(&home, &tree).await?;
    let unfinished = home.join("unfinished");
    remove(&unfinished)?;
    let mut build = Command::new(workspace.root.join("crates/xtask/tools/kubernetes.sh"));
    child::run(build.arg(&tree).arg(&unfinished), "kubernetes.sh").await?;
    remove(&tree)?;
    remove(&bin)?;
    // Whole or not at all.
    fs::rename(&unfinished, &bin).with_context(|| format!("cannot make {}", bin.display()))
}

/// Fetches the source package by the host's own apt, whose signatures it checks, with sources and
/// lists of our own: the host's stay as they are.
async fn fetch(home: &Path, tree: &Path) -> Result<()> {
    let download = home.join("download");
    remove(&download)?;
    for folder in [&download.join("lists/partial"), tree] {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let list = download.join("sources.list");
    let mirror = debian::mirror().await?;
    fs::write(&list, format!("deb-src {mirror} {SUITE} main\n"))
        .with_context(|| format!("cannot write {}", list.display()))?;
    let apt = |arguments: &[&str]| {
        let mut apt = Command::new("apt-get");
        apt.args(["-q", "-o", "Dir::Etc::sourceparts=-"])
            .arg("-o")
            .arg(format!("Dir::Etc::sourcelist={}", list.display()))
            .arg("-o")
            .arg(format!(
                "Dir::State::lists={}",
                download.join("lists").display()
            ))
            .args(["-o", "Dir::Cache::srcpkgcache="])
            .args(["-o", "Dir::Cache::pkgcache="])
            // The user that apt would become cannot write here.
            .args(["-o", "APT::Sandbox::User=root"])
            .args(arguments)
            .current_dir(&download);
        apt
    };
    child::run(&mut apt(&["update"]), "apt-get update").await?;
    let source = ["source", "--download-only", "kubernetes"];
    child::run(&mut apt(&source), "apt-get source kubernetes").await?;
    let archive = fs::read_dir(&download)
        .with_context(|| format!("cannot read {}", download.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.to_string_lossy().contains(".orig.tar."))
        .context("apt-get source left no .orig.tar")?;
    ensure!(
        archive.to_string_lossy().contains("1.20.2"),
        "{} is another Kubernetes than the test knows",
        archive.display()
    );
    let mut unpack = Command::new("tar");
    unpack.arg("--extract").arg("--file").arg(&archive);
    unpack
        .arg("--directory")
        .arg(tree)
        .arg("--strip-components=1");
    child::run(&mut unpack, "tar").await?;
    remove(&download)
}

fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    Ok(())
}
