//! Private database servers for the tests: started on a free loopback port
//! from a fresh folder, ended and removed when their handle is dropped.

mod certificates;

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{self, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, test_kill_process};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::workspace::Workspace;
use crate::{child, console};

pub(crate) use certificates::Certificates;

/// Where tests find a server that they may do anything to, as
/// `mysql://user@host:port/` with a final slash and no database.
const URL: &str = "TRIPOD_TEST_MYSQL_URL";
/// The same for a server that refuses connections without TLS.
const TLS_URL: &str = "TRIPOD_TEST_MYSQL_TLS_URL";
/// The file with the certificate authority of the TLS server.
const CA_FILE: &str = "TRIPOD_TEST_MYSQL_CA";

/// How long a server may take to answer; a loaded machine needs some.
const START_DEADLINE: Duration = Duration::from_secs(90);
/// How long it may take to end in peace.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// The login of the tests where a password is wanted.
const USER: &str = "tripod";
/// Not a secret: the server lives for one test run, on loopback.
const PASSWORD: &str = "tripod-test";

/// What differs between database products.
pub(crate) trait Product {
    /// For messages and folder names.
    const NAME: &'static str;
    /// Whether the plain server is entered as root without a password.
    const PLAIN_AS_ROOT: bool;
    /// Arguments that only this product knows, for the server that is up.
    const SERVER_ARGUMENTS: &'static [&'static str];
    /// Arguments that switch TLS off.
    const WITHOUT_TLS: &'static [&'static str];

    /// Creates the system tables in `data`.
    fn initialise(&self, data: &Path) -> Command;
    /// The server, without arguments about data, network and TLS.
    fn server(&self) -> Command;
}

/// Two servers of one product: one without TLS, one that insists on it.
pub(crate) struct TestDatabases {
    plain: Server,
    tls: Server,
    certificates: Certificates,
    // Last, so that the folder goes after the servers in it.
    _folder: Folder,
}

impl TestDatabases {
    /// Starts both.
    pub(crate) async fn start(product: &impl Product, workspace: &Workspace) -> Result<Self> {
        Self::start_in(product, &workspace.scratch("databases")).await
    }

    async fn start_in<P: Product>(product: &P, parent: &Path) -> Result<Self> {
        let folder = Folder::create(parent, P::NAME)?;
        let certificates = Certificates::create(&folder.path, &[]).await?;
        let plain = Server::start(product, &folder.path.join("plain"), None, &SMALL).await?;
        let secured = folder.path.join("tls");
        let tls = Server::start(product, &secured, Some(&certificates), &SMALL).await?;
        console::say(&format!(
            "private {} servers on 127.0.0.1: port {} without TLS, port {} with TLS",
            P::NAME,
            plain.port,
            tls.port,
        ));
        Ok(Self {
            plain,
            tls,
            certificates,
            _folder: folder,
        })
    }

    /// Tells the tests where the servers are.
    pub(crate) fn announce(&self, command: &mut Command) {
        command
            .env(URL, self.plain.url())
            .env(TLS_URL, self.tls.url())
            .env(CA_FILE, self.certificates.authority());
    }

    /// Ends both in peace. Dropping kills them, which is as good for the data.
    pub(crate) async fn stop(mut self) {
        child::signal(&self.tls.process, Signal::TERM);
        for server in [&mut self.plain, &mut self.tls] {
            child::end(&mut server.process, Signal::TERM, STOP_PATIENCE).await;
        }
    }
}

/// A server that holds all data in memory and writes as little as it may, for measurements.
pub(crate) struct BenchDatabase {
    server: Server,
    // Last, so that the folder goes after the server in it.
    _folder: Folder,
}

impl BenchDatabase {
    /// Starts it with empty databases of these names.
    pub(crate) async fn start<P: Product>(
        product: &P,
        workspace: &Workspace,
        databases: &[&str],
    ) -> Result<Self> {
        let folder = Folder::create(&workspace.scratch("databases"), P::NAME)?;
        let settings = Settings {
            arguments: &[
                "--innodb-buffer-pool-size=1G",
                "--innodb-flush-log-at-trx-commit=0",
                // As in eksctl/rds.yaml.
                "--innodb-adaptive-hash-index=ON",
                "--net-buffer-length=65536",
            ],
            statements: databases
                .iter()
                .map(|name| format!("CREATE DATABASE {name};"))
                .collect(),
        };
        let server = Server::start(product, &folder.path.join("bench"), None, &settings).await?;
        console::say(&format!(
            "private {} on 127.0.0.1, port {}",
            P::NAME,
            server.port
        ));
        Ok(Self {
            server,
            _folder: folder,
        })
    }

    /// The address of one of its databases.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("{}{database}", self.server.url())
    }

    /// Where it listens on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.server.port
    }

    /// Its process, as long as it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.server.process.id()
    }

    /// Ends it in peace.
    pub(crate) async fn stop(mut self) {
        child::end(&mut self.server.process, Signal::TERM, STOP_PATIENCE).await;
    }
}

/// What servers for different ends differ in.
struct Settings<'a> {
    /// The last arguments, which win.
    arguments: &'a [&'a str],
    /// Statements that the server runs when it starts.
    statements: Vec<String>,
}

/// For tests: a few rows each.
const SMALL: Settings<'static> = Settings {
    arguments: &["--innodb-buffer-pool-size=32M"],
    statements: Vec::new(),
};

/// One running server.
struct Server {
    process: Child,
    port: u16,
    login: String,
}

