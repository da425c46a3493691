//! READMEs of charts, generated; and whether values, comments and schema agree.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result};
use serde_json::Value;

use super::values::{Row, parse};
use super::{Chart, Check};

/// In a README, everything from here on is generated.
const MARK: &str = "<!-- From here on generated from values.yaml: cargo xtask charts --write -->";

impl Check {
    /// READMEs, and the schema against the values.
    pub(super) async fn values_and_readmes(&mut self) -> Result<()> {
        // Where a leaf of a schema was seen first.
        let mut seen: BTreeMap<String, (String, Value)> = BTreeMap::new();
        for chart in self.charts.clone() {
            if chart.is_library() {
                continue;
            }
            let file = chart.folder.join("values.yaml");
            let text = fs::read_to_string(&file)
                .with_context(|| format!("cannot read {}", file.display()))?;
            let (rows, problems) = parse(&text);
            self.note(
                &format!("charts/{}/values.yaml: each value is explained", chart.name),
                &problems,
            );
            let schema = fs::read(chart.folder.join("values.schema.json"))?;
            let schema: Value =
                serde_json::from_slice(&schema).context("a values.schema.json is not JSON")?;
            // helm reads the same file; this one refuses doubled keys.
            self.documents(&[file]).await?;
            let mut problems = disagreements(&rows, &schema);
            if chart.name != "tripod" {
                for (path, leaf) in leaves(&schema) {
                    let place = seen
                        .entry(path.clone())
                        .or_insert_with(|| (chart.name.clone(), leaf.clone()));
                    if place.1 != leaf && !path.ends_with("groupOrder") {
                        problems.push(format!(
                            "{path} has another schema than in the chart {}",
                            place.0
                        ));
                    }
                }
            }
            self.note(
                &format!(
                    "charts/{}/values.schema.json agrees with values.yaml",
                    chart.name
                ),
                &problems,
            );
            self.readme(&chart, &rows)?;
        }
        Ok(())
    }

    fn readme(&mut self, chart: &Chart, rows: &[Row]) -> Result<()> {
        let path = chart.folder.join("README.md");
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let head = text.split(MARK).next().unwrap_or_default();
        let mut wanted =
            format!("{head}{MARK}\n\n| value | default | meaning |\n| --- | --- | --- |\n");
        for row in rows {
            let default = match (row.group, row.default.as_str()) {
                (true, _) => String::new(),
                (false, "") => "none".to_owned(),
                (false, default) => format!("`{default}`"),
            };
            // Writing to a string cannot fail. A bar would end the cell.
            let _ = writeln!(
                wanted,
                "| `{}` | {default} | {} |",
                row.path,
                row.meaning.replace('|', "\\|")
            );
        }
        self.generated(&path, &wanted)
    }
}

/// Values that the schema does not know, keys of the schema without a value,
/// and open objects.
fn disagreements(rows: &[Row], schema: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    for row in rows {
        let found = row
            .path
            .split('.')
            .try_fold(schema, |schema, key| schema["properties"].get(key));
        match found {
            None => problems.push(format!("the schema does not know {}", row.path)),
            Some(found) if found["description"].as_str().is_none_or(str::is_empty) => {
                problems.push(format!("the schema does not describe {}", row.path));
            }
            Some(_) => {}
        }
    }
    for (path, _) in leaves(schema) {
        // Not values of a chart by itself: what helm and the umbrella put there.
        let foreign = ["global", "service", "enabled"]
            .iter()
            .any(|key| path == *key || path.starts_with(&format!("{key}.")));
        if !foreign && !rows.iter().any(|row| row.path == path) {
            problems.push(format!("values.yaml lacks {path}, which the schema knows"));
        }
    }
    if schema["additionalProperties"] != false {
        problems.push("the schema takes unknown keys".to_owned());
    }
    problems
}

/// The leaves of a schema by path, without their descriptions.
fn leaves(schema: &Value) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for (key, part) in schema["properties"].as_object().into_iter().flatten() {
        if part["properties"].is_object() {
            found.extend(
                leaves(part)
                    .into_iter()
                    .map(|(path, leaf)| (format!("{key}.{path}"), leaf)),
            );
        } else {
            let mut leaf = part.clone();
            if let Some(map) = leaf.as_object_mut() {
                map.remove("description");
            }
            found.push((key.clone(), leaf));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_and_schema_must_have_the_same_keys() {
        let (rows, _) = parse("# -- A.\na: 1\n# -- B.\nb: 2\n");
        let schema = json!({"additionalProperties": false, "properties": {
            "a": {"type": "integer", "description": "A."},
            "c": {"type": "integer", "description": "C."},
            "global": {"properties": {"x": {}}},
        }});
        assert_eq!(
            disagreements(&rows, &schema),
            [
                "the schema does not know b",
                "values.yaml lacks c, which the schema knows"
            ]
        );
    }

    #[test]
    fn an_open_schema_is_told() {
        assert_eq!(
            disagreements(&[], &json!({})),
            ["the schema takes unknown keys"]
        );
    }
}
