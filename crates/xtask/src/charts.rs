//! `cargo xtask charts`: everything that can be known about the charts without
//! a cluster.
//!
//! * `charts/*/ci/*.yaml` are values that must work: each is rendered, compared
//!   with the text in `tests/snapshots`, validated against the schemas of
//!   several Kubernetes versions and of the custom resources, and each of its
//!   pods is held against the restricted pod standard.
//! * `charts/*/tests/*_test.yaml` are unit tests: values, and what the
//!   rendering must hold or with which words it must be refused ([`suite`]).
//! * `charts/*/tests/rules/*.yaml` are promtool's tests; each alert must fire
//!   and stay silent in one ([`rules`]).
//! * READMEs are generated from the values' comments ([`readme`]).
//! * Every setting of a service is one that its chart can set ([`settings`]),
//!   every metric one that a dashboard or a rule asks for ([`metrics`]).

mod cluster;
mod lint;
mod metrics;
mod pods;
mod readme;
mod render;
mod rules;
mod settings;
mod suite;
mod values;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;

use crate::console;
use crate::tally::Tally;
use crate::tools::{Kit, Tools};
use crate::workspace::Workspace;

/// What the user typed after `charts`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Write the READMEs and snapshots anew instead of comparing them
    #[arg(long)]
    write: bool,
    /// Leave out checkov, which takes most of the time
    #[arg(long)]
    fast: bool,
}

/// Checks, and says what was counted.
pub(crate) async fn run(options: Options) -> Result<ExitCode> {
    let workspace = Workspace::locate().await?;
    let tally = Check::prepare(&workspace, &options).await?.all().await?;
    Ok(tally.conclude())
}

/// The step of `cargo xtask test`.
pub(crate) async fn check(workspace: &Workspace) -> Result<Tally> {
    let options = Options {
        write: false,
        fast: false,
    };
    Check::prepare(workspace, &options).await?.all().await
}

/// One run of all checks. What goes wrong is printed and counted; only what
/// keeps us from going on is an error.
struct Check {
    root: PathBuf,
    /// Renderings and other files that tools read.
    scratch: PathBuf,
    tools: Tools,
    write: bool,
    fast: bool,
    charts: Vec<Chart>,
    tally: Tally,
}

/// One folder of `charts/`.
#[derive(Debug, Clone)]
struct Chart {
    name: String,
    folder: PathBuf,
}

impl Chart {
    /// The library chart renders nothing by itself.
    fn is_library(&self) -> bool {
        self.name == "service"
    }
}

impl Check {
    async fn prepare(workspace: &Workspace, options: &Options) -> Result<Self> {
        let mut kits = vec![Kit::Linters, Kit::Helm, Kit::Prometheus];
        if !options.fast {
            kits.push(Kit::Checkov);
        }
        let tools = Tools::obtain(workspace, &kits).await?;
        let scratch = workspace.scratch("charts");
        if scratch.exists() {
            fs::remove_dir_all(&scratch)
                .with_context(|| format!("cannot empty {}", scratch.display()))?;
        }
        make_folder(&scratch)?;
        let mut charts = Vec::new();
        for folder in entries(&workspace.root.join("charts"))? {
            if let (true, Some(name)) = (folder.join("Chart.yaml").is_file(), folder.file_name()) {
                charts.push(Chart {
                    name: name.to_string_lossy().into_owned(),
                    folder,
                });
            }
        }
        Ok(Self {
            root: workspace.root.clone(),
            scratch,
            tools,
            write: options.write,
            fast: options.fast,
            charts,
            tally: Tally::default(),
        })
    }

    async fn all(mut self) -> Result<Tally> {
        self.values_and_readmes().await?;
        let rendered = self.render_all().await?;
        self.snapshots(&rendered)?;
        self.validate(&rendered).await?;
        self.pods(&rendered);
        self.settings(&rendered)?;
        self.metrics(&rendered)?;
        self.suites().await?;
        self.rules(&rendered).await?;
        self.lint(&rendered).await?;
        Ok(self.tally)
    }

    /// Counts one check; a failed one is told.
    fn note(&mut self, what: &str, problems: &[String]) {
        if problems.is_empty() {
            self.tally.passed += 1;
            return;
        }
        self.tally.failed += 1;
        eprintln!("FAILED: {what}");
        for problem in problems {
            eprintln!("    {}", problem.replace('\n', "\n    "));
        }
    }

    /// Compares a generated file with what stands in the repository, or writes it.
    fn generated(&mut self, path: &Path, wanted: &str) -> Result<()> {
        if self.write {
            if let Some(folder) = path.parent() {
                make_folder(folder)?;
            }
            fs::write(path, wanted).with_context(|| format!("cannot write {}", path.display()))?;
        }
        let what = path
            .strip_prefix(&self.root)
            .unwrap_or(path)
            .display()
            .to_string();
        let problems = match fs::read_to_string(path) {
            Ok(found) if found == wanted => vec![],
            Ok(found) => vec![difference(&found, wanted)],
            Err(error) => vec![format!("{error}; `cargo xtask charts --write` makes it")],
        };
        self.note(&what, &problems);
        Ok(())
    }
}

/// The first lines that differ.
fn difference(found: &str, wanted: &str) -> String {
    let mut pairs = found.lines().zip(wanted.lines()).enumerate();
    let (line, old, new) = pairs.find(|(_, (old, new))| old != new).map_or_else(
        || {
            (
                found.lines().count().min(wanted.lines().count()),
                "(other length)",
                "(other length)",
            )
        },
        |(line, (old, new))| (line, old, new),
    );
    format!(
        "differs from line {}:\n  - {old}\n  + {new}\nIf that is wanted: cargo xtask charts --write",
        line + 1
    )
}

fn make_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))
}

/// What is in a folder, sorted; nothing where there is none.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(vec![]);
    }
    let mut paths = Vec::new();
    for entry in
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?
    {
        paths.push(entry?.path());
    }
    paths.sort();
    Ok(paths)
}

/// The YAML files of a folder, sorted.
fn yaml_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = entries(folder)?;
    files.retain(|path| path.extension().is_some_and(|ending| ending == "yaml"));
    Ok(files)
}

/// The name of a file without folder and ending.
fn stem(path: &Path) -> String {
    path.file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

impl Check {
    fn say(&self, what: &str) {
        console::say(&format!("{what} ({} so far)", self.tally.closing_line()));
    }
}
