"""Poses as aws, eksctl, kubectl, helm and curl for the tests of up.sh and down.sh.

One program under five names. Every call is written to $CLOUD/calls, what exists is kept in $CLOUD/state.json. It knows only what the
scripts ask and fails loudly on anything else, so that a script which starts asking something new is noticed. A call that contains
the text in $CLOUD/fail fails once, before it has had any effect; with a leading "after:" it has had its effect.
"""

import base64
import json
import os
import re
import sys
import time

FOLDER = os.environ["CLOUD"]
STATE = os.path.join(FOLDER, "state.json")
PROGRAM = os.path.basename(sys.argv[0])
ARGUMENTS = sys.argv[1:]
LINE = " ".join([PROGRAM, *ARGUMENTS])


def state():
    with open(STATE, encoding="utf-8") as file:
        return json.load(file)


def save(world):
    with open(STATE, "w", encoding="utf-8") as file:
        json.dump(world, file)


def option(name):
    return ARGUMENTS[ARGUMENTS.index(name) + 1]


def fail(message, code=254):
    print(message, file=sys.stderr)
    sys.exit(code)


def planned_failure():
    path = os.path.join(FOLDER, "fail")
    if not os.path.exists(path):
        return None
    with open(path, encoding="utf-8") as file:
        text = file.read()
    when, _, what = text.rpartition("after:")
    if what not in LINE:
        return None
    os.remove(path)
    return "after" if when or text.startswith("after:") else "before"


def hang_if_asked():
    path = os.path.join(FOLDER, "hang")
    if not os.path.exists(path):
        return
    with open(path, encoding="utf-8") as file:
        if file.read() not in LINE:
            return
    with open(os.path.join(FOLDER, "hangs"), "w", encoding="utf-8"):
        pass
    time.sleep(180)


def stack_name():
    return option("--stack-name")


def let_in(world):
    """Whether this host may reach the API server."""
    return world["networks"] is None or "198.51.100.9/32" in world["networks"]


def database_parameters():
    given = ARGUMENTS[ARGUMENTS.index("--parameter-overrides") + 1:]
    return dict(item.split("=", 1) for item in given)


