"""What no linter knows of k8s/ and eksctl/: schemas of custom kinds, the restricted pod standard for every pod, least rights, and that
files agree with each other. Needs PyYAML, jsonschema and helm; `cargo xtask test --only cluster` brings them."""

import json
import pathlib
import re
import shlex
import subprocess
import tempfile
import tomllib
import unittest

import jsonschema
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
K8S = ROOT / "k8s"
EKSCTL = ROOT / "eksctl"
SCHEMAS = K8S / "schemas"
KIND = "kind.x-k8s.io/v1alpha4"
NATIVE = re.compile(r"^(v1|apps/v1|batch/v1|policy/v1|autoscaling/v2|([a-z.]+\.)?k8s\.io/v1)$")


def documents(folder, skip=("schemas", "tests", "monitoring", "kind")):
    for path in sorted(folder.rglob("*.yaml")):
        if path.relative_to(folder).parts[0] in skip:
            continue
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            if document is not None and "apiVersion" in document:
                yield path.relative_to(ROOT), document


def all_manifests():
    yield from documents(K8S)
    for path in sorted((K8S / "kind").glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            if document is not None and document.get("apiVersion", KIND) != KIND:
                yield path.relative_to(ROOT), document


def pods(document):
    """(where, pod spec) for everything that makes pods."""
    kind, spec = document["kind"], document.get("spec", {})
    if kind == "Pod":
        yield "spec", spec
    elif kind in ("Deployment", "StatefulSet", "DaemonSet", "Job", "ReplicaSet"):
        yield "template", spec["template"]["spec"]
    elif kind == "CronJob":
        yield "template", spec["jobTemplate"]["spec"]["template"]["spec"]
    elif kind == "SparkApplication":
        for part in ("driver", "executor"):
            yield part, spec[part]["template"]["spec"]


def labels_of_pods(document):
    """The labels of each pod that `pods` finds."""
    kind, spec = document["kind"], document.get("spec", {})
    if kind == "SparkApplication":
        return [spec[part]["labels"] for part in ("driver", "executor")]
    template = spec.get("jobTemplate", {}).get("spec", spec).get("template", {})
    return [template["metadata"]["labels"]] if "metadata" in template else []


def selects(selector, labels):
    """Whether a selector of pods takes these labels; of expressions it knows "In"."""
    expressions = selector.get("matchExpressions", [])
    assert all(expression["operator"] == "In" for expression in expressions), selector
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items()) and all(
        labels.get(expression["key"]) in expression["values"] for expression in expressions)


def unrestricted(pod):
    """Why a pod is not what the "restricted" standard asks for (Kubernetes' documentation, Pod Security Standards)."""
    whole = pod.get("securityContext", {})
    for flag in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(flag):
            yield flag
    if not whole.get("runAsNonRoot"):
        yield "runAsNonRoot is not set for the pod"
    if whole.get("runAsUser", 1) == 0 or whole.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
        yield "root or no seccomp profile"
    if whole.get("sysctls"):
        yield "sysctls"
    for volume in pod.get("volumes", []):
        kinds = set(volume) - {"name"}
        if not kinds <= {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}:
            yield f"volume {volume['name']}: {kinds}"
    for container in pod.get("containers", []) + pod.get("initContainers", []):
        name, own = container["name"], container.get("securityContext", {})
        if own.get("allowPrivilegeEscalation") is not False:
            yield f"{name}: allowPrivilegeEscalation"
        if own.get("privileged") or own.get("runAsUser") == 0 or own.get("runAsNonRoot") is False:
            yield f"{name}: privileged or root"
        if own.get("capabilities", {}).get("drop") != ["ALL"] or own.get("capabilities", {}).get("add"):
            yield f"{name}: capabilities"
        if any("hostPort" in port for port in container.get("ports", [])):
            yield f"{name}: host port"


class Pods(unittest.TestCase):
    def test_every_pod_meets_the_restricted_standard(self):
        seen = 0
        for path, document in all_manifests():
            for where, pod in pods(document):
                seen += 1
                with self.subTest(file=str(path), name=document["metadata"]["name"], where=where):
                    self.assertEqual(list(unrestricted(pod)), [])
        self.assertGreaterEqual(seen, 5)

    def test_the_check_of_the_standard_can_fail(self):
        good = next(pod for path, document in all_manifests() for _, pod in pods(document) if path.name == "cronjob.yaml")
        self.assertEqual(list(unrestricted(good)), [])
        for change in (
                lambda pod: pod.update(hostNetwork=True),
                lambda pod: pod["securityContext"].pop("runAsNonRoot"),
                lambda pod: pod["securityContext"].pop("seccompProfile"),
                lambda pod: pod["volumes"].append({"name": "x", "hostPath": {"path": "/"}}),
                lambda pod: pod["containers"][0].pop("securityContext"),
                lambda pod: pod["containers"][0]["securityContext"]["capabilities"].update(add=["NET_ADMIN"])):
            bad = json.loads(json.dumps(good))
            change(bad)
            self.assertNotEqual(list(unrestricted(bad)), [])

    def test_every_pod_has_bounds_and_a_read_only_root(self):
        for path, document in all_manifests():
            for where, pod in pods(document):
                for container in pod["containers"]:
                    with self.subTest(file=str(path), name=document["metadata"]["name"], container=container["name"]):
                        self.assertTrue(container["securityContext"].get("readOnlyRootFilesystem"))
                        if document["kind"] != "SparkApplication":
                            # Spark sets its own from cores and memory.
                            self.assertIn("memory", container["resources"]["limits"])
                            self.assertIn("cpu", container["resources"]["requests"])
                        if "image" in container:
                            self.assertRegex(container["image"], r":[0-9]|@sha256:", "an image without a version")

    def test_images_that_are_handed_passwords_are_of_an_exact_version(self):
        seen = 0
        for path, document in all_manifests():
            if path.parts[1] != "database":
                continue
            for _, pod in pods(document):
                for container in pod["containers"]:
                    seen += 1
                    self.assertRegex(container["image"], r":\d+\.\d+\.\d+$|@sha256:[0-9a-f]{64}$", path)
        self.assertGreaterEqual(seen, 1)

    def test_only_the_spark_driver_gets_a_token(self):
        for path, document in all_manifests():
            for where, pod in pods(document):
                with self.subTest(file=str(path), where=where):
                    self.assertEqual(pod.get("automountServiceAccountToken"), where == "driver")

    def test_what_pods_mount_is_declared(self):
        for path, document in all_manifests():
            for where, pod in pods(document):
                volumes = {volume["name"] for volume in pod.get("volumes", [])}
                for container in pod["containers"]:
                    mounted = {mount["name"] for mount in container.get("volumeMounts", [])}
                    self.assertLessEqual(mounted, volumes, path)


