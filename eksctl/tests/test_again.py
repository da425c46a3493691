"""Tests of up.sh and down.sh where something is there already: settings of before, half-done work, another host, what others left."""

import os
import pty
import re
import select
import signal
import time
import unittest

from test_scripts import CHANGES, EKSCTL, CloudCase


class Settings(CloudCase):
    """What a run was told is kept by the next one."""

    def parameters(self):
        return self.world()["parameters"]["tripod-main-database"]

    def test_a_run_that_says_nothing_keeps_what_was_said_before(self):
        extra = self.root / "extra.yaml"
        extra.write_text("global: {loadBalancer: {certificateArn: one}}\n", encoding="utf-8")
        last = self.root / "last.yaml"
        last.write_text("twitter: {cacheMb: 300}\n", encoding="utf-8")
        said = ("--db-class", "db.r7g.2xlarge", "--multi-az", "--replica", "--unprotected", "--alarm-topic", "arn:aws:sns:x:1:y",
                "--registry", "registry.example/x", "--tag", "7.8.9", "--team", "A Team", "--values", str(extra), "--values", str(last))
        first = self.up("--yes", *said)
        parameters, world = self.parameters(), self.world()
        self.assertEqual(
            {key: parameters[key] for key in ("InstanceClass", "MultiAz", "ReadReplica", "DeletionProtection", "AlarmTopicArn")},
            {"InstanceClass": "db.r7g.2xlarge", "MultiAz": "true", "ReadReplica": "true", "DeletionProtection": "false",
             "AlarmTopicArn": "arn:aws:sns:x:1:y"})
        # The files are not needed again.
        extra.unlink()
        last.unlink()
        second = self.up("--yes", "--sample")
        self.assertEqual(self.parameters(), parameters)
        self.assertEqual(self.world()["values"]["tripod"], world["values"]["tripod"])
        self.assertEqual(world["values"]["tripod"][-2:], ["global: {loadBalancer: {certificateArn: one}}\n", "twitter: {cacheMb: 300}\n"])
        self.assertIn("registry.example/x/tripod-tools:7.8.9", self.world()["applied"]["sample.yaml"])
        for part in ("global.image.registry=registry.example/x", "global.image.tag=7.8.9", 'global.teamId="A Team"'):
            self.assertIn(part, self.world()["releases"]["tripod"])
        # The plan tells what it is going to cost from the first line on.
        cost = re.compile(r"all of it, idle +([\d.]+)$", re.M)
        self.assertEqual(cost.search(first).group(1), cost.search(second).group(1))
        self.assertIn("db.r7g.2xlarge", second.partition("== 1")[0])

    def test_each_setting_can_be_changed_alone_and_taken_back(self):
        extra = self.root / "extra.yaml"
        extra.write_text("twitter: {cacheMb: 300}\n", encoding="utf-8")
        self.up("--yes", "--db-class", "db.r8g.xlarge", "--multi-az", "--replica", "--unprotected", "--registry", "registry.example",
                "--tag", "1.0.0", "--values", str(extra))
        self.up("--yes", "--tag", "1.1.0", "--single-az")
        parameters = self.parameters()
        self.assertEqual((parameters["MultiAz"], parameters["ReadReplica"], parameters["InstanceClass"]), ("false", "true", "db.r8g.xlarge"))
        self.assertIn("global.image.tag=1.1.0", self.world()["releases"]["tripod"])
        self.assertIn("global.image.registry=registry.example", self.world()["releases"]["tripod"])
        self.assertEqual(self.world()["values"]["tripod"][-1], "twitter: {cacheMb: 300}\n")
        self.up("--yes", "--no-replica", "--protected", "--registry", "", "--no-values")
        parameters = self.parameters()
        self.assertEqual((parameters["ReadReplica"], parameters["DeletionProtection"]), ("false", "true"))
        self.assertNotIn("global.image.registry", self.world()["releases"]["tripod"])
        self.assertEqual(len(self.world()["values"]["tripod"]), 2)
        self.up("--yes")
        self.assertEqual(len(self.world()["values"]["tripod"]), 2)
        self.assertIn("global.image.tag=1.1.0", self.world()["releases"]["tripod"])

    def test_the_defaults_of_the_script_are_those_of_the_template(self):
        template = (EKSCTL / "rds.yaml").read_text(encoding="utf-8").partition("\nConditions:")[0]
        defaults = {}
        for line in template.splitlines():
            if re.match(r"  \w+:$", line):
                key = line.strip(" :")
            elif line.startswith("    Default: "):
                defaults[key] = line.partition(": ")[2].strip('"')
        self.up("--yes")
        passed = {key: value for key, value in self.parameters().items() if key in defaults}
        self.assertEqual(passed, {key: defaults[key] for key in passed})
        self.assertEqual(len(passed), 7)

    def test_where_alerts_go_is_kept_until_it_is_taken_back(self):
        file = self.root / "alerts.yaml"
        file.write_text("route: {receiver: chat}\nreceivers: [{name: chat}]\n", encoding="utf-8")
        page = "https://git.example/tripod/docs/operations.md"
        text = self.up("--yes", "--alertmanager", str(file), "--runbook", page)
        self.assertIn(f"alerts go where {file} says", text.partition("== 1")[0])
        self.assertNotIn("reach nobody", text)
        self.assertEqual(self.world()["secrets"], {"alertmanager-tripod": {"alertmanager.yaml": file.read_text(encoding="utf-8")}})
        named = "alertmanager.alertmanagerSpec.useExistingSecret=true,alertmanager.alertmanagerSpec.configSecret=alertmanager-tripod"
        file.unlink()
        for arguments in ((), ("--tag", "1.2.3")):
            self.assertIn(named, self.world()["releases"]["kube-prometheus-stack"])
            for service in ("blockchain", "qrcode", "twitter"):
                self.assertIn(f"{service}.monitoring.runbookUrl={page}", self.world()["releases"]["tripod"])
            self.assertNotIn("reach nobody", self.up("--yes", *arguments))
        self.assertIn("alerts reach nobody", self.up("--yes", "--alertmanager", "", "--runbook", ""))
        self.assertEqual(self.world()["secrets"], {})
        self.assertNotIn("configSecret", self.world()["releases"]["kube-prometheus-stack"])
        self.assertNotIn("runbookUrl", self.world()["releases"]["tripod"])

    def test_a_run_without_receivers_says_so_before_it_spends_and_at_its_end(self):
        text = self.up("--yes")
        self.assertIn("alerts reach NOBODY", text.partition("== 1")[0])
        self.assertIn("alerts reach nobody", text.partition("== 8")[2])

    def test_a_cluster_of_the_other_kind_is_refused_before_it_is_mixed(self):
        self.up("--yes", "--small", "--name", "one")
        self.calls()
        self.assertIn("was made with --small", self.up("--yes", "--name", "one", code=64))
        self.assertFalse([line for line in self.calls() if line.startswith("eksctl") or "endpoints" in line])
        self.up("--yes", "--small", "--name", "one")


