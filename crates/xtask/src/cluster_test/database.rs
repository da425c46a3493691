//! A MariaDB beside the node, as a database outside of the cluster is: it can go away and return.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::daemon::{Daemon, until};
use crate::child;
use crate::database::{Certificates, Product, greets};
use crate::mariadb::MariaDb;

/// Where it listens, in a network of our own.
pub(super) const PORT: u16 = 3306;
/// How long it may take to start.
const PATIENCE: Duration = Duration::from_mins(2);

/// The server, its data and its users' passwords.
pub(super) struct Database {
    product: MariaDb,
    folder: PathBuf,
    logs: PathBuf,
    certificates: Certificates,
    process: Option<Daemon>,
}

impl Database {
    /// Makes the tables and a certificate for `name`, and starts the server.
    pub(super) async fn create(
        folder: &Path,
        logs: &Path,
        name: &str,
        passwords: &Passwords,
    ) -> Result<Self> {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        let product = MariaDb::obtain().await?;
        let mut initialise = product.initialise(&folder.join("data"));
        initialise.stdout(std::process::Stdio::null());
        child::run(&mut initialise, "mariadb-install-db").await?;
        let script = folder.join("start.sql");
        fs::write(&script, passwords.statements())
            .with_context(|| format!("cannot write {}", script.display()))?;
        let certificates = Certificates::create(folder, &[name]).await?;
        let mut database = Self {
            product,
            folder: folder.to_owned(),
            logs: logs.to_owned(),
            certificates,
            process: None,
        };
        database.start().await?;
        Ok(database)
    }

    /// Starts the server on the data that is there, and waits until it greets.
    pub(super) async fn start(&mut self) -> Result<()> {
        ensure!(self.process.is_none(), "the database runs already");
        let mut server = self.product.server();
        server
            .arg(format!("--datadir={}", self.folder.join("data").display()))
            .args([
                "--socket=s.sock",
                "--pid-file=pid",
                "--bind-address=0.0.0.0",
            ])
            .arg(format!("--port={PORT}"))
            .args(["--skip-log-bin", "--performance-schema=OFF"])
            .args(["--skip-name-resolve", "--require-secure-transport=ON"])
            .arg("--innodb-buffer-pool-size=64M")
            .arg(format!(
                "--init-file={}",
                self.folder.join("start.sql").display()
            ));
        self.certificates.pass_to(&mut server);
        let mut process = Daemon::start(&self.logs, "mariadbd", &mut server)?;
        until("the database greets", PATIENCE, async || {
            process.check()?;
            let greeted = tokio::time::timeout(Duration::from_secs(2), greets(PORT)).await;
            ensure!(greeted.unwrap_or(false), "nobody greets");
            Ok(())
        })
        .await?;
        self.process = Some(process);
        Ok(())
    }

    /// Ends the server; the data stays.
    pub(super) async fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.end().await;
        }
    }

    /// The authority of its certificate.
    pub(super) fn authority(&self) -> &Path {
        self.certificates.authority()
    }
}

/// Of the two users that k8s/database/users.yaml makes elsewhere.
pub(super) struct Passwords {
    /// May read.
    pub(super) reader: &'static str,
    /// May make, fill, rename and drop tables.
    pub(super) loader: &'static str,
}

impl Passwords {
    /// The same rights as there; run at each start.
    fn statements(&self) -> String {
        format!(
            "CREATE DATABASE IF NOT EXISTS tripod;\n\
             CREATE USER IF NOT EXISTS 'tripod_reader'@'%' IDENTIFIED BY '{}' REQUIRE SSL;\n\
             GRANT SELECT ON tripod.* TO 'tripod_reader'@'%';\n\
             CREATE USER IF NOT EXISTS 'tripod_loader'@'%' IDENTIFIED BY '{}' REQUIRE SSL;\n\
             GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, LOCK TABLES ON tripod.* TO 'tripod_loader'@'%';\n",
            self.reader, self.loader
        )
    }
}
