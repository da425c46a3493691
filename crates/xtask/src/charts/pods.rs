//! The restricted pod standard of Kubernetes, and three rules of our own: a
//! read-only root, a numeric user, no token.

use serde_json::Value;

use super::Check;
use super::render::Rendered;

/// Volumes that the standard allows.
const VOLUMES: [&str; 8] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

impl Check {
    /// Every pod of every rendering.
    pub(super) fn pods(&mut self, rendered: &[Rendered]) {
        for one in rendered {
            let mut problems = Vec::new();
            let mut pods = 0;
            for document in &one.documents {
                let Some(pod) = pod_spec(document) else {
                    continue;
                };
                pods += 1;
                let name = format!(
                    "{}/{}",
                    text(&document["kind"]),
                    text(&document["metadata"]["name"])
                );
                problems.extend(
                    violations(pod)
                        .into_iter()
                        .map(|rule| format!("{name}: {rule}")),
                );
            }
            if pods == 0 {
                problems.push("no pod at all".to_owned());
            }
            self.note(&format!("{}: pods are restricted", one.title()), &problems);
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The pod inside an object that makes some.
fn pod_spec(document: &Value) -> Option<&Value> {
    let path = match text(&document["kind"]) {
        "Pod" => "/spec",
        "CronJob" => "/spec/jobTemplate/spec/template/spec",
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Job" => "/spec/template/spec",
        _ => return None,
    };
    document.pointer(path)
}

/// Which rules a pod breaks.
fn violations(pod: &Value) -> Vec<String> {
    let security = &pod["securityContext"];
    let mut rules = vec![
        (pod["hostNetwork"] != true, "hostNetwork is on"),
        (pod["hostPID"] != true, "hostPID is on"),
        (pod["hostIPC"] != true, "hostIPC is on"),
        (
            pod["automountServiceAccountToken"] == false,
            "a token is mounted",
        ),
        (
            security["runAsNonRoot"] == true,
            "runAsNonRoot is not set for the pod",
        ),
        (
            security["runAsUser"].as_u64().is_some_and(|user| user > 0),
            "the user is no number above 0",
        ),
        (
            matches!(
                text(&security["seccompProfile"]["type"]),
                "RuntimeDefault" | "Localhost"
            ),
            "no seccomp profile",
        ),
        (security["sysctls"].is_null(), "sysctls are set"),
    ];
    let lists = ["initContainers", "containers", "ephemeralContainers"];
    let containers: Vec<_> = lists
        .iter()
        .filter_map(|list| pod[*list].as_array())
        .flatten()
        .collect();
    rules.push((!containers.is_empty(), "no container"));
    let mut broken: Vec<_> = rules
        .iter()
        .filter(|(kept, _)| !kept)
        .map(|(_, rule)| (*rule).to_owned())
        .collect();
    for volume in pod["volumes"].as_array().into_iter().flatten() {
        let kinds = volume
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, _)| key.as_str());
        let others = kinds.filter(|kind| *kind != "name" && !VOLUMES.contains(kind));
        broken.extend(others.map(|kind| format!("a volume of kind {kind}")));
    }
    for container in containers {
        let rules = container_violations(container);
        broken.extend(
            rules
                .iter()
                .map(|rule| format!("{}: {rule}", text(&container["name"]))),
        );
    }
    broken
}

/// Which rules a container breaks.
fn container_violations(container: &Value) -> Vec<&'static str> {
    let security = &container["securityContext"];
    let limits = &container["resources"]["limits"];
    let all = |list: &Value, rule: fn(&Value) -> bool| {
        list.as_array().is_none_or(|items| items.iter().all(rule))
    };
    let drop = security["capabilities"]["drop"].as_array();
    [
        (
            security["allowPrivilegeEscalation"] == false,
            "may gain privileges",
        ),
        (security["privileged"] != true, "privileged"),
        (
            security["readOnlyRootFilesystem"] == true,
            "may write to its root",
        ),
        (security["runAsUser"].as_u64() != Some(0), "runs as root"),
        (security["runAsNonRoot"] != false, "may run as root"),
        (
            security["procMount"].is_null() || security["procMount"] == "Default",
            "procMount",
        ),
        (
            security["seccompProfile"]["type"] != "Unconfined",
            "no seccomp profile",
        ),
        (
            drop.is_some_and(|names| names.iter().any(|name| name == "ALL")),
            "does not drop all capabilities",
        ),
        (
            all(&security["capabilities"]["add"], |name| {
                name == "NET_BIND_SERVICE"
            }),
            "adds a capability",
        ),
        (
            all(&container["ports"], |port| {
                port["hostPort"].is_null() || port["hostPort"] == 0
            }),
            "a port of the host",
        ),
        (limits["memory"].is_string(), "no memory limit"),
        // It would stop short bursts for tens of milliseconds.
        (limits["cpu"].is_null(), "a CPU limit"),
    ]
    .iter()
    .filter(|(kept, _)| !kept)
    .map(|(_, rule)| *rule)
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn good() -> Value {
        json!({
            "automountServiceAccountToken": false,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "volumes": [{"name": "database", "secret": {}}],
            "containers": [{
                "name": "service",
                "resources": {"limits": {"memory": "64Mi"}},
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "readOnlyRootFilesystem": true,
                    "capabilities": {"drop": ["ALL"]},
                },
            }],
        })
    }

    #[test]
    fn a_restricted_pod_passes() {
        assert_eq!(violations(&good()), [""; 0]);
    }

    #[test]
    fn each_relaxation_is_named() {
        let relaxations = [
            ("/automountServiceAccountToken", json!(true), "token"),
            (
                "/securityContext/runAsNonRoot",
                json!(false),
                "runAsNonRoot",
            ),
            ("/securityContext/runAsUser", json!(0), "user"),
            (
                "/securityContext/seccompProfile/type",
                json!("Unconfined"),
                "seccomp",
            ),
            (
                "/volumes/0",
                json!({"name": "x", "hostPath": {}}),
                "hostPath",
            ),
            (
                "/containers/0/securityContext/allowPrivilegeEscalation",
                json!(true),
                "gain",
            ),
            (
                "/containers/0/securityContext/readOnlyRootFilesystem",
                json!(false),
                "root",
            ),
            (
                "/containers/0/securityContext/capabilities",
                json!({"drop": ["ALL"], "add": ["SYS_ADMIN"]}),
                "adds",
            ),
            (
                "/containers/0/securityContext/capabilities",
                json!({"drop": ["NET_RAW"]}),
                "drop all",
            ),
            (
                "/containers/0/resources/limits",
                json!({"memory": "1Gi", "cpu": "1"}),
                "CPU limit",
            ),
            ("/containers", json!([]), "no container"),
        ];
        for (path, value, word) in relaxations {
            let mut pod = good();
            *pod.pointer_mut(path).unwrap() = value;
            let found = violations(&pod).join("; ");
            assert!(found.contains(word), "{path}: {found}");
        }
    }
}
