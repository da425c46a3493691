//! Unit tests of charts: `charts/*/tests/*_test.yaml`.
//!
//! ```yaml
//! base: {teamId: Tripod}            # values under those of every test
//! tests:
//!   - name: keep-alive outlives the load balancer
//!     values: {loadBalancer: {idleTimeoutSeconds: 100}}
//!     kubernetes: "1.20"            # the newest one unless said
//!     apis: [a.example/v1]          # APIs that the cluster has beside its own
//!     release: tripod               # the release's name, unless said
//!     namespace: tripod             # and its namespace
//!     expect:
//!       - of: ConfigMap             # KIND or KIND/NAME
//!         path: [data, KEEP_ALIVE_MS]
//!         equals: "115000"
//!   - name: a typo is refused
//!     values: {replica: 3}
//!     refused: [replica]            # words that the message must hold
//! ```
//!
//! A path is a list of keys; in a list a number counts and `name=WORKERS` looks
//! for the item with that field. Beside `equals` there are `contains` (a part
//! of a text, or an item of a list), `absent: true`, and for an object without
//! a path `count`.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::Value;

use super::render::{Call, NEWEST};
use super::{Check, make_folder, stem, yaml_files};

/// One test, and what helm made of it.
struct Case {
    title: String,
    test: Value,
    call: Call,
}

impl Check {
    /// Runs the suites of all charts.
    pub(super) async fn suites(&mut self) -> Result<()> {
        let cases = self.cases().await?;
        self.say(&format!("running {} unit tests", cases.len()));
        let calls: Vec<_> = cases.iter().map(|case| case.call.clone()).collect();
        let results = self.helm(&calls).await?;
        let folder = self.scratch.join("suites");
        let mut files = Vec::new();
        for (index, result) in results.iter().enumerate() {
            let file = folder.join(format!("{index}.rendered.yaml"));
            fs::write(&file, result.as_deref().unwrap_or_default())?;
            files.push(file);
        }
        let mut documents = self.documents(&files).await?;
        for ((case, result), file) in cases.iter().zip(results).zip(files) {
            let rendered = result.map(|_| documents.remove(&file).unwrap_or_default());
            self.note(&case.title, &judge(&case.test, &rendered));
        }
        Ok(())
    }

    /// All tests, their values written to files that helm reads.
    async fn cases(&mut self) -> Result<Vec<Case>> {
        let folder = self.scratch.join("suites");
        make_folder(&folder)?;
        let mut cases = Vec::new();
        for chart in self.charts.clone() {
            let mut suites = yaml_files(&chart.folder.join("tests"))?;
            suites.retain(|file| stem(file).ends_with("_test"));
            if suites.is_empty() && !chart.is_library() {
                self.note(
                    &format!("charts/{}", chart.name),
                    &["has no tests/*_test.yaml".to_owned()],
                );
            }
            for (file, documents) in self.documents(&suites).await? {
                let suite = documents.first().cloned().unwrap_or_default();
                let tests = suite["tests"].as_array().cloned().unwrap_or_default();
                if tests.is_empty() {
                    self.note(&file.display().to_string(), &["holds no tests".to_owned()]);
                }
                for test in tests {
                    let name = test["name"].as_str().unwrap_or("(without a name)");
                    let mut values = Vec::new();
                    for (kind, layer) in [("base", &suite["base"]), ("values", &test["values"])] {
                        let path = folder.join(format!("{}.{kind}.json", cases.len()));
                        // JSON is YAML.
                        let layer = if layer.is_null() {
                            "{}".to_owned()
                        } else {
                            layer.to_string()
                        };
                        fs::write(&path, layer)
                            .with_context(|| format!("cannot write {}", path.display()))?;
                        values.push(path);
                    }
                    cases.push(Case {
                        title: format!("charts/{}/tests/{}: {name}", chart.name, stem(&file)),
                        call: call(&chart.folder, &test, values),
                        test,
                    });
                }
            }
        }
        Ok(cases)
    }
}

