//! `cargo xtask coverage`: which lines of the pure crates no test reaches. They hold the rules: a line
//! that nothing reaches is a rule that nobody checks. Tables that the compiler itself computes count as
//! not reached, which is most of what lacks in `qrcode-core`.
//!
//! The compiler counts by itself (`-C instrument-coverage`); what reads the counts is LLVM's, of the
//! release that the compiler is built on: the toolchain's own (`rustup component add llvm-tools`), or
//! the host's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde_json::Value;
use tokio::process::Command;

use crate::images::output;
use crate::packages::Needed;
use crate::signals::StopSignal;
use crate::workspace::{Workspace, cargo};
use crate::{EXIT_INTERRUPTED, console};

/// What is measured.
const PACKAGES: [&str; 3] = ["blockchain-core", "qrcode-core", "twitter-core"];

/// What the user typed after `coverage`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Fail below so many percent of all their lines
    #[arg(long, value_name = "PERCENT", default_value_t = 90.0)]
    fail_under: f64,
    /// Write what was reached as LCOV, for tools that show it
    #[arg(long, value_name = "FILE")]
    lcov: Option<PathBuf>,
}

/// Runs the tests and prints a line for each crate.
pub(crate) async fn run(options: Options) -> Result<ExitCode> {
    let mut stop = StopSignal::listen()?;
    tokio::select! {
        result = measure(&options) => result,
        () = stop.received() => {
            eprintln!("\nxtask: stopped by a signal");
            Ok(ExitCode::from(EXIT_INTERRUPTED))
        }
    }
}

async fn measure(options: &Options) -> Result<ExitCode> {
    ensure!(
        (0.0..=100.0).contains(&options.fail_under),
        "--fail-under takes 0 to 100"
    );
    let workspace = Workspace::locate().await?;
    let llvm = Llvm::obtain().await?;
    let folder = workspace.scratch("coverage");
    let counts = folder.join("counts");
    if counts.exists() {
        // Of an earlier run, whose programs were others.
        fs::remove_dir_all(&counts)
            .with_context(|| format!("cannot remove {}", counts.display()))?;
    }
    let programs = test(&workspace, &folder.join("target"), &counts).await?;
    let profile = folder.join("profile");
    let mut merge = Command::new(&llvm.profdata);
    merge.args(["merge", "--sparse", "--output"]).arg(&profile);
    output(merge.arg(&counts), "llvm-profdata merge").await?;

    let sources = workspace.root.join("crates");
    let report = |format: &str| {
        let mut export = Command::new(&llvm.cov);
        export
            .args(["export", format, "--instr-profile"])
            .arg(&profile)
            .args(["--ignore-filename-regex", r"(/registry/|/rustc/|/tests/)"]);
        for program in &programs {
            export.arg("--object").arg(program);
        }
        export
    };
    let summary = output(&mut report("--summary-only"), "llvm-cov export").await?;
    let summary = serde_json::from_str(&summary).context("llvm-cov printed no JSON")?;
    if let Some(file) = &options.lcov {
        let mut export = report("--format=lcov");
        let text = output(&mut export, "llvm-cov export").await?;
        fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let mut rows = Vec::new();
    let mut total = Lines::default();
    for package in PACKAGES {
        let lines = Lines::of(&summary, &sources.join(package).join("src"))?;
        rows.push(lines.row(package));
        total.all += lines.all;
        total.reached += lines.reached;
    }
    rows.push(total.row("all"));
    print!("\n{}", console::table(&rows));
    if total.percent() < options.fail_under {
        println!("below {} %: FAILED", options.fail_under);
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs all tests of the packages, built to count, and gives their programs.
async fn test(workspace: &Workspace, target: &Path, counts: &Path) -> Result<Vec<PathBuf>> {
    let with = |arguments: &[&str]| {
        let mut command = cargo();
        command
            .args(["test", "--locked", "--lib", "--tests"])
            .args(PACKAGES.iter().flat_map(|package| ["-p", package]))
            .args(arguments)
            .env("RUSTFLAGS", "-C instrument-coverage")
            // Beside all others: everything is built anew for these flags.
            .env("CARGO_TARGET_DIR", target)
            // One file for each program, not for each process.
            .env("LLVM_PROFILE_FILE", counts.join("%m.profraw"))
            .current_dir(&workspace.root)
            .kill_on_drop(true);
        command
    };
    let mut compile = with(&["--no-run", "--message-format", "json-render-diagnostics"]);
    // What cargo says to people goes on to them, as it comes.
    let started = compile.stdout(Stdio::piped()).spawn();
    let started = started.context("cannot start `cargo test`")?;
    let done = started.wait_with_output().await?;
    ensure!(done.status.success(), "the tests do not build");
    let programs = programs(&String::from_utf8_lossy(&done.stdout));
    ensure!(!programs.is_empty(), "cargo names no test");
    let status = with(&["--quiet"]).status().await?;
    ensure!(
        status.success(),
        "tests failed: what they reach says nothing"
    );
    Ok(programs)
}

/// The programs that cargo's messages name.
fn programs(messages: &str) -> Vec<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from))
        .collect()
}

