//! Instructions that the cores take for a request, against a baseline in the repository.
//!
//! A count is the same on every run and hardly depends on the machine, so it can gate a change
//! where a time cannot. valgrind shows programs a processor without SHA instructions and AVX-512:
//! digests are counted as plain code here, and what the special instructions win is measured by
//! `cargo bench -p benches` and `cargo xtask bench`.

use std::env::consts::ARCH;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Map, Value, json};
use tokio::process::Command;

use crate::packages::Needed;
use crate::tally::Tally;
use crate::workspace::{Workspace, cargo};
use crate::{child, console};

/// The baseline, relative to the workspace.
const BASELINE: &str = "benches/counts.json";
/// How far a count may pass its baseline; other versions of the C library and of libdeflate's C
/// compiler move it by less.
const TOLERANCE_PERCENT: f64 = 3.0;

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
        let counts = measure(&workspace).await?;
        let counts: Map<String, Value> = counts
            .into_iter()
            .map(|count| (count.name, json!(count.instructions)))
            .collect();
        let baseline = workspace.root.join(BASELINE);
        fs::write(&baseline, format!("{:#}\n", Value::Object(counts)))
            .with_context(|| format!("cannot write {}", baseline.display()))?;
        console::say(&format!("wrote {BASELINE}"));
        return Ok(ExitCode::SUCCESS);
    }
    let tally = check(&workspace).await?;
    Ok(if tally.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Compares every case with its baseline; a case is a test.
pub(crate) async fn check(workspace: &Workspace) -> Result<Tally> {
    if let Some(reason) = unfit() {
        console::say(&format!("nothing is counted here: {reason}"));
        return Ok(Tally::default());
    }
    let baseline = baseline(&workspace.root.join(BASELINE))?;
    let counts = measure(workspace).await?;
    let mut tally = Tally::default();
    for name in baseline.keys() {
        if !counts.iter().any(|count| count.name == *name) {
            bail!("{BASELINE} has {name}, which is no case any more; `cargo xtask counts --bless`");
        }
    }
    for count in counts {
        let before = baseline.get(&count.name).and_then(Value::as_f64);
        let before = before.with_context(|| {
            format!(
                "{BASELINE} lacks {}; `cargo xtask counts --bless`",
                count.name
            )
        })?;
        let percent = (count.instructions / before - 1.0) * 100.0;
        let verdict = verdict(percent);
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
    (!has_avx2).then(|| "the baseline is of a processor with AVX2".to_owned())
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

fn verdict(percent: f64) -> Verdict {
    if percent > TOLERANCE_PERCENT {
        Verdict::TooMany
    } else if percent < -TOLERANCE_PERCENT {
        Verdict::Fewer
    } else {
        Verdict::Within
    }
}

fn baseline(file: &Path) -> Result<Map<String, Value>> {
    let text = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    match serde_json::from_slice(&text) {
        Ok(Value::Object(counts)) => Ok(counts),
        Ok(_) => bail!("{} is no object of counts", file.display()),
        Err(error) => Err(error).with_context(|| format!("{} is garbled", file.display())),
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
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
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
        assert_eq!(verdict(2.9), Verdict::Within);
        assert_eq!(verdict(-3.1), Verdict::Fewer);
        assert_eq!(verdict(3.1), Verdict::TooMany);
    }

    #[test]
    fn the_baseline_is_an_object_of_counts() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let counts = baseline(&root.join(BASELINE)).unwrap();
        assert!(counts.len() >= 6);
        assert!(counts.values().all(|count| count.as_f64() > Some(0.0)));
    }
}
