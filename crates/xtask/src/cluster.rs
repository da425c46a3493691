//! Step `cluster`: cluster specs, manifests and their scripts, judged by real
//! tools, without a cluster or an account.

mod monitoring;
mod unittest;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

pub(crate) use monitoring::Options as MonitoringOptions;
pub(crate) use monitoring::run as monitoring;

use crate::tally::Tally;
use crate::tools::{Kit, Tools};
use crate::workspace::Workspace;
use crate::{child, console};

/// The versions of Kubernetes that manifests must fit.
const KUBERNETES: [&str; 3] = ["1.31", "1.33", "1.35"];
/// Scripts that are programs; what they source is checked with them.
const SCRIPTS: [&str; 3] = ["eksctl/up.sh", "eksctl/down.sh", "k8s/kind/smoke.sh"];
/// Folders below `k8s` that hold manifests of Kubernetes.
const MANIFESTS: [&str; 5] = ["k8s", "k8s/database", "k8s/etl", "k8s/ingress", "k8s/kind"];

/// Runs all of it. A check that fails does not keep the later ones from running.
pub(crate) async fn check(workspace: &Workspace) -> Result<Tally> {
    let kits = [Kit::Linters, Kit::Checkov, Kit::Helm, Kit::Prometheus];
    let tools = Tools::obtain(workspace, &kits).await?;
    let checks = Checks {
        tools: &tools,
        root: &workspace.root,
    };
    let mut failed = Vec::new();
    let mut note = |what: &str, result: Result<()>| {
        match &result {
            Ok(()) => console::say(&format!("ok      {what}")),
            Err(error) => console::say(&format!("FAILED  {what}: {error:#}")),
        }
        if result.is_err() {
            failed.push(what.to_owned());
        }
    };
    note("yamllint", checks.yamllint().await);
    note("shellcheck", checks.shellcheck().await);
    note("cfn-lint", checks.cfn_lint().await);
    for version in KUBERNETES {
        let what = format!("kubernetes-validate {version}");
        note(&what, checks.kubernetes_validate(version).await);
    }
    note("checkov", checks.checkov().await);
    note("amtool", checks.amtool().await);
    let rendered = monitoring::compare(&tools, workspace, false).await;
    note("rules and dashboards are what the charts render", rendered);
    note("promtool", checks.promtool().await);

    let mut tally = Tally::default();
    for file in [
        "k8s/tests/test_manifests.py",
        "eksctl/tests/test_scripts.py",
        "eksctl/tests/test_again.py",
    ] {
        tally.add(unittest::run(&tools, &workspace.root, file).await?);
    }
    if !failed.is_empty() {
        bail!("these failed, see above: {}", failed.join(", "));
    }
    Ok(tally)
}

/// One method for each tool.
struct Checks<'a> {
    tools: &'a Tools,
    root: &'a Path,
}

