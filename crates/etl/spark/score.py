"""The score step of the ETL on Apache Spark: the same SQL files as `etl-score`.

    spark-submit score.py --working DIR --processed DIR --popular FILE [--partitions N]

Zones are anything that Spark reads: a local folder, `s3a://bucket/prefix`, `hdfs://...`. The SQL
files are looked for beside this one, in `../sql/score` or in `sql/score`; `--sql` names another
folder on the driver. `crates/etl/src/zones/*.rs` describes what is read and written.

What the portable SQL cannot carry is here and nowhere else: the two small tables `inputs` and
`popular`, the names of the files of rows, and the manifest.
"""

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import re
import sys
import threading
import time

WORKING_VERSION = 1
PROCESSED_VERSION = 1

# Exit codes as in crates/etl/src/failure.rs.
CHECK, USAGE, INPUT, SOFTWARE, DISK, BUSY = 1, 64, 65, 70, 74, 75

# The lock of a zone that is no local folder, as in crates/etl/src/zones/lock.rs: seconds that it holds
# without being renewed, between two renewals, and until a second writer of the same moment is seen.
LEASE, RENEWAL, SETTLED = 120, 20, 2

KEY, TEXT, STAMP = "BIGINT", "STRING", "DECIMAL(38, 0)"
TABLES = {
    "tweets": f"input {TEXT}, tweet_key {KEY}, hashtags INT",
    "contact_tweets": f"input {TEXT}, tweet_key {KEY}, sender_key {KEY}, reply_key {KEY}, retweet_key {KEY}, "
    f"created_at BIGINT, stamp {STAMP}, tweet_text {TEXT}, hashtags {TEXT}",
    "tag_uses": f"input {TEXT}, tweet_key {KEY}, user_key {KEY}, tag {TEXT}, uses INT",
    "sightings": f"input {TEXT}, tweet_key {KEY}, user_key {KEY}, stamp {STAMP}, screen_name {TEXT}, "
    f"description {TEXT}",
}

# What a result depends on is said here, not left to a cluster's defaults.
SETTINGS = {
    # Overflow and bad casts are errors, never NULL.
    "spark.sql.ansi.enabled": "true",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.adaptive.enabled": "true",
    # A pair with a celebrity is one row, but the celebrity's tags meet 200,000 pairs.
    "spark.sql.adaptive.skewJoin.enabled": "true",
    "spark.sql.parquet.compression.codec": "snappy",
    "spark.sql.parquet.writeLegacyFormat": "false",
    # Texts are texts in Parquet; a column of plain bytes would be a mistake.
    "spark.sql.parquet.binaryAsString": "false",
    "spark.sql.parquet.filterPushdown": "true",
    # No `_SUCCESS`: the manifest is what says that a run is whole.
    "spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs": "false",
}

# White space as Rust's `str::trim` has it: U+001C to U+001F are none.
WHITE = "\t\n\x0b\x0c\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"


class Failure(Exception):
    """What ends a run: an exit code and one line."""

    def __init__(self, code, line):
        super().__init__(line)
        self.code = code


def arguments():
    parser = argparse.ArgumentParser(prog="score.py", description=__doc__.splitlines()[0])
    parser.add_argument("--working", required=True, metavar="DIR")
    parser.add_argument("--processed", required=True, metavar="DIR")
    parser.add_argument("--popular", required=True, metavar="FILE", help="excluded hashtags, one a line")
    parser.add_argument("--partitions", type=int, metavar="N", help="shuffle partitions [default: Spark's 200]")
    parser.add_argument("--sql", metavar="DIR", help="folder of the SQL files")
    parser.add_argument("--master", metavar="URL", help="only without spark-submit, like local[2]")
    parser.add_argument("--memory", metavar="SIZE", help="only without spark-submit: heap of the driver")
    parser.add_argument("--json", metavar="FILE", help="also write times and rows as JSON to this local file")
    return parser.parse_args()


def say(line):
    print(f"etl: {line}", file=sys.stderr, flush=True)


