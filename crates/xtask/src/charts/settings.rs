//! Whether the charts know every setting of the services, by the tables in
//! README.md, which the services' own tests hold against the programs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result};
use serde_json::Value;

use super::Check;
use super::render::Rendered;

/// Above a table of README.md, and whose settings it has.
const TABLES: [(&str, &[&str]); 4] = [
    ("**All services**", &["blockchain", "qrcode", "twitter"]),
    ("**Blockchain**", &["blockchain"]),
    ("**QR code**", &["qrcode"]),
    ("**Twitter**", &["twitter"]),
];

/// The values file that changes no default.
const PLAIN: &str = "minimal";

/// Where a chart has another default than the program: a pod's output is never
/// a terminal, so `auto` would be `json` anyway.
const OWN_DEFAULTS: [(&str, &str); 1] = [("LOG_FORMAT", "json")];

impl Check {
    /// Each setting of each service is one that its chart can set, and the
    /// other way round.
    pub(super) fn settings(&mut self, rendered: &[Rendered]) -> Result<()> {
        let file = self.root.join("README.md");
        let readme =
            fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        for service in TABLES[0].1 {
            let own: Vec<_> = rendered
                .iter()
                .filter(|one| one.chart == *service)
                .collect();
            let documents = own.iter().flat_map(|one| &one.documents);
            let plain = own.iter().filter(|one| one.name == PLAIN);
            let problems = differences(
                &settings(&readme, service),
                &Variables::of(documents),
                &Variables::of(plain.flat_map(|one| &one.documents)),
            );
            self.note(
                &format!("charts/{service} sets what the service reads"),
                &problems,
            );
        }
        Ok(())
    }
}

/// The settings of a service with their defaults.
fn settings<'a>(readme: &'a str, service: &str) -> BTreeMap<&'a str, Option<&'a str>> {
    let mut found = BTreeMap::new();
    let mut is_ours = false;
    for line in readme.lines() {
        if let Some((_, services)) = TABLES.iter().find(|(title, _)| *title == line) {
            is_ours = services.contains(&service);
        } else if line.starts_with('#') {
            is_ours = false;
        }
        let mut cells = line.split(" | ");
        let name = cells.next().and_then(|cell| cell.strip_prefix("| `"));
        if let (true, Some(name), Some(default)) = (is_ours, name, cells.next()) {
            let default = default
                .strip_prefix('`')
                .map(|text| text.trim_end_matches('`'));
            found.insert(name.trim_end_matches('`'), default);
        }
    }
    found
}

/// Variables of the service that documents set.
#[derive(Debug, Default)]
struct Variables<'a> {
    /// In the ConfigMap of settings.
    settings: BTreeMap<&'a str, &'a Value>,
    /// In the container, where those of `extraEnv` stand too.
    container: BTreeSet<&'a str>,
}

impl<'a> Variables<'a> {
    fn of(documents: impl Iterator<Item = &'a Value>) -> Self {
        let mut found = Self::default();
        for document in documents {
            let name = document["metadata"]["name"].as_str().unwrap_or_default();
            if document["kind"] == "ConfigMap" && name.ends_with("-settings") {
                let data = document["data"].as_object().into_iter().flatten();
                found
                    .settings
                    .extend(data.map(|(name, value)| (name.as_str(), value)));
            }
            let containers = &document["spec"]["template"]["spec"]["containers"];
            let variables = containers[0]["env"].as_array().into_iter().flatten();
            found
                .container
                .extend(variables.filter_map(|one| one["name"].as_str()));
        }
        found
    }
}

/// What the program reads and no values file sets, what is set and nobody
/// reads, and defaults that differ.
fn differences(
    read: &BTreeMap<&str, Option<&str>>,
    set: &Variables<'_>,
    plain: &Variables<'_>,
) -> Vec<String> {
    let mut problems = Vec::new();
    if read.is_empty() {
        problems
            .push("README.md has no settings of it: are its tables called otherwise?".to_owned());
    }
    for name in read.keys() {
        if !set.settings.contains_key(name) && !set.container.contains(name) {
            problems.push(format!(
                "no file of ci/ has the chart set {name}: offer it as a value, and set that in ci/everything.yaml unless it has a default"
            ));
        }
    }
    for name in set.settings.keys() {
        if !read.contains_key(name) {
            problems.push(format!("it sets {name}, which the service does not read"));
        }
    }
    for (name, value) in &plain.settings {
        let Some(Some(default)) = read.get(name) else {
            continue;
        };
        let own = OWN_DEFAULTS.iter().find(|(known, _)| known == name);
        let wanted = own.map_or(*default, |(_, own)| own);
        if *value != wanted {
            problems.push(format!(
                "its default of {name} is {value} instead of {wanted:?}"
            ));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const README: &str = "## Settings\n\n**All services**\n\n| variable | default | meaning |\n| --- | --- | --- |\n\
        | `TEAM_ID` | required | Team. |\n| `LEVEL` | `info` | Level. |\n\n**Twitter**\n\n\
        | variable | default | meaning |\n| --- | --- | --- |\n| `CACHE_MB` | `1` | a \\| b |\n\n## More\n\n| `crates` | what | is |\n";

    fn map(data: &Value) -> Value {
        json!({"kind": "ConfigMap", "metadata": {"name": "a-settings"}, "data": data})
    }

    fn found(documents: &[Value]) -> Vec<String> {
        let set = Variables::of(documents.iter());
        differences(&settings(README, "twitter"), &set, &set)
    }

    #[test]
    fn tables_are_read_with_their_defaults() {
        assert_eq!(
            settings(README, "qrcode"),
            BTreeMap::from([("LEVEL", Some("info")), ("TEAM_ID", None)])
        );
        assert_eq!(settings(README, "twitter")["CACHE_MB"], Some("1"));
        assert_eq!(settings(README, "twitter").len(), 3);
        assert_eq!(settings("", "twitter").len(), 0);
    }

    #[test]
    fn a_setting_is_set_in_the_map_or_in_the_container() {
        let container = json!({"env": [{"name": "TEAM_ID"}, {"name": "OTHER"}]});
        let deployment = json!({"kind": "Deployment", "spec": {"template": {"spec": {"containers": [container]}}}});
        let settings = map(&json!({"LEVEL": "info", "CACHE_MB": "1"}));
        assert_eq!(found(&[settings, deployment]), [""; 0]);
    }

    #[test]
    fn what_is_missing_misspelt_or_another_default_is_told() {
        let problems = found(&[map(
            &json!({"TEAM_ID": "a", "LEVEL": "warn", "CACH_MB": "1"}),
        )]);
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(problems[0].contains("CACHE_MB"), "{problems:?}");
        assert!(problems[1].contains("CACH_MB"), "{problems:?}");
        assert!(problems[2].contains("LEVEL"), "{problems:?}");
        let none = Variables::default();
        assert_eq!(differences(&BTreeMap::new(), &none, &none).len(), 1);
    }
}
