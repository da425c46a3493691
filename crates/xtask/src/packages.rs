//! Installing Debian packages that a check needs, where that is allowed.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Result, bail};
use tokio::process::Command;

use crate::{child, console};

/// Programs that a step needs, and the packages that hold them.
pub(crate) struct Needed<'a> {
    /// What needs them, for the message.
    pub(crate) purpose: &'a str,
    /// Every one of these must be found.
    pub(crate) programs: &'a [&'a str],
    /// Installed when one is not.
    pub(crate) packages: &'a [&'a str],
}

impl Needed<'_> {
    /// Installs the packages if a program is missing and we may; otherwise
    /// says what to install.
    pub(crate) async fn ensure(&self) -> Result<()> {
        let missing = self.missing();
        if missing.is_empty() {
            return Ok(());
        }
        self.install(&missing).await
    }

    /// Installs the packages because of what is missing, which need not be a program.
    pub(crate) async fn install(&self, missing: &[&str]) -> Result<()> {
        let install = format!(
            "apt-get install --no-install-recommends {}",
            self.packages.join(" ")
        );
        let by_hand = format!(
            "{} needs {}, which this host lacks; install it and run this again, on Debian: `{install}`",
            self.purpose,
            missing.join(", "),
        );
        let Some(apt) = apt_get().await else {
            bail!("{by_hand}");
        };
        console::say(&format!(
            "{} needs {}: {install}",
            self.purpose,
            missing.join(", ")
        ));
        // A fresh container has no package lists; a stale list only matters
        // if the installation fails, so a failed update is not the end.
        child::status(apt.command().arg("update"), "apt-get update").await?;
        let mut command = apt.command();
        command
            .args(["install", "-y", "--no-install-recommends"])
            .args(self.packages);
        if !child::status(&mut command, "apt-get install")
            .await?
            .success()
        {
            bail!("`{install}` failed, see above. {by_hand}");
        }
        let missing = self.missing();
        if !missing.is_empty() {
            bail!("{} is still missing after `{install}`", missing.join(", "));
        }
        Ok(())
    }

    fn missing(&self) -> Vec<&str> {
        self.programs
            .iter()
            .copied()
            .filter(|program| child::find_program(program).is_none())
            .collect()
    }
}

/// Whether we have all rights on this host.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A way to run apt-get that never asks anything.
struct AptGet {
    program: PathBuf,
    sudo: Option<PathBuf>,
}

impl AptGet {
    fn command(&self) -> Command {
        // `env` because sudo drops the variable.
        let mut command = match &self.sudo {
            Some(sudo) => {
                let mut command = Command::new(sudo);
                command.args(["-n", "env"]);
                command
            }
            None => Command::new("env"),
        };
        command
            .arg("DEBIAN_FRONTEND=noninteractive")
            .arg(&self.program)
            .args(["-q", "-o", "DPkg::Lock::Timeout=300"])
            .stdin(Stdio::null());
        command
    }
}

/// apt-get as root or through a sudo that needs no password.
async fn apt_get() -> Option<AptGet> {
    let program = child::find_program("apt-get")?;
    if is_root() {
        return Some(AptGet {
            program,
            sudo: None,
        });
    }
    let sudo = child::find_program("sudo")?;
    let allowed = Command::new(&sudo)
        .args(["-n", "true"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .await
        .is_ok_and(|status| status.success());
    allowed.then_some(AptGet {
        program,
        sudo: Some(sudo),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_only_what_is_missing() {
        let needed = Needed {
            purpose: "a test",
            programs: &["sh", "no-such-program-here"],
            packages: &["none"],
        };
        assert_eq!(needed.missing(), ["no-such-program-here"]);
    }
}
