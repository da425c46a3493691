//! Linters: helm's own, yamllint, checkov, and whether dashboards are what
//! Grafana takes.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::process::Command;

use super::render::Rendered;
use super::{Check, make_folder, yaml_files};

/// checkov looks at the renderings of these values files: all that a chart can
/// make, and what most people install.
const SCANNED: [&str; 2] = ["everything", "minimal"];

impl Check {
    /// All linters.
    pub(super) async fn lint(&mut self, rendered: &[Rendered]) -> Result<()> {
        self.dashboards(rendered);
        self.say("linting");
        for chart in self.charts.clone() {
            let mut command = self.tools.command("helm")?;
            command.args(["lint", "--strict"]).arg(&chart.folder);
            if let Some(file) = yaml_files(&chart.folder.join("ci"))?.first() {
                command.arg("--values").arg(file);
            }
            self.linter(
                &format!("helm lint --strict charts/{}", chart.name),
                command,
            )
            .await?;
        }
        let mut command = self.tools.command("yamllint")?;
        command
            .args(["--strict", "--config-file"])
            .arg(self.root.join("charts/.yamllint.yaml"));
        for chart in &self.charts {
            command.arg(chart.folder.join("Chart.yaml"));
            for folder in ["", "ci", "tests", "tests/rules"] {
                command.args(yaml_files(&chart.folder.join(folder))?);
            }
        }
        self.linter("yamllint charts", command).await?;
        if !self.fast {
            self.checkov(rendered).await?;
        }
        Ok(())
    }

    /// What checkov skips, and why, stands in its configuration.
    async fn checkov(&mut self, rendered: &[Rendered]) -> Result<()> {
        let folder = self.scratch.join("checkov");
        make_folder(&folder)?;
        for one in rendered
            .iter()
            .filter(|one| SCANNED.contains(&one.name.as_str()))
        {
            fs::copy(
                &one.file,
                folder.join(format!("{}-{}.yaml", one.chart, one.name)),
            )
            .context("cannot copy a rendering")?;
        }
        let mut command = self.tools.command("checkov")?;
        command
            .arg("--directory")
            .arg(&folder)
            .arg("--config-file")
            .arg(self.root.join("charts/.checkov.yaml"));
        self.linter("checkov", command).await
    }

    async fn linter(&mut self, title: &str, mut command: Command) -> Result<()> {
        let output = command
            .output()
            .await
            .with_context(|| format!("cannot start {title}"))?;
        let text = [output.stdout, output.stderr].concat();
        let problems = if output.status.success() {
            vec![]
        } else {
            vec![String::from_utf8_lossy(&text).into_owned()]
        };
        self.note(title, &problems);
        Ok(())
    }

    /// Dashboards in ConfigMaps: JSON, with an identity and a title of their own and panels that ask something.
    fn dashboards(&mut self, rendered: &[Rendered]) {
        for one in rendered {
            let maps = one
                .documents
                .iter()
                .filter(|document| document["kind"] == "ConfigMap");
            let files: Vec<_> = maps
                .flat_map(|map| map["data"].as_object().into_iter().flatten())
                .filter(|(name, _)| std::path::Path::new(name).extension() == Some("json".as_ref()))
                .collect();
            let mut problems = Vec::new();
            let mut identities = BTreeSet::new();
            for (name, text) in &files {
                match serde_json::from_str::<Value>(text.as_str().unwrap_or_default()) {
                    Ok(board) => {
                        problems.extend(
                            faults(&board)
                                .into_iter()
                                .map(|fault| format!("{name}: {fault}")),
                        );
                        if !identities.insert(board["uid"].to_string()) {
                            problems.push(format!("{name}: its uid is another one's too"));
                        }
                    }
                    Err(error) => problems.push(format!("{name}: {error}")),
                }
            }
            if !files.is_empty() {
                self.note(&format!("{}: dashboards", one.title()), &problems);
            }
        }
    }
}

/// What Grafana would stumble over, or a reader.
fn faults(board: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    for key in ["uid", "title"] {
        if board[key].as_str().is_none_or(str::is_empty) {
            faults.push(format!("no {key}"));
        }
    }
    if board.to_string().contains('@') {
        faults.push("a placeholder is left".to_owned());
    }
    let mut numbers = BTreeSet::new();
    let panels = board["panels"].as_array().map_or(&[][..], Vec::as_slice);
    for panel in panels {
        let title = panel["title"].as_str().unwrap_or_default();
        if !numbers.insert(panel["id"].as_u64()) || panel["id"].is_null() {
            faults.push(format!("{title:?} has no number of its own"));
        }
        if panel["type"] == "row" {
            continue;
        }
        if panel["description"].as_str().is_none_or(str::is_empty) {
            faults.push(format!("{title:?} explains nothing"));
        }
        let targets = panel["targets"].as_array().map_or(&[][..], Vec::as_slice);
        if targets.is_empty()
            || targets
                .iter()
                .any(|target| target["expr"].as_str().is_none_or(str::is_empty))
        {
            faults.push(format!("{title:?} asks nothing"));
        }
    }
    if panels.is_empty() {
        faults.push("no panels".to_owned());
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_dashboard_must_ask_and_explain() {
        let panel = json!({"id": 1, "type": "timeseries", "title": "t", "description": "d", "targets": [{"expr": "up"}]});
        let good = json!({"uid": "u", "title": "t", "panels": [panel]});
        assert_eq!(faults(&good), [""; 0]);
        let poor = json!({"uid": "u", "title": "@SERVICE@", "panels": [{"id": 1, "targets": []}, {"id": 1, "targets": [{"expr": ""}]}]});
        assert_eq!(faults(&poor).len(), 6);
        assert_eq!(faults(&json!({})).len(), 3);
    }
}