def aws(world):
    assert os.environ.get("AWS_PAGER") == "", "a long answer would wait in a pager"
    service, verb = ARGUMENTS[0], ARGUMENTS[1]
    stacks = world["stacks"]
    if world.get("logged_out"):
        fail("An error occurred (ExpiredToken): The security token included in the request is expired")
    if (service, verb) == ("sts", "get-caller-identity"):
        print("444455556666")
    elif (service, verb) == ("cloudformation", "describe-stacks"):
        name = stack_name()
        if name not in stacks:
            fail(f"An error occurred (ValidationError): Stack with id {name} does not exist")
        query = option("--query")
        if query == "Stacks[0].StackStatus":
            print(stacks[name])
            # What is under way has ended when it is looked at again.
            stacks[name] = {
                "CREATE_IN_PROGRESS": "ROLLBACK_IN_PROGRESS", "ROLLBACK_IN_PROGRESS": "ROLLBACK_COMPLETE",
                "UPDATE_IN_PROGRESS": "UPDATE_COMPLETE"}.get(stacks[name], stacks[name])
        elif "Parameters" in query:
            for key, value in world["parameters"].get(name, {}).items():
                print(f"{key}\t{value}")
        else:
            key = query.split("'")[1]
            print({
                "KeyArn": "arn:aws:kms:us-east-1:444455556666:key/aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
                "Host": "db.example.internal",
                "MaxConnections": "600",
                "AdministratorSecret": "arn:aws:secretsmanager:us-east-1:444455556666:secret:rds!db-1234",
            }[key])
    elif (service, verb) == ("cloudformation", "deploy"):
        name = stack_name()
        if stacks.get(name, "CREATE_COMPLETE") not in ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"):
            fail(f"the stack is in {stacks[name]} state and can not be updated")
        world["parameters"][name] = {**world["parameters"].get(name, {}), **database_parameters()}
        if not os.path.isfile(option("--template-file")):
            fail("no such template")
        stacks[name] = "CREATE_COMPLETE"
        if name.endswith("-database"):
            world["database"] = "available"
            for user in ("reader", "loader"):
                world["versions"].setdefault(name.replace("-database", f"/database-{user}"), {
                    "first": {"stages": ["AWSCURRENT"], "password": f"first{user}"}})
        if name.endswith("-foundation"):
            world["bucket"] = world.get("bucket") or 2500
    elif (service, verb) == ("cloudformation", "delete-stack"):
        name = stack_name()
        if name.endswith("-database") and world.get("database"):
            if world["database"] == "protected":
                fail("Cannot delete protected DB Instance")
            world["database"] = None
            world["snapshots"].append(f"{name}-final")
        stacks.pop(name, None)
    elif (service, verb) == ("cloudformation", "wait"):
        pass
    elif (service, verb) == ("eks", "describe-cluster"):
        cluster = world["cluster"]
        if cluster is None:
            fail(f"An error occurred (ResourceNotFoundException): No cluster found for name: {option('--name')}.")
        answers = {
            "cluster.status": cluster["status"],
            'cluster.tags."tripod.complete"': "true" if cluster["complete"] else "None",
            'cluster.tags."tripod.small"': cluster.get("small", "None"),
            "join(',', sort(cluster.resourcesVpcConfig.publicAccessCidrs))": ",".join(sorted(world["networks"] or [])),
            "cluster.resourcesVpcConfig.vpcId": "vpc-1",
            "cluster.resourcesVpcConfig.clusterSecurityGroupId": "sg-1",
        }
        print(answers[option("--query")])
    elif (service, verb) == ("eks", "tag-resource"):
        complete, small = option("--tags").split(",")
        assert complete == "tripod.complete=true" and small in ("tripod.small=yes", "tripod.small=no"), LINE
        world["cluster"].update(complete=True, small=small.partition("=")[2])
    elif (service, verb) == ("eks", "update-cluster-config"):
        world["networks"] = option("--resources-vpc-config").removeprefix("publicAccessCidrs=").split(",")
    elif (service, verb) == ("eks", "wait"):
        pass
    elif (service, verb) == ("eks", "update-kubeconfig"):
        assert option("--kubeconfig") == os.environ["KUBECONFIG"], "the user's own kubeconfig is touched"
    elif (service, verb) == ("ec2", "describe-subnets"):
        filters = " ".join(ARGUMENTS[ARGUMENTS.index("--filters") + 1:ARGUMENTS.index("--query")])
        role = filters.rpartition("role/")[2].partition(",")[0]
        print({
            ("sort(Subnets[].SubnetId)", "internal-elb"): "subnet-1\tsubnet-2",
            ("sort(Subnets[].CidrBlock)", "internal-elb"): "10.20.96.0/19\t10.20.128.0/19",
            ("sort(Subnets[].CidrBlock)", "elb"): world.get("public_subnets", "10.20.0.0/19\t10.20.32.0/19"),
        }[option("--query"), role])
    elif (service, verb) == ("ec2", "describe-instance-type-offerings"):
        region = option("--region")
        print("\t".join(region + letter for letter in world.get("zones", "abcdf")))
    elif (service, verb) == ("ec2", "describe-availability-zones"):
        print(world.get("barred_zone", ""))
    elif (service, verb) == ("ec2", "describe-security-groups"):
        group = option("--filters").rpartition("=")[2]
        print("\t".join({rule["of"] for rule in world["rules"] if rule["from"] == group}))
    elif (service, verb) == ("ec2", "describe-security-group-rules"):
        group, other = option("--query").split("'")[1], option("--filters").rpartition("=")[2]
        print("\t".join(rule["id"] for rule in world["rules"] if (rule["from"], rule["of"]) == (group, other)))
    elif (service, verb) == ("ec2", "revoke-security-group-ingress"):
        gone = ARGUMENTS[ARGUMENTS.index("--security-group-rule-ids") + 1:]
        world["rules"] = [rule for rule in world["rules"] if (rule["of"], rule["id"]) not in [(option("--group-id"), id) for id in gone]]
    elif (service, verb) == ("ec2", "describe-route-tables"):
        assert "subnet-1,subnet-2" in LINE, LINE
        print("rtb-1\trtb-2")
    elif (service, verb) == ("resourcegroupstaggingapi", "get-resources"):
        print("\t".join(world["tagged"].get(option("--resource-type-filters"), [])) or "None")
    elif service in ("elbv2", "ec2") and verb.startswith("delete-"):
        if any(word in world["deleted_before"] for word in ARGUMENTS):
            for arns in world["tagged"].values():
                arns[:] = [arn for arn in arns if arn.rsplit("/", 1)[-1] not in ARGUMENTS]
            save(world)
            fail("An error occurred (InvalidGroup.NotFound): The thing does not exist")
        if any(rule["from"] in ARGUMENTS for rule in world["rules"]):
            fail("An error occurred (DependencyViolation): resource has a dependent object")
        for arns in world["tagged"].values():
            arns[:] = [arn for arn in arns if arn not in ARGUMENTS and arn.rsplit("/", 1)[-1] not in ARGUMENTS]
    elif (service, verb) == ("elbv2", "wait"):
        pass
    elif (service, verb) == ("rds", "describe-db-instances") and "--db-instance-identifier" not in ARGUMENTS:
        assert "KmsKeyId==" in option("--query"), LINE
        print("\t".join(world.get("databases_with_key", [])))
    elif (service, verb) == ("rds", "describe-db-instances"):
        if option("--db-instance-identifier").endswith("-replica") or not world.get("database"):
            fail("An error occurred (DBInstanceNotFound): DBInstance not found.")
        print("available")
    elif (service, verb) == ("rds", "modify-db-instance"):
        world["database"] = "available"
    elif (service, verb) == ("rds", "delete-db-instance"):
        assert "--skip-final-snapshot" in ARGUMENTS
        world["database"] = None
    elif (service, verb) == ("rds", "wait"):
        pass
    elif (service, verb) == ("rds", "describe-db-snapshots") and "KmsKeyId==" in option("--query"):
        print("\t".join(world["snapshots"]))
    elif (service, verb) == ("rds", "describe-db-snapshots"):
        print("\n".join(f"{name}\t100" for name in world["snapshots"]))
    elif (service, verb) == ("logs", "describe-log-groups"):
        prefix = option("--log-group-name-prefix")
        print(next((name for name in world["logs"] if name.startswith(prefix)), "None"))
    elif (service, verb) == ("logs", "create-log-group"):
        if option("--log-group-name") in world["logs"]:
            fail("An error occurred (ResourceAlreadyExistsException): The specified log group already exists")
        world["logs"].append(option("--log-group-name"))
    elif (service, verb) == ("logs", "put-retention-policy"):
        assert option("--log-group-name") in world["logs"], LINE
        world["retention"][option("--log-group-name")] = int(option("--retention-in-days"))
    elif (service, verb) == ("logs", "delete-log-group"):
        world["logs"].remove(option("--log-group-name"))
    elif service == "secretsmanager":
        secrets_manager(world, verb)
    elif (service, verb) == ("s3api", "head-bucket"):
        if world.get("bucket") is None:
            fail("An error occurred (404) when calling the HeadBucket operation: Not Found")
    elif (service, verb) == ("s3api", "list-object-versions"):
        count = min(1000, world["bucket"])
        print(json.dumps({"Objects": [{"Key": f"landing/{n}", "VersionId": "1"} for n in range(count)], "Quiet": True}))
    elif (service, verb) == ("s3api", "delete-objects"):
        with open(option("--delete").removeprefix("file://"), encoding="utf-8") as file:
            world["bucket"] -= len(json.load(file)["Objects"])
    elif (service, verb) == ("s3api", "delete-bucket"):
        if world["bucket"] != 0:
            fail("An error occurred (BucketNotEmpty)")
        world["bucket"] = None
    elif (service, verb) == ("kms", "schedule-key-deletion"):
        world["key_deleted"] = True
    else:
        fail(f"the fake cloud does not know: {LINE}", 99)


