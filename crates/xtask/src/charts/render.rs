//! Calling helm, and comparing what it renders with snapshots.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::process::Command;
use tokio::task::JoinSet;

use super::{Check, cluster, make_folder, stem, yaml_files};

/// The Kubernetes that charts are rendered for unless a file says otherwise.
pub(super) const NEWEST: &str = "1.35";
/// How many helms run at a time.
const AT_A_TIME: usize = 4;
/// In the first lines of a values file, before another version of Kubernetes.
const VERSION_MARK: &str = "# kubernetes: ";

/// Likewise, before APIs that the cluster has beside its own, separated by
/// blanks.
const APIS_MARK: &str = "# api-versions: ";

/// One call of `helm template`.
#[derive(Debug, Clone)]
pub(super) struct Call {
    /// The folder of the chart.
    pub(super) chart: PathBuf,
    pub(super) release: String,
    pub(super) namespace: String,
    /// Values files, the later ones winning.
    pub(super) values: Vec<PathBuf>,
    pub(super) kubernetes: String,
    /// APIs that the cluster has beside its own.
    pub(super) apis: Vec<String>,
}

impl Call {
    fn command(&self, mut helm: Command) -> Command {
        helm.arg("template").arg(&self.release).arg(&self.chart);
        helm.args(["--namespace", &self.namespace])
            .args(["--kube-version", &self.kubernetes]);
        for file in &self.values {
            helm.arg("--values").arg(file);
        }
        for api in &self.apis {
            helm.arg("--api-versions").arg(api);
        }
        helm
    }
}

/// What a values file in `ci/` was rendered to.
#[derive(Debug)]
pub(super) struct Rendered {
    pub(super) chart: String,
    /// The values file's name.
    pub(super) name: String,
    pub(super) kubernetes: String,
    /// Where the text is.
    pub(super) file: PathBuf,
    pub(super) text: String,
    pub(super) documents: Vec<Value>,
}

impl Rendered {
    /// For messages.
    pub(super) fn title(&self) -> String {
        format!("charts/{}/ci/{}.yaml", self.chart, self.name)
    }
}

impl Check {
    /// Calls helm for each, a few at a time: the text, or why it was refused.
    pub(super) async fn helm(&self, calls: &[Call]) -> Result<Vec<Result<String, String>>> {
        let mut results = vec![Err(String::new()); calls.len()];
        let mut running = JoinSet::new();
        for (index, call) in calls.iter().enumerate() {
            if running.len() >= AT_A_TIME {
                collect(&mut running, &mut results).await?;
            }
            let mut command = call.command(self.tools.command("helm")?);
            running.spawn(async move { (index, command.output().await) });
        }
        while !running.is_empty() {
            collect(&mut running, &mut results).await?;
        }
        Ok(results)
    }

    /// The documents of YAML files, by path. Python reads them: PyYAML with a
    /// loader that refuses a key that stands twice.
    pub(super) async fn documents(
        &self,
        files: &[PathBuf],
    ) -> Result<BTreeMap<PathBuf, Vec<Value>>> {
        let mut command = self.manifests()?;
        let output = command.arg("json").args(files).output().await?;
        if !output.status.success() {
            bail!("cannot read YAML: {}", last_line(&output.stderr));
        }
        serde_json::from_slice(&output.stdout).context("manifests.py printed no JSON")
    }

    pub(super) fn manifests(&self) -> Result<Command> {
        let mut command = self.tools.command("python3")?;
        command.arg(self.root.join("crates/xtask/tools/manifests.py"));
        Ok(command)
    }

