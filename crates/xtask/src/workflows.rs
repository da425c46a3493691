//! What pipelines and image builds are made of, judged by their linters, and the
//! scripts that they run, tried with fake programs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use crate::console;
use crate::images::{Checks, output};
use crate::tally::Tally;
use crate::tools::{Kit, Tools};
use crate::workspace::Workspace;

/// Rules that checkov is told to leave out, with the reason.
const CHECKOV_SKIPS: &[(&str, &str)] = &[
    (
        "CKV_GHA_7",
        "forbids inputs of workflows started by hand; ours have none that reach a build",
    ),
    (
        "CKV_DOCKER_7",
        "wants a tag on `FROM service` and `FROM binaries`, which are stages of the same file",
    ),
];

/// Runs every linter and the scripts' tests.
pub(crate) async fn check(workspace: &Workspace) -> Result<Tally> {
    let tools = Tools::obtain(workspace, &[Kit::Linters, Kit::Checkov]).await?;
    let mut checks = Checks::default();
    let root = &workspace.root;
    let workflows = files(&root.join(".github"), &["yml", "yaml"])?;
    let scripts = scripts(root)?;
    ensure!(
        !workflows.is_empty() && !scripts.is_empty(),
        "no workflows or no scripts below {}",
        root.display()
    );

    let lint = async |name: &str, arguments: &[&str], files: &[PathBuf]| -> Result<()> {
        let mut command = tools.command(name)?;
        command.args(arguments).args(files).current_dir(root);
        let said = output(&mut command, name).await;
        said.map(drop)
    };
    let only_workflows: Vec<PathBuf> = workflows
        .iter()
        .filter(|file| {
            file.parent()
                .is_some_and(|folder| folder.ends_with("workflows"))
        })
        .cloned()
        .collect();
    checks.count(
        "actionlint",
        lint("actionlint", &["-no-color"], &only_workflows).await,
    );
    checks.count(
        "zizmor",
        lint(
            "zizmor",
            &["--offline", "--no-progress", "--quiet", ".github"],
            &[],
        )
        .await,
    );
    checks.count(
        "yamllint",
        lint(
            "yamllint",
            &["--strict", "--config-file", ".github/yamllint.yaml"],
            &workflows,
        )
        .await,
    );
    checks.count(
        "shellcheck",
        lint("shellcheck", &["--severity=style"], &scripts).await,
    );
    checks.count(
        "hadolint",
        lint(
            "hadolint",
            &["--failure-threshold", "style"],
            &[root.join("docker/Dockerfile")],
        )
        .await,
    );
    checks.count("checkov", checkov(&tools, root).await);

    let mut tally = checks.finish();
    tally.add(test_scripts(root).await?);
    Ok(tally)
}

async fn checkov(tools: &Tools, root: &Path) -> Result<()> {
    for (rule, reason) in CHECKOV_SKIPS {
        console::say(&format!("checkov without {rule}: {reason}"));
    }
    let rules: Vec<&str> = CHECKOV_SKIPS.iter().map(|(rule, _)| *rule).collect();
    let rules = rules.join(",");
    // Folders one by one: checkov would walk through the target folder too.
    for (folder, framework) in [("docker", "dockerfile"), (".github", "github_actions")] {
        let mut command = tools.command("checkov")?;
        command
            .args(["--compact", "--quiet", "--skip-download", "--framework"])
            .args([framework, "--skip-check", &rules, "--directory"]);
        if framework == "github_actions" {
            // It finds workflows by their path from the top.
            command.args([".", "--skip-path", "target", "--skip-path", "crates"]);
        } else {
            command.arg(folder);
        }
        command.current_dir(root);
        let said = command.output().await.context("cannot start checkov")?;
        ensure!(
            said.status.success(),
            "{}",
            String::from_utf8_lossy(&said.stdout).trim()
        );
    }
    Ok(())
}

/// Runs the scripts' tests and counts them.
async fn test_scripts(root: &Path) -> Result<Tally> {
    let mut command = Command::new(root.join(".github/scripts/tests/run.sh"));
    let said = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output()
        .await
        .context("cannot start .github/scripts/tests/run.sh")?;
    let mut tally = Tally::default();
    for line in String::from_utf8_lossy(&said.stdout).lines() {
        if tally.take(line) {
            println!("{line}");
        }
    }
    ensure!(
        said.status.success() || tally.failed > 0,
        "the scripts' tests broke off ({})",
        said.status
    );
    Ok(tally)
}

/// Files below a folder with one of these endings, sorted.
fn files(folder: &Path, endings: &[&str]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|ending| endings.iter().any(|known| ending == *known))
            {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The shell scripts that pipelines and image builds run, and the one that runs all.
fn scripts(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = files(&root.join(".github"), &["sh"])?;
    found.extend(files(&root.join("docker"), &["sh"])?);
    found.push(root.join(".ci/run"));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
    }

    #[test]
    fn finds_scripts_of_pipelines_images_and_the_whole() {
        let found = scripts(&root()).unwrap();
        for name in ["ephemeral.sh", "build.sh", "run"] {
            assert!(found.iter().any(|path| path.ends_with(name)), "{name}");
        }
    }

    #[test]
    fn every_rule_that_is_left_out_has_a_reason() {
        for (rule, reason) in CHECKOV_SKIPS {
            assert!(rule.starts_with("CKV") && reason.len() > 20, "{rule}");
        }
    }
}
