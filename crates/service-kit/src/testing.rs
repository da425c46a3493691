//! Helpers for tests: start a service's program on free ports and talk to it over raw sockets.
//!
//! Blocking on purpose: a test reads top to bottom, and every wait has a deadline.

mod collector;
mod deploys;
mod proxy;

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

pub use collector::{Behaviour, Collector, Span};
pub use deploys::{DEPLOYS, Known, Report, Settling, deploys};
pub use proxy::{Fault, Proxy};
pub use rustix::process::Signal;

/// How long any single wait may take before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A running service, killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    /// Where traffic goes.
    pub listen_addr: SocketAddr,
    /// Where the admin endpoints are.
    pub admin_addr: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
}

impl Running {
    /// Starts a program on loopback with ports of its own choice and waits until it listens.
    /// `TEAM_ID` is `TEAMID` and `AWS_ACCOUNT_ID` is `AWSACCOUNT` unless `settings` say otherwise.
    ///
    /// # Panics
    ///
    /// When it does not come up.
    pub fn start(program: impl AsRef<Path>, settings: &[(&str, &str)]) -> Self {
        Self::start_by(Command::new(program.as_ref()), settings)
    }

    /// As [`Self::start`], by a command that becomes the program in the end.
    ///
    /// # Panics
    ///
    /// When it does not come up.
    pub fn start_by(mut command: Command, settings: &[(&str, &str)]) -> Self {
        let mut child = command
            .env("LISTEN_ADDR", "127.0.0.1:0")
            .env("ADMIN_ADDR", "127.0.0.1:0")
            .env("TEAM_ID", "TEAMID")
            .env("AWS_ACCOUNT_ID", "AWSACCOUNT")
            .env("SETTLE_MS", "0")
            .env("LOG_FORMAT", "json")
            .env("LOG_LEVEL", "info")
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let output = child.stdout.take().expect("standard output is piped");
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = follow(output, Arc::clone(&log));
        let started = Instant::now();
        loop {
            let patience = PATIENCE.saturating_sub(started.elapsed());
            let line = match lines.recv_timeout(patience) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => panic!("the service does not come up"),
                Err(RecvTimeoutError::Disconnected) => {
                    let status = child.wait();
                    let log = log.lock().unwrap_or_else(PoisonError::into_inner);
                    panic!("the service ended at start: {status:?}\n{log:#?}");
                }
            };
            let Ok(event) = serde_json::from_str::<serde_json::Value>(&line) else {
                continue;
            };
            let addr = |field: &str| event.get(field)?.as_str()?.parse().ok();
            if let (Some(listen_addr), Some(admin_addr)) = (addr("listen_addr"), addr("admin_addr"))
            {
                return Self {
                    child,
                    listen_addr,
                    admin_addr,
                    log,
                };
            }
        }
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The log so far, one line an element.
    pub fn log(&self) -> Vec<String> {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.clone()
    }

    /// A new connection to the traffic port.
    pub fn connect(&self) -> Connection {
        Connection::open(self.listen_addr)
    }

    /// One GET on a connection of its own.
    pub fn get(&self, target: &str) -> Answer {
        self.connect().get(target)
    }

    /// One GET on the admin port.
    pub fn admin(&self, target: &str) -> Answer {
        Connection::open(self.admin_addr).get(target)
    }

    /// Waits until the admin port says that the service is ready.
    ///
    /// # Panics
    ///
    /// When it does not become ready in time.
    pub fn wait_ready(&self) {
        let mut last = Answer::default();
        wait_until("the service is ready", || {
            last = self.admin("/readyz");
            last.status == 200
        });
    }

