"""Figures of the score step: DataFusion against Spark, and how time and memory grow with the input.

    python3 crates/etl-score/benches/figures.py engines [--gib 1] [--rounds 3]
    python3 crates/etl-score/benches/figures.py growth [--gib 0.5 1 2 4] [--memory 1G]
    python3 crates/etl-score/benches/figures.py incremental [--gib 1]

Builds what it needs, makes its own raw files in a temporary folder (`--data` names another parent), and removes them. `engines`
needs PySpark: in the running Python, or in the folder that TRIPOD_TEST_PYSPARK names. `growth` writes
docs/etl/growth.md and docs/etl/growth.svg. `incremental` adds files of 1 % and of 10 % of the lines to a finished run
and says how long each step takes, and how much of the rows the new lines touch.
"""

import argparse
import contextlib
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
MIB = 1 << 20
# Lines of a raw file: some 340 MB, as a third of one of the real ones.
LINES = 120_000
LINE_BYTES = 2_804
# Of the table that `growth` makes.
ROW = "| {:.1f} | {:.1f} | {:.0f} | {:.1f} | {:.0f} | {:.1f} | {:.0f} | {} | {:.0f} |"


def run(command, **more):
    subprocess.run(command, check=True, **more)


def build():
    run(["cargo", "build", "--quiet", "--profile", "engine", "-p", "etl", "-p", "etl-score"], cwd=ROOT)
    metadata = subprocess.run(
        ["cargo", "metadata", "--format-version", "1", "--no-deps"], cwd=ROOT, check=True, capture_output=True)
    target = json.loads(metadata.stdout)["target_directory"]
    return os.path.join(target, "engine")


def generate(binaries, folder, gib, seed):
    """Raw files of so many GiB in all, and the list of excluded tags."""
    landing = os.path.join(folder, "landing")
    os.makedirs(landing)
    lines = int(gib * 1024 * MIB / LINE_BYTES)
    number = 0
    while lines > 0:
        part = min(lines, LINES)
        run([os.path.join(binaries, "etl"), "generate", "--users", str(max(10_000, int(gib * 150_000))), "--tweets", str(part),
             "--seed", str(seed + number), "--out", os.path.join(landing, f"part-r-{number:05}.json")],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        lines -= part
        number += 1
    popular = os.path.join(folder, "popular")
    shutil.copy(os.path.join(ROOT, "crates/twitter-core/tests/data/tiny_popular_hashtags.txt"), popular)
    raw = sum(os.path.getsize(os.path.join(landing, name)) for name in os.listdir(landing))
    return landing, popular, raw


def tree_bytes(pid):
    """Memory that a process and its children hold now."""
    held, todo = 0, [pid]
    while todo:
        one = todo.pop()
        try:
            with open(f"/proc/{one}/statm") as statm:
                held += int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            for thread in os.listdir(f"/proc/{one}/task"):
                with open(f"/proc/{one}/task/{thread}/children") as children:
                    todo += [int(child) for child in children.read().split()]
        except OSError:
            pass
    return held


def measured(command, **more):
    """Seconds, and the most memory that the command and its children held together."""
    begun = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **more)
    peak = 0
    said = []
    reader = threading.Thread(target=lambda: said.extend(process.stderr))
    reader.start()
    while process.poll() is None:
        peak = max(peak, tree_bytes(process.pid))
        time.sleep(0.02)
    reader.join()
    if process.returncode:
        sys.exit(f"{' '.join(command)}: {''.join(said)}")
    return time.monotonic() - begun, peak


def clean(binaries, landing, folder):
    working = os.path.join(folder, "working")
    seconds, peak = measured([os.path.join(binaries, "etl"), "clean", "--landing", landing, "--working", working])
    return working, seconds, peak


def datafusion(binaries, working, popular, folder, memory):
    processed, figures = os.path.join(folder, "datafusion"), os.path.join(folder, "datafusion.json")
    _, peak = measured([os.path.join(binaries, "etl-score"), "--working", working, "--processed", processed,
                        "--popular", popular, "--memory", memory, "--json", figures])
    with open(figures) as text:
        figures = json.load(text)
    return figures, max(peak, figures["peak_bytes"] or 0)