    /// Renders every values file of every chart's `ci/`.
    pub(super) async fn render_all(&mut self) -> Result<Vec<Rendered>> {
        let mut calls = Vec::new();
        let mut names = Vec::new();
        for chart in self.charts.iter().filter(|chart| !chart.is_library()) {
            for file in yaml_files(&chart.folder.join("ci"))? {
                names.push((chart.name.clone(), stem(&file)));
                calls.push(Call {
                    chart: chart.folder.clone(),
                    release: "tripod".to_owned(),
                    namespace: "tripod".to_owned(),
                    kubernetes: marked(&file, VERSION_MARK)?.unwrap_or_else(|| NEWEST.to_owned()),
                    apis: marked(&file, APIS_MARK)?
                        .unwrap_or_default()
                        .split_whitespace()
                        .map(str::to_owned)
                        .collect(),
                    values: vec![file],
                });
            }
        }
        self.say(&format!("rendering {} values files", calls.len()));
        let results = self.helm(&calls).await?;
        let folder = self.scratch.join("rendered");
        make_folder(&folder)?;
        let mut rendered = Vec::new();
        for ((call, (chart, name)), result) in calls.iter().zip(names).zip(results) {
            let title = format!("charts/{chart}/ci/{name}.yaml renders");
            match result {
                Ok(text) => {
                    self.note(&title, &[]);
                    let file = folder.join(format!("{chart}-{name}.yaml"));
                    fs::write(&file, &text)?;
                    let kubernetes = call.kubernetes.clone();
                    let documents = vec![];
                    rendered.push(Rendered {
                        chart,
                        name,
                        kubernetes,
                        file,
                        text,
                        documents,
                    });
                }
                Err(problem) => self.note(&title, &[problem]),
            }
        }
        let files: Vec<_> = rendered.iter().map(|one| one.file.clone()).collect();
        let mut documents = self.documents(&files).await?;
        for one in &mut rendered {
            one.documents = documents.remove(&one.file).unwrap_or_default();
        }
        Ok(rendered)
    }

    /// What people would be surprised to see changed.
    pub(super) fn snapshots(&mut self, rendered: &[Rendered]) -> Result<()> {
        let charts = self.charts.clone();
        for chart in &charts {
            let folder = chart.folder.join("tests/snapshots");
            for old in yaml_files(&folder)? {
                let known = rendered
                    .iter()
                    .any(|one| one.chart == chart.name && one.name == stem(&old));
                if !known && self.write {
                    fs::remove_file(&old)?;
                } else if !known {
                    self.note(
                        &old.display().to_string(),
                        &["a snapshot of no values file".to_owned()],
                    );
                }
            }
            for one in rendered.iter().filter(|one| one.chart == chart.name) {
                self.generated(&folder.join(format!("{}.yaml", one.name)), &one.text)?;
            }
        }
        Ok(())
    }

    /// Against the schemas of Kubernetes and of custom resources.
    pub(super) async fn validate(&mut self, rendered: &[Rendered]) -> Result<()> {
        self.say("validating against schemas");
        let schemas = self.root.join("k8s/schemas/crds");
        let now: Vec<_> = rendered
            .iter()
            .filter(|one| one.kubernetes == NEWEST)
            .collect();
        let mut command = self.manifests()?;
        command
            .arg("validate")
            .arg(&schemas)
            .arg(cluster::VERSIONS.join(","));
        let output = command
            .args(now.iter().map(|one| &one.file))
            .output()
            .await?;
        let problems = lines(&output.stderr);
        self.note("schemas of Kubernetes and custom resources", &problems);
        if !output.status.success() && problems.is_empty() {
            bail!("manifests.py failed ({}) without a word", output.status);
        }
        for one in rendered.iter().filter(|one| one.kubernetes != NEWEST) {
            let problems: Vec<_> = one
                .documents
                .iter()
                .flat_map(|document| cluster::problems(document, &one.kubernetes))
                .collect();
            self.note(
                &format!("{} for Kubernetes {}", one.title(), one.kubernetes),
                &problems,
            );
        }
        Ok(())
    }
}

async fn collect(
    running: &mut JoinSet<(usize, std::io::Result<std::process::Output>)>,
    results: &mut [Result<String, String>],
) -> Result<()> {
    let Some(finished) = running.join_next().await else {
        return Ok(());
    };
    let (index, output) = finished.context("a call of helm was lost")?;
    let output = output.context("cannot start helm")?;
    if let Some(result) = results.get_mut(index) {
        *result = if output.status.success() {
            Ok(String::from_utf8(output.stdout)
                .context("helm rendered something that is not text")?)
        } else {
            Err(without_links(&String::from_utf8_lossy(&output.stderr)))
        };
    }
    Ok(())
}

/// helm tells of every link in a chart; that is how the charts are laid out.
fn without_links(text: &str) -> String {
    let kept = text
        .lines()
        .filter(|line| !line.contains("found symbolic link"));
    kept.collect::<Vec<_>>().join("\n")
}

/// What stands behind a mark in a values file.
fn marked(file: &Path, mark: &str) -> Result<Option<String>> {
    let text =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let found = text.lines().find_map(|line| line.strip_prefix(mark));
    Ok(found.map(|rest| rest.trim().to_owned()))
}

fn lines(text: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(text)
        .lines()
        .map(str::to_owned)
        .collect()
}

fn last_line(text: &[u8]) -> String {
    lines(text).pop().unwrap_or_default()
}
