"""Takes rules and dashboards out of the rendered charts, for Prometheus and Grafana without the operator.

    helm template ... | render.py FOLDER            compares; 1 if a file differs, is missing or is left over
    helm template ... | render.py --write FOLDER    writes

The charts are the source; nothing here is edited by hand. `cargo xtask monitoring` runs this.
"""

import json
import pathlib
import sys

import yaml

HEADER = "# Rendered from charts/ by `cargo xtask monitoring --write`; do not edit.\n"


def files(documents):
    """Relative path to content, for every rule group and dashboard of the input."""
    found = {}
    for document in documents:
        if not document:
            continue
        name = document["metadata"]["name"]
        if document["kind"] == "PrometheusRule":
            content = yaml.safe_dump({"groups": document["spec"]["groups"]}, sort_keys=False, width=1000, allow_unicode=True)
            found[f"rules/{name}.yaml"] = HEADER + content
        elif document["kind"] == "ConfigMap" and "grafana_dashboard" in document["metadata"].get("labels", {}):
            for key, text in document.get("data", {}).items():
                # Parsed and written again: a dashboard that is no JSON is found here, and a diff shows lines.
                found[f"dashboards/{key}"] = json.dumps(json.loads(text), indent=2, ensure_ascii=False) + "\n"
    return found


def main(arguments):
    write = arguments[:1] == ["--write"]
    folder = pathlib.Path(arguments[-1])
    wanted = files(yaml.safe_load_all(sys.stdin))
    if not any(path.startswith("rules/") for path in wanted) or not any(path.startswith("dashboards/") for path in wanted):
        sys.exit("the charts rendered no rules or no dashboards: are monitoring.rules and monitoring.dashboards on?")
    present = {str(path.relative_to(folder)) for part in ("rules", "dashboards") for path in (folder / part).glob("*")}
    wrong = []
    for path in sorted(present | set(wanted)):
        file = folder / path
        if path not in wanted:
            wrong.append(f"{file} is left over")
            if write:
                file.unlink()
        elif not file.is_file() or file.read_text(encoding="utf-8") != wanted[path]:
            wrong.append(f"{file} is not what the charts render")
            if write:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(wanted[path], encoding="utf-8")
    for line in wrong:
        print(f"{line}{'; written' if write else ''}")
    if wrong and not write:
        sys.exit("run `cargo xtask monitoring --write` and commit the result")


if __name__ == "__main__":
    main(sys.argv[1:])