fn call(chart: &std::path::Path, test: &Value, values: Vec<PathBuf>) -> Call {
    Call {
        chart: chart.to_owned(),
        release: test["release"].as_str().unwrap_or("tripod").to_owned(),
        namespace: test["namespace"].as_str().unwrap_or("tripod").to_owned(),
        values,
        kubernetes: test["kubernetes"].as_str().unwrap_or(NEWEST).to_owned(),
        apis: test["apis"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
    }
}

/// What is not as the test says.
fn judge(test: &Value, rendered: &Result<Vec<Value>, String>) -> Vec<String> {
    let known = [
        "name",
        "values",
        "kubernetes",
        "apis",
        "release",
        "namespace",
        "expect",
        "refused",
    ];
    let keys = test
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, _)| key.as_str());
    let unknown: Vec<_> = keys.filter(|key| !known.contains(key)).collect();
    if !unknown.is_empty() {
        return vec![format!("the test has unknown keys: {}", unknown.join(", "))];
    }
    match (
        test["refused"].as_array(),
        test["expect"].as_array(),
        rendered,
    ) {
        (Some(words), None, Err(message)) if !words.is_empty() => {
            // helm breaks and indents what it quotes.
            let flat = message.split_whitespace().collect::<Vec<_>>().join(" ");
            let missing = words
                .iter()
                .filter_map(Value::as_str)
                .filter(|word| !flat.contains(word));
            missing
                .map(|word| format!("the refusal does not say {word:?}: {flat}"))
                .collect()
        }
        (Some(_), None, Ok(_)) => vec!["it renders, but should be refused".to_owned()],
        (None, Some(_), Err(message)) => vec![format!("it is refused: {message}")],
        (None, Some(expectations), Ok(documents)) if !expectations.is_empty() => {
            let unmet = expectations.iter().map(|one| unmet(one, documents));
            unmet
                .filter_map(Result::err)
                .chain(mistaken(documents))
                .collect()
        }
        _ => vec!["a test needs either `expect` or `refused`, and something in it".to_owned()],
    }
}

/// Objects that a cluster would not take for what they are, whatever a test expects: two of a kind
/// with one name, or a name that YAML reads as a number or a switch.
fn mistaken(documents: &[Value]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut problems = Vec::new();
    for document in documents {
        let kind = &document["kind"];
        let metadata = &document["metadata"];
        if !seen.insert((kind.to_string(), metadata["name"].to_string())) {
            problems.push(format!("two objects are {kind} {}", metadata["name"]));
        }
        let namespace = &metadata["namespace"];
        if !metadata["name"].is_string() || !(namespace.is_null() || namespace.is_string()) {
            problems.push(format!(
                "{kind} has the name {} and the namespace {namespace}, which must be texts",
                metadata["name"]
            ));
        }
    }
    problems
}

/// Whether the documents are as one expectation says.
fn unmet(expectation: &Value, documents: &[Value]) -> Result<(), String> {
    let of = expectation["of"]
        .as_str()
        .ok_or("an expectation needs `of`: KIND or KIND/NAME")?;
    let (kind, name) = of
        .split_once('/')
        .map_or((of, None), |(kind, name)| (kind, Some(name)));
    let matching: Vec<_> = documents
        .iter()
        .filter(|document| document["kind"] == kind)
        .filter(|document| name.is_none_or(|name| document["metadata"]["name"] == name))
        .collect();
    if let Some(count) = expectation["count"].as_u64() {
        return if matching.len() as u64 == count {
            Ok(())
        } else {
            Err(format!(
                "{of}: {} of them instead of {count}",
                matching.len()
            ))
        };
    }
    let [document] = matching.as_slice() else {
        return Err(format!(
            "{of}: {} of them, but a path needs one",
            matching.len()
        ));
    };
    let path = expectation["path"]
        .as_array()
        .ok_or(format!("{of}: neither `path` nor `count`"))?;
    let found = path.iter().try_fold(*document, step);
    let place = format!("{of}: {}", Value::Array(path.clone()));
    if expectation["absent"] == true {
        return found.map_or(Ok(()), |found| Err(format!("{place} is there: {found}")));
    }
    let found = found.ok_or(format!("{place} is not there"))?;
    let map = expectation.as_object();
    if let Some(wanted) = map.and_then(|map| map.get("equals")) {
        return if found == wanted {
            Ok(())
        } else {
            Err(format!("{place} is {found} instead of {wanted}"))
        };
    }
    let wanted = map
        .and_then(|map| map.get("contains"))
        .ok_or(format!("{place}: nothing is asked of it"))?;
    let holds = match (found, wanted) {
        (Value::String(text), Value::String(part)) => text.contains(part.as_str()),
        (Value::Array(items), item) => items.contains(item),
        _ => false,
    };
    if holds {
        Ok(())
    } else {
        Err(format!("{place} is {found}, without {wanted}"))
    }
}