    /// The value of one line of `/metrics`; the name includes the labels.
    ///
    /// # Panics
    ///
    /// When there is no such line.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.admin("/metrics").text();
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
            .unwrap_or_else(|| panic!("no metric {name} in\n{text}"))
    }

    /// The most memory that it has had so far, in bytes.
    ///
    /// # Panics
    ///
    /// When the process has gone.
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()));
        let status = status.expect("the process is there");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix("kB"));
        let kib: u64 = kib.and_then(|kib| kib.trim().parse().ok()).expect("KiB");
        kib * 1024
    }

    /// Sends a signal.
    ///
    /// # Panics
    ///
    /// When the process has gone.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a process id fits");
        let pid = rustix::process::Pid::from_raw(pid).expect("a process id is not 0");
        rustix::process::kill_process(pid, signal).expect("the process is there");
    }

    /// Waits for the process to end.
    ///
    /// # Panics
    ///
    /// When it does not end in time.
    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("the service ends", || {
            status = self.child.try_wait().expect("the child can be waited for");
            status.is_some()
        });
        status.expect("it ended")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Fails when it has ended, which is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Copies a log into a list and hands each line on; the pipe is always drained.
fn follow(
    output: impl std::io::Read + Send + 'static,
    log: Arc<Mutex<Vec<String>>>,
) -> Receiver<String> {
    let (send, receive) = sync_channel(1024);
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            log.push(line.clone());
            drop(log);
            // Full or gone: nobody waits for lines any more.
            let _ = send.try_send(line);
        }
    });
    receive
}

/// What a service makes of an environment: what `--print-config` shows, or a line for each mistake.
///
/// # Errors
///
/// The lines.
pub fn read_settings<S: crate::Service>(
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<String, Vec<String>> {
    let line = crate::cli::parse([], &[]);
    match crate::program::read_settings::<S>(environment, line) {
        Ok((_, _, effective)) => Ok(effective.to_string()),
        Err(mistakes) => Err(mistakes.lines().to_vec()),
    }
}

/// Polls a condition until it holds.
///
/// # Panics
///
/// When it does not hold within [`PATIENCE`].
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "in vain: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// One reply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Field names in lower case, in order.
    pub headers: Vec<(String, String)>,
    /// The body, by `Content-Length`.
    pub body: Vec<u8>,
}

