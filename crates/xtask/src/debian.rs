//! Debian folders: a suite other than the host's, unpacked below the target
//! folder, for what only that suite has.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use crate::child;
use crate::packages::{Needed, is_root};

/// Unpacks the smallest Debian of a suite with some packages into `root`,
/// which is emptied before. Needs root.
pub(crate) async fn bootstrap(suite: &str, packages: &[&str], root: &Path) -> Result<()> {
    if !is_root() {
        bail!("this unpacks a Debian {suite} folder, which needs root: run it as root");
    }
    Needed {
        purpose: "unpacking a Debian folder",
        programs: &["debootstrap"],
        packages: &["debootstrap"],
    }
    .ensure()
    .await?;
    let mirror = mirror().await?;
    if root.exists() {
        fs::remove_dir_all(root)
            .with_context(|| format!("cannot remove the unfinished {}", root.display()))?;
    }
    fs::create_dir_all(root).with_context(|| format!("cannot create {}", root.display()))?;
    let mut command = Command::new("debootstrap");
    command.arg("--variant=minbase");
    if !packages.is_empty() {
        command.arg(format!("--include={}", packages.join(",")));
    }
    command.arg(suite).arg(root).arg(mirror);
    child::run(&mut command, "debootstrap").await
}

/// How this host's apt reaches its mirrors (proxies, time-outs, retries), as a configuration file
/// for the apt inside a folder.
pub(crate) async fn transport() -> Result<String> {
    let output = Command::new("apt-config")
        .args(["dump", "Acquire"])
        .output()
        .await
        .context("cannot run apt-config; this needs a Debian host")?;
    Ok(of_transport(&String::from_utf8_lossy(&output.stdout)))
}

/// Without what other packages on this host want apt to fetch, such as catalogues of applications.
fn of_transport(settings: &str) -> String {
    let starts = ["Acquire::http", "Acquire::Retries"];
    let is_wanted = |line: &&str| starts.iter().any(|start| line.starts_with(start));
    let lines: Vec<&str> = settings.lines().filter(is_wanted).collect();
    lines.join("\n") + "\n"
}

/// The Debian mirror that this host's apt is configured with.
pub(crate) async fn mirror() -> Result<String> {
    let output = Command::new("apt-get")
        .args([
            "indextargets",
            "--format",
            "$(LABEL)|$(REPO_URI)",
            "Created-By: Packages",
        ])
        .output()
        .await
        .context("cannot run apt-get; this needs a Debian host")?;
    let targets = String::from_utf8_lossy(&output.stdout);
    main_archive(&targets).map(str::to_owned).context(
        "apt has no source of Debian's main archive on this host; add one to its configuration",
    )
}

/// The first repository of the main archive; security updates have another
/// label. Before the first `apt-get update` labels are empty, and only the
/// address tells.
fn main_archive(targets: &str) -> Option<&str> {
    targets
        .lines()
        .filter_map(|line| line.split_once('|'))
        .find_map(|(label, address)| {
            let main = label == "Debian" || (label.is_empty() && !address.contains("security"));
            main.then_some(address)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_gets_the_proxy_and_no_catalogue() {
        let settings = "Acquire \"\";\nAcquire::IndexTargets::deb::DEP-11 \"\";\n\
                        Acquire::http::Proxy \"http://proxy.invalid\";\nAcquire::Retries \"3\";\n";
        assert_eq!(
            of_transport(settings),
            "Acquire::http::Proxy \"http://proxy.invalid\";\nAcquire::Retries \"3\";\n"
        );
    }

    #[test]
    fn takes_the_main_archive_from_apts_own_list() {
        let targets = "Debian-Security|http://one.invalid/security/\n\
                       Debian|http://two.invalid/debian/\n\
                       Debian|http://three.invalid/debian/\n";
        assert_eq!(main_archive(targets), Some("http://two.invalid/debian/"));
        assert_eq!(main_archive("Other|http://one.invalid/\n\n"), None);
        let unlabelled = "|http://one.invalid/debian-security/\n|http://two.invalid/debian/\n";
        assert_eq!(main_archive(unlabelled), Some("http://two.invalid/debian/"));
    }
}