def queries(folder):
    """(name, text) of the SQL files, in the order of their numbers."""
    here = os.path.dirname(os.path.abspath(__file__))
    folders = [folder] if folder else [os.path.join(here, "..", "sql", "score"), os.path.join(here, "sql", "score")]
    for folder in folders:
        if os.path.isdir(folder):
            names = sorted(name for name in os.listdir(folder) if re.fullmatch(r"\d\d_\w+\.sql", name))
            if names:
                return [(name[3:-4], open(os.path.join(folder, name), encoding="utf-8").read()) for name in names]
    raise Failure(USAGE, f"no SQL files in {' or '.join(folders)}; name their folder with --sql")


def session(options):
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.appName("etl-score")
    if options.master:
        builder = builder.master(options.master)
    if options.memory:
        builder = builder.config("spark.driver.memory", options.memory)
    for key, value in SETTINGS.items():
        builder = builder.config(key, value)
    if options.partitions:
        builder = builder.config("spark.sql.shuffle.partitions", options.partitions)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    return spark


class Folder:
    """A folder of whatever file system Hadoop knows."""

    def __init__(self, spark, path):
        self.jvm = spark.sparkContext._jvm
        self.path = self.jvm.org.apache.hadoop.fs.Path(path)
        self.system = self.path.getFileSystem(spark.sparkContext._jsc.hadoopConfiguration())
        # Absolute and with a scheme, so that a name that looks like a pattern is none.
        self.path = self.system.makeQualified(self.path)

    def at(self, name):
        return self.jvm.org.apache.hadoop.fs.Path(self.path, name)

    def pattern(self, name):
        """For Spark's readers, which take paths for patterns."""
        return re.sub(r"([\\*?\[\]{}^])", r"\\\1", self.at(name).toString())

    def exists(self, name):
        return self.system.exists(self.at(name))

    def names(self, name):
        if not self.exists(name):
            return []
        return sorted(status.getPath().getName() for status in self.system.listStatus(self.at(name)))

    def size(self, name):
        return self.system.getFileStatus(self.at(name)).getLen()

    def read(self, name):
        stream = self.system.open(self.at(name))
        try:
            return bytes(self.jvm.org.apache.commons.io.IOUtils.toByteArray(stream))
        finally:
            stream.close()

    def write(self, name, content):
        stream = self.system.create(self.at(name), True)
        try:
            stream.write(content)
        finally:
            stream.close()

    def changed(self, name):
        """When a file was last written, in seconds since 1970."""
        return self.system.getFileStatus(self.at(name)).getModificationTime() / 1000

    def local(self):
        """The folder's path on this host, if it is on it."""
        uri = self.path.toUri()
        return uri.getPath() if uri.getScheme() == "file" else None

    def remove(self, name):
        self.system.delete(self.at(name), True)

    def rename(self, old, new):
        if not self.system.rename(self.at(old), self.at(new)):
            raise Failure(DISK, f"cannot rename {self.at(old)} to {self.at(new)}")

    def mkdirs(self, name):
        self.system.mkdirs(self.at(name))


def holder():
    """Who holds a lock, as `etl` says it."""
    with open("/proc/sys/kernel/hostname", encoding="utf-8") as name:
        return f"process {os.getpid()} on {name.read().strip()}\n"


def in_use(folder, by):
    return Failure(BUSY, f"{folder.path} is in use by {by.strip() or 'another process'}; wait for it to end, or end it")


@contextlib.contextmanager
def locked(folder, is_writer):
    """Keeps `etl` and other drivers out of a zone while this one reads it or writes it, and itself out of theirs."""
    with contextlib.ExitStack() as held:
        if folder.local():
            held.enter_context(locked_folder(folder, is_writer))
        else:
            held.enter_context(locked_bucket(folder, is_writer))
        yield


