//! Starting, signalling and ending child processes.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;
use std::{env, ffi::OsStr};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// A command whose process ends when we do, however we end: it is killed when
/// its handle is dropped, and where util-linux's `setpriv` is installed the
/// kernel sends it `signal` should we be killed ourselves. It stands in a
/// process group of its own, so that a Ctrl-C in the terminal reaches it only
/// through us, once.
pub(crate) fn tied_to_us(program: &Path, signal: &str) -> Command {
    let mut command = match find_program("setpriv") {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", signal, "--"]).arg(program);
            command
        }
        None => Command::new(program),
    };
    command.kill_on_drop(true).process_group(0);
    command
}

/// Runs a command to its end with our standard streams; fails if it fails.
pub(crate) async fn run(command: &mut Command, what: &str) -> Result<()> {
    let status = status(command, what).await?;
    if !status.success() {
        bail!("{what} failed ({status})");
    }
    Ok(())
}

/// Runs a command to its end with our standard streams.
pub(crate) async fn status(command: &mut Command, what: &str) -> Result<ExitStatus> {
    command.kill_on_drop(true).status().await.with_context(|| {
        let program = command.as_std().get_program();
        format!("{what}: cannot start {}", program.display())
    })
}

/// Sends a signal to a child that has not been waited for yet.
pub(crate) fn signal(child: &Child, signal: Signal) {
    let pid = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // It may have ended in this moment, which is what we want anyway.
        let _ = kill_process(pid, signal);
    }
}

/// Asks a child to end, waits, and kills it at the deadline. Says whether it
/// ended by itself.
pub(crate) async fn end(child: &mut Child, with: Signal, patience: Duration) -> bool {
    signal(child, with);
    if timeout(patience, child.wait()).await.is_ok() {
        return true;
    }
    // Fails only if the child is gone already.
    let _ = child.kill().await;
    false
}

/// Finds a program on the PATH or in the system folders that the PATH of an
/// ordinary user often lacks.
pub(crate) fn find_program(name: impl AsRef<OsStr>) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from))
        .map(|folder| folder.join(name.as_ref()))
        .find(|candidate| candidate.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Stdio;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    }

    #[test]
    fn finds_a_shell_and_no_nonsense() {
        assert!(find_program("sh").is_some());
        assert!(find_program("no-such-program-here").is_none());
    }

    #[test]
    fn ends_a_willing_child_by_signal_and_kills_a_stubborn_one() {
        runtime().block_on(async {
            let shell = find_program("sh").unwrap();
            let mut willing = tied_to_us(&shell, "KILL")
                .args(["-c", "exec sleep 60"])
                .spawn()
                .unwrap();
            assert!(end(&mut willing, Signal::INT, Duration::from_secs(5)).await);

            let mut stubborn = tied_to_us(&shell, "KILL")
                .args(["-c", "trap '' INT; echo set; exec sleep 60"])
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut first = [0; 4];
            let output = stubborn.stdout.as_mut().unwrap();
            tokio::io::AsyncReadExt::read_exact(output, &mut first)
                .await
                .unwrap();
            assert!(!end(&mut stubborn, Signal::INT, Duration::from_millis(100)).await);
        });
    }

    #[test]
    fn names_the_command_that_failed() {
        runtime().block_on(async {
            let error = run(&mut Command::new("false"), "the check")
                .await
                .unwrap_err();
            assert!(error.to_string().starts_with("the check failed (exit"));
        });
    }
}