def load(binaries, processed, folder, name="table"):
    """Into SQLite, with all checks. Seconds, peak, and what the report says."""
    report = os.path.join(folder, "load.json")
    if os.path.exists(report):
        os.remove(report)
    seconds, peak = measured([os.path.join(binaries, "etl"), "load", "--processed", processed, "--spill", folder,
                              "--database", f"sqlite://{os.path.join(folder, name)}.db", "--json", report])
    with open(report) as text:
        return seconds, peak, json.load(text)


def spark(working, popular, folder, memory):
    processed, figures = os.path.join(folder, "spark"), os.path.join(folder, "spark.json")
    cores = len(os.sched_getaffinity(0))
    environment = dict(os.environ, SPARK_LOCAL_DIRS=os.path.join(folder, "spark-scratch"))
    if "TRIPOD_TEST_PYSPARK" in environment:
        environment["PYTHONPATH"] = environment["TRIPOD_TEST_PYSPARK"]
    _, peak = measured([sys.executable, os.path.join(ROOT, "crates/etl/spark/score.py"), "--working", working,
                        "--processed", processed, "--popular", popular, "--master", f"local[{cores}]",
                        "--memory", memory, "--partitions", str(cores), "--json", figures], env=environment)
    with open(figures) as text:
        return json.load(text), peak


def engines(options, binaries, folder):
    landing, popular, raw = generate(binaries, folder, options.gib[0], 1)
    working, _, _ = clean(binaries, landing, folder)
    found = {"datafusion": [], "spark": []}
    for number in range(options.rounds):
        for name in found:
            # In turn, so that what else the machine does meets both.
            if name == "spark":
                figures, peak = spark(working, popular, folder, options.memory)
            else:
                figures, peak = datafusion(binaries, working, popular, folder, options.memory)
            found[name].append((figures, peak))
            print(f"{name} {number + 1}: {figures['rows']} rows, {figures['seconds']:.2f} s (session {figures['session_seconds']:.1f} s "
                  f"apart), {peak / MIB:.0f} MiB, load average {os.getloadavg()[0]:.1f}", flush=True)
    print(f"\nraw {raw / MIB:.0f} MiB, {os.cpu_count()} cores, limit {options.memory} (of Spark: heap)\n")
    print("| engine | rows/s, median | peak MiB |\n| --- | --- | --- |")
    speed = {}
    for name, runs in found.items():
        speed[name] = statistics.median(figures["rows"] / figures["seconds"] for figures, _ in runs)
        print(f"| {name} | {speed[name]:.0f} | {max(peak for _, peak in runs) / MIB:.0f} |")
    print(f"\nratio {speed['datafusion'] / speed['spark']:.1f} (wanted: at least 3)")


def packs(folder):
    """The table's packs: their hashes and sizes."""
    with contextlib.closing(sqlite3.connect(os.path.join(folder, "table.db"))) as table:
        return {(user, part): (hash(pack), len(pack)) for user, part, pack in table.execute("SELECT user_id, part, pack FROM user_pack")}


