"""Tests of k8s/kind/smoke.sh against fake programs: in which order it does what, and that it cleans up after itself and nobody else."""

import pathlib
import re
import subprocess
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[1] / "kind" / "smoke.sh"
FAKE = """#!/bin/sh
echo "{name} $*" >>"$FOLDER/calls"
# Whatever is sent to a program is kept, so that a test can look at it.
case "$*" in *--stdin*) cat >>"$FOLDER/stdin" ;; esac
[ "{name} $*" = "kind get clusters" ] && cat "$FOLDER/clusters"
if [ -s "$FOLDER/fail" ] && echo "{name} $*" | grep -q -- "$(cat "$FOLDER/fail")"; then exit 1; fi
exit 0
"""


class Smoke(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        (self.folder / "bin").mkdir()
        for name in ("kind", "kubectl", "helm", "openssl"):
            fake = self.folder / "bin" / name
            fake.write_text(FAKE.replace("{name}", name), encoding="utf-8")
            fake.chmod(0o755)
        (self.folder / "clusters").write_text("other\n", encoding="utf-8")
        (self.folder / "fail").write_text("", encoding="utf-8")

    def smoke(self, *arguments, code=0):
        done = subprocess.run(
            [str(SCRIPT), *arguments], capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL,
            env={"PATH": f"{self.folder / 'bin'}:/usr/bin:/bin", "FOLDER": str(self.folder), "TMPDIR": str(self.folder)})
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def calls(self):
        path = self.folder / "calls"
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def fail_at(self, text):
        (self.folder / "fail").write_text(text, encoding="utf-8")

    def place(self, pattern):
        return next(at for at, line in enumerate(self.calls()) if re.search(pattern, line))

    def test_everything_is_done_in_order_and_the_cluster_removed(self):
        self.assertIn("all well", self.smoke())
        order = [self.place(pattern) for pattern in (
            r"^kind create cluster", r"load docker-image tripod-tools:", r"apply -f .*namespaces\.yaml", r"apply -f .*mysql\.yaml",
            r"exec --stdin .*mysql", r"job/sample", r"^helm upgrade --install tripod", r"^helm test tripod",
            r"apply -f .*load-test\.yaml", r"rollout restart", r"job/load .*--timeout=5m", r"^kind delete cluster --name tripod")]
        self.assertEqual(order, sorted(order))
        restarted = [line for line in self.calls() if "rollout restart" in line]
        self.assertEqual(len(restarted), 3)

    def test_load_runs_before_the_first_pod_is_replaced(self):
        self.smoke()
        self.assertLess(self.place(r"status\.ready.*=1 job/load"), self.place("rollout restart"))

    def test_passwords_are_in_no_argument(self):
        self.smoke()
        sent = (self.folder / "stdin").read_text(encoding="utf-8")
        passwords = set(re.findall(r"IDENTIFIED BY '([0-9a-f]{48})'", sent))
        self.assertEqual(len(passwords), 2)
        self.assertFalse([line for line in self.calls() if any(password in line for password in passwords)])

    def test_the_databases_certificate_is_for_the_name_that_pods_know_it_by(self):
        self.smoke()
        calls = self.calls()
        asked = next(line for line in calls if line.startswith("openssl") and "subjectAltName" in line)
        self.assertIn("subjectAltName=DNS:mysql.tripod-etl.svc", asked)
        values = (SCRIPT.parent / "values.yaml").read_text(encoding="utf-8")
        self.assertIn("host: mysql.tripod-etl.svc", values)
        self.assertIn("sslMode: VERIFY_IDENTITY", values)
        for namespace in ("tripod", "tripod-etl"):
            self.assertTrue(any(f"configmap database-ca --namespace {namespace} " in line for line in calls))

    def test_a_certificate_that_cannot_be_made_fails_the_run(self):
        self.fail_at("keyCertSign")
        self.smoke(code=1)

    def test_a_cluster_that_was_there_is_left_alone(self):
        (self.folder / "clusters").write_text("tripod\n", encoding="utf-8")
        self.assertIn("is there already", self.smoke(code=1))
        self.assertEqual(self.calls(), ["kind get clusters"])

    def test_a_failure_anywhere_shows_the_state_and_removes_the_cluster(self):
        for what in ("kind create", "namespaces.yaml", "deployment/mysql", "job/sample", "helm upgrade", "helm test", "job/load"):
            with self.subTest(at=what):
                (self.folder / "calls").unlink(missing_ok=True)
                self.fail_at(what)
                self.assertIn("what went wrong", self.smoke(code=1))
                calls = self.calls()
                self.assertTrue(any("get pods --all-namespaces" in line for line in calls))
                self.assertEqual(calls[-1], "kind delete cluster --name tripod")

    def test_failed_requests_fail_the_run_with_the_report(self):
        self.fail_at("for=condition=Complete job/load")
        text = self.smoke(code=1)
        self.assertIn("requests failed during the roll-out", text)
        # Both containers': without this kubectl takes the first, whose requests may have been well.
        self.assertTrue(any("logs job/load" in line and "--all-containers" in line for line in self.calls()))

    def test_keep_and_no_images(self):
        self.smoke("--keep", "--no-images")
        self.assertFalse([line for line in self.calls() if "delete cluster" in line or "docker-image" in line])

    def test_bad_usage_and_missing_programs_start_nothing(self):
        self.assertIn("usage", self.smoke("--what", code=64))
        (self.folder / "bin" / "kind").unlink()
        self.assertIn("kind is not installed", self.smoke(code=69))
        self.assertEqual(self.calls(), [])

    def test_nothing_stays_behind_on_the_disk(self):
        self.smoke()
        left = {path.name for path in self.folder.iterdir()}
        self.assertEqual(left, {"bin", "calls", "clusters", "fail", "stdin"})


if __name__ == "__main__":
    unittest.main(verbosity=2)