impl Checks<'_> {
    async fn run(&self, tool: &str, arguments: &[&str], files: &[PathBuf]) -> Result<()> {
        let mut command = self.tools.command(tool)?;
        command.args(arguments).args(files).current_dir(self.root);
        child::run(&mut command, tool).await
    }

    async fn yamllint(&self) -> Result<()> {
        let mut files = files(self.root, "eksctl", "yaml")?;
        files.extend(files_of(self.root, &MANIFESTS)?);
        files.extend(self::files(self.root, "eksctl/addons", "yaml")?);
        files.extend(self::files(self.root, "k8s/monitoring", "yaml")?);
        let arguments = ["--strict", "--config-file", "k8s/yamllint.yaml"];
        self.run("yamllint", &arguments, &files).await
    }

    async fn shellcheck(&self) -> Result<()> {
        let scripts = SCRIPTS.map(PathBuf::from);
        let arguments = ["--external-sources", "--check-sourced"];
        self.run("shellcheck", &arguments, &scripts).await
    }

    async fn cfn_lint(&self) -> Result<()> {
        let templates = files(self.root, "eksctl", "yaml")?
            .into_iter()
            .map(|file| Ok((fs::read_to_string(self.root.join(&file))?, file)))
            .collect::<Result<Vec<_>>>()?;
        let templates: Vec<_> = templates
            .into_iter()
            .filter(|(text, _)| text.starts_with("AWSTemplateFormatVersion:"))
            .map(|(_, file)| file)
            .collect();
        if templates.len() < 3 {
            bail!("found {} templates only", templates.len());
        }
        self.run("cfn-lint", &["--template"], &templates).await
    }

    /// Kinds of others only make it warn; `test_manifests.py` has their schemas.
    async fn kubernetes_validate(&self, version: &str) -> Result<()> {
        let manifests = files_of(self.root, &MANIFESTS)?
            .into_iter()
            .map(|file| Ok((fs::read_to_string(self.root.join(&file))?, file)))
            .collect::<Result<Vec<_>>>()?;
        let manifests: Vec<_> = manifests
            .into_iter()
            .filter(|(text, _)| is_manifest(text))
            .map(|(_, file)| file)
            .collect();
        let arguments = ["--strict", "--quiet", "--kubernetes-version", version];
        self.run("kubernetes-validate", &arguments, &manifests)
            .await
    }

    async fn checkov(&self) -> Result<()> {
        let folders = ["--directory", "eksctl", "--directory", "k8s"];
        let mut arguments = folders.to_vec();
        arguments.extend(["--config-file", "k8s/checkov.yaml"]);
        self.run("checkov", &arguments, &[]).await
    }

    async fn amtool(&self) -> Result<()> {
        let arguments = ["check-config", "k8s/monitoring/alertmanager.yaml"];
        self.run("amtool", &arguments, &[]).await
    }

    async fn promtool(&self) -> Result<()> {
        let rules = files(self.root, "k8s/monitoring/rules", "yaml")?;
        if rules.is_empty() {
            bail!("k8s/monitoring/rules is empty; `cargo xtask monitoring --write` fills it");
        }
        self.run("promtool", &["check", "rules"], &rules).await
    }
}

/// Whether a file holds objects for a cluster's API and is not settings of a tool.
fn is_manifest(text: &str) -> bool {
    text.lines().any(|line| line.starts_with("apiVersion: "))
        && !text.contains("\napiVersion: kind.x-k8s.io/")
}

fn files_of(root: &Path, folders: &[&str]) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for folder in folders {
        all.extend(files(root, folder, "yaml")?);
    }
    Ok(all)
}

/// The files of one folder with an ending, relative to `root`, in order.
fn files(root: &Path, folder: &str, ending: &str) -> Result<Vec<PathBuf>> {
    let path = root.join(folder);
    let mut found = Vec::new();
    for entry in fs::read_dir(&path).with_context(|| format!("cannot read {}", path.display()))? {
        let entry = entry?;
        let name = PathBuf::from(entry.file_name());
        if name
            .extension()
            .is_some_and(|extension| extension == ending)
        {
            found.push(Path::new(folder).join(name));
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
    }

    #[test]
    fn finds_the_manifests_and_no_settings() {
        let found = files(&root(), "k8s/etl", "yaml").unwrap();
        assert!(found.contains(&PathBuf::from("k8s/etl/cronjob.yaml")));
        assert!(found.is_sorted());
        assert!(files(&root(), "k8s/no-such-folder", "yaml").is_err());
    }

    #[test]
    fn tells_manifests_from_settings() {
        assert!(is_manifest("# words\napiVersion: v1\nkind: Namespace\n"));
        assert!(!is_manifest("extends: default\n"));
        assert!(!is_manifest(
            "kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\n"
        ));
    }

    #[test]
    fn scripts_are_there() {
        for script in SCRIPTS {
            assert!(root().join(script).is_file(), "{script}");
        }
    }
}