def incremental(options, binaries, folder):
    gib = options.gib[0]
    landing, popular, raw = generate(binaries, folder, gib, 1)
    print(f"raw {raw / MIB:.0f} MiB\n\n| | clean s | score s | load s | rows | packs touched | of their bytes |\n| --- | --- | --- | --- | --- | --- | --- |")
    before, slowest = {}, []
    for number, (name, share) in enumerate([("first run", 0), ("1 % more", 0.01), ("10 % more", 0.1)]):
        if share:
            run([os.path.join(binaries, "etl"), "generate", "--users", str(max(10_000, int(gib * 150_000))), "--tweets",
                 str(int(raw / LINE_BYTES * share)), "--seed", str(1000 + number), "--out", os.path.join(landing, f"part-s-{number:05}.json")],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        working, clean_seconds, _ = clean(binaries, landing, folder)
        figures, _ = datafusion(binaries, working, popular, folder, options.memory)
        load_seconds, _, _ = load(binaries, os.path.join(folder, "datafusion"), folder)
        now = packs(folder)
        touched = [size for key, (content, size) in now.items() if before.get(key) != (content, size)]
        shares = (len(touched) / len(now), sum(touched) / sum(size for _, size in now.values()))
        print(f"| {name} | {clean_seconds:.1f} | {figures['seconds']:.1f} | {load_seconds:.1f} | {figures['rows']} | "
              f"{shares[0]:.0%} | {shares[1]:.0%} |", flush=True)
        before = now
        slowest = sorted(figures["steps"], key=lambda step: -step["seconds"])
    print("\n" + ", ".join(f"{step['query']} {step['seconds']:.2f} s" for step in slowest))


def growth(options, binaries, folder):
    rows = []
    for gib in options.gib:
        here = os.path.join(folder, str(gib))
        os.makedirs(here)
        landing, popular, raw = generate(binaries, here, gib, 1)
        working, clean_seconds, clean_peak = clean(binaries, landing, here)
        figures, peak = datafusion(binaries, working, popular, here, options.memory)
        spilled = sum(step["spilled_bytes"] for step in figures["steps"])
        load_seconds, load_peak, _ = load(binaries, os.path.join(here, "datafusion"), here)
        rows.append((raw / (1024 * MIB), clean_seconds, clean_peak / MIB, figures["seconds"], peak / MIB, load_seconds, load_peak / MIB,
                     figures["rows"], spilled / MIB))
        print(ROW.format(*rows[-1]), flush=True)
        shutil.rmtree(here)
    table = ["| raw GiB | clean s | clean MiB | score s | score MiB | load s | load MiB | rows | spilled MiB |",
             "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"]
    table += [ROW.format(*row) for row in rows]
    docs = os.path.join(ROOT, "docs/etl")
    os.makedirs(docs, exist_ok=True)
    with open(os.path.join(docs, "growth.md"), "w") as out:
        out.write("# How the steps grow with the input\n\n"
                  f"Made by `python3 crates/etl-score/benches/figures.py growth` with `--memory {options.memory}`, "
                  f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f} at the end. Memory is the most that the process held; load is into SQLite, with all checks.\n\n"
                  + "\n".join(table) + "\n\n![time and memory over raw GiB](growth.svg)\n")
    with open(os.path.join(docs, "growth.svg"), "w") as out:
        out.write(plot(rows, options.memory))


def plot(rows, memory):
    """Two panels, time and memory over raw GiB, as plain SVG."""
    panels = [("seconds", (1, 3, 5)), (f"MiB held, limit of score {memory}", (2, 4, 6))]
    parts = ['<svg xmlns="http://www.w3.org/2000/svg" width="760" height="300" font-family="sans-serif" font-size="12">']
    right = max(row[0] for row in rows)
    for panel, (title, columns) in enumerate(panels):
        left, top, width, height = 60 + panel * 370, 40, 290, 210
        most = max(row[column] for row in rows for column in columns) * 1.1
        parts.append(f'<text x="{left}" y="24">{title}</text>')
        parts.append(f'<path d="M{left} {top}V{top + height}H{left + width}" fill="none" stroke="#888"/>')
        for share in (0, 0.5, 1):
            y = top + height * (1 - share)
            parts.append(f'<text x="{left - 6}" y="{y + 4:.0f}" text-anchor="end">{most * share:.0f}</text>')
        for row in rows:
            x = left + width * row[0] / right
            parts.append(f'<text x="{x:.0f}" y="{top + height + 16}" text-anchor="middle">{row[0]:.1f}</text>')
        for name, column, colour in zip(("clean", "score", "load"), columns, ("#1f77b4", "#d62728", "#2ca02c")):
            points = " ".join(f"{left + width * row[0] / right:.1f},{top + height * (1 - row[column] / most):.1f}" for row in rows)
            parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
            y = top + height * (1 - rows[-1][column] / most)
            parts.append(f'<text x="{left + width + 4}" y="{y + 4:.0f}" fill="{colour}">{name}</text>')
        parts.append(f'<text x="{left + width / 2}" y="{top + height + 34}" text-anchor="middle">raw GiB</text>')
    return "\n".join(parts) + "\n</svg>\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["engines", "growth", "incremental"])
    parser.add_argument("--gib", type=float, nargs="+", help="raw GiB [default: 0.5 1 2 4 for growth, else 1]")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", default="2G", help="limit of etl-score, heap of Spark")
    parser.add_argument("--data", help="parent of the temporary folder")
    options = parser.parse_args()
    options.gib = options.gib or ([0.5, 1.0, 2.0, 4.0] if options.what == "growth" else [1.0])
    binaries = build()
    with tempfile.TemporaryDirectory(prefix="etl-figures-", dir=options.data) as folder:
        {"engines": engines, "growth": growth, "incremental": incremental}[options.what](options, binaries, folder)


if __name__ == "__main__":
    main()