def secrets_manager(world, verb):
    if verb == "get-random-password":
        assert "--exclude-punctuation" in ARGUMENTS, "it becomes SQL text"
        world["random"] = world.get("random", 0) + 1
        print(f"random{world['random']}")
        return
    versions = world["versions"][option("--secret-id")]

    def move(stage, version):
        for name, other in versions.items():
            other["stages"] = [kept for kept in other["stages"] if kept != stage] + ([stage] if name == version else [])

    if verb == "list-secret-version-ids":
        stage = option("--query").split("'")[1]
        print(next((name for name, version in versions.items() if stage in version["stages"]), "None"))
    elif verb == "put-secret-value":
        with open(option("--secret-string").removeprefix("file://"), encoding="utf-8") as file:
            secret = json.load(file)
        assert secret["username"] == "tripod_" + option("--secret-id").rpartition("-")[2], secret
        name = f"v{len(versions)}"
        versions[name] = {"stages": [], "password": secret["password"]}
        move(option("--version-stages"), name)
        print(name)
    elif verb == "update-secret-version-stage":
        assert option("--version-stage") in versions[option("--remove-from-version-id")]["stages"], LINE
        move(option("--version-stage"), option("--move-to-version-id"))
    else:
        fail(f"the fake cloud does not know: {LINE}", 99)