class Passwords(CloudCase):
    """The fake cloud asserts at every call that what pods are handed is a password that the database takes."""

    READER, LOADER = "tripod-main/database-reader", "tripod-main/database-loader"

    def taken(self, key=READER):
        return self.world()["passwords"][key]

    def current(self, key=READER):
        return next(version["password"] for version in self.world()["versions"][key].values() if "AWSCURRENT" in version["stages"])

    def up_to_the_users(self, *arguments, **more):
        return self.up("--yes", "--small", "--name", "tripod-main", "--no-services", *arguments, **more)

    def test_a_new_password_is_valid_beside_the_old_one_until_that_is_ended(self):
        self.up_to_the_users()
        self.assertEqual((self.current(), self.taken()), ("firstreader", ["firstreader"]))
        self.up_to_the_users("--rotate", "reader")
        self.assertEqual((self.current(), self.taken()), ("random1", ["random1", "firstreader"]))
        # Runs for other reasons leave both alone.
        self.up_to_the_users()
        self.assertEqual(self.taken(), ["random1", "firstreader"])
        self.up_to_the_users("--end-old-passwords")
        self.assertEqual((self.current(), self.taken()), ("random1", ["random1"]))
        self.up_to_the_users("--rotate", "loader")
        self.assertEqual((self.current(self.LOADER), self.taken(self.LOADER)), ("random2", ["random2", "firstloader"]))
        self.assertEqual(self.taken(), ["random1"])
        self.assertFalse([line for line in self.calls() if "random1" in line or "random2" in line], "a password in a program's arguments")

    def test_a_change_that_broke_off_anywhere_is_taken_up(self):
        self.up_to_the_users()
        for step in ("after:put-secret-value", "job/database-users", "after:job/database-users", "after:update-secret-version-stage"):
            with self.subTest(step=step):
                self.fail_at(step)
                self.up_to_the_users("--rotate", "reader", code=1)
                # What comes between must not end the password in use.
                self.up_to_the_users()
                self.assertIn(self.current(), self.taken())
                self.up_to_the_users("--rotate", "reader")
                self.assertEqual(self.current(), self.taken()[0])
                self.assertEqual(len(self.taken()), 2)

    def test_old_passwords_stay_while_one_of_them_may_be_in_use(self):
        self.up_to_the_users()
        self.fail_at("update-secret-version-stage")
        self.up_to_the_users("--rotate", "reader", code=1)
        self.assertIn("half changed", self.up_to_the_users("--end-old-passwords", code=1))
        self.assertEqual(self.taken(), ["random1", "firstreader"])


