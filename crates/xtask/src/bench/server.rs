//! A server under measurement: pinned to one core, its processor time and memory read from /proc.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::child;
use crate::database::free_port;

/// Where servers run.
pub(crate) const SERVER_CORE: &str = "0";
/// Where the load tool runs.
pub(crate) const LOAD_CORE: &str = "1";
/// How long a server may take to answer; a loaded machine needs some.
const START_DEADLINE: Duration = Duration::from_mins(1);
/// How long it may take to end in peace.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// A running server.
pub(crate) struct Server {
    process: Child,
    pub(crate) address: SocketAddr,
}

/// A program on the core of servers, which ends with us.
pub(crate) fn pinned(program: &Path, core: &str) -> Result<Command> {
    let taskset = child::find_program("taskset").context("taskset is not installed")?;
    let mut command = child::tied_to_us(&taskset, "KILL");
    command.args(["-c", core]).arg(program);
    command.stdin(Stdio::null());
    Ok(command)
}

impl Server {
    /// Starts a yardstick, which prints its address.
    pub(super) async fn yardstick(program: &Path, arguments: &[&str]) -> Result<Self> {
        let name = program.display();
        let mut command = pinned(program, SERVER_CORE)?;
        command.arg("127.0.0.1:0").args(arguments);
        let mut process = command
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let output = process.stdout.take().context("no standard output")?;
        let mut line = String::new();
        let mut output = BufReader::new(output);
        timeout(START_DEADLINE, output.read_line(&mut line))
            .await
            .with_context(|| format!("{name} did not start in time"))??;
        let address = line.trim().parse();
        let address = address.with_context(|| format!("{name} printed {line:?}"))?;
        Ok(Self { process, address })
    }

    /// Starts a service with these settings and waits until it is ready.
    pub(super) async fn service(program: &Path, settings: &[(&str, &str)]) -> Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let mut command = pinned(program, SERVER_CORE)?;
        command
            .env("LISTEN_ADDR", address.to_string())
            .env("ADMIN_ADDR", "127.0.0.1:0")
            .env("TEAM_ID", "Tripod")
            .env("AWS_ACCOUNT_ID", "000000000000")
            .env("LOG_LEVEL", "warn")
            .envs(settings.iter().copied())
            .stdout(Stdio::null());
        Self::listening(command, program, address, "/readyz").await
    }

    /// Starts a server that will listen at `address`, and waits for a good reply.
    pub(crate) async fn listening(
        mut command: Command,
        program: &Path,
        address: SocketAddr,
        path: &str,
    ) -> Result<Self> {
        let process = command
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let mut server = Self { process, address };
        let deadline = Instant::now() + START_DEADLINE;
        while !answers(address, path).await {
            if let Some(status) = server.process.try_wait()? {
                bail!("{} ended at once ({status})", program.display());
            }
            if Instant::now() > deadline {
                bail!("{} is not ready in time", program.display());
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(server)
    }

    /// Its number.
    pub(crate) fn pid(&self) -> Result<u32> {
        self.process.id().context("a server has ended")
    }

    /// Seconds of processor time so far.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        cpu_seconds(self.pid()?)
    }

    /// The most memory it held so far, in MiB.
    pub(crate) fn peak_mb(&self) -> Result<f64> {
        let file = format!("/proc/{}/status", self.pid()?);
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kb = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok());
        let kb: f64 = kb.with_context(|| format!("{file} tells no VmHWM"))?;
        Ok(kb / 1024.0)
    }

    /// Ends it.
    pub(crate) async fn stop(mut self) {
        child::end(&mut self.process, Signal::INT, STOP_PATIENCE).await;
    }
}

/// Processor time of a process, its threads and its children, by the scheduler's accounts.
pub(super) fn cpu_seconds(pid: u32) -> Result<f64> {
    let tasks = format!("/proc/{pid}/task");
    let mut nanos = 0.0;
    for task in fs::read_dir(&tasks).with_context(|| format!("cannot read {tasks}"))? {
        let task = task?.path();
        // A thread may end while we look.
        let times = fs::read_to_string(task.join("schedstat")).unwrap_or_default();
        let first = times.split(' ').next().and_then(|time| time.parse().ok());
        nanos += first.unwrap_or(0.0);
        let children = fs::read_to_string(task.join("children")).unwrap_or_default();
        for child in children.split_whitespace() {
            nanos += child
                .parse()
                .ok()
                .and_then(|pid| cpu_seconds(pid).ok())
                .unwrap_or(0.0)
                * 1e9;
        }
    }
    Ok(nanos / 1e9)
}

/// Processor time of all processes that this one started and that have ended.
pub(super) fn ended_children_cpu_seconds() -> Result<f64> {
    let file = "/proc/self/stat";
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
    let seconds = ended_children(&text);
    seconds.with_context(|| format!("{file} tells no times of children"))
}

fn ended_children(stat: &str) -> Option<f64> {
    /// In which the kernel tells times to programs, on all processors that we know.
    const TICKS_PER_SECOND: f64 = 100.0;
    // The second field, the name in parentheses, may have spaces; the third is the first here.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(16 - 3);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    let (user, system) = (ticks()?, ticks()?);
    Some((user + system) / TICKS_PER_SECOND)
}

/// Whether a GET is answered 200.
async fn answers(address: SocketAddr, path: &str) -> bool {
    let asked = async {
        let mut stream = TcpStream::connect(address).await?;
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut head = [0; 12];
        stream.read_exact(&mut head).await?;
        std::io::Result::Ok(head.ends_with(b" 200"))
    };
    matches!(timeout(Duration::from_secs(2), asked).await, Ok(Ok(true)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_time_of_ended_children() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4 1 2 3 4 11 12 150 25 20 0 9";
        assert_eq!(ended_children(stat), Some(1.75));
        assert_eq!(ended_children("7 (a) S 1"), None);
        assert!(ended_children_cpu_seconds().is_ok());
    }

    #[test]
    fn a_busy_process_has_processor_time() {
        // Not this process: its threads come and go with the tests, and their time with them.
        let mut busy = std::process::Command::new("sh")
            .args(["-c", "while :; do :; done"])
            .spawn()
            .unwrap();
        let before = cpu_seconds(busy.id()).unwrap();
        let deadline = std::time::Instant::now() + Duration::from_mins(1);
        let mut after = before;
        while after <= before && std::time::Instant::now() < deadline {
            std::thread::yield_now();
            after = cpu_seconds(busy.id()).unwrap();
        }
        busy.kill().unwrap();
        busy.wait().unwrap();
        assert!(after > before, "{after} is not more than {before}");
    }
}
