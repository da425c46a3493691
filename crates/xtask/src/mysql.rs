//! Oracle's MySQL, which Debian has in its unstable suite only: fetched into a
//! folder of its own below the target folder, and run from there.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use tokio::process::Command;

use crate::database::Product;
use crate::packages::{Needed, is_root};
use crate::workspace::Workspace;
use crate::{child, console, debian};

/// The suite that has the server.
const SUITE: &str = "sid";

/// A MySQL inside a Debian folder.
pub(crate) struct MySql {
    root: PathBuf,
    loader: PathBuf,
    libraries: PathBuf,
}

impl MySql {
    /// Uses the folder of an earlier run, or fetches some 90 MB.
    pub(crate) async fn obtain(workspace: &Workspace) -> Result<Self> {
        let root = workspace.scratch("mysql");
        // debootstrap leaves its own folder behind when it is interrupted.
        let complete = root.join("usr/sbin/mysqld").is_file() && !root.join("debootstrap").exists();
        if !complete {
            fetch(&root).await?;
        }
        Needed {
            purpose: "the test certificates",
            programs: &["openssl"],
            packages: &["openssl"],
        }
        .ensure()
        .await?;
        let (triplet, loader) = match std::env::consts::ARCH {
            "x86_64" => ("x86_64-linux-gnu", "ld-linux-x86-64.so.2"),
            "aarch64" => ("aarch64-linux-gnu", "ld-linux-aarch64.so.1"),
            other => bail!("no MySQL package for {other} is known here"),
        };
        let libraries = root.join("usr/lib").join(triplet);
        Ok(Self {
            loader: libraries.join(loader),
            libraries,
            root,
        })
    }

    /// The server by the folder's own loader and libraries, so that neither
    /// a chroot nor mounts are needed.
    fn command(&self, mut command: Command) -> Command {
        let share = self.root.join("usr/share/mysql");
        command
            .arg("--library-path")
            .arg(&self.libraries)
            .arg(self.root.join("usr/sbin/mysqld"))
            .arg("--no-defaults")
            .arg(format!("--basedir={}", self.root.join("usr").display()))
            .arg(format!("--lc-messages-dir={}", share.display()))
            .arg(format!(
                "--character-sets-dir={}",
                share.join("charsets").display()
            ))
            // The compiled-in folder does not exist, which ends the server.
            .arg("--secure-file-priv=NULL")
            .args(is_root().then_some("--user=root"));
        command
    }
}

impl Product for MySql {
    const NAME: &'static str = "MySQL";
    const PLAIN_AS_ROOT: bool = false;
    const SERVER_ARGUMENTS: &'static [&'static str] = &["--mysqlx=OFF"];
    const WITHOUT_TLS: &'static [&'static str] = &["--tls-version="];

    fn initialise(&self, data: &Path) -> Command {
        let mut command = self.command(Command::new(&self.loader));
        command
            .arg("--initialize-insecure")
            .arg(format!("--datadir={}", data.display()));
        command
    }

    fn server(&self) -> Command {
        self.command(child::tied_to_us(&self.loader, "KILL"))
    }
}

/// Builds the folder with debootstrap.
async fn fetch(root: &Path) -> Result<()> {
    console::say(&format!(
        "fetching MySQL from Debian {SUITE} (some 90 MB, 600 MB unpacked)"
    ));
    debian::bootstrap(SUITE, &["mysql-server-core"], root).await
}