@contextlib.contextmanager
def locked_folder(folder, is_writer):
    """The system's lock on `.lock`, which ends with this process."""
    if is_writer:
        os.makedirs(folder.local(), exist_ok=True)
    try:
        lock = open(os.path.join(folder.local(), ".lock"), "a+", encoding="utf-8")
    except OSError:
        if is_writer:
            raise
        # What cannot be written needs no lock.
        yield
        return
    with lock:
        try:
            fcntl.flock(lock, (fcntl.LOCK_EX if is_writer else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise in_use(folder, lock.read(512)) from None
        if is_writer:
            lock.truncate(0)
            lock.write(holder())
            lock.flush()
        yield
        if is_writer:
            lock.truncate(0)


@contextlib.contextmanager
def locked_bucket(folder, is_writer):
    """The object `.lock`. Hadoop cannot create it only where there is none, so a writer looks again
    after a moment: of two that began at once, the later one stays."""
    own = holder().encode()
    if folder.exists(".lock") and time.time() - folder.changed(".lock") < LEASE:
        raise in_use(folder, folder.read(".lock").decode("utf-8", "replace"))
    if not is_writer:
        yield
        return
    folder.write(".lock", own)
    time.sleep(SETTLED)
    if folder.read(".lock") != own:
        raise in_use(folder, folder.read(".lock").decode("utf-8", "replace"))
    ended = threading.Event()

    def renew():
        while not ended.wait(RENEWAL):
            with contextlib.suppress(Exception):  # Tried again before the lease is over.
                folder.write(".lock", own)

    renewer = threading.Thread(target=renew, daemon=True)
    renewer.start()
    try:
        yield
    finally:
        ended.set()
        renewer.join()
        folder.remove(".lock")


def read_inputs(working):
    """The manifests of the working zone, by (file name, path)."""
    manifests = []
    for name in working.names("manifests"):
        if name.startswith(".") or not name.endswith(".json"):
            continue
        manifest = json.loads(working.read(f"manifests/{name}"))
        if manifest.get("working_version") != WORKING_VERSION:
            raise Failure(INPUT, f"{working.path}: {name} is of version {manifest.get('working_version')}, "
                                 f"this program reads {WORKING_VERSION}; clean again")
        for table in TABLES:
            file = f"{table}/{manifest['input']}.parquet"
            if not working.exists(file) or working.size(file) != manifest["tables"][table]["size_bytes"]:
                raise Failure(INPUT, f"{working.path}: {file} is not what its manifest says; clean again")
        manifests.append(manifest)
    if not manifests:
        raise Failure(INPUT, f"{working.path}: there is nothing to score; run `etl clean` first")
    # UTF-8 and code points order alike, and so does Rust.
    return sorted(manifests, key=lambda one: (one["path"].rsplit("/", 1)[-1], one["path"]))


def read_popular(spark, path):
    """The excluded tags, lower-cased by the full Unicode mapping as everywhere."""
    folder, name = os.path.split(path)
    try:
        text = Folder(spark, folder or ".").read(name).decode("utf-8")
    except UnicodeDecodeError as error:
        raise Failure(INPUT, f"{path}: {error}") from error
    tags = (line.strip(WHITE).lower() for line in text.removeprefix("\ufeff").split("\n"))
    return sorted({tag for tag in tags if tag}, key=lambda tag: tag.encode())


def named(path, working):
    """The working zone by the name that `etl` knows it by in any folder."""
    scheme = working.path.toUri().getScheme()
    if scheme == "file":
        return os.path.realpath(working.path.toUri().getPath())
    return re.sub(r"^s3[an]?://", "s3://", path.rstrip("/"))


def add_tables(spark, working, inputs, popular):
    for table, schema in TABLES.items():
        paths = [working.pattern(f"{table}/{one['input']}.parquet") for one in inputs]
        spark.read.schema(schema).parquet(*paths).createOrReplaceTempView(table)
    rows = [(one["input"], number) for number, one in enumerate(inputs)]
    spark.createDataFrame(rows, "input STRING, input_no BIGINT").createOrReplaceTempView("inputs")
    spark.createDataFrame([(tag,) for tag in popular], "tag STRING").createOrReplaceTempView("popular")


def run(spark, processed, statements):
    """Runs the queries; each result is a table for the later ones. Returns the small ones and the steps."""
    small, steps = {}, []
    for name, sql in statements:
        started = time.monotonic()
        result = spark.sql(sql)
        if name in ("tally", "run_inputs"):
            small[name] = [row.asDict() for row in result.collect()]
            rows = len(small[name])
        else:
            path = f".scratch/{name}"
            result.write.mode("overwrite").parquet(processed.at(path).toString())
            written = spark.read.parquet(processed.pattern(path))
            written.createOrReplaceTempView(name)
            rows = written.count()
        seconds = time.monotonic() - started
        steps.append({"query": name, "rows": rows, "seconds": seconds})
        say(f"score: {name}, {rows} rows, {seconds:.1f} s")
    return small, steps


def part_number(name):
    """Spark's files are part-00012-<uuid>-c000.snappy.parquet: partition, then file."""
    found = re.match(r"part-(\d+)-.*?(?:-c(\d+))?\.", name)
    return int(found.group(1)), int(found.group(2) or 0)


def publish(spark, processed, manifest):
    """Puts the new rows in the place of the old ones. Without a manifest nobody takes them for a run."""
    from pyspark.sql import functions as f

    rows = spark.read.parquet(processed.pattern(".scratch/rows"))
    counted = rows.groupBy(f.input_file_name().alias("file")).count().collect()
    # The names come as URLs; their last parts need no escapes.
    counts = {row["file"].rsplit("/", 1)[-1]: row["count"] for row in counted}
    names = [name for name in processed.names(".scratch/rows") if name.endswith(".parquet") and counts.get(name)]
    processed.remove("run.json")
    processed.remove("rows")
    processed.mkdirs("rows")
    for number, name in enumerate(sorted(names, key=part_number)):
        new = f"part-{number:05}.parquet"
        processed.rename(f".scratch/rows/{name}", f"rows/{new}")
        # A local file system keeps a checksum beside each file, which nobody else knows.
        processed.remove(f"rows/.{new}.crc")
        manifest["rows"].append({"name": new, "rows": counts[name], "size_bytes": processed.size(f"rows/{new}")})
    processed.write(".run.json.tmp", json.dumps(manifest, indent=2).encode())
    processed.rename(".run.json.tmp", "run.json")
    processed.remove(".run.json.crc")


def score(options):
    statements = queries(options.sql)
    begun = time.monotonic()
    spark = session(options)
    session_seconds = time.monotonic() - begun
    started = time.monotonic()
    locks = contextlib.ExitStack()
    try:
        working, processed = Folder(spark, options.working), Folder(spark, options.processed)
        locks.enter_context(locked(working, False))
        locks.enter_context(locked(processed, True))
        inputs = read_inputs(working)
        popular = read_popular(spark, options.popular)
        processed.remove(".scratch")
        add_tables(spark, working, inputs, popular)
        small, steps = run(spark, processed, statements)
        tally = small["tally"][0]
        rows = next(step["rows"] for step in steps if step["query"] == "rows")
        if rows != tally["table_rows"]:
            raise Failure(CHECK, f"there are {rows} rows, but the pairs come to {tally['table_rows']}")
        lists = "".join(f"{tag}\n" for tag in popular)
        manifest = {
            "processed_version": PROCESSED_VERSION,
            "engine": "spark",
            "inputs": [{**lost, "crc32": one["crc32"]} for lost, one in zip(small["run_inputs"], inputs, strict=True)],
            "working": named(options.working, working),
            "excluded": popular,
            "excluded_sha256": hashlib.sha256(lists.encode()).hexdigest(),
            "tally": tally,
            "rows": [],
        }
        publish(spark, processed, manifest)
        processed.remove(".scratch")
        seconds = time.monotonic() - started
        say(f"score: {rows} rows in {seconds:.1f} s, after {session_seconds:.1f} s for the session")
        if options.json:
            figures = {
                "engine": "spark",
                "rows": rows,
                "seconds": seconds,
                "session_seconds": session_seconds,
                "partitions": int(spark.conf.get("spark.sql.shuffle.partitions")),
                "steps": steps,
            }
            with open(options.json, "w", encoding="utf-8") as out:
                json.dump(figures, out, indent=2)
    finally:
        locks.close()
        spark.stop()


def main():
    options = arguments()
    try:
        score(options)
    except Failure as failure:
        say(str(failure))
        return failure.code
    except Exception as error:  # Whatever Spark throws: one line, and a code that scripts understand.
        text = str(error)
        code = DISK if "No space left" in text else INPUT if "FileNotFound" in text else SOFTWARE
        say(f"{type(error).__name__}: {text.strip().splitlines()[0] if text.strip() else 'no message'}")
        return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