def database_users(world):
    """What the job does to the passwords that the database takes, of which each user has two at most (run.sh of users.yaml)."""
    manifest = world["applied"]["users.yaml"]
    for user in ("reader", "loader"):
        key, version = re.search(rf"key: (\S+/database-{user}), property: password, version: (\S+)}}", manifest).groups()
        versions = world["versions"][key]
        if version == "AWSCURRENT":
            version = next(name for name in versions if "AWSCURRENT" in versions[name]["stages"])
        password = versions[version.removeprefix("uuid/")]["password"]
        taken = world["passwords"].setdefault(key, [])
        if password not in taken:
            world["passwords"][key] = taken = [password, *taken[:1]]
        if 'name: END_OLD_PASSWORDS\n              value: "yes"' in manifest:
            del taken[1:]


def check_passwords(world):
    """At no time may pods be handed a password that the database does not take."""
    for key, taken in world["passwords"].items():
        handed = next(version["password"] for version in world["versions"][key].values() if "AWSCURRENT" in version["stages"])
        assert handed in taken, f"{key}: {handed} is handed out, {taken} are taken"


def eksctl(world):
    verb = ARGUMENTS[:2]
    if verb == ["create", "cluster"]:
        if world["cluster"]:
            fail("cluster already exists", 1)
        with open(option("--config-file"), encoding="utf-8") as file:
            world["config"] = file.read()
        name = world["config"].split("name: ")[1].split("\n")[0]
        world["stacks"][f"eksctl-{name}-cluster"] = "CREATE_COMPLETE"
        world["cluster"] = {"status": "ACTIVE", "complete": False}
        world["logs"].append(f"/aws/eks/{name}/cluster")
    elif verb == ["create", "nodegroup"]:
        if not world["cluster"] or not let_in(world):
            fail("no cluster", 1)
    elif verb == ["delete", "cluster"]:
        if not let_in(world):
            fail("cannot clean up load balancers: the server could not be reached", 1)
        world["cluster"] = None
        world["stacks"].pop(f"eksctl-{option('--name')}-cluster", None)
        if world["tagged"].get("elasticloadbalancing:loadbalancer") or world["tagged"].get("ec2:security-group"):
            fail("the network has dependencies and cannot be deleted", 1)
    else:
        fail(f"the fake cloud does not know: {LINE}", 99)


