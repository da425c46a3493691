"""Tests of up.sh and down.sh against a fake cloud: what they would do to an account, without one."""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
EKSCTL = HERE.parent
PROGRAMS = ("aws", "eksctl", "kubectl", "helm", "curl")
CHANGES = re.compile(
    r"aws \S+ (deploy|delete-|create-|modify-|update-cluster|revoke-|tag-resource|schedule-)|aws cloudformation deploy|eksctl (create|delete)"
    r"|helm (upgrade|uninstall|test)|kubectl (apply|delete)")


class CloudCase(unittest.TestCase):
    """A fake cloud, empty at first, and both scripts on it."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.root = pathlib.Path(self.folder.name)
        programs = self.root / "bin"
        programs.mkdir()
        for program in PROGRAMS:
            fake = programs / program
            fake.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "{programs}/lib/{program}" "$@"\n', encoding="utf-8")
            fake.chmod(0o755)
        (programs / "lib").mkdir()
        for program in PROGRAMS:
            (programs / "lib" / program).symlink_to(HERE / "cloud.py")
        self.put(
            stacks={}, cluster=None, database=None, tagged={}, logs=[], snapshots=[], releases={}, applied={}, parameters={}, values={},
            memory=None, networks=None, rules=[], deleted_before=[], retention={}, secrets={}, versions={}, passwords={})
        self.environment = {
            "PATH": f"{programs}:/usr/bin:/bin", "CLOUD": str(self.root), "HOME": str(self.root), "TRIPOD_POLL_S": "0"}

    def put(self, **world):
        (self.root / "state.json").write_text(json.dumps(world), encoding="utf-8")

    def world(self):
        return json.loads((self.root / "state.json").read_text(encoding="utf-8"))

    def change(self, **what):
        self.put(**{**self.world(), **what})

    def fail_at(self, text):
        (self.root / "fail").write_text(text, encoding="utf-8")

    def calls(self):
        """The calls since the last look."""
        path = self.root / "calls"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines

    def steps(self):
        """The beginnings of the calls since the last look that change something, each once; names of temporary folders, which differ
        from run to run, cut off."""
        return list(dict.fromkeys(
            re.split(r"[ =]*/tmp| --repo| --wait", line)[0][:120].removesuffix(" -f").removesuffix(" --config-file")
            for line in self.calls() if CHANGES.match(line)))

    def script(self, name, *arguments, code=0, typed=None):
        done = subprocess.run(
            [str(EKSCTL / name), *arguments], env=self.environment, input=typed or "", capture_output=True, text=True,
            timeout=120, check=False)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def up(self, *arguments, **more):
        return self.script("up.sh", *arguments, **more)

    def down(self, *arguments, **more):
        return self.script("down.sh", *arguments, **more)


class Cloud(CloudCase):
    # --- Plans ---

    def test_a_dry_run_starts_no_program_and_shows_every_step(self):
        # Not even the fakes are there, let alone an account.
        self.environment["PATH"] = "/usr/bin:/bin"
        for arguments in ((), ("--small",), ("--name", "other-name", "--region", "eu-west-1", "--multi-az", "--replica")):
            text = self.up("--dry-run", *arguments)
            for part in ("foundation", "eksctl create cluster", "endpoints.yaml", "rds.yaml", "namespaces.yaml",
                         "aws-load-balancer-controller", "job/database-users", "charts/tripod", "helm test"):
                self.assertIn(part, text)
        text = self.down("--dry-run", "--name", "other-name", "--delete-data")
        for part in ("delete ingress", "delete-db-instance", "delete-stack", "eksctl delete cluster", "delete-objects",
                     "delete-volume", "delete-log-group", "schedule-key-deletion"):
            self.assertIn(part, text)
        self.assertEqual(self.calls(), [])

    def test_a_dry_run_makes_the_calls_of_the_real_run(self):
        planned = self.up("--dry-run", "--small", "--admin-cidr", "198.51.100.9/32")
        shown = re.findall(r"^  \$ (\S+ \S+ ?\S*)", planned, re.M)
        self.up("--yes", "--small", "--admin-cidr", "198.51.100.9/32")
        made = [line for line in self.calls() if CHANGES.match(line)]
        self.assertEqual(
            [" ".join(line.split()[:2]) for line in shown if CHANGES.match(line)],
            [" ".join(line.split()[:2]) for line in made])

    def test_the_small_plan_is_within_the_budget_and_says_so(self):
        text = self.up("--dry-run", "--small")
        tier = float(re.search(r"web and storage tier .*?([\d.]+)$", text, re.M).group(1))
        budget = float(re.search(r"budget of a live test for the tier: ([\d.]+)", text).group(1))
        self.assertEqual(budget, 1.28)
        self.assertAlmostEqual(tier, 7 * 0.08 + 0.10 + 0.555 + 0.0225)
        self.assertNotIn("more than the live test's budget", text)
        self.assertIn("more than the live test's budget", self.up("--dry-run", "--small", "--multi-az"))

    def test_costs_follow_the_options(self):
        def total(*arguments):
            return float(re.search(r"all of it, idle +([\d.]+)$", self.up("--dry-run", *arguments), re.M).group(1))
        plain = total()
        storage = 100 * 0.115 / 730
        self.assertAlmostEqual(total("--multi-az") - plain, 0.555 + storage, places=3)
        self.assertAlmostEqual(total("--multi-az", "--replica") - plain, 2 * (0.555 + storage), places=3)
        self.assertAlmostEqual(total("--db-class", "db.r8g.large") - plain, 0.2775 - 0.555, places=3)

    def test_a_shape_without_a_price_is_refused_before_anything_is_spent(self):
        text = self.up("--yes", "--db-class", "db.x9.huge", code=65)
        self.assertIn("has no price [hourly] db.x9.huge", text)
        self.assertEqual(self.calls(), [])

    def test_nobody_to_ask_means_nothing_is_spent(self):
        self.assertIn("--yes answers for you", self.up(code=64))
        self.assertIn("--yes answers for you", self.down("--name", "tripod-main", code=64))
        self.assertEqual(self.calls(), [])

    def test_bad_usage_is_refused_by_name(self):
        for arguments, part in (
                (("--name", "UPPER"), "--name UPPER"), (("--name", "x; rm -rf /"), "--name x"), (("--name",), "needs a value"),
                (("--region", "mars"), "--region mars"), (("--admin-cidr", "0.0.0.0"), "--admin-cidr 0.0.0.0"),
                (("--runbook", "docs/operations.md"), "--runbook docs/operations.md"), (("--rotate", "root"), "--rotate root"),
                (("--rotate", "reader", "--end-old-passwords"), "--end-old-passwords"), (("--what",), "unknown option --what")):
            self.assertIn(part, self.up(*arguments, code=64))
        self.assertIn("no file of Alertmanager's", self.up("--alertmanager", "/no/such/file", code=65))
        example = str(EKSCTL.parent / "k8s/monitoring/alertmanager.yaml")
        self.assertIn("a small cluster has no monitoring", self.up("--small", "--alertmanager", example, code=64))
        self.assertIn("cannot be read", self.up("--values", "/no/such/file", code=65))
        self.assertIn("--name is missing", self.down(code=64))
        self.assertEqual(self.calls(), [])

    # --- Up ---

    def test_up_makes_everything_and_leaves_no_stand_in(self):
        text = self.up("--yes", "--name", "my-cluster", "--region", "eu-west-1")
        self.assertIn("http://tripod.elb.example/", text)
        world = self.world()
        self.assertEqual(set(world["stacks"]), {
            "my-cluster-foundation", "eksctl-my-cluster-cluster", "my-cluster-endpoints", "my-cluster-database"})
        self.assertTrue(world["cluster"]["complete"])
        self.assertEqual(set(world["releases"]), {
            "aws-load-balancer-controller", "external-secrets", "cluster-autoscaler", "kube-prometheus-stack", "tripod"})
        for stand_in in ("tripod-main", "000000000000", "us-east-1", "203.0.113", "key/00000000"):
            self.assertNotIn(stand_in, world["config"].replace("arn:aws:kms:us-east-1:444455556666:key/aaaaaaaa", ""))
        self.assertIn("198.51.100.9/32", world["config"])
        self.assertIn("key/aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", world["config"])
        for manifest in ("secret-store.yaml", "users.yaml"):
            for stand_in in ("tripod-main", "DATABASE-HOST", "ADMINISTRATOR-SECRET"):
                self.assertNotIn(stand_in, world["applied"][manifest])
        self.assertIn("db.example.internal", world["applied"]["users.yaml"])

    def test_services_are_shut_to_all_but_the_load_balancers_and_the_databases_subnets(self):
        self.up("--yes")
        given = {}
        for text in self.world()["values"]["tripod"]:
            for chart, cidrs in re.findall(r"^(\w+): \{networkPolicy: \{(.*)\}\}$", text, re.M):
                given[chart] = cidrs
        public = "loadBalancerCidrs: [10.20.0.0/19, 10.20.32.0/19]"
        self.assertEqual(given, {
            "blockchain": public, "qrcode": public, "twitter": public + ", databaseCidrs: [10.20.96.0/19, 10.20.128.0/19]"})

    def test_a_network_without_public_subnets_is_told_before_the_services_are_installed(self):
        self.change(public_subnets="")
        self.assertIn("no subnets tagged kubernetes.io/role/elb", self.up("--yes", code=65))
        self.assertFalse([line for line in self.calls() if line.startswith("helm upgrade --install tripod ")])

    def test_network_policies_are_there_before_what_they_are_for(self):
        self.up("--yes", "--sample")
        calls = self.calls()
        # What kubectl is given lies in a folder of the run's own, or here.
        applied = [re.search(r"^kubectl apply -f \S*?/([\w.-]+\.yaml)$", line) for line in calls]
        order = [match.group(1) for match in applied if match]
        self.assertLess(order.index("namespaces.yaml"), order.index("base.yaml"))
        for job in ("users.yaml", "sample.yaml"):
            self.assertLess(order.index("base.yaml"), order.index(job))

    def test_the_small_cluster_has_no_paid_endpoints_and_no_monitoring(self):
        self.up("--yes", "--small")
        self.assertTrue(any("Interfaces=false" in line for line in self.calls()))
        self.assertEqual(set(self.world()["releases"]), {"aws-load-balancer-controller", "external-secrets", "tripod"})

    def test_a_sample_table_is_loaded_before_the_services_with_the_images_that_were_named(self):
        self.up("--yes", "--sample", "--registry", "registry.example/x", "--tag", "7.8.9")
        manifest = self.world()["applied"]["sample.yaml"]
        self.assertIn("image: registry.example/x/tripod-tools:7.8.9", manifest)
        self.assertNotIn("tripod-tools:0.1.0", manifest)
        self.assertIn("tripod_loader@db.example.internal:3306", manifest)
        calls = self.calls()
        sample = next(at for at, line in enumerate(calls) if "job/sample" in line)
        services = next(at for at, line in enumerate(calls) if line.startswith("helm upgrade --install tripod "))
        self.assertLess(sample, services)
        self.assertIn("global.image.registry=registry.example/x", calls[services])
        self.assertIn("global.image.tag=7.8.9", calls[services])

    def test_a_second_run_makes_no_second_cluster(self):
        self.up("--yes")
        self.calls()
        self.up("--yes")
        calls = self.calls()
        self.assertFalse([line for line in calls if line.startswith(("eksctl create cluster", "eksctl delete"))])
        self.assertTrue(any(line.startswith("eksctl create nodegroup") for line in calls))
        self.assertFalse([line for line in calls if "delete-stack" in line])

    def test_logs_of_the_database_are_kept_for_a_month_whether_they_are_new_or_not(self):
        groups = [f"/aws/rds/instance/tripod-main-database{which}/{log}" for which in ("", "-replica") for log in ("error", "slowquery")]
        # The provider made one already, as it does when the first line is written.
        self.change(logs=[groups[0]])
        self.up("--yes")
        self.assertEqual(self.world()["retention"], {group: 30 for group in groups[:2]})
        self.up("--yes", "--replica")
        self.assertEqual(self.world()["retention"], {group: 30 for group in groups})

    def test_runs_that_fail_at_each_step_in_turn_end_where_one_good_run_does(self):
        empty = (self.root / "state.json").read_text(encoding="utf-8")
        self.up("--yes")
        wanted = self.world()
        steps = self.steps()
        self.assertGreaterEqual(len(steps), 12)
        # A step that failed after it had its effect matters where a second try could make a second thing.
        makers = [step for step in steps if step.startswith(("eksctl", "aws cloudformation"))]
        for when, chain in (("", steps), ("after:", makers)):
            (self.root / "state.json").write_text(empty, encoding="utf-8")
            for step in chain:
                with self.subTest(step=step, when=when):
                    self.fail_at(when + step)
                    self.assertIn("run this again", self.up("--yes", code=1))
            self.up("--yes")
            world = self.world()
            for key in ("stacks", "cluster", "database"):
                self.assertEqual(world[key], wanted[key])
            self.assertEqual(set(world["releases"]), set(wanted["releases"]))
            self.assertFalse(world["administrator_left"])

    def test_a_half_made_cluster_is_removed_and_made_again(self):
        self.fail_at("after:eksctl create cluster")
        self.up("--yes", code=1)
        self.calls()
        text = self.up("--yes")
        self.assertIn("half-made", text)
        calls = [line.split(" --")[0] for line in self.calls() if line.startswith("eksctl")]
        self.assertEqual(calls, ["eksctl delete cluster", "eksctl create cluster"])

    def test_a_stack_that_was_rolled_back_is_made_again(self):
        self.change(stacks={"tripod-main-foundation": "ROLLBACK_COMPLETE"})
        self.up("--yes")
        self.assertEqual(self.world()["stacks"]["tripod-main-foundation"], "CREATE_COMPLETE")

    def test_the_administrators_password_never_stays_in_the_cluster(self):
        self.fail_at("job/database-users")
        text = self.up("--yes", code=1)
        self.assertIn("the users of the database were not made", text)
        calls = self.calls()
        self.assertTrue(any("delete externalsecret,secret database-administrator" in line for line in calls))
        self.assertFalse(any("charts/tripod" in line for line in calls))

    def test_a_lost_login_is_not_an_empty_account(self):
        self.up("--yes")
        self.change(logged_out=True)
        self.calls()
        self.assertIn("log in first", self.up("--yes", code=69))
        self.assertIn("log in first", self.down("--yes", "--name", "tripod-main", code=69))
        self.assertFalse([line for line in self.calls() if CHANGES.match(line)])

    # --- Down ---

    def test_down_after_up_leaves_snapshot_bucket_and_key_and_says_so(self):
        self.up("--yes")
        text = self.down("--yes", "--name", "tripod-main")
        world = self.world()
        self.assertEqual(list(world["stacks"]), ["tripod-main-foundation"])
        self.assertIsNone(world["cluster"])
        self.assertIsNone(world["database"])
        self.assertEqual(world["logs"], [])
        self.assertIn("snapshot tripod-main-database-final", text)
        self.assertIn("bucket tripod-main-data-444455556666-us-east-1", text)
        self.assertIsNotNone(world["bucket"])

    def test_down_removes_the_protection_of_the_database_first(self):
        self.up("--yes")
        self.change(database="protected")
        self.down("--yes", "--name", "tripod-main")
        self.assertIsNone(self.world()["database"])

    def test_down_without_anything_to_keep(self):
        self.up("--yes")
        text = self.down("--yes", "--name", "tripod-main", "--delete-data")
        world = self.world()
        self.assertEqual(world["stacks"], {})
        self.assertEqual(world["snapshots"], [])
        self.assertIsNone(world["bucket"])
        self.assertTrue(world["key_deleted"])
        self.assertIn("== Left\n  nothing", text)

    def test_down_sweeps_what_controllers_left(self):
        self.up("--yes")
        prefix = "arn:aws:x:us-east-1:444455556666:"
        self.change(tagged={
            "elasticloadbalancing:loadbalancer": [prefix + "loadbalancer/app/left/1"],
            "elasticloadbalancing:targetgroup": [prefix + "targetgroup/left/1", prefix + "targetgroup/left/2"],
            "ec2:security-group": [prefix + "security-group/sg-left"], "ec2:volume": [prefix + "volume/vol-left"]})
        # The controller is gone, so that the ingress' deletion has no effect.
        self.fail_at("delete ingress")
        self.down("--yes", "--name", "tripod-main", code=1)
        self.assertEqual({key: value for key, value in self.world()["tagged"].items() if value}, {})
        self.assertIsNone(self.world()["cluster"])

    def test_down_after_every_partial_up(self):
        empty = (self.root / "state.json").read_text(encoding="utf-8")
        self.up("--yes")
        # Those that make something which is billed or holds on to something else.
        for step in [step for step in self.steps() if re.match(r"eksctl|aws cloudformation|helm .*tripod$", step)]:
            with self.subTest(step=step):
                (self.root / "state.json").write_text(empty, encoding="utf-8")
                self.fail_at("after:" + step)
                self.up("--yes", code=1)
                self.down("--yes", "--name", "tripod-main", "--delete-data")
                world = self.world()
                self.assertEqual(world["stacks"], {})
                self.assertIsNone(world["cluster"])
                self.assertIsNone(world["database"])
                self.assertIsNone(world["bucket"])
                self.assertFalse([arn for arns in world["tagged"].values() for arn in arns])

    def test_down_goes_on_after_a_failure_and_tells_of_it(self):
        self.up("--yes")
        self.fail_at("helm uninstall tripod")
        text = self.down("--yes", "--name", "tripod-main", code=1)
        self.assertIn("these failed; run it again", text)
        self.assertIsNone(self.world()["cluster"])
        self.down("--yes", "--name", "tripod-main")

    def test_down_of_nothing_is_no_failure(self):
        text = self.down("--yes", "--name", "tripod-main")
        self.assertIn("no cluster", text)
        self.assertFalse([line for line in self.calls() if CHANGES.match(line)])

    def test_every_chart_of_others_is_pinned_and_has_values(self):
        text = self.up("--dry-run")
        lines = re.findall(r"^  \$ helm upgrade .*--repo.*$", text, re.M)
        self.assertEqual(len(lines), 4)
        for line in lines:
            self.assertRegex(line, r"--version \d+\.\d+\.\d+ ")
            path = re.search(r"--values (\S+)", line).group(1)
            self.assertTrue(pathlib.Path(path).is_file(), path)


if __name__ == "__main__":
    unittest.main(verbosity=2)
