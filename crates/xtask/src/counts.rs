//! Instructions that the cores take for a request, against a baseline in the repository.
//!
//! A count is the same on every run, so it can gate a change where a time cannot. It depends on the
//! machine in three ways. valgrind shows programs a processor of its own, the same on every host
//! with AVX2; on others nothing can be compared. That processor has no SHA instructions and no
//! AVX-512: digests are counted as plain code here, and what the special instructions win is
//! measured by `cargo bench -p benches` and `cargo xtask bench`. And parts of the program are the
//! host's: the C compiler makes libdeflate, the C library copies bytes. So the baseline names its
//! tools, and elsewhere only what they cannot explain fails.

use std::env::consts::ARCH;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Map, Value, json};
use tokio::process::Command;

use crate::packages::Needed;
use crate::tally::{SKIPPED, Tally};
use crate::workspace::{Workspace, cargo};
use crate::{child, console};

/// The baseline, relative to the workspace.
const BASELINE: &str = "benches/counts.json";
/// How far a count may pass its baseline, measured with the same tools.
const TOLERANCE_PERCENT: f64 = 3.0;
/// The same with another valgrind, C compiler or C library.
const OTHER_TOOLS_TOLERANCE_PERCENT: f64 = 15.0;

/// What the user typed after `counts`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Make what is counted now the baseline
    #[arg(long)]
    bless: bool,
}