/// One key further.
fn step<'a>(value: &'a Value, key: &Value) -> Option<&'a Value> {
    match (value, key) {
        (Value::Object(map), Value::String(key)) => map.get(key),
        (Value::Array(items), Value::Number(index)) => {
            items.get(usize::try_from(index.as_u64()?).ok()?)
        }
        (Value::Array(items), Value::String(search)) => {
            let (field, wanted) = search.split_once('=')?;
            items.iter().find(|item| item[field] == wanted)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn documents() -> Vec<Value> {
        vec![
            json!({"kind": "Service", "metadata": {"name": "a"}, "spec": {"ports": [{"name": "http", "port": 80}], "tags": ["x"]}}),
            json!({"kind": "Pod", "metadata": {"name": "b"}}),
            json!({"kind": "Pod", "metadata": {"name": "c"}}),
        ]
    }

    fn asked(expectation: &Value) -> Result<(), String> {
        unmet(expectation, &documents())
    }

    #[test]
    fn paths_lead_through_maps_and_lists() {
        asked(&json!({"of": "Service", "path": ["spec", "ports", 0, "port"], "equals": 80}))
            .unwrap();
        asked(&json!({"of": "Service/a", "path": ["spec", "ports", "name=http", "port"], "equals": 80})).unwrap();
        asked(&json!({"of": "Service", "path": ["spec", "tags"], "contains": "x"})).unwrap();
        asked(&json!({"of": "Service", "path": ["metadata", "name"], "contains": "a"})).unwrap();
        asked(&json!({"of": "Service", "path": ["spec", "none"], "absent": true})).unwrap();
        asked(&json!({"of": "Pod", "count": 2})).unwrap();
    }

    #[test]
    fn what_is_not_so_is_told() {
        let wrong = [
            (
                json!({"of": "Service", "path": ["spec", "ports", 0, "port"], "equals": 81}),
                "instead of 81",
            ),
            (
                json!({"of": "Service", "path": ["spec", "nowhere"], "equals": 1}),
                "not there",
            ),
            (
                json!({"of": "Service", "path": ["spec", "tags"], "contains": "y"}),
                "without",
            ),
            (
                json!({"of": "Service", "path": ["spec"], "absent": true}),
                "is there",
            ),
            (
                json!({"of": "Service", "path": ["spec"]}),
                "nothing is asked",
            ),
            (
                json!({"of": "Pod", "path": ["spec"], "equals": 1}),
                "2 of them",
            ),
            (json!({"of": "Ingress", "count": 1}), "0 of them"),
        ];
        for (expectation, word) in wrong {
            let told = asked(&expectation).unwrap_err();
            assert!(told.contains(word), "{told}");
        }
    }

    #[test]
    fn a_refusal_must_happen_and_say_why() {
        let test = json!({"name": "x", "refused": ["too few"]});
        assert_eq!(
            judge(&test, &Err("there are too\n   few".to_owned())),
            [""; 0]
        );
        assert_eq!(judge(&test, &Err("other".to_owned())).len(), 1);
        assert_eq!(judge(&test, &Ok(vec![])).len(), 1);
    }

    #[test]
    fn names_are_texts_and_stand_once() {
        assert_eq!(mistaken(&documents()), [""; 0]);
        let pod = |name: Value, namespace: Value| json!({"kind": "Pod", "metadata": {"name": name, "namespace": namespace}});
        let twice = [
            pod(json!("a"), Value::Null),
            pod(json!("a"), json!("tripod")),
        ];
        assert_eq!(mistaken(&twice).len(), 1);
        assert_eq!(mistaken(&[pod(json!(true), Value::Null)]).len(), 1);
        assert_eq!(mistaken(&[pod(json!("a"), json!(1234))]).len(), 1);
    }

    #[test]
    fn a_test_that_asks_nothing_fails() {
        for test in [
            json!({"name": "x"}),
            json!({"expect": []}),
            json!({"expects": [1]}),
        ] {
            assert_eq!(judge(&test, &Ok(vec![])).len(), 1, "{test}");
        }
    }
}