class HalfWay(CloudCase):
    def test_what_is_under_way_is_waited_for(self):
        self.change(stacks={"tripod-main-foundation": "CREATE_IN_PROGRESS", "tripod-main-database": "UPDATE_IN_PROGRESS"})
        text = self.up("--yes")
        # The creation was being rolled back, the update went well.
        self.assertIn("tripod-main-foundation is ROLLBACK_COMPLETE: it is removed and made again", text)
        self.assertFalse([line for line in self.calls() if "delete-stack" in line and "database" in line])

    def test_what_stopped_on_the_way_down_is_never_removed_by_the_way_up(self):
        for status in ("DELETE_FAILED", "UPDATE_ROLLBACK_FAILED"):
            with self.subTest(status=status):
                self.change(stacks={**self.world()["stacks"], "tripod-main-database": status}, database="protected")
                self.assertIn(f"is {status}: end what was begun", self.up("--yes", code=1))
                self.assertFalse([line for line in self.calls() if "database" in line and CHANGES.match(line)])
                self.assertEqual(self.world()["database"], "protected")

    def test_a_protected_database_does_not_keep_a_failed_creation_from_being_repeated(self):
        self.change(stacks={"tripod-main-database": "ROLLBACK_FAILED"}, database="protected")
        self.up("--yes")
        changes = [line for line in self.calls() if "tripod-main-database" in line and CHANGES.match(line) and " logs " not in line]
        self.assertEqual([line.split()[2] for line in changes], ["modify-db-instance", "delete-stack", "deploy"])

    def test_a_cluster_in_use_that_lost_its_tag_is_not_taken_for_a_half_made_one(self):
        self.up("--yes")
        world = self.world()
        self.change(cluster={**world["cluster"], "complete": False})
        self.calls()
        self.assertIn("aws eks tag-resource", self.up("--yes", code=1))
        self.assertFalse([line for line in self.calls() if line.startswith("eksctl delete")])
        self.assertIsNotNone(self.world()["cluster"])

    def test_ctrl_c_ends_the_script_and_what_it_waits_for(self):
        (self.root / "hang").write_text("cloudformation deploy", encoding="utf-8")
        process, terminal = pty.fork()
        if process == 0:
            os.execve(EKSCTL / "up.sh", ["up.sh", "--yes"], self.environment)
        self.addCleanup(os.close, terminal)
        deadline = time.monotonic() + 120
        while not (self.root / "hangs").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        os.write(terminal, b"\x03")
        done = 0
        while not done and time.monotonic() < deadline:
            try:
                if select.select([terminal], [], [], 0.05)[0]:
                    os.read(terminal, 65536)
            except OSError:
                # Nobody is at the other end any more.
                time.sleep(0.05)
            done, status = os.waitpid(process, os.WNOHANG)
        if not done:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
        self.assertTrue(done, "the script waits on after Ctrl-C")
        self.assertFalse(os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0)


