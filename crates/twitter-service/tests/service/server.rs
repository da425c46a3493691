//! A MariaDB server of a test's own, which may be stopped, started again on its port and told
//! anything. For what a proxy cannot stand in for.

use std::fs::{self, File};
use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use service_kit::testing::wait_until;

use crate::mysql::is_announced;

/// How long a server may take to be there on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// Below the ports that the kernel gives to those who connect: one of them could hold the port while
/// the server is away.
const PORTS: std::ops::Range<u16> = 12_000..32_000;

/// The server; killed and removed when dropped.
pub(crate) struct Server {
    folder: PathBuf,
    program: PathBuf,
    addr: SocketAddr,
    process: Option<Child>,
}

impl Server {
    /// Starts one. `None` where the tests have no database servers.
    pub(crate) fn start(name: &str) -> Option<Self> {
        if !is_announced("TRIPOD_TEST_MYSQL_URL") {
            return None;
        }
        let programs = ["mariadbd", "mariadb-install-db"].map(find);
        let [Some(program), Some(installer)] = programs else {
            let ci = std::env::var_os("CI").is_some_and(|value| value == "true");
            assert!(!ci, "mariadbd is not installed");
            eprintln!("SKIPPED: mariadbd is not installed");
            return None;
        };
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-server"));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder");
        let log = File::create(folder.join("install.log")).expect("a file");
        let outcome = Command::new(installer)
            .args(["--no-defaults", "--skip-test-db"])
            .arg("--auth-root-authentication-method=normal")
            .args(as_root())
            .arg(format!("--datadir={}", folder.join("data").display()))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .status()
            .expect("the installer starts");
        assert!(outcome.success(), "{}", tail(&folder.join("install.log")));
        let mut server = Self {
            folder,
            program,
            addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            process: None,
        };
        let tries = PORTS.end - PORTS.start;
        let first = u16::try_from(std::process::id() % u32::from(tries)).expect("a port");
        for offset in 0..100 {
            // Not the next one: other processes of a test run have the next process ids.
            let port = PORTS.start + (first + offset * 199) % tries;
            server.addr.set_port(port);
            if TcpListener::bind(server.addr).is_ok() && server.try_run("") {
                return Some(server);
            }
        }
        panic!("no server comes up: {}", server.log());
    }

    /// Up to the slash before the database's name.
    pub(crate) fn url(&self) -> String {
        format!("mysql://root@{}/", self.addr)
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Ends it in peace, as an operator does.
    pub(crate) fn stop(&mut self) {
        let Some(mut process) = self.process.take() else {
            return;
        };
        let pid = i32::try_from(process.id()).expect("a process id");
        let pid = Pid::from_raw(pid).expect("a process id");
        kill_process(pid, Signal::TERM).expect("a running server");
        wait_until("the server ends", || {
            process.try_wait().expect("a child").is_some()
        });
    }

    /// Starts it again on the same port; it runs these statements before it listens.
    pub(crate) fn run(&mut self, statements: &str) {
        let started = Instant::now();
        while !self.try_run(statements) {
            assert!(started.elapsed() < PATIENCE, "not again: {}", self.log());
        }
    }

    /// False when it ended at once, as when somebody has its port.
    fn try_run(&mut self, statements: &str) -> bool {
        let script = self.folder.join("start.sql");
        fs::write(&script, format!("{statements}\n")).expect("a file");
        let script = format!("--init-file={}", script.display());
        let script = (!statements.is_empty()).then_some(script);
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.join("log"))
            .expect("a file");
        let process = Command::new(&self.program)
            .args(["--no-defaults"])
            .args(as_root())
            .arg(format!("--datadir={}", self.folder.join("data").display()))
            // Relative to the data folder: a full path may pass the 108 bytes of a socket address.
            .args(["--socket=s.sock", "--pid-file=pid", "--skip-ssl"])
            .args(["--bind-address=127.0.0.1", "--skip-log-bin"])
            .args(["--performance-schema=OFF", "--innodb-buffer-pool-size=32M"])
            .arg(format!("--port={}", self.addr.port()))
            .args(script)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .spawn()
            .expect("the server starts");
        let process = self.process.insert(process);
        let started = Instant::now();
        while !greets(self.addr) {
            if process.try_wait().expect("a child").is_some() {
                self.process = None;
                return false;
            }
            assert!(started.elapsed() < PATIENCE, "it does not greet");
            std::thread::park_timeout(Duration::from_millis(10));
        }
        true
    }

    fn log(&self) -> String {
        tail(&self.folder.join("log"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            // Fails when it has ended, which is fine.
            let _ = process.kill();
            let _ = process.wait();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Whether the first packet is a greeting, protocol version 10, and no error.
fn greets(addr: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(addr) else {
        return false;
    };
    let patience = Some(Duration::from_secs(2));
    let mut head = [0; 5];
    stream.set_read_timeout(patience).is_ok()
        && stream.read_exact(&mut head).is_ok()
        && head[4] == 10
}

/// On the PATH, or in the system folders that the PATH of an ordinary user often lacks.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/bin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

/// The server refuses to run as root unless told to.
fn as_root() -> Option<&'static str> {
    rustix::process::getuid().is_root().then_some("--user=root")
}

fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}