class Rights(unittest.TestCase):
    def test_no_role_has_a_wildcard_or_reaches_over_its_namespace(self):
        for path, document in all_manifests():
            self.assertNotIn(document["kind"], ("ClusterRole", "ClusterRoleBinding"), path)
            for rule in document.get("rules", []) if document["kind"] == "Role" else []:
                for key in ("apiGroups", "resources", "verbs"):
                    self.assertNotIn("*", rule[key], path)
                # Only one that is named, and only to be read.
                if "secrets" in rule["resources"]:
                    self.assertEqual((rule["resources"], rule["verbs"]), (["secrets"], ["get"]), path)
                    self.assertTrue(rule["resourceNames"], path)

    def test_roles_of_people_reach_the_kinds_that_the_access_policies_do_not_know(self):
        bound, rules = {}, {}
        for path, document in all_manifests():
            if path.name == "access.yaml":
                key = document["metadata"]["namespace"], document["metadata"]["name"]
                if document["kind"] == "Role":
                    rules[key] = document["rules"]
                else:
                    self.assertEqual(document["roleRef"]["name"], document["metadata"]["name"])
                    bound[key] = document["subjects"][0]["name"]
        self.assertEqual(set(rules), set(bound))
        for path in ("cluster.yaml", "cluster-small.yaml"):
            config = yaml.safe_load((EKSCTL / path).read_text(encoding="utf-8"))
            roles = {entry["principalARN"].rpartition("-")[2]: entry for entry in config["accessConfig"]["accessEntries"]}
            self.assertEqual({key: entry["kubernetesGroups"] for key, entry in roles.items()}, {
                "operator": ["tripod-operators"], "viewer": ["tripod-viewers"]}, path)
            self.assertTrue(all(entry["principalARN"].endswith(f"role/{config['metadata']['name']}-{role}") for role, entry in roles.items()))
        self.assertEqual(set(bound.values()), {"tripod-operators", "tripod-viewers"})
        # `helm rollback` puts back every kind that the charts make and that is nobody's but its makers'.
        made = set()
        for template in (ROOT / "charts/service/templates").glob("*.tpl"):
            text = template.read_text(encoding="utf-8")
            # The version of the operator's kinds depends on the cluster.
            text = text.replace('{{ include "service.externalsecret.api" . }}', "external-secrets.io/any")
            for group, kind in re.findall(r"^apiVersion: (monitoring\.coreos\.com|external-secrets\.io)/\S+\nkind: (\w+)$", text, re.M):
                made.add((group, kind.lower() + "s"))
        self.assertGreaterEqual(len(made), 4)
        for group, resource in made:
            verbs = {verb for rule in rules["tripod", "operator"] if group in rule["apiGroups"] and resource in rule["resources"]
                     for verb in rule["verbs"]}
            self.assertLessEqual({"get", "list", "create", "update", "patch", "delete"}, verbs, resource)

    def test_grafana_reads_config_maps_of_two_namespaces_and_no_secret(self):
        values = yaml.safe_load((EKSCTL / "addons/kube-prometheus-stack.yaml").read_text(encoding="utf-8"))["grafana"]
        # The chart's own role has secrets in it, whatever else is set.
        self.assertIs(values["rbac"]["create"], False)
        objects = {(thing["kind"], thing["metadata"]["namespace"]): thing for thing in values["extraObjects"]}
        self.assertEqual(set(objects), {(kind, namespace) for kind in ("Role", "RoleBinding") for namespace in ("monitoring", "tripod")})
        searched = values["sidecar"]["dashboards"]["searchNamespace"]
        self.assertEqual(set(searched), {namespace for _, namespace in objects})
        # Where they ask for secrets as well, they are refused and start over.
        for sidecar in values["sidecar"].values():
            self.assertEqual(sidecar["resource"], "configmap")
        for (kind, namespace), thing in objects.items():
            if kind == "Role":
                self.assertEqual(thing["rules"], [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch"]}])
            else:
                self.assertEqual(thing["roleRef"]["name"], objects["Role", namespace]["metadata"]["name"])
                self.assertEqual(thing["subjects"], [
                    {"kind": "ServiceAccount", "name": values["serviceAccount"]["name"], "namespace": "monitoring"}])

    def test_no_pod_identity_has_a_wildcard_of_actions_or_everything_as_resource(self):
        for path in ("cluster.yaml", "cluster-small.yaml"):
            config = yaml.safe_load((EKSCTL / path).read_text(encoding="utf-8"))
            for association in config["iam"]["podIdentityAssociations"]:
                for statement in association.get("permissionPolicy", {}).get("Statement", []):
                    with self.subTest(file=path, sid=statement["Sid"]):
                        self.assertFalse([action for action in statement["Action"] if "*" in action])
                        resources = statement["Resource"]
                        for resource in [resources] if isinstance(resources, str) else resources:
                            self.assertNotEqual(resource, "*")
                            self.assertTrue("tripod-" in resource or "Condition" in statement, resource)

    def test_spark_may_ask_whether_its_zones_are_there_and_for_nothing_else(self):
        # Spark looks for a zone as an object of its name first. Without both rights the answer is 403, which it takes for an error.
        config = yaml.safe_load((EKSCTL / "cluster.yaml").read_text(encoding="utf-8"))
        policy = next(association["permissionPolicy"] for association in config["iam"]["podIdentityAssociations"]
                      if association["serviceAccountName"] == "etl-spark")
        listed, read = set(), set()
        for statement in policy["Statement"]:
            if "s3:ListBucket" in statement["Action"]:
                listed |= set(statement["Condition"]["StringLike"]["s3:prefix"])
            if "s3:GetObject" in statement["Action"]:
                read |= {resource.partition("/")[2] for resource in statement["Resource"]}
        zones = {"working", "working/*", "processed", "processed/*"}
        self.assertEqual((listed, read), (zones, zones))

    def test_rights_in_the_cluster_come_and_go_with_spark(self):
        for path, document in documents(K8S):
            # Those of people have a file of their own, and name groups only.
            is_of_people = path.name == "access.yaml"
            if document["kind"] == "RoleBinding" and is_of_people:
                self.assertEqual({subject["kind"] for subject in document["subjects"]}, {"Group"})
            elif document["kind"] in ("Role", "RoleBinding") and not is_of_people:
                self.assertEqual(path.name, "spark.yaml")
            if document["kind"] == "RoleBinding" and not is_of_people:
                self.assertEqual([subject["name"] for subject in document["subjects"]], ["etl-spark"])
            for _, pod in pods(document):
                self.assertNotEqual(pod.get("serviceAccountName"), "etl-spark", path)
        spark = next(document for _, document in documents(K8S) if document["kind"] == "SparkApplication")["spec"]
        self.assertEqual({spark[part]["serviceAccount"] for part in ("driver", "executor")}, {"etl-spark"})

    def test_whoever_has_rights_in_the_cloud_is_an_account_that_is_made(self):
        made = {document["metadata"]["name"] for _, document in documents(K8S) if document["kind"] == "ServiceAccount"}
        for path in ("cluster.yaml", "cluster-small.yaml"):
            config = yaml.safe_load((EKSCTL / path).read_text(encoding="utf-8"))
            ours = {association["serviceAccountName"] for association in config["iam"]["podIdentityAssociations"]
                    if association["namespace"].startswith("tripod")}
            self.assertTrue(ours and ours <= made, (path, ours))

    def test_namespaces_of_ours_enforce_the_restricted_standard(self):
        labels = {
            document["metadata"]["name"]: document["metadata"]["labels"]
            for _, document in all_manifests() if document["kind"] == "Namespace"}
        key = "pod-security.kubernetes.io/enforce"
        self.assertEqual({name: label[key] for name, label in labels.items() if name.startswith("tripod")}, {
            "tripod": "restricted", "tripod-etl": "restricted"})
        self.assertEqual(labels["tripod"]["elbv2.k8s.aws/pod-readiness-gate-inject"], "enabled")
        self.assertTrue(all(key in label for label in labels.values()))

    def test_every_object_stands_in_a_namespace_that_is_made(self):
        made = {document["metadata"]["name"] for _, document in all_manifests() if document["kind"] == "Namespace"}
        for path, document in all_manifests():
            if document["kind"] not in ("Namespace", "StorageClass"):
                self.assertIn(document["metadata"].get("namespace"), made, path)


class Network(unittest.TestCase):
    """Who may talk to whom: in our namespaces nobody, but for what is named."""

    AGENT = "169.254.170.23/32"

    def policies(self, namespace, files=None):
        return [document for path, document in all_manifests() if document["kind"] == "NetworkPolicy"
                and document["metadata"]["namespace"] == namespace and (files is None or path.name in files)]

    def ways_out(self, labels):
        """Ports that pods with these labels may reach on EKS, with the networks or pods that they lead to, as text."""
        ways = set()
        for policy in self.policies("tripod-etl", ("namespaces.yaml", "base.yaml", "spark.yaml")):
            if not selects(policy["spec"]["podSelector"], labels):
                continue
            for rule in policy["spec"].get("egress", []):
                peers = [peer.get("ipBlock", {}).get("cidr", "pods") for peer in rule.get("to", [])] or ["everywhere"]
                ports = [port["port"] for port in rule.get("ports", [])] or ["all"]
                ways |= {(port, peer) for port in ports for peer in peers}
        return ways

    def test_nobody_talks_to_anybody_whom_no_policy_names(self):
        for namespace in ("tripod", "tripod-etl"):
            # With the namespace itself, so that there is no moment without.
            specs = [policy["spec"] for policy in self.policies(namespace, ("namespaces.yaml",))]
            self.assertEqual(specs, [{"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}], namespace)

    def test_each_job_reaches_what_it_works_with_and_no_more(self):
        names = {(53, "pods")}
        database = names | {(3306, "10.20.0.0/16"), (3306, "10.30.0.0/16")}
        objects = {(443, "everywhere"), (80, self.AGENT)}
        wanted = {
            "database-users": database, "sql": database, "sample": database, "etl": database | objects, "etl-load": database | objects,
            "score": names | objects | {("all", "pods")}}
        found = {}
        for path, document in documents(K8S):
            for labels in labels_of_pods(document):
                # Driver and executor of a SparkApplication are one subject.
                found.setdefault(document["metadata"]["name"], []).append(self.ways_out(labels))
        self.assertEqual({name: ways[0] for name, ways in found.items()}, wanted)
        self.assertTrue(all(way == ways[0] for ways in found.values() for way in ways))

    def test_only_executors_and_their_driver_are_called(self):
        called = [policy for policy in self.policies("tripod-etl", ("base.yaml", "spark.yaml")) if policy["spec"].get("ingress")]
        self.assertEqual([policy["metadata"]["name"] for policy in called], ["spark"])
        for rule in called[0]["spec"]["ingress"]:
            self.assertEqual(rule["from"], [{"podSelector": called[0]["spec"]["podSelector"]}])

    def test_pods_of_the_throw_away_cluster_reach_each_other(self):
        labels = {document["metadata"]["name"]: found for _, document in all_manifests() for found in labels_of_pods(document)}
        for namespace, caller, called, port in (("tripod-etl", "sample", "mysql", 3306), ("tripod", "load", None, "http")):
            peers = [peer["podSelector"] for policy in self.policies(namespace) if selects(policy["spec"]["podSelector"], labels[caller])
                     for rule in policy["spec"].get("egress", []) if {"port": port, "protocol": "TCP"} in rule.get("ports", [])
                     for peer in rule.get("to", []) if "podSelector" in peer]
            service = {"app.kubernetes.io/part-of": "tripod", "app.kubernetes.io/component": "service"}
            self.assertTrue(any(selects(peer, labels.get(called, service)) for peer in peers), caller)


class Users(unittest.TestCase):
    """The script of the job that makes the database's users, with a client that knows which passwords are valid."""

    CLIENT = """#!/bin/sh
root=${0%/*}
case " $* " in
  *"$(cat "$root/secrets/reader")"* | *"$(cat "$root/secrets/password")"*) echo "a password in the arguments" >&2; exit 99 ;;
esac
grep -qxFf "$root/valid" "$root/tmp/login.cnf" || { cat "$root/refusal" >&2; exit 1; }
case " $* " in
  *" --execute=SELECT 1 "*) ;;
  *) cat >>"$root/sql" ;;
esac
"""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.root = pathlib.Path(self.folder.name)
        for name in ("secrets", "tmp"):
            (self.root / name).mkdir()
        for name, text in (("username", "administrator"), ("password", 'a"b\\c'), ("reader", "new1"), ("loader", "new2")):
            (self.root / "secrets" / name).write_text(text, encoding="utf-8")
        (self.root / "mysql").write_text(self.CLIENT, encoding="utf-8")
        (self.root / "mysql").chmod(0o755)
        self.refuse("ERROR 1045 (28000): Access denied for user")
        script = next(document["data"]["run.sh"] for path, document in all_manifests()
                      if path.name == "users.yaml" and document["kind"] == "ConfigMap")
        self.script = script.replace("/tmp/", f"{self.root}/tmp/").replace("/secrets/", f"{self.root}/secrets/")

    def refuse(self, text):
        (self.root / "refusal").write_text(text, encoding="utf-8")

    def run_it(self, *valid, end_old="no"):
        """What the administrator sent; `valid` are passwords that the server takes."""
        lines = [f'password="{password}"' for password in (*valid, 'a\\"b\\\\c')]
        (self.root / "valid").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (self.root / "sql").write_text("", encoding="utf-8")
        self.done = subprocess.run(
            ["bash", "-c", self.script], capture_output=True, text=True, timeout=60, check=False,
            env={"PATH": f"{self.root}:/usr/bin:/bin", "DATABASE_HOST": "db.example", "END_OLD_PASSWORDS": end_old})
        return (self.root / "sql").read_text(encoding="utf-8")

    def test_a_password_that_is_valid_is_not_set_again(self):
        sent = self.run_it("new1", "new2")
        self.assertEqual(self.done.returncode, 0, self.done.stderr)
        self.assertNotIn("ALTER USER", sent)
        self.assertIn("GRANT SELECT ON tripod.* TO 'tripod_reader'@'%'", sent)

    def test_one_that_is_not_is_set_beside_the_one_in_force(self):
        sent = self.run_it("new2")
        self.assertEqual(self.done.returncode, 0, self.done.stderr)
        self.assertIn("ALTER USER 'tripod_reader'@'%' IDENTIFIED BY 'new1' RETAIN CURRENT PASSWORD;", sent)
        self.assertNotIn("'tripod_loader'@'%' IDENTIFIED", sent)
        self.assertNotIn("DISCARD", sent)
        self.assertNotIn("new1", self.done.stdout + self.done.stderr)

    def test_old_ones_end_when_told_so(self):
        self.assertEqual(self.run_it("new1", "new2", end_old="yes").count("DISCARD OLD PASSWORD;"), 2)

    def test_a_server_that_does_not_say_whether_it_is_valid_is_not_taken_for_a_no(self):
        self.refuse("ERROR 1040 (HY000): Too many connections")
        self.assertEqual(self.run_it(), "")
        self.assertEqual(self.done.returncode, 1)

    def test_a_password_that_would_end_its_quotes_becomes_no_sql(self):
        (self.root / "secrets/loader").write_text("x'; DROP", encoding="utf-8")
        self.assertEqual(self.run_it(), "")
        self.assertEqual(self.done.returncode, 65)


class Schemas(unittest.TestCase):
    def test_custom_kinds_fit_their_schemas(self):
        seen = set()
        for path, document in all_manifests():
            if NATIVE.match(document["apiVersion"]):
                continue
            group, version = document["apiVersion"].split("/")
            schema = SCHEMAS / "crds" / group / f"{document['kind'].lower()}_{version}.json"
            if document["kind"] == "SparkApplication":
                # Ours: the part of the operator's schema that we use.
                schema = K8S / "etl" / "sparkapplication.schema.json"
            seen.add(document["kind"])
            with self.subTest(file=str(path), kind=document["kind"]):
                validator = jsonschema.Draft7Validator(json.loads(schema.read_text(encoding="utf-8")))
                self.assertEqual([error.message for error in validator.iter_errors(document)], [])
        self.assertLessEqual({"ExternalSecret", "SecretStore", "SparkApplication"}, seen)

    def test_cluster_specs_fit_eksctls_schema(self):
        schema = json.loads((SCHEMAS / "eksctl-v1alpha5.schema.json").read_text(encoding="utf-8"))
        validator = jsonschema.Draft7Validator(schema)
        for path in ("cluster.yaml", "cluster-small.yaml"):
            config = yaml.safe_load((EKSCTL / path).read_text(encoding="utf-8"))
            self.assertEqual([error.message for error in validator.iter_errors(config)], [], path)
            config["managedNodeGroups"][0]["minSzie"] = 1
            self.assertNotEqual(list(validator.iter_errors(config)), [], "the schema lets a mistyped key pass")


class Agreement(unittest.TestCase):
    def test_the_small_cluster_is_seven_c8g_large(self):
        config = yaml.safe_load((EKSCTL / "cluster-small.yaml").read_text(encoding="utf-8"))
        running = [(group["instanceType"], group["desiredCapacity"])
                   for group in config["managedNodeGroups"] if group["desiredCapacity"]]
        self.assertEqual(running, [("c8g.large", 7)])

    def test_every_shape_is_arm64_and_has_a_price(self):
        with (ROOT / "benches/prices.toml").open("rb") as file:
            prices = tomllib.load(file)
        for path in ("cluster.yaml", "cluster-small.yaml"):
            config = yaml.safe_load((EKSCTL / path).read_text(encoding="utf-8"))
            for group in config["managedNodeGroups"]:
                for shape in group.get("instanceTypes", [group.get("instanceType")]):
                    self.assertIn(shape, prices["hourly"])
                    self.assertRegex(shape, r"^[a-z]+\d+g[a-z]*\.", "not a Graviton shape")
                    self.assertIn(shape, prices["nodes"])
        rds = (EKSCTL / "rds.yaml").read_text(encoding="utf-8")
        for shape in set(re.findall(r"\bdb\.r\dg\.\w+", rds)):
            self.assertIn(shape, prices["hourly"])

    def test_storage_of_the_database_and_its_replica_grows_and_never_shrinks(self):
        rds = (EKSCTL / "rds.yaml").read_text(encoding="utf-8")
        self.assertEqual(rds.count("\n      MaxAllocatedStorage: "), rds.count("\n    Type: AWS::RDS::DBInstance\n"))
        # A snapshot may be larger than the parameter.
        self.assertEqual(re.findall(r"\n      AllocatedStorage: (.*)", rds), ["!If [FromSnapshot, !Ref AWS::NoValue, !Ref AllocatedStorageGib]"])

    def test_the_score_step_on_spark_fits_quota_and_nodes_beside_the_nightly_job(self):
        def gib(text):
            return float(text.lower().removesuffix("i").removesuffix("g"))
        spark = next(document for _, document in documents(K8S) if document["kind"] == "SparkApplication")["spec"]
        driver, executor = spark["driver"], spark["executor"]
        nightly = next(pod for path, document in documents(K8S) if path.name == "cronjob.yaml" for _, pod in pods(document))
        beside = nightly["containers"][0]["resources"]["requests"]
        quota = next(document for _, document in documents(K8S) if document["kind"] == "ResourceQuota")["spec"]["hard"]
        cores = int(executor["coreRequest"])
        each = gib(executor["memory"]) + gib(executor["memoryOverhead"])
        # Spark adds two fifths to the memory of a driver in Python.
        memory = executor["instances"] * each + 1.4 * gib(driver["memory"]) + gib(beside["memory"])
        self.assertLessEqual(executor["instances"] + 2, int(quota["pods"]))
        self.assertLessEqual(executor["instances"] * cores + int(driver["coreRequest"]) + int(beside["cpu"]), int(quota["requests.cpu"]))
        self.assertLessEqual(memory, gib(quota["requests.memory"]))
        config = yaml.safe_load((EKSCTL / "cluster.yaml").read_text(encoding="utf-8"))
        burst = next(group for group in config["managedNodeGroups"] if group["name"] == "burst")
        with (ROOT / "benches/prices.toml").open("rb") as file:
            prices = tomllib.load(file)
        # A node keeps about 0.3 of its processors and 1.4 GiB to itself and the cluster's own pods.
        on_one = min(min(int((prices["nodes"][shape]["vcpus"] - 0.3) / cores), int((prices["nodes"][shape]["memory_gib"] - 1.4) / each))
                     for shape in burst["instanceTypes"])
        self.assertGreaterEqual(on_one, 1)
        needed = -(-executor["instances"] // on_one)
        # One more for the driver, one for the nightly job.
        self.assertLessEqual(needed + 2, burst["maxSize"])
        dearest = max(prices["hourly"][shape] for shape in burst["instanceTypes"] if shape.startswith("c8g"))
        text = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
        self.assertRegex(text, rf"(?s)A terabyte: {executor['instances']} executors of\s+{cores} cores.*?at most {needed * dearest:.2f} \$ an hour")

    def test_config_maps_of_files_hold_what_the_driver_looks_for(self):
        # A ConfigMap takes the files of a folder and none of those below.
        text = (K8S / "etl/spark.yaml").read_text(encoding="utf-8")
        folder = ROOT / re.search(r"create configmap etl-sql .*--from-file=(\S+)", text).group(1)
        self.assertTrue([path for path in folder.iterdir() if re.fullmatch(r"\d\d_\w+\.sql", path.name)], folder)
        self.assertTrue((ROOT / re.search(r"create configmap etl-spark .*--from-file=(\S+)", text).group(1)).is_file())

    def test_nodes_are_private_encrypted_and_keep_their_role_to_themselves(self):
        for path in ("cluster.yaml", "cluster-small.yaml"):
            config = yaml.safe_load((EKSCTL / path).read_text(encoding="utf-8"))
            for group in config["managedNodeGroups"]:
                for key in ("privateNetworking", "volumeEncrypted", "disableIMDSv1", "disablePodIMDS"):
                    self.assertIs(group[key], True, (path, group["name"], key))
            self.assertNotIn("0.0.0.0/0", config["vpc"]["publicAccessCIDRs"])

    def test_the_controller_attaches_the_firewall_that_the_charts_advise(self):
        self.assertIn("wafv2-acl-", (ROOT / "charts/twitter/values.yaml").read_text(encoding="utf-8"))
        values = yaml.safe_load((EKSCTL / "addons/aws-load-balancer-controller.yaml").read_text(encoding="utf-8"))
        self.assertTrue(values["enableWafv2"])

    def test_ingresses_of_the_group_agree_and_do_not_share_a_place(self):
        rules = {document["metadata"]["name"]: document["metadata"]["annotations"]
                 for _, document in documents(K8S / "ingress", skip=()) if document["kind"] == "Ingress"}
        self.assertEqual(set(rules), {"blockchain", "qrcode", "twitter"})
        order = "alb.ingress.kubernetes.io/group.order"
        self.assertEqual(len({annotations.pop(order) for annotations in rules.values()}), 3)
        self.assertEqual(rules["blockchain"], rules["qrcode"])
        self.assertEqual(rules["blockchain"], rules["twitter"])

    def test_the_chain_of_timeouts_holds(self):
        annotations = next(document["metadata"]["annotations"] for _, document in documents(K8S / "ingress", skip=()))
        idle = int(re.search(r"idle_timeout\.timeout_seconds=(\d+)", annotations[
            "alb.ingress.kubernetes.io/load-balancer-attributes"]).group(1))
        readme = (ROOT / "README.md").read_text(encoding="utf-8")
        default = {name: int(value) for name, value in re.findall(r"^\| `(\w+)` \| `(\d+)` \|", readme, re.M)}
        self.assertLess(idle * 1000, default["KEEP_ALIVE_MS"])
        period = int(annotations["alb.ingress.kubernetes.io/healthcheck-interval-seconds"])
        failures = int(annotations["alb.ingress.kubernetes.io/unhealthy-threshold-count"])
        # A pod that stops must serve at least until the check has found out.
        self.assertLess(period * failures * 1000, default["SETTLE_MS"])

    def test_security_groups_of_the_pipeline_reach_the_networks_of_both_clusters(self):
        policy = next(document for _, document in all_manifests() if document["kind"] == "NetworkPolicy"
                      and document["metadata"]["name"] == "database")
        reached = {peer["ipBlock"]["cidr"] for rule in policy["spec"]["egress"] for peer in rule.get("to", []) if "ipBlock" in peer}
        for path in ("cluster.yaml", "cluster-small.yaml"):
            self.assertIn(yaml.safe_load((EKSCTL / path).read_text(encoding="utf-8"))["vpc"]["cidr"], reached)


def built(name):
    """The programs of one of the lists in docker/build.sh, as paths in the image."""
    words = re.search(rf"^{name}='([^']+)'$", (ROOT / "docker/build.sh").read_text(encoding="utf-8"), re.M).group(1)
    return {f"/{word}" for word in words.split()}


def images():
    """What each image of ours holds, by its name, as docker/Dockerfile puts it there."""
    text = (ROOT / "docker/Dockerfile").read_text(encoding="utf-8")
    found = {}
    for target, body in re.findall(r"^FROM \S+ AS (\w+)$(.*?)(?=^FROM |\Z)", text, re.M | re.S):
        programs = set()
        for source, place in re.findall(r"^COPY --from=\w+ /out/(\S+) (\S+)$", body, re.M):
            folder, _, program = source.partition("/")
            if place == "/":
                programs |= built(folder)
            elif program:
                programs |= {place} & built(folder)
        if programs:
            found[f"tripod-{target}"] = programs
    return found


def unreachable(container):
    """Programs and files that a container of ours names and that neither its image holds nor a volume brings."""
    image = container.get("image", "").rpartition("/")[2].partition("@")[0].partition(":")[0]
    programs = images().get(image)
    if programs is None:
        return
    words = container.get("command", []) + container.get("args", [])
    if container.get("command") and words[0] not in programs:
        yield f"{words[0]} is not in {image}, which holds {sorted(programs)}"
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = container.get(probe, {}).get("exec", {}).get("command", [])
        if asked and asked[0] not in programs:
            yield f"{asked[0]} of the {probe} is not in {image}"
    if not container.get("command") and image == "tripod-tools":
        yield "the image's own command is only a help text"
    # The score step starts the query engine's program unless it is told not to.
    if words[:1] == ["/etl"] and {"run", "score"} & set(words[1:2]) and "--engine=memory" not in words and "/etl-score" not in programs:
        yield f"/etl-score is not in {image}, and {words[1]} starts it"
    named = [word.partition("=")[2] if word.startswith("--") else word for word in words[1:]]
    named += [entry.get("value", "") for entry in container.get("env", [])]
    mounts = {mount["mountPath"].rstrip("/"): mount.get("readOnly", False) for mount in container.get("volumeMounts", [])}
    for text in named:
        path = re.sub(r"^(file|sqlite)://", "", text)
        if path.startswith("/") and not any(path == mount or path.startswith(f"{mount}/") for mount in mounts):
            yield f"{path} lies on no volume: {sorted(mounts)}"
    written = [word.partition("=")[2] for word in words if word.startswith("--out=")]
    # Steps keep what they work on in TMPDIR.
    if words[:1] == ["/etl"] and {"build", "clean", "load", "run", "score"} & set(words[1:2]):
        written += [entry["value"] for entry in container.get("env", []) if entry["name"] == "TMPDIR"] or ["/tmp"]
    for path in written:
        volumes = [read_only for mount, read_only in mounts.items() if path == mount or path.startswith(f"{mount}/")]
        if not volumes or any(volumes):
            yield f"{path} lies on no volume that can be written"


class Programs(unittest.TestCase):
    """What pods start and name is in their images or on their volumes."""

    def test_the_images_hold_what_the_dockerfile_puts_there(self):
        self.assertEqual(images(), {
            "tripod-blockchain": {"/blockchain-service"},
            "tripod-qrcode": {"/qrcode-service"},
            "tripod-twitter": {"/twitter-service"},
            "tripod-tools": {"/etl", "/etl-score", "/loadgen"},
        })

    def test_every_pod_of_ours_starts_what_is_there_and_names_files_that_are(self):
        seen = 0
        for path, document in all_manifests():
            for where, pod in pods(document):
                for container in pod.get("initContainers", []) + pod.get("containers", []):
                    seen += "tripod-" in container.get("image", "")
                    self.assertEqual(list(unreachable(container)), [], (str(path), where, container["name"]))
        self.assertGreaterEqual(seen, 6)

    def test_the_check_can_fail(self):
        def complaints(**changes):
            container = {"image": "registry.example/tripod-tools:1.2.3", "command": ["/etl"], "args": ["generate", "--out=/scratch/x"],
                         "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}]}
            return " ".join(unreachable({**container, **changes}))
        self.assertEqual(complaints(), "")
        self.assertEqual(complaints(image="docker.io/library/mysql:8.4", command=["bash"]), "")
        self.assertIn("/etl-fast is not in tripod-tools", complaints(command=["/etl-fast"]))
        self.assertIn("/etl is not in tripod-qrcode", complaints(image="tripod-qrcode@sha256:00"))
        self.assertIn("/elsewhere/x lies on no volume", complaints(args=["generate", "--out=/elsewhere/x"]))
        self.assertIn("/scratched lies on no volume", complaints(args=["generate", "--out=/scratched"]))
        self.assertIn("/ca/ca.pem lies on no volume", complaints(env=[{"name": "DATABASE_CA_FILE", "value": "/ca/ca.pem"}]))
        self.assertIn("/tmp lies on no volume that can be written", complaints(args=["build"]))
        self.assertEqual("", complaints(args=["build"], env=[{"name": "TMPDIR", "value": "/scratch"}]))
        self.assertIn("no volume that can be written", complaints(volumeMounts=[{"name": "scratch", "mountPath": "/scratch", "readOnly": True}]))
        self.assertIn("only a help text", complaints(command=[]))
        self.assertIn("/bin/true of the livenessProbe", complaints(livenessProbe={"exec": {"command": ["/bin/true"]}}))


class ChartValues(unittest.TestCase):
    """The values that the scripts install the charts with, rendered by the charts."""

    def render(self, command):
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=ROOT)
        self.assertEqual(done.returncode, 0, done.stderr)
        return [document for document in yaml.safe_load_all(done.stdout) if document]

    def installed_by_up(self, *options):
        """What `up.sh` would install, with the very arguments that it would use."""
        plan = subprocess.run(
            [str(EKSCTL / "up.sh"), "--dry-run", *options], capture_output=True, text=True, timeout=120, check=True).stdout
        line = re.search(r"^  \$ (helm upgrade --install tripod .*)$", plan, re.M).group(1)
        line = line.replace("<Host>", "db.example.internal").replace("<MaxConnections>", "600")
        words = shlex.split(line.replace("upgrade --install", "template").replace("--wait --timeout 15m", ""))
        # Made for the run and gone with it; the plan shows what was in it.
        shown = plan.partition("  networks.yaml:\n")[2]
        with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as networks:
            networks.write("".join(line[6:] for line in shown.splitlines(keepends=True) if line.startswith("    | ")))
            networks.flush()
            words = [networks.name if word.endswith("/networks.yaml") else word for word in words]
            self.assertIn(networks.name, words)
            return self.render([*words, "--api-versions", "monitoring.coreos.com/v1", "--kube-version", "1.35"])

    def check_networks(self, documents):
        """That policies name the subnets that the provider was asked for and nothing wider."""
        subnets = [{"ipBlock": {"cidr": "10.0.0.0/19"}}, {"ipBlock": {"cidr": "10.0.32.0/19"}}]
        seen = 0
        for document in documents:
            name = document["metadata"]["name"]
            if document["kind"] != "NetworkPolicy" or name.endswith("-smoke"):
                continue
            seen += 1
            spec = document["spec"]
            blocks = [rule["from"] for rule in spec["ingress"] if "ipBlock" in rule["from"][0]]
            self.assertEqual(blocks, [subnets], name)
            # Out go names, here by the cache on each node, and of one the database.
            blocks = [rule["to"] for rule in spec["egress"] if "ipBlock" in rule["to"][0]]
            self.assertEqual(blocks, [subnets] if name == "tripod-twitter" else [], name)
        self.assertEqual(seen, 3)

    def check_pods(self, documents):
        seen = 0
        for document in documents:
            for where, pod in pods(document):
                seen += 1
                self.assertEqual(list(unrestricted(pod)), [], (document["metadata"]["name"], where))
                for container in pod["containers"]:
                    self.assertEqual(list(unreachable(container)), [], (document["metadata"]["name"], where))
        self.assertGreaterEqual(seen, 3)

    def test_both_clusters_get_what_their_files_promise(self):
        documents = self.installed_by_up("--registry", "registry.example", "--tag", "1.2.3")
        self.check_pods(documents)
        self.check_networks(documents)
        kinds = [document["kind"] for document in documents]
        for kind, count in (("Ingress", 3), ("PrometheusRule", 3), ("ServiceMonitor", 3), ("HorizontalPodAutoscaler", 3), ("SecretStore", 1)):
            self.assertEqual(kinds.count(kind), count, kind)
        images = {container["image"] for document in documents for _, pod in pods(document) for container in pod["containers"]}
        self.assertTrue(all(image.startswith("registry.example/tripod-") and image.endswith(":1.2.3") for image in images), images)
        secret = next(document for document in documents if document["kind"] == "ExternalSecret")
        self.assertIn("tripod-main/database-reader", json.dumps(secret))

    def test_jobs_of_the_pipeline_find_room_on_the_small_cluster(self):
        config = yaml.safe_load((EKSCTL / "cluster-small.yaml").read_text(encoding="utf-8"))
        load = next(group for group in config["managedNodeGroups"] if group["name"] == "load")
        # A c8g.2xlarge has eight cores, of which the node takes some 100 m.
        self.assertEqual(load["instanceType"], "c8g.2xlarge")
        for name in ("cronjob.yaml", "load.yaml"):
            for path, document in documents(K8S):
                for _, pod in pods(document) if path.name == name else []:
                    for taint in load["taints"]:
                        self.assertIn({"key": taint["key"], "operator": "Equal", "value": taint["value"], "effect": taint["effect"]},
                                      pod["tolerations"], name)
                    cpu = pod["containers"][0]["resources"]["requests"]["cpu"]
                    self.assertLessEqual(int(cpu), 7, name)

    def test_the_small_cluster_s_pods_fit_on_its_nodes(self):
        documents = self.installed_by_up("--small")
        self.check_pods(documents)
        self.check_networks(documents)
        self.assertNotIn("HorizontalPodAutoscaler", [document["kind"] for document in documents])
        config = yaml.safe_load((EKSCTL / "cluster-small.yaml").read_text(encoding="utf-8"))
        nodes = config["managedNodeGroups"][0]["desiredCapacity"]
        milli, mib, largest = 0, 0, (0, 0)
        for document in documents:
            if document["kind"] == "Deployment":
                asked = document["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]
                self.assertTrue(asked["cpu"].endswith("m") and asked["memory"].endswith("Mi"))
                each = (int(asked["cpu"][:-1]), int(asked["memory"][:-2]))
                milli += document["spec"]["replicas"] * each[0]
                mib += document["spec"]["replicas"] * each[1]
                largest = tuple(map(max, largest, each))
                self.assertEqual(document["spec"]["replicas"] % nodes, 0, "pods that cannot stand evenly")
                self.assertEqual(document["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"], 0)
        # A c8g.large has 1,930 m and some 3,300 MiB to give, of which the cluster's own pods ask for about 300 m and 400 MiB. A roll-out
        # starts a pod before it takes one away: each node must have room for one more.
        self.assertLessEqual(milli / nodes + largest[0], 1930 - 300)
        self.assertLessEqual(mib / nodes + largest[1], 3300 - 400)

    def test_the_throw_away_cluster_installs_what_smoke_sh_put_into_it(self):
        documents = self.render(["helm", "template", "tripod", "charts/tripod", "--namespace", "tripod", "--values", "k8s/kind/values.yaml"])
        self.check_pods(documents)
        script = (K8S / "kind/smoke.sh").read_text(encoding="utf-8")
        version = re.search(r"VERSION=(\S+)", script).group(1)
        loaded = {f"tripod-{name}:{version}" for name in re.search(r"for image in ([a-z ]+);", script).group(1).split()}
        documents += [document for path, document in all_manifests() if path.parts[1:] in (("etl", "sample.yaml"), ("kind", "load-test.yaml"))]
        images = {container["image"] for document in documents for _, pod in pods(document) for container in pod["containers"]}
        self.assertLessEqual(images, loaded)
        # The load shares its processors with the whole cluster. Without the option it ends with 3 as soon as it sends late.
        load = next(document for document in documents if document["metadata"]["name"] == "load")
        containers = load["spec"]["template"]["spec"]["containers"]
        for container in containers:
            self.assertEqual(container["args"][:4], ["--fail-if", "errors>0%", "--max-late", "100%"])
        # All that is rolled out under it.
        self.assertEqual({container["name"] for container in containers}, set(re.search(
            r"^for service in ([a-z ]+); do\n  timeout 1m kubectl rollout restart", script, re.M).group(1).split()))
        for service in ("blockchain", "qrcode", "twitter"):
            names = [document["metadata"]["name"] for document in documents if document["kind"] in ("Deployment", "Service")]
            self.assertEqual(names.count(f"tripod-{service}"), 2)


class Docs(unittest.TestCase):
    """docs/operations.md has a section for every alert, and no section for one that is gone."""

    def setUp(self):
        self.text = (ROOT / "docs/operations.md").read_text(encoding="utf-8")

    def alerts(self):
        found = {}
        for path in sorted((K8S / "monitoring/rules").glob("*.yaml")):
            for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]:
                for rule in group["rules"]:
                    if "alert" in rule:
                        found[rule["alert"]] = rule["annotations"].get("runbook_url", "")
        return found

    def test_every_alert_has_a_section_at_its_anchor_and_every_section_an_alert(self):
        alerts = self.alerts()
        self.assertTrue(alerts)
        part = self.text.split("\n## Alerts\n", 1)[1].split("\n## ", 1)[0]
        headings = set(re.findall(r"^### (\w+)$", part, re.M))
        self.assertEqual(headings, set(alerts))
        for alert, url in alerts.items():
            self.assertEqual(url.partition("#")[::2], ("docs/operations.md", alert.lower()), alert)

    def test_alarms_of_the_database_name_sections_that_exist(self):
        rds = (EKSCTL / "rds.yaml").read_text(encoding="utf-8")
        titles = re.findall(r'docs/operations\.md, "([^"]+)"', rds)
        self.assertGreaterEqual(len(titles), 5)
        for title in titles:
            self.assertRegex(self.text, rf"(?m)^###? {re.escape(title)}$")

    def test_the_pipeline_s_command_leaves_no_stand_in_wherever_the_cluster_is(self):
        command = re.search(r"^(sed -e .*(?:\\\n.*)*?k8s/etl/cronjob\.yaml) \| kubectl apply", self.text, re.M).group(1)
        done = subprocess.run(
            ["bash", "-euc", command], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True,
            env={"PATH": "/usr/bin:/bin", "AWS_REGION": "eu-west-1", "account": "111122223333", "name": "tripod-us-east-1",
                 "host": "tripod-main-db.example", "registry": "registry.example/x", "tag": "1.2.3"})
        text = re.sub(r"^ *#.*$", "", done.stdout, flags=re.M)
        self.assertIn("s3://tripod-us-east-1-data-111122223333-eu-west-1/landing", text)
        self.assertIn("tripod_loader@tripod-main-db.example:3306", text)
        self.assertIn("image: registry.example/x/tripod-tools:1.2.3", text)
        for stand_in in ("000000000000", "DATABASE-HOST", " tripod-tools", "tripod-main-data", "data-111122223333-us-east-1"):
            self.assertNotIn(stand_in, text)
        # Every other line takes the region from the variable, but for the one that sets it.
        blocks = "".join(re.findall(r"^ *```sh\n(.*?)^ *```", self.text, re.M | re.S))
        self.assertEqual(re.findall(r"^.*us-east-1.*$", blocks.replace("s/us-east-1/", ""), re.M),
                         re.findall(r"^ *export AWS_REGION=us-east-1 .*$", blocks, re.M))

    def test_statements_for_people_are_allowed_to_the_user_they_log_in_as(self):
        users = (K8S / "database/users.yaml").read_text(encoding="utf-8")
        for right in ("GRANT SELECT, INSERT, CREATE, ALTER, DROP ON tripod.* TO", "GRANT PROCESS ON *.* TO",
                      "GRANT EXECUTE ON PROCEDURE mysql.rds_kill TO"):
            self.assertIn(f"{right} 'tripod_operator'@'%';", users)
        self.assertIn("CALL mysql.rds_kill(", self.text)
        self.assertIn("--username tripod_operator", self.text)
        self.assertEqual((EKSCTL / "rds.yaml").read_text(encoding="utf-8").count("dbuser:${Id}/tripod_operator"), 2)
        self.assertEqual((EKSCTL / "rds.yaml").read_text(encoding="utf-8").count("EnableIAMDatabaseAuthentication: true"), 2)
        # Every other statement says where it is run.
        for line in self.text.splitlines():
            if re.search(r"`(RENAME TABLE|DROP TABLE|SELECT user, )", line):
                self.assertIn('"Run SQL"', line)

    def test_a_login_is_written_from_a_token_and_nothing_else(self):
        script = next(document["data"]["login.sh"] for path, document in all_manifests()
                      if path.name == "sql.yaml" and document["kind"] == "ConfigMap")
        token = "db.example:3306/?Action=connect&DBUser=tripod_operator&X-Amz-Credential=AK%2F20260101&X-Amz-Signature=0a~b_c.d+e-f"
        with tempfile.TemporaryDirectory() as folder:
            for text, code in ((token + "\n", 0), ('x"\nhost=elsewhere\n', 65), ("", 65)):
                done = subprocess.run(["bash", "-c", script.replace("/tmp/", f"{folder}/")], input=text, capture_output=True, text=True,
                                      timeout=60, check=False, env={"PATH": "/usr/bin:/bin", "DATABASE_HOST": "db.example"})
                self.assertEqual(done.returncode, code, done.stderr)
            login = (pathlib.Path(folder) / "login.cnf")
            self.assertIn(f'password="{token}"\n', login.read_text(encoding="utf-8"))
            self.assertEqual(login.stat().st_mode & 0o077, 0)

    def test_images_are_built_with_every_argument_that_says_what_they_are(self):
        arguments = set(re.findall(r"--build-arg (\w+)=", self.text))
        asked = set(re.findall(r"^ARG (\w+)", (ROOT / "docker/Dockerfile").read_text(encoding="utf-8"), re.M))
        # Those that the builder sets and those of other ways to build.
        self.assertEqual(arguments, asked - {"TARGETARCH", "BINARIES", "BASE"})

    def test_the_page_says_where_alerts_go_and_what_points_there_finds_it(self):
        self.assertRegex(self.text, r"(?m)^\d+\. \*\*Say where alerts go\*\*")
        for name in ("up.sh", "addons/kube-prometheus-stack.yaml"):
            self.assertIn("--alertmanager", (EKSCTL / name).read_text(encoding="utf-8"))
        self.assertIn('\\"Say where alerts go\\"', (EKSCTL / "up.sh").read_text(encoding="utf-8"))

    def test_files_that_the_text_names_exist(self):
        for name in set(re.findall(r"`((?:eksctl|k8s|charts|crates|benches|docs)/[\w./-]+)`", self.text)):
            self.assertTrue((ROOT / name).exists(), name)


if __name__ == "__main__":
    unittest.main(verbosity=2)
