"""Asks the examples of an OpenAPI file of running services, for `cargo xtask test --only conformance`.

    golden.py FILE PREFIX=HOST:PORT...

Where parameters and a reply have an example of the same name, the request with those parameters must be answered with
that status, content type and body, to the byte. Each path is asked at the longest PREFIX that fits. A parameter without
an example of that name is left out. The last line is `N passed, N failed`.
"""

import http.client
import sys
import urllib.parse

import yaml

SECONDS = 30


def examples(document):
    """Path, name, parameters and the expected status, media type and body of each example."""
    for path, item in document["paths"].items():
        operation = item["get"]
        parameters = operation.get("parameters", [])
        asked = {name for parameter in parameters for name in parameter.get("examples", {})}
        answered = set()
        for status, response in operation["responses"].items():
            for media_type, content in response.get("content", {}).items():
                for name, example in content.get("examples", {}).items():
                    if name in answered:
                        raise SystemExit(f"{path}: two replies to {name}")
                    answered.add(name)
                    query = {
                        parameter["name"]: parameter["examples"][name]["value"]
                        for parameter in parameters
                        if name in parameter.get("examples", {})
                    }
                    yield path, name, query, int(status), media_type, example["value"]
        if asked != answered:
            raise SystemExit(f"{path}: asked or answered only: {sorted(asked ^ answered)}")


def ask(address, target):
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=SECONDS)
    try:
        connection.request("GET", target)
        response = connection.getresponse()
        media_type = response.getheader("content-type", "").partition(";")[0]
        return response.status, media_type, response.read()
    finally:
        connection.close()


def main(file, addresses):
    prefixes = dict(address.split("=", 1) for address in addresses)
    with open(file, encoding="utf-8") as text:
        document = yaml.safe_load(text)
    passed = failed = 0
    for path, name, query, status, media_type, body in examples(document):
        prefix = max((prefix for prefix in prefixes if path.startswith(prefix)), key=len, default=None)
        if prefix is None:
            raise SystemExit(f"no address for {path}")
        target = path + "?" + urllib.parse.urlencode(query)
        wanted = (status, media_type, body.encode())
        found = ask(prefixes[prefix], target)
        if found == wanted:
            passed += 1
            print(f"test {path} {name} ... ok")
        else:
            failed += 1
            print(f"test {path} {name} ... FAILED: GET {target}\n  wanted {wanted}\n  found  {found}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
