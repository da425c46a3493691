//! MariaDB as the host's package manager installs it: small and quick to start.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tokio::process::Command;

use crate::child::{find_program, tied_to_us};
use crate::database::Product;
use crate::packages::{Needed, is_root};

/// An installed MariaDB.
pub(crate) struct MariaDb {
    server: PathBuf,
    installer: PathBuf,
}

impl MariaDb {
    /// Finds it, or installs it where that is allowed. The two `-core`
    /// packages hold the programs only and start no service.
    pub(crate) async fn obtain() -> Result<Self> {
        Needed {
            purpose: "the test database",
            programs: &[
                "mariadbd",
                "mariadb-install-db",
                "my_print_defaults",
                "openssl",
            ],
            packages: &["mariadb-server-core", "mariadb-client-core", "openssl"],
        }
        .ensure()
        .await?;
        Ok(Self {
            server: find_program("mariadbd").context("mariadbd is not installed")?,
            installer: find_program("mariadb-install-db")
                .context("mariadb-install-db is not installed")?,
        })
    }
}

impl Product for MariaDb {
    const NAME: &'static str = "MariaDB";
    const PLAIN_AS_ROOT: bool = true;
    const SERVER_ARGUMENTS: &'static [&'static str] = &[];
    const WITHOUT_TLS: &'static [&'static str] = &["--skip-ssl"];

    fn initialise(&self, data: &Path) -> Command {
        let mut command = Command::new(&self.installer);
        command
            .args(["--no-defaults", "--skip-test-db"])
            .arg("--auth-root-authentication-method=normal")
            .args(as_root())
            .arg(format!("--datadir={}", data.display()));
        command
    }

    fn server(&self) -> Command {
        let mut command = tied_to_us(&self.server, "KILL");
        command.arg("--no-defaults").args(as_root());
        command
    }
}

/// The server refuses to run as root unless told to.
fn as_root() -> Option<&'static str> {
    is_root().then_some("--user=root")
}