class Elsewhere(CloudCase):
    """Another host, region or account."""

    def test_another_host_is_let_in_beside_those_who_are(self):
        self.up("--yes")
        self.change(networks=["203.0.113.4/32"])
        self.calls()
        self.assertIn("is opened to 203.0.113.4/32,198.51.100.9/32", self.up("--yes"))
        self.assertEqual(self.world()["networks"], ["203.0.113.4/32", "198.51.100.9/32"])
        calls = self.calls()
        self.assertLess(next(at for at, line in enumerate(calls) if "update-cluster-config" in line),
                        next(at for at, line in enumerate(calls) if line.startswith("eksctl create nodegroup")))
        self.up("--yes")
        self.assertFalse([line for line in self.calls() if "update-cluster-config" in line])

    def test_networks_that_are_named_replace_those_of_before(self):
        self.up("--yes")
        self.change(networks=["203.0.113.4/32"])
        self.up("--yes", "--admin-cidr", "198.51.100.9/32")
        self.assertEqual(self.world()["networks"], ["198.51.100.9/32"])

    def test_down_works_from_another_host(self):
        self.up("--yes")
        self.change(networks=["203.0.113.4/32"])
        self.down("--yes", "--name", "tripod-main")
        self.assertIsNone(self.world()["cluster"])

    def zones(self):
        return re.search(r"availabilityZones: \[(.*)\]", self.world()["config"]).group(1)

    def test_zones_are_those_that_have_nodes_and_control_planes(self):
        self.change(zones="bcdef", barred_zone="us-east-1c")
        self.up("--yes")
        self.assertEqual(self.zones(), "us-east-1b, us-east-1d, us-east-1e")

    def test_a_region_with_too_few_zones_is_refused_before_a_cluster_is_made(self):
        self.change(zones="ac", barred_zone="")
        self.assertIn("3 are wanted", self.up("--yes", "--region", "us-west-1", code=65))
        self.assertIsNone(self.world()["cluster"])

    def test_names_that_a_service_would_refuse_are_refused_first(self):
        for name, region, part in (
                ("two--hyphens", "us-east-1", "two in a row"), ("at-the-end-", "us-east-1", "at the end"),
                ("a" * 31, "ap-southeast-1", "1 characters too long")):
            self.assertIn(part, self.up("--yes", "--name", name, "--region", region, code=64))
            self.assertIn(part, self.down("--yes", "--name", name, "--region", region, code=64))
        self.up("--dry-run", "--name", "a" * 31)
        self.assertEqual(self.calls(), [])

    def test_a_name_that_looks_like_a_stand_in_or_begins_with_one_stays_as_it_is(self):
        for name in ("tripod-us-east-1", "tripod-main-2", "x-000000000000"):
            with self.subTest(name=name):
                self.up("--yes", "--name", name, "--region", "eu-west-1")
                config = self.world()["config"]
                self.assertIn(f"  name: {name}\n  region: eu-west-1\n", config)
                self.assertIn(f"arn:aws:s3:::{name}-data-444455556666-eu-west-1/landing/*", config)
                for manifest in ("secret-store.yaml", "users.yaml"):
                    keys = set(re.findall(r"key: (\S+)/database-", self.world()["applied"][manifest]))
                    self.assertEqual(keys, {name}, manifest)
                self.assertIn("region: eu-west-1\n", self.world()["applied"]["secret-store.yaml"])
                self.assertIn('value: "db.example.internal"', self.world()["applied"]["users.yaml"])
                self.change(cluster=None, stacks={})

    def test_images_and_a_team_that_the_charts_would_refuse_are_refused_first(self):
        for option, bad in (
                ("--team", ("a,b", "a\nb", "a" * 65)),
                ("--registry", ("https://ghcr.io/x", "ghcr.io/Owner", "ghcr.io/x/", "a,b", "a|b")),
                ("--tag", ("1.0,x=y", "-1", "a/b", "x" * 129))):
            for value in bad:
                with self.subTest(option=option, value=value):
                    self.assertIn(f"{option} {value}", self.up("--yes", option, value, code=64))
        self.assertEqual(self.calls(), [])
        self.up("--yes", "--registry", "localhost:5000/a/b-c_d.e", "--tag", "1.2.3-rc.1", "--team", "Äpfel {a}=\\\"b\"")
        self.assertIn('--set-json global.teamId="Äpfel {a}=\\\\\\"b\\"" ', self.world()["releases"]["tripod"])