/// `cargo xtask counts`.
pub(crate) async fn run(options: Options) -> Result<ExitCode> {
    let workspace = Workspace::locate().await?;
    if options.bless {
        return bless(&workspace).await;
    }
    let tally = check(&workspace).await?;
    Ok(if tally.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn bless(workspace: &Workspace) -> Result<ExitCode> {
    if let Some(reason) = unfit() {
        bail!("nothing can be counted here: {reason}");
    }
    let counts = measure(workspace).await?;
    let counts: Map<String, Value> = counts
        .into_iter()
        .map(|count| (count.name, json!(count.instructions)))
        .collect();
    let baseline = workspace.root.join(BASELINE);
    let text = json!({ "tools": tools().await?, "instructions": counts });
    fs::write(&baseline, format!("{text:#}\n"))
        .with_context(|| format!("cannot write {}", baseline.display()))?;
    console::say(&format!("wrote {BASELINE}"));
    Ok(ExitCode::SUCCESS)
}

/// Compares every case with its baseline; a case is a test. Where nothing can be compared, all of
/// it is one skipped test.
pub(crate) async fn check(workspace: &Workspace) -> Result<Tally> {
    let mut tally = Tally::default();
    if let Some(reason) = unfit() {
        let skipped = format!("instructions are not counted: {reason}");
        console::say(&format!("{SKIPPED} {skipped}"));
        tally.skipped.push(skipped);
        return Ok(tally);
    }
    let baseline = Baseline::read(&workspace.root.join(BASELINE))?;
    let counts = measure(workspace).await?;
    let tools = tools().await?;
    let tolerance = baseline.tolerance(&tools);
    if tools != baseline.tools {
        console::say(&format!(
            "counted with {tools}, the baseline with {}: {tolerance} % more is still right",
            baseline.tools
        ));
    }
    for name in baseline.instructions.keys() {
        if !counts.iter().any(|count| count.name == *name) {
            bail!("{BASELINE} has {name}, which is no case any more; `cargo xtask counts --bless`");
        }
    }
    for count in counts {
        let before = baseline.instructions.get(&count.name);
        let before = before.and_then(Value::as_f64).with_context(|| {
            format!(
                "{BASELINE} lacks {}; `cargo xtask counts --bless`",
                count.name
            )
        })?;
        let percent = (count.instructions / before - 1.0) * 100.0;
        let verdict = verdict(percent, tolerance);
        console::say(&format!(
            "{:16} {:12.0} instructions a request, {percent:+.1} % {verdict}",
            count.name, count.instructions
        ));
        if verdict == Verdict::TooMany {
            tally.failed += 1;
        } else {
            tally.passed += 1;
        }
    }
    Ok(tally)
}

/// Why this host cannot count what the baseline counted.
fn unfit() -> Option<String> {
    if ARCH != "x86_64" {
        return Some(format!("the baseline is of x86_64, this is {ARCH}"));
    }
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let has_avx2 = processor.split_whitespace().any(|flag| flag == "avx2");
    (!has_avx2).then(|| "the baseline is of a processor with AVX2, this has none".to_owned())
}

/// The versions of this host's tools that a count depends on. Rust's is the repository's.
async fn tools() -> Result<String> {
    let valgrind = said(Command::new("valgrind").arg("--version")).await?;
    let compiler = said(Command::new("cc").args(["-dumpfullversion", "-dumpversion"])).await?;
    let library = said(Command::new("getconf").arg("GNU_LIBC_VERSION")).await?;
    Ok(format!("{valgrind}, cc {compiler}, {library}"))
}

/// What a program prints.
async fn said(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .await
        .with_context(|| format!("cannot start {command:?}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Within,
    Fewer,
    TooMany,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Within => "",
            Self::Fewer => "(make it the baseline: `cargo xtask counts --bless`)",
            Self::TooMany => "FAILED",
        })
    }
}

fn verdict(percent: f64, tolerance: f64) -> Verdict {
    if percent > tolerance {
        Verdict::TooMany
    } else if percent < -tolerance {
        Verdict::Fewer
    } else {
        Verdict::Within
    }
}

/// What the repository knows.
struct Baseline {
    tools: String,
    instructions: Map<String, Value>,
}

impl Baseline {
    fn read(file: &Path) -> Result<Self> {
        let text = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        let mut known: Value = serde_json::from_slice(&text)
            .with_context(|| format!("{} is garbled", file.display()))?;
        let tools = known["tools"].as_str().map(str::to_owned);
        let Value::Object(instructions) = known["instructions"].take() else {
            bail!("{} has no object of instructions", file.display());
        };
        Ok(Self {
            tools: tools.with_context(|| format!("{} names no tools", file.display()))?,
            instructions,
        })
    }

    fn tolerance(&self, tools: &str) -> f64 {
        if tools == self.tools {
            TOLERANCE_PERCENT
        } else {
            OTHER_TOOLS_TOLERANCE_PERCENT
        }
    }
}

/// What one case takes.
struct Count {
    name: String,
    /// For each request.
    instructions: f64,
}

async fn measure(workspace: &Workspace) -> Result<Vec<Count>> {
    Needed {
        purpose: "counting instructions",
        programs: &["valgrind"],
        packages: &["valgrind"],
    }
    .ensure()
    .await?;
    let mut build = cargo();
    build
        .args(["build", "--release", "--locked", "-p", "benches"])
        // Nothing but the cores, which takes seconds to build.
        .args(["--bin", "counted", "--no-default-features"])
        .current_dir(&workspace.root)
        // Flags of this host would ask for instructions that valgrind does not know.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("CFLAGS");
    child::run(&mut build, "cargo build").await?;
    let program = workspace.target.join("release/counted");
    let listed = Command::new(&program).output().await?;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let mut counts = Vec::new();
    for line in listed.lines() {
        let case = line.split_once(' ');
        let case = case.and_then(|(name, requests)| Some((name, requests.parse().ok()?)));
        let (name, requests): (&str, f64) =
            case.with_context(|| format!("`counted` lists {line:?}"))?;
        // The first pass also grows buffers and fills tables; the second does not.
        let (once, twice) = tokio::try_join!(
            collected(workspace, &program, name, 1),
            collected(workspace, &program, name, 2),
        )?;
        counts.push(Count {
            name: name.to_owned(),
            instructions: ((twice - once) / requests).round(),
        });
    }
    Ok(counts)
}

/// Instructions of the whole program.
async fn collected(workspace: &Workspace, program: &Path, case: &str, passes: u32) -> Result<f64> {
    let folder = workspace.scratch("counts");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let profile: PathBuf = folder.join(format!("{case}.{passes}"));
    let valgrind = child::find_program("valgrind").context("valgrind is not installed")?;
    let output = child::tied_to_us(&valgrind, "KILL")
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(program)
        .args([case, &passes.to_string()])
        .stdin(Stdio::null())
        .output()
        .await
        .context("cannot start valgrind")?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!(
            "`counted {case}` under valgrind failed ({}):\n{said}",
            output.status
        );
    }
    total(&said).with_context(|| format!("valgrind told no count:\n{said}"))
}

/// The count in what callgrind says at the end.
fn total(said: &str) -> Option<f64> {
    let line = said.lines().find_map(|line| line.split_once("Collected :"));
    line?.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_count_of_callgrind() {
        let said = "==7== Events    : Ir\n==7== Collected : 1234567\n==7== \n";
        assert_eq!(total(said), Some(1_234_567.0));
        assert_eq!(total("==7== Collected\n"), None);
    }

    #[test]
    fn only_more_instructions_fail() {
        assert_eq!(verdict(2.9, 3.0), Verdict::Within);
        assert_eq!(verdict(-3.1, 3.0), Verdict::Fewer);
        assert_eq!(verdict(3.1, 3.0), Verdict::TooMany);
    }

    #[test]
    fn other_tools_may_count_a_little_more() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let baseline = Baseline::read(&root.join(BASELINE)).unwrap();
        assert!(baseline.instructions.len() >= 6);
        let mut counts = baseline.instructions.values();
        assert!(counts.all(|count| count.as_f64() > Some(0.0)));
        let strict = baseline.tolerance(&baseline.tools);
        assert!(strict < baseline.tolerance("valgrind-9.9.9, cc 99, glibc 9.9"));
    }
}
