//! One service as a child process: its log, its addresses, its end.

use std::collections::VecDeque;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::log_line::{Addresses, LogLine};
use crate::{child, console};

/// How many of its last lines are repeated when a service dies.
const TAIL_LINES: usize = 15;
/// How long the log of an ended service may take to drain.
const LOG_PATIENCE: Duration = Duration::from_millis(200);

/// A running service.
pub(crate) struct Service {
    /// The binary's name.
    pub(crate) name: &'static str,
    process: Child,
    tail: Arc<Mutex<VecDeque<String>>>,
    addresses: watch::Receiver<Option<Addresses>>,
    logs: [JoinHandle<()>; 2],
}

impl Service {
    /// Starts it on ports of its own choice, on loopback.
    pub(crate) fn start(
        name: &'static str,
        mut command: Command,
        settings: &[(&str, &str)],
    ) -> Result<Self> {
        command
            .env("LISTEN_ADDR", "127.0.0.1:0")
            .env("ADMIN_ADDR", "127.0.0.1:0")
            .env("LOG_FORMAT", "json")
            // The line that tells the ports is at this level.
            .env("LOG_LEVEL", "info")
            .env("SETTLE_MS", "0")
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut process = command
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let tail = Arc::new(Mutex::new(VecDeque::with_capacity(TAIL_LINES)));
        let (found, addresses) = watch::channel(None);
        let log = Log {
            label: name.strip_suffix("-service").unwrap_or(name),
            tail: Arc::clone(&tail),
            found,
        };
        let output = process.stdout.take().context("no standard output")?;
        let errors = process.stderr.take().context("no standard error")?;
        let logs = [
            tokio::spawn(log.clone().follow(output)),
            tokio::spawn(log.follow(errors)),
        ];
        Ok(Self {
            name,
            process,
            tail,
            addresses,
            logs,
        })
    }

    /// Waits for the log line that tells the addresses.
    pub(crate) async fn addresses(&mut self, deadline: Instant) -> Result<Addresses> {
        let mut known = self.addresses.clone();
        let told = async {
            match known.wait_for(Option::is_some).await {
                Ok(addresses) => *addresses,
                // It closed its output, so its end is near.
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            told = timeout_at(deadline, told) => {
                if let Ok(Some(addresses)) = told {
                    return Ok(addresses);
                }
            }
            error = self.death() => return Err(error),
        }
        Err(anyhow!(
            "{} did not log `listen_addr` and `admin_addr`; its last lines:\n{}",
            self.name,
            self.last_lines()
        ))
    }

    /// Returns when the service has ended, with what to say about it.
    pub(crate) async fn death(&mut self) -> anyhow::Error {
        let status = self.process.wait().await;
        // What it said last may still be in the pipes.
        for log in &mut self.logs {
            if !log.is_finished() {
                let _ = timeout(LOG_PATIENCE, log).await;
            }
        }
        let how = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        anyhow!(
            "{} ended ({how}); its last lines:\n{}",
            self.name,
            self.last_lines()
        )
    }

    fn last_lines(&self) -> String {
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        if tail.is_empty() {
            return "    (none)".to_owned();
        }
        let lines: Vec<String> = tail.iter().map(|line| format!("    {line}")).collect();
        lines.join("\n")
    }
}

/// Ends all services together: SIGINT, which skips their settle phase, and
/// SIGKILL for what is left at the deadline.
pub(crate) async fn stop_all(services: &mut [Service], deadline: Instant) {
    for service in &*services {
        child::signal(&service.process, Signal::INT);
    }
    for service in services {
        if timeout_at(deadline, service.process.wait()).await.is_err() {
            console::say(&format!("{} did not end in time; killing it", service.name));
            // Fails only if it is gone already.
            let _ = service.process.kill().await;
        }
        for log in &mut service.logs {
            if !log.is_finished() {
                let _ = timeout(LOG_PATIENCE, log).await;
            }
        }
    }
}

/// Follows one stream of a service.
#[derive(Clone)]
struct Log {
    label: &'static str,
    tail: Arc<Mutex<VecDeque<String>>>,
    found: watch::Sender<Option<Addresses>>,
}

impl Log {
    async fn follow(self, stream: impl AsyncRead + Unpin) {
        let mut lines = BufReader::new(stream).split(b'\n');
        while let Ok(Some(line)) = lines.next_segment().await {
            let line = String::from_utf8_lossy(&line);
            let parsed = LogLine::parse(&line);
            if let Some(addresses) = parsed.addresses() {
                self.found.send_replace(Some(addresses));
            }
            let text = parsed.pretty().unwrap_or_else(|| line.into_owned());
            println!("{:<10} | {text}", self.label);
            let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
            if tail.len() == TAIL_LINES {
                tail.pop_front();
            }
            tail.push_back(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(future)
    }

    /// A stand-in for a service: a shell that runs `script`.
    fn stand_in(script: &str) -> Service {
        let shell = child::find_program("sh").unwrap();
        let mut command = child::tied_to_us(&shell, "KILL");
        command.args(["-c", script]);
        Service::start("stub-service", command, &[("TEAM_ID", "T")]).unwrap()
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[test]
    fn learns_the_addresses_from_the_log_and_ends_the_service() {
        block_on(async {
            let mut service = stand_in(
                r#"echo starting as $TEAM_ID on $LISTEN_ADDR, log $LOG_FORMAT
                echo '{"message":"up","listen_addr":"127.0.0.1:4001","admin_addr":"127.0.0.1:4002"}' >&2
                exec sleep 60"#,
            );
            let addresses = service.addresses(soon()).await.unwrap();
            assert_eq!(addresses.listen.port(), 4001);
            assert_eq!(addresses.admin.port(), 4002);
            let mut services = [service];
            stop_all(&mut services, soon()).await;
            let said = services[0].last_lines();
            assert!(
                said.contains("starting as T on 127.0.0.1:0, log json"),
                "{said}"
            );
        });
    }

    #[test]
    fn a_service_that_dies_is_reported_with_its_last_words() {
        block_on(async {
            let mut service = stand_in("echo no such table >&2; exit 3");
            let error = service.addresses(soon()).await.unwrap_err().to_string();
            assert!(
                error.starts_with("stub-service ended (exit status: 3)"),
                "{error}"
            );
            assert!(error.ends_with("\n    no such table"), "{error}");
        });
    }

    #[test]
    fn a_service_that_ignores_the_signal_is_killed_at_the_deadline() {
        block_on(async {
            let mut service = stand_in(
                r#"trap '' INT
                echo '{"listen_addr":"127.0.0.1:4001","admin_addr":"127.0.0.1:4002"}'
                exec sleep 60"#,
            );
            service.addresses(soon()).await.unwrap();
            let mut services = [service];
            stop_all(&mut services, Instant::now() + Duration::from_millis(100)).await;
            assert!(services[0].process.try_wait().unwrap().is_some());
        });
    }
}
