//! promtool over the alert rules that the charts render.
//!
//! `charts/*/tests/rules/*.yaml` are promtool's test files. Those of the library
//! chart are run for each service, with `@SERVICE@` in place of its name. Every
//! alert must be seen firing and silent.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result};
use serde_json::Value;

use super::render::Rendered;
use super::{Check, make_folder, stem, yaml_files};

/// The values file whose rendering is tested: release `tripod`, everything on.
const TESTED: &str = "everything";

impl Check {
    /// Runs promtool on the rules of each service.
    pub(super) async fn rules(&mut self, rendered: &[Rendered]) -> Result<()> {
        self.say("testing alert rules");
        let library = self.root.join("charts/service/tests/rules");
        for chart in self.charts.clone() {
            let Some(one) = rendered
                .iter()
                .find(|one| one.chart == chart.name && one.name == TESTED)
            else {
                continue;
            };
            let rules = one
                .documents
                .iter()
                .filter(|document| document["kind"] == "PrometheusRule");
            let groups: Vec<Value> = rules
                .flat_map(|rule| {
                    rule["spec"]["groups"]
                        .as_array()
                        .cloned()
                        .unwrap_or_default()
                })
                .collect();
            if chart.name == "tripod" {
                // The umbrella's are those of its parts.
                continue;
            }
            let folder = self.scratch.join("rules").join(&chart.name);
            make_folder(&folder)?;
            // JSON is YAML.
            let file = folder.join("rules.yaml");
            fs::write(&file, serde_json::json!({ "groups": groups }).to_string())?;
            let title = format!("charts/{}: promtool check rules", chart.name);
            self.promtool(&title, &["check", "rules"], &file).await?;

            let mut tests = Vec::new();
            for source in yaml_files(&library)?
                .into_iter()
                .chain(yaml_files(&chart.folder.join("tests/rules"))?)
            {
                let text = fs::read_to_string(&source)?;
                let target = folder.join(format!("{}_test.yaml", stem(&source)));
                fs::write(&target, text.replace("@SERVICE@", &chart.name))?;
                tests.push(target);
            }
            for file in &tests {
                let title = format!("charts/{}: promtool test rules {}", chart.name, stem(file));
                self.promtool(&title, &["test", "rules"], file).await?;
            }
            let suites = self.documents(&tests).await?;
            let suites: Vec<_> = suites.into_values().flatten().collect();
            self.note(
                &format!("charts/{}: every alert is tested", chart.name),
                &untested(&groups, &suites),
            );
        }
        Ok(())
    }

    async fn promtool(&mut self, title: &str, task: &[&str], file: &std::path::Path) -> Result<()> {
        let output = self
            .tools
            .command("promtool")?
            .args(task)
            .arg(file)
            .output()
            .await
            .context("cannot start promtool")?;
        let text = [output.stdout, output.stderr].concat();
        let problems = if output.status.success() {
            vec![]
        } else {
            vec![String::from_utf8_lossy(&text).into_owned()]
        };
        self.note(title, &problems);
        Ok(())
    }
}

/// Alerts, each with its window where it has one, that no test sees firing, or none sees silent.
fn untested(groups: &[Value], suites: &[Value]) -> Vec<String> {
    let rules = groups
        .iter()
        .flat_map(|group| group["rules"].as_array().into_iter().flatten());
    let alerts: BTreeSet<_> = rules
        .filter_map(|rule| Some((rule["alert"].as_str()?, rule["labels"]["window"].as_str())))
        .collect();
    let tests: Vec<_> = suites
        .iter()
        .flat_map(|suite| suite["tests"].as_array().into_iter().flatten())
        .flat_map(|test| test["alert_rule_test"].as_array().into_iter().flatten())
        .collect();
    let mut missing = Vec::new();
    for (alert, window) in alerts {
        let own = || tests.iter().filter(|test| test["alertname"] == alert);
        let expected = |test: &Value| test["exp_alerts"].as_array().cloned().unwrap_or_default();
        let fires = own().any(|test| {
            expected(test)
                .iter()
                .any(|one| window.is_none_or(|window| one["exp_labels"]["window"] == window))
        });
        if !fires {
            missing.push(format!(
                "no test sees {alert} {} fire",
                window.unwrap_or_default()
            ));
        }
        if !own().any(|test| expected(test).is_empty()) {
            missing.push(format!("no test sees {alert} silent"));
        }
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_alert_must_fire_in_one_test_and_be_silent_in_another() {
        let groups =
            [json!({"rules": [{"alert": "A", "labels": {"window": "1h"}}, {"record": "r"}]})];
        let suite = |expected: Value| json!({"tests": [{"alert_rule_test": [{"alertname": "A", "exp_alerts": expected}]}]});
        let fires = suite(json!([{"exp_labels": {"window": "1h"}}]));
        let silent = suite(json!([]));
        assert_eq!(untested(&groups, &[fires.clone(), silent.clone()]), [""; 0]);
        assert_eq!(untested(&groups, std::slice::from_ref(&fires)).len(), 1);
        assert_eq!(untested(&groups, &[silent]).len(), 1);
        let other = suite(json!([{"exp_labels": {"window": "6h"}}]));
        assert_eq!(untested(&groups, &[other]).len(), 2);
    }
}
