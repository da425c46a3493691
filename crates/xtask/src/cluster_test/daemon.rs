//! Programs that run until they are ended, and waiting with a deadline.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::child;

/// Between two looks at something that is waited for.
const INTERVAL: Duration = Duration::from_millis(500);
/// How long a program may take to end in peace.
const PATIENCE: Duration = Duration::from_secs(30);

/// One running program and its log.
pub(super) struct Daemon {
    name: &'static str,
    process: Child,
    log: PathBuf,
}

impl Daemon {
    /// A command for [`Self::start`], which must be given as a path where it is not a package's.
    pub(super) fn command(program: impl AsRef<Path>) -> Result<Command> {
        let program = program.as_ref();
        let found = child::find_program(program)
            .with_context(|| format!("{} is not installed", program.display()))?;
        Ok(child::tied_to_us(&found, "KILL"))
    }

    /// Starts it, with its output in a log of its name.
    pub(super) fn start(logs: &Path, name: &'static str, command: &mut Command) -> Result<Self> {
        let log = logs.join(format!("{name}.log"));
        let open = || {
            let file = File::options().create(true).append(true).open(&log);
            file.with_context(|| format!("cannot write {}", log.display()))
        };
        command.stdin(Stdio::null()).stdout(open()?).stderr(open()?);
        let process = command
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name, process, log })
    }

    /// Fails if it has ended, with the end of its log.
    pub(super) fn check(&mut self) -> Result<()> {
        match self.process.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended ({status}):\n{}", self.name, tail(&self.log)),
        }
    }

    /// Sends it a signal.
    pub(super) fn signal(&self, signal: Signal) {
        child::signal(&self.process, signal);
    }

    /// Ends it in peace, or by force.
    pub(super) async fn end(mut self) {
        child::end(&mut self.process, Signal::TERM, PATIENCE).await;
    }
}

/// The last lines of a log, for an error message.
fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

/// Asks again and again until there is an answer; says what was wrong last when it takes too long.
pub(super) async fn until<T>(
    what: &str,
    patience: Duration,
    mut probe: impl AsyncFnMut() -> Result<T>,
) -> Result<T> {
    let deadline = Instant::now() + patience;
    loop {
        match probe().await {
            Ok(answer) => return Ok(answer),
            Err(error) if Instant::now() > deadline => {
                return Err(error.context(format!("{what}: not within {} s", patience.as_secs())));
            }
            Err(_) => sleep(INTERVAL).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_until_there_is_an_answer_and_says_what_was_wrong_last() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut asked = 0;
            let answer = until("a try", Duration::from_mins(1), async || {
                asked += 1;
                anyhow::ensure!(asked > 2, "not yet");
                Ok(asked)
            });
            assert_eq!(answer.await.unwrap(), 3);
            let never = until::<()>("a try", Duration::ZERO, async || bail!("never"));
            let said = format!("{:#}", never.await.unwrap_err());
            assert_eq!(said, "a try: not within 0 s: never");
        });
    }
}
