"""Reads and validates manifests for `cargo xtask charts`.

    manifests.py json FILE...        the documents of each file, as {file: [document, ...]}
    manifests.py validate SCHEMAS VERSIONS FILE...
                                     each document against the Kubernetes versions (1.31,1.33)
                                     or, for other groups, against SCHEMAS/GROUP/KIND_VERSION.json
"""

import json
import pathlib
import sys

import jsonschema
import kubernetes_validate
import yaml

try:
    from yaml import CSafeLoader as Base
except ImportError:
    from yaml import SafeLoader as Base


class Loader(Base):
    """As safe as PyYAML's, and refuses a key that stands twice, of which the last would win."""


def mapping(loader, node, deep=False):
    seen = set()
    for key, _ in node.value:
        name = loader.construct_object(key, deep=True)
        if name in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {name!r} stands twice", key.start_mark
            )
        seen.add(name)
    return Base.construct_mapping(loader, node, deep)


Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
# Dates stay texts, as in Kubernetes.
Loader.yaml_implicit_resolvers = {
    first: [(tag, expression) for tag, expression in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in Base.yaml_implicit_resolvers.items()
}


def documents(path):
    with open(path, encoding="utf-8") as file:
        return [document for document in yaml.load_all(file, Loader) if document is not None]


def problems(schemas, versions, document):
    group, _, version = document["apiVersion"].rpartition("/")
    kind = document["kind"]
    ours = schemas / group / f"{kind.lower()}_{version}.json"
    if ours.is_file():
        schema = json.loads(ours.read_text(encoding="utf-8"))
        for error in jsonschema.Draft7Validator(schema).iter_errors(document):
            yield f"{error.json_path}: {error.message}"
        return
    for wanted in versions:
        try:
            kubernetes_validate.validate(document, wanted, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"Kubernetes {wanted}: {'/'.join(map(str, error.path))}: {error.message}"
        except (kubernetes_validate.SchemaNotFoundError, kubernetes_validate.InvalidSchemaError) as error:
            yield f"Kubernetes {wanted} has no {document['apiVersion']} {kind}, nor have the schemas: {error}"


def main(task, *arguments):
    if task == "json":
        # No NaN or infinity, which JSON has not.
        json.dump({path: documents(path) for path in arguments}, sys.stdout, allow_nan=False)
        return 0
    schemas, versions, *files = arguments
    found = 0
    for path in files:
        for document in documents(path):
            name = f"{document.get('kind')}/{document.get('metadata', {}).get('name')}"
            for problem in problems(pathlib.Path(schemas), versions.split(","), document):
                found += 1
                print(f"{pathlib.Path(path).name}: {name}: {problem}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
