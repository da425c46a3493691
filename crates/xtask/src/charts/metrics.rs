//! Whether dashboards and rules ask for metrics that the services have, and
//! whether each metric of theirs is asked for somewhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::render::Rendered;
use super::{Check, entries};

/// The values file whose rendering has all dashboards and rules.
const ASKED: &str = "everything";

/// Calls in the services' code that make a family, before its name.
const MAKERS: [&str; 4] = ["counters(", "gauge(", "durations(", "state("];

/// Where unit tests begin, which make families of their own.
const TESTS: &str = "#[cfg(test)]\nmod tests";

/// Families that no dashboard shows: of builds that never ship, and one that
/// says how complete the log is to whoever reads the log.
const UNASKED: [&str; 2] = ["faults_injected_total", "log_lines_dropped_total"];

impl Check {
    /// The metrics of each service chart.
    pub(super) fn metrics(&mut self, rendered: &[Rendered]) -> Result<()> {
        let crates = self.root.join("crates");
        let whole = rendered.iter().filter(|one| one.name == ASKED);
        for one in whole.filter(|one| one.chart != "tripod") {
            let mut made = BTreeSet::new();
            for folder in ["service-kit", &format!("{}-service", one.chart)] {
                collect(&crates.join(folder).join("src"), &mut made)?;
            }
            let mut asked = BTreeSet::new();
            for text in one.documents.iter().flat_map(questions) {
                asked.extend(names(&text, &one.chart));
            }
            self.note(
                &format!("{}: metrics are those of the service", one.title()),
                &differences(&made, &asked),
            );
        }
        Ok(())
    }
}

/// The families that the code below a folder makes.
fn collect(folder: &Path, made: &mut BTreeSet<String>) -> Result<()> {
    for path in entries(folder)? {
        if path.is_dir() {
            collect(&path, made)?;
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            made.extend(families(&text));
        }
    }
    Ok(())
}

fn families(code: &str) -> Vec<String> {
    let code = code.split(TESTS).next().unwrap_or_default();
    let calls = MAKERS.iter().flat_map(|maker| code.split(maker).skip(1));
    let names = calls.filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next());
    names.map(str::to_owned).collect()
}

/// What an object asks Prometheus, be it a rule or a panel.
fn questions(document: &Value) -> Vec<String> {
    let mut found = Vec::new();
    expressions(document, &mut found);
    for text in document["data"].as_object().into_iter().flatten() {
        let board = text.1.as_str().map(serde_json::from_str::<Value>);
        if let Some(Ok(board)) = board {
            expressions(&board, &mut found);
        }
    }
    found
}

fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match value.as_str() {
                    Some(text) if key == "expr" => found.push(text.to_owned()),
                    _ => expressions(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| expressions(item, found)),
        _ => {}
    }
}

/// The service's metrics in an expression, without its name before them.
fn names(expression: &str, service: &str) -> Vec<String> {
    let words = expression.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'));
    let own = words.filter_map(|word| word.strip_prefix(service)?.strip_prefix('_'));
    own.map(str::to_owned).collect()
}

/// What is asked for and nobody makes, and the other way round.
fn differences(made: &BTreeSet<String>, asked: &BTreeSet<String>) -> Vec<String> {
    let family = |name: &str| {
        let parts = ["_bucket", "_count", "_sum"];
        let base = parts.iter().find_map(|part| name.strip_suffix(part));
        let base = base.filter(|_| !made.contains(name));
        base.unwrap_or(name).to_owned()
    };
    let asked: BTreeSet<_> = asked.iter().map(|name| family(name)).collect();
    let unknown = asked.difference(made);
    let unknown = unknown.map(|name| format!("{name} is asked for, and the service has none"));
    let unasked = made
        .difference(&asked)
        .filter(|name| !UNASKED.contains(&name.as_str()));
    let unasked = unasked.map(|name| {
        format!("no dashboard or rule asks for {name}: add it, or say in charts/metrics.rs why not")
    });
    unknown.chain(unasked).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn families_are_found_where_they_are_made_and_not_in_tests() {
        let code = "let a = metrics.counters(\n    \"a_total\",\n    \"Help.\");\nm.gauge(\"b\", \"B.\");\nm.gauge(name, help);\nlet c = gauge(\n    \"d\", \"D.\");\n\
            #[cfg(test)]\nmod tests { fn t() { m.gauge(\"c\", \"C.\"); } }";
        assert_eq!(families(code), ["a_total", "b", "d"]);
    }

    #[test]
    fn rules_and_dashboards_are_read() {
        let rules = json!({"spec": {"groups": [{"rules": [{"expr": "x_a > 0", "for": "5m"}]}]}});
        assert_eq!(questions(&rules), ["x_a > 0"]);
        let board = json!({"panels": [{"targets": [{"expr": "x_b"}]}]}).to_string();
        let map = json!({"kind": "ConfigMap", "data": {"b.json": board, "other": "text"}});
        assert_eq!(questions(&map), ["x_b"]);
        assert_eq!(
            names("sum(rate(x_a_total{job=\"tripod-x\"}[5m])) / y_b", "x"),
            ["a_total"]
        );
    }

    #[test]
    fn a_metric_that_is_not_there_or_not_shown_is_told() {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let made = set(&["a_seconds", "b", "faults_injected_total"]);
        assert_eq!(
            differences(&made, &set(&["a_seconds_bucket", "b"])),
            [""; 0]
        );
        let found = differences(&made, &set(&["a_seconds_bucket", "c"]));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("c is asked"), "{found:?}");
        assert!(found[1].contains("asks for b:"), "{found:?}");
    }
}