impl Answer {
    /// The first field of this name, lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let field = self.headers.iter().find(|(key, _)| key == name);
        field.map(|(_, value)| value.as_str())
    }

    /// The body as text, for messages and comparisons.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A raw connection.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects.
    ///
    /// # Panics
    ///
    /// When nobody listens.
    pub fn open(addr: SocketAddr) -> Self {
        Self::try_open(addr).expect("the service listens")
    }

    /// Connects.
    ///
    /// # Errors
    ///
    /// When nobody listens.
    pub fn try_open(addr: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let stream = BufReader::new(stream);
        Ok(Self { stream })
    }

    /// Whether the connection is open and nothing has come that was not read, as between a reply
    /// and the next request.
    ///
    /// # Panics
    ///
    /// When there are bytes that nobody asked for.
    pub fn is_quiet(&self) -> bool {
        assert!(self.stream.buffer().is_empty(), "more than one reply");
        let stream = self.stream.get_ref();
        let mut byte = [0];
        stream.set_nonblocking(true).expect("an open socket");
        let peeked = stream.peek(&mut byte);
        stream.set_nonblocking(false).expect("an open socket");
        match peeked {
            Ok(count) => {
                assert_eq!(count, 0, "more than one reply");
                false
            }
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        }
    }

    /// Writes bytes as they are.
    ///
    /// # Panics
    ///
    /// When the peer has gone.
    pub fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).expect("the peer reads");
    }

    /// Writes bytes as they are.
    ///
    /// # Errors
    ///
    /// When the peer has gone.
    pub fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// The same connection, to write to from another thread.
    ///
    /// # Panics
    ///
    /// When there are no descriptors left.
    pub fn sender(&self) -> TcpStream {
        let stream = self.stream.get_ref();
        stream.try_clone().expect("a descriptor")
    }

    /// Shuts the writing side.
    ///
    /// # Panics
    ///
    /// When the connection is gone.
    pub fn finish_sending(&self) {
        self.stream
            .get_ref()
            .shutdown(Shutdown::Write)
            .expect("an open socket");
    }

    /// Closes with a reset, as a client does that crashes or whose time is over.
    ///
    /// # Panics
    ///
    /// When the connection is gone.
    pub fn reset(self) {
        let socket = socket2::SockRef::from(self.stream.get_ref());
        socket
            .set_linger(Some(Duration::ZERO))
            .expect("an open socket");
    }

    /// A GET, keeping the connection.
    ///
    /// # Panics
    ///
    /// When there is no whole reply.
    pub fn get(&mut self, target: &str) -> Answer {
        self.try_get(target).expect("a whole reply")
    }

    /// A GET, keeping the connection.
    ///
    /// # Errors
    ///
    /// When there is no whole reply.
    pub fn try_get(&mut self, target: &str) -> std::io::Result<Answer> {
        self.try_send(request(target).as_bytes())?;
        self.reply()
    }

    /// GETs of one path with many queries, all sent before the first reply is read; gives the bodies.
    ///
    /// # Panics
    ///
    /// When a reply is not whole or not 200.
    pub fn get_all(&mut self, path: &str, queries: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let mut requests = Vec::new();
        for query in queries {
            requests.extend_from_slice(format!("GET {path}?").as_bytes());
            requests.extend_from_slice(query);
            requests.extend_from_slice(b" HTTP/1.1\r\nHost: test\r\n\r\n");
        }
        self.send(&requests);
        let replies = queries.iter().map(|query| {
            let answer = self.reply().expect("a whole reply");
            assert_eq!(answer.status, 200, "{}", query.escape_ascii());
            answer.body
        });
        replies.collect()
    }

    /// Reads one reply with a body by `Content-Length`.
    ///
    /// # Errors
    ///
    /// When the connection ends before.
    pub fn reply(&mut self) -> std::io::Result<Answer> {
        let mut answer = self.head()?;
        let length = answer.header("content-length").unwrap_or("0");
        let length = length.parse().map_err(std::io::Error::other)?;
        answer.body = vec![0; length];
        self.stream.read_exact(&mut answer.body)?;
        Ok(answer)
    }

    /// Reads a reply's head only, as after a HEAD request.
    ///
    /// # Errors
    ///
    /// When the connection ends before, or what comes is not a head.
    pub fn head(&mut self) -> std::io::Result<Answer> {
        let status_line = self.line()?;
        let status = status_line.split(' ').nth(1).unwrap_or_default();
        let mut answer = Answer {
            status: status.parse().map_err(std::io::Error::other)?,
            ..Answer::default()
        };
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else {
                return Ok(answer);
            };
            let value = value.trim().to_owned();
            answer.headers.push((name.to_ascii_lowercase(), value));
        }
    }

    /// Whether the peer closed: the next read gives nothing, or that the connection was reset.
    ///
    /// # Panics
    ///
    /// When nothing happens for [`PATIENCE`].
    pub fn is_closed(&mut self) -> bool {
        let mut byte = [0];
        match self.stream.read(&mut byte) {
            Ok(count) => count == 0,
            Err(error) => match error.kind() {
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => true,
                _ => panic!("still open: {error}"),
            },
        }
    }

    fn line(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        if (&mut self.stream).take(64 * 1024).read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }
}

/// The head of a GET that keeps the connection.
fn request(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n")
}

/// The folder of the public vectors, which are not part of this repository: `TRIPOD_VECTORS`, or
/// `../shared/vectors` beside the workspace. When `file` is not there: fails with `CI=true`, says
/// aloud that the test is skipped and returns `None` elsewhere.
///
/// # Panics
///
/// With `CI=true`, when the file is missing.
pub fn public_vectors(file: &str) -> Option<std::path::PathBuf> {
    let folder = std::env::var_os("TRIPOD_VECTORS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors"),
        Into::into,
    );
    let path = folder.join(file);
    if path.exists() {
        return Some(path);
    }
    let ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(!ci, "{} is missing; set TRIPOD_VECTORS", path.display());
    eprintln!("SKIPPED: {} is missing; set TRIPOD_VECTORS", path.display());
    None
}