def kubectl(world):
    if not world["cluster"] or not let_in(world):
        fail("the server could not be found", 1)
    if ARGUMENTS[:2] == ["get", "--raw"]:
        print("ok")
    elif ARGUMENTS[:2] == ["get", "secret"] and "name" in ARGUMENTS:
        print(f"secret/{ARGUMENTS[2]}" if ARGUMENTS[2] in world["secrets"] else "")
    elif ARGUMENTS[:2] == ["get", "secret"]:
        for key, value in sorted((world["memory"] or {}).items()):
            print(key, base64.b64encode(value.encode()).decode())
    elif ARGUMENTS[:3] == ["create", "secret", "generic"]:
        world["memory_made"] = {}
        for word in ARGUMENTS:
            if word.startswith("--from-literal="):
                key, value = word.removeprefix("--from-literal=").split("=", 1)
                world["memory_made"][key] = value
            elif word.startswith("--from-file="):
                key, path = word.removeprefix("--from-file=").split("=", 1)
                with open(path, encoding="utf-8") as file:
                    world["memory_made"][key] = file.read()
    elif ARGUMENTS[0] == "apply" and "--server-side" in ARGUMENTS:
        name = os.path.basename(option("-f")).removesuffix(".yaml")
        if name == "up-options":
            world["memory"] = world["memory_made"]
        else:
            world["secrets"][name] = world["memory_made"]
    elif ARGUMENTS[:2] == ["delete", "secret"]:
        world["secrets"].pop(ARGUMENTS[2], None)
    elif ARGUMENTS[0] == "get" and ARGUMENTS[1] == "ingress":
        world["asked_host"] = world.get("asked_host", 0) + 1
        print("tripod.elb.example" if world["asked_host"] > 1 else "", end="")
    elif ARGUMENTS[0] == "create":
        print("kind: ConfigMap")
    elif ARGUMENTS[0] == "apply":
        with open(ARGUMENTS[2], encoding="utf-8") as file:
            world["applied"][os.path.basename(ARGUMENTS[2])] = file.read()
    elif ARGUMENTS[0] == "delete" and "database-administrator" in ARGUMENTS:
        world["administrator_left"] = False
    elif ARGUMENTS[0] == "wait" and "job/database-users" in ARGUMENTS:
        world["administrator_left"] = True
        database_users(world)
    elif ARGUMENTS[0] == "delete" and ARGUMENTS[1] == "ingress":
        world["tagged"]["elasticloadbalancing:loadbalancer"] = []
    elif ARGUMENTS[0] not in ("wait", "delete", "logs"):
        fail(f"the fake cloud does not know: {LINE}", 99)


def helm(world):
    if ARGUMENTS[:2] == ["upgrade", "--install"]:
        if not world["cluster"]:
            fail("cluster unreachable", 1)
        values = [ARGUMENTS[at + 1] for at, word in enumerate(ARGUMENTS) if word == "--values"]
        for path in values:
            if not os.path.isfile(path):
                fail(f"no values file {path}", 1)
        world["releases"][ARGUMENTS[2]] = LINE
        contents = []
        for path in values:
            with open(path, encoding="utf-8") as file:
                contents.append(file.read())
        world["values"][ARGUMENTS[2]] = contents
        if ARGUMENTS[2] == "tripod":
            world["tagged"]["elasticloadbalancing:loadbalancer"] = [
                "arn:aws:elasticloadbalancing:us-east-1:444455556666:loadbalancer/app/k8s-tripod/1"]
    elif ARGUMENTS[0] == "uninstall":
        world["releases"].pop(ARGUMENTS[1], None)
    elif ARGUMENTS[0] != "test":
        fail(f"the fake cloud does not know: {LINE}", 99)


def curl(_world):
    if "-o" in ARGUMENTS:
        with open(option("-o"), "w", encoding="utf-8") as file:
            file.write("-----BEGIN CERTIFICATE-----\n")
    else:
        print("198.51.100.9")


def main():
    with open(os.path.join(FOLDER, "calls"), "a", encoding="utf-8") as file:
        file.write(LINE + "\n")
    hang_if_asked()
    failure = planned_failure()
    if failure == "before":
        fail("planned failure", 1)
    world = state()
    {"aws": aws, "eksctl": eksctl, "kubectl": kubectl, "helm": helm, "curl": curl}[PROGRAM](world)
    check_passwords(world)
    save(world)
    if failure == "after":
        fail("planned failure", 1)


main()