/// The lines of some files.
#[derive(Debug, Default, PartialEq, Eq)]
struct Lines {
    all: u64,
    reached: u64,
}

impl Lines {
    /// Those of the files below a folder, out of the summary.
    fn of(summary: &Value, folder: &Path) -> Result<Self> {
        let files = summary["data"][0]["files"].as_array();
        let mut lines = Self::default();
        for file in files.into_iter().flatten() {
            let name = file["filename"].as_str().unwrap_or_default();
            if Path::new(name).starts_with(folder) {
                let lines_of = &file["summary"]["lines"];
                let count = |key: &str| lines_of[key].as_u64().unwrap_or_default();
                lines.all += count("count");
                lines.reached += count("covered");
            }
        }
        ensure!(lines.all > 0, "nothing is known of {}", folder.display());
        Ok(lines)
    }

    fn row(&self, name: &str) -> [String; 3] {
        [
            name.to_owned(),
            format!("{:.1} %", self.percent()),
            format!("{} of {} lines", self.reached, self.all),
        ]
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "there are fewer than 2^52 lines"
    )]
    fn percent(&self) -> f64 {
        100.0 * self.reached as f64 / self.all as f64
    }
}

/// The two programs that read counts.
struct Llvm {
    profdata: PathBuf,
    cov: PathBuf,
}

impl Llvm {
    /// The toolchain's, or those of Debian's package for the same release.
    async fn obtain() -> Result<Self> {
        let version = output(Command::new("rustc").arg("-vV"), "rustc -vV").await?;
        let field = |name: &str| version.lines().find_map(|line| line.strip_prefix(name));
        let release = field("LLVM version: ").and_then(|version| version.split('.').next());
        let release = release.context("rustc does not say which LLVM it is built on")?;
        let host = field("host: ").context("rustc does not say where it runs")?;
        let sysroot = ["--print", "sysroot"];
        let sysroot = output(Command::new("rustc").args(sysroot), "rustc --print").await?;
        let own = Path::new(&sysroot)
            .join("lib/rustlib")
            .join(host)
            .join("bin");
        let debian = PathBuf::from(format!("/usr/lib/llvm-{release}/bin"));
        let find = || {
            let folders = [&own, &debian];
            let found = folders.map(|folder| Self {
                profdata: folder.join("llvm-profdata"),
                cov: folder.join("llvm-cov"),
            });
            found
                .into_iter()
                .find(|llvm| llvm.profdata.is_file() && llvm.cov.is_file())
        };
        if let Some(llvm) = find() {
            return Ok(llvm);
        }
        let package = format!("llvm-{release}");
        let needed = Needed {
            purpose: "reading what tests reach",
            programs: &[],
            packages: &[&package],
        };
        needed.install(&["llvm-profdata", "llvm-cov"]).await?;
        match find() {
            Some(llvm) => Ok(llvm),
            None => bail!("{package} is installed, but {} is empty", debian.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn counts_the_lines_below_one_folder() {
        let file = |name: &str, count: u64, covered: u64| json!({"filename": name, "summary": {"lines": {"count": count, "covered": covered}}});
        let summary = json!({"data": [{"files": [
            file("/w/crates/a/src/lib.rs", 80, 80),
            file("/w/crates/a/src/b/c.rs", 20, 15),
            file("/w/crates/ab/src/lib.rs", 100, 0),
        ]}]});
        let lines = Lines::of(&summary, Path::new("/w/crates/a/src")).unwrap();
        assert_eq!((lines.all, lines.reached), (100, 95));
        assert!((lines.percent() - 95.0).abs() < 1e-9);
        assert!(Lines::of(&summary, Path::new("/w/crates/c/src")).is_err());
    }

    #[test]
    fn takes_programs_from_cargos_messages() {
        let messages = "{\"reason\":\"compiler-artifact\",\"executable\":null}\n\
            {\"reason\":\"compiler-artifact\",\"executable\":\"/t/debug/deps/a-1\"}\n\
            no JSON\n{\"reason\":\"build-finished\",\"success\":true}\n";
        assert_eq!(programs(messages), [Path::new("/t/debug/deps/a-1")]);
    }
}