class Sweeping(CloudCase):
    PREFIX = "arn:aws:ec2:us-east-1:444455556666:security-group/"

    def test_rules_that_hold_on_to_a_group_are_taken_away_before_it(self):
        self.up("--yes")
        self.change(tagged={"ec2:security-group": [self.PREFIX + "sg-left"]}, rules=[
            {"id": "sgr-1", "of": "sg-nodes", "from": "sg-left"}, {"id": "sgr-2", "of": "sg-nodes", "from": "sg-left"},
            {"id": "sgr-3", "of": "sg-nodes", "from": "sg-other"}])
        self.down("--yes", "--name", "tripod-main")
        self.assertEqual([rule["id"] for rule in self.world()["rules"]], ["sgr-3"])

    def test_what_is_gone_but_still_found_by_its_tag_is_no_failure(self):
        self.up("--yes")
        self.change(tagged={"ec2:security-group": [self.PREFIX + "sg-gone"]}, deleted_before=["sg-gone"])
        text = self.down("--yes", "--name", "tripod-main")
        self.assertIn("it is gone already", text)

    def test_logs_of_the_replica_go_as_well(self):
        self.up("--yes", "--replica")
        self.change(logs=[f"/aws/rds/instance/tripod-main-database{which}/{log}"
                          for which in ("", "-replica") for log in ("error", "slowquery")])
        self.down("--yes", "--name", "tripod-main")
        self.assertEqual(self.world()["logs"], [])

    def test_a_key_stays_while_something_is_encrypted_with_it(self):
        for held in ({"snapshots": ["tripod-main-good"]}, {"databases_with_key": ["tripod-second-database"]}):
            with self.subTest(held=held):
                self.up("--yes")
                self.change(key_deleted=False, **held)
                text = self.down("--yes", "--name", "tripod-main", "--delete-data")
                self.assertFalse(self.world()["key_deleted"])
                self.assertRegex(text, r"key arn:\S+, which encrypts: " + next(iter(held.values()))[0])
                self.change(snapshots=[], databases_with_key=[])

    def test_a_key_is_still_found_when_emptying_the_bucket_broke_off(self):
        self.up("--yes")
        self.fail_at("list-object-versions")
        self.down("--yes", "--name", "tripod-main", "--delete-data", code=1)
        self.down("--yes", "--name", "tripod-main", "--delete-data")
        self.assertTrue(self.world()["key_deleted"])
        self.assertIsNone(self.world()["bucket"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