impl Server {
    async fn start<P: Product>(
        product: &P,
        folder: &Path,
        certificates: Option<&Certificates>,
        settings: &Settings<'_>,
    ) -> Result<Self> {
        let data = folder.join("data");
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        let log = folder.join("log");
        initialise(product, &data, &log).await?;

        let as_root = P::PLAIN_AS_ROOT && certificates.is_none();
        let port = free_port()?;
        let mut command = product.server();
        command
            .arg(format!("--datadir={}", data.display()))
            // Relative to the data folder: a full path may pass the 108 bytes of a socket address.
            .args([
                "--socket=s.sock",
                "--pid-file=pid",
                "--bind-address=127.0.0.1",
            ])
            .arg(format!("--port={port}"))
            .args(["--skip-log-bin", "--performance-schema=OFF"])
            .args(settings.arguments)
            .args(P::SERVER_ARGUMENTS);
        let mut statements = settings.statements.clone();
        if !as_root {
            let require = if certificates.is_some() {
                " REQUIRE SSL"
            } else {
                ""
            };
            statements.push(format!(
                "CREATE USER '{USER}'@'%' IDENTIFIED BY '{PASSWORD}'{require};"
            ));
            statements.push(format!("GRANT ALL ON *.* TO '{USER}'@'%';"));
        }
        if !statements.is_empty() {
            let script = folder.join("start.sql");
            fs::write(&script, statements.join("\n") + "\n")
                .with_context(|| format!("cannot write {}", script.display()))?;
            command.arg(format!("--init-file={}", script.display()));
        }
        match certificates {
            Some(certificates) => certificates.pass_to(&mut command),
            None => {
                command.args(P::WITHOUT_TLS);
            }
        }
        let mut server = Self {
            process: attach_log(&mut command, &log)?
                .spawn()
                .with_context(|| format!("cannot start {}", P::NAME))?,
            port,
            login: if as_root {
                "root".to_owned()
            } else {
                format!("{USER}:{PASSWORD}")
            },
        };
        server.greeting().await.with_context(|| {
            format!(
                "{} did not start; the end of its log:\n{}",
                P::NAME,
                tail(&log)
            )
        })?;
        Ok(server)
    }

    fn url(&self) -> String {
        format!("mysql://{}@127.0.0.1:{}/", self.login, self.port)
    }

    /// Waits until the server greets a client, which needs no client program.
    async fn greeting(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_DEADLINE;
        loop {
            if let Some(status) = self.process.try_wait()? {
                bail!("it ended at once ({status})");
            }
            if timeout(Duration::from_secs(2), greets(self.port))
                .await
                .unwrap_or(false)
            {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("it did not answer within {} s", START_DEADLINE.as_secs());
            }
            sleep(Duration::from_millis(100)).await;
        }
    }
}

async fn initialise<P: Product>(product: &P, data: &Path, log: &Path) -> Result<()> {
    let mut command = product.initialise(data);
    attach_log(&mut command, log)?;
    let status = child::status(&mut command, P::NAME).await?;
    if !status.success() {
        bail!(
            "{} cannot create its tables ({status}):\n{}",
            P::NAME,
            tail(log)
        );
    }
    Ok(())
}

/// Whether the first packet is a server's greeting, protocol version 10; an
/// error packet, sent while the server still starts, begins with 255.
pub(crate) async fn greets(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let Ok(mut stream) = TcpStream::connect(address).await else {
        return false;
    };
    let mut head = [0; 5];
    stream.read_exact(&mut head).await.is_ok() && head[4] == 10
}

fn attach_log<'a>(command: &'a mut Command, log: &Path) -> Result<&'a mut Command> {
    let file = File::options()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("cannot write {}", log.display()))?;
    let second = file.try_clone().context("cannot share a log file")?;
    Ok(command.stdin(Stdio::null()).stdout(file).stderr(second))
}

/// The last lines of a log, for an error message.
fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

/// A port that nobody uses in this moment. Somebody may take it before the
/// server does; then the server ends at once and says so.
pub(crate) fn free_port() -> Result<u16> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port on 127.0.0.1")?;
    Ok(listener.local_addr()?.port())
}

/// A folder of this process, removed at the end.
struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Also removes the folders of runs that were killed.
    fn create(parent: &Path, name: &str) -> Result<Self> {
        for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
            let path = entry.path();
            if owner(&path).is_some_and(|pid| test_kill_process(pid).is_err()) {
                // What cannot be removed now may be next time; it does no harm.
                let _ = fs::remove_dir_all(path);
            }
        }
        let path = parent.join(format!("{name}-{}", process::id()));
        fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self { path })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// The process that a folder `<product>-<pid>` belongs to.
fn owner(path: &Path) -> Option<Pid> {
    let (_, pid) = path.file_name()?.to_str()?.rsplit_once('-')?;
    Pid::from_raw(pid.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_whose_folder_it_is() {
        let pid = owner(Path::new("/t/databases/MariaDB-4711")).unwrap();
        assert_eq!(pid.as_raw_nonzero().get(), 4711);
        assert!(owner(Path::new("/t/databases/other")).is_none());
        assert!(owner(Path::new("/t/databases/MariaDB-x")).is_none());
    }

    #[test]
    fn an_error_packet_is_no_greeting() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            for (first, expected) in [(10, true), (255, false)] {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                let port = listener.local_addr().unwrap().port();
                let answer = async {
                    let (mut stream, _) = listener.accept().await.unwrap();
                    let packet = [9, 0, 0, 0, first];
                    tokio::io::AsyncWriteExt::write_all(&mut stream, &packet)
                        .await
                        .unwrap();
                };
                let (greeting, ()) = tokio::join!(greets(port), answer);
                assert_eq!(greeting, expected);
            }
        });
    }
}
