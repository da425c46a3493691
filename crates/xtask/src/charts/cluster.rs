//! Which Kubernetes the charts are for.

use serde_json::Value;

/// Renderings are validated strictly against the schemas of these.
pub(super) const VERSIONS: [&str; 3] = ["1.31", "1.33", "1.35"];

/// Of what the charts render, the API versions and fields that came after 1.20:
/// kind, the `apiVersion` that 1.20 has, and fields that it lacks. No schemas
/// are kept for a version that old, and its API server would ignore the fields
/// or refuse the objects.
const OLD: [(&str, &str, &[&str]); 4] = [
    ("HorizontalPodAutoscaler", "autoscaling/v2beta2", &[]),
    (
        "PodDisruptionBudget",
        "policy/v1beta1",
        &["unhealthyPodEvictionPolicy"],
    ),
    ("Deployment", "apps/v1", &["matchLabelKeys", "sleep"]),
    ("Ingress", "networking.k8s.io/v1", &[]),
];

/// What in a document a Kubernetes of 1.20 would not take.
pub(super) fn problems(document: &Value, version: &str) -> Vec<String> {
    let kind = document["kind"].as_str().unwrap_or_default();
    let found = document["apiVersion"].as_str().unwrap_or_default();
    let mut problems = Vec::new();
    for (_, wanted, unknown) in OLD.iter().filter(|(name, _, _)| *name == kind) {
        if found != *wanted {
            problems.push(format!(
                "{kind} is {found}, which Kubernetes {version} calls {wanted}"
            ));
        }
        for field in *unknown {
            if holds_key(document, field) {
                problems.push(format!(
                    "{kind} has {field}, which Kubernetes {version} does not know"
                ));
            }
        }
    }
    problems
}

/// Whether any map below has this key.
fn holds_key(value: &Value, wanted: &str) -> bool {
    match value {
        Value::Object(map) => map
            .iter()
            .any(|(key, value)| key == wanted || holds_key(value, wanted)),
        Value::Array(items) => items.iter().any(|item| holds_key(item, wanted)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn new_versions_and_fields_are_found() {
        let new = json!({"kind": "PodDisruptionBudget", "apiVersion": "policy/v1", "spec": {"unhealthyPodEvictionPolicy": "AlwaysAllow"}});
        assert_eq!(problems(&new, "1.20").len(), 2);
        let old = json!({"kind": "PodDisruptionBudget", "apiVersion": "policy/v1beta1", "spec": {"maxUnavailable": 1}});
        assert_eq!(problems(&old, "1.20"), [""; 0]);
        let nested = json!({"kind": "Deployment", "apiVersion": "apps/v1", "spec": {"c": [{"matchLabelKeys": []}]}});
        assert_eq!(problems(&nested, "1.20").len(), 1);
    }
}
