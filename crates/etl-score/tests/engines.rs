//! The same queries on both engines, and both against the engine in memory.
//!
//! Spark takes minutes and must be installed, so this waits for `cargo xtask test --only engines`,
//! which puts PySpark into a folder and names it in `TRIPOD_TEST_PYSPARK`.

#![expect(clippy::unwrap_used, reason = "a test whose data is wrong must fail")]

#[path = "support/vectors.rs"]
mod vectors;
#[path = "support/world.rs"]
mod world;

use std::env;
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;

use etl::generate;
use etl::zones::lock::Lock;
use etl::zones::place::Place;
use etl_score::memory::MemorySize;

use crate::vectors::{all, assert_rows};
use crate::world::{World, assert_same_run, run};

/// Raw bytes of the generated set, and the files it is cut into.
const GENERATED_BYTES: usize = 200 << 20;
const GENERATED_FILES: usize = 5;

#[test]
#[ignore = "needs Spark: cargo xtask test --only engines"]
fn both_engines_give_the_vectors_rows() {
    for set in all() {
        let world = World::new();
        world.popular(&set.popular);
        let lines: Vec<&[u8]> = set.lines.split_inclusive(|byte| *byte == b'\n').collect();
        for (number, part) in lines.chunks(lines.len().div_ceil(3)).enumerate() {
            world.put(&format!("part-{number}.jsonl"), part.concat());
        }
        world.clean();
        run(&world.options("datafusion")).unwrap();
        spark(&world, "spark");
        for engine in ["datafusion", "spark"] {
            assert_rows(
                &format!("{} by {engine}", set.name),
                &world.rows(engine),
                &set.rows,
            );
        }
        let (one, other) = (world.manifest("datafusion"), world.manifest("spark"));
        assert_eq!((&*one.engine, &*other.engine), ("datafusion", "spark"));
        assert_same_run(&other, &one);
        assert_eq!(other.working, one.working);
        set.assert_tally(&other.tally);
    }
}

#[test]
#[ignore = "needs Spark: cargo xtask test --only engines"]
fn both_engines_give_the_rows_of_the_engine_in_memory() {
    let world = World::new();
    world.popular(&generate::excluded_hashtags().join("\n"));
    let mut lines = Vec::new();
    let options = generate::Options {
        users: 40_000,
        tweets: u64::MAX,
        seed: 200,
        ..generate::Options::default()
    };
    let limited = generate::write(&options, &mut Limited { lines: &mut lines });
    assert_eq!(limited.unwrap_err().kind(), io::ErrorKind::QuotaExceeded);
    let mut rest = lines.as_slice();
    for number in 0..GENERATED_FILES {
        let at = rest.len() / (GENERATED_FILES - number);
        let end = rest[..at].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
        let (part, tail) = rest.split_at(end);
        world.put(&format!("part-{number}.jsonl"), part);
        rest = tail;
    }
    assert!(rest.is_empty());
    drop(lines);
    let cleaned = world.clean();
    let by_memory = world.in_memory(&cleaned.inputs, "memory");
    let expected = world.rows("memory");
    assert!(
        by_memory
            .inputs
            .iter()
            .any(|input| input.repeated_relations > 0)
    );

    let (done, _) = run(&world.options("datafusion")).unwrap();
    assert_same(&world.rows("datafusion"), &expected);
    assert_same_run(&done.manifest, &by_memory);

    let mut options = world.options("tight");
    // Far less than the command line accepts: nearly nothing is left for the engine.
    options.memory = MemorySize::of_bytes(152 << 20);
    let (tight, steps) = run(&options).unwrap();
    assert!(steps.iter().any(|step| step.spilled_bytes > 0), "{steps:?}");
    assert_same(&world.rows("tight"), &expected);
    assert_same_run(&tight.manifest, &by_memory);

    spark(&world, "spark");
    assert_same(&world.rows("spark"), &expected);
    assert_same_run(&world.manifest("spark"), &by_memory);
}

#[test]
#[ignore = "needs Spark: cargo xtask test --only engines"]
fn the_driver_on_spark_stays_out_of_zones_in_use() {
    let world = World::new();
    let mut lines = Vec::new();
    let options = generate::Options {
        users: 100,
        tweets: 500,
        ..generate::Options::default()
    };
    generate::write(&options, &mut lines).unwrap();
    world.put("part-0.jsonl", lines);
    world.clean();
    let zone = |name: &str| Place::local(world.path(name));
    let writer = Lock::exclusive(&zone("spark")).unwrap();
    let output = driver(&world, "spark").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(75), "{said}");
    let own = format!("in use by process {}", std::process::id());
    assert!(said.contains(&own), "{said}");
    drop(writer);
    let cleaning = Lock::exclusive(&zone("working")).unwrap();
    let output = driver(&world, "spark").output().unwrap();
    assert_eq!(output.status.code(), Some(75));
    drop(cleaning);
    assert!(!world.path("spark").join("run.json").exists());
    spark(&world, "spark");
    assert_eq!(world.manifest("spark").engine, "spark");
    drop(Lock::exclusive(&zone("spark")).unwrap());
}

/// Two lists of a hundred thousand rows: the first difference, not all of both.
fn assert_same(found: &[String], expected: &[String]) {
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), expected.len());
}

/// Runs the PySpark driver here.
fn spark(world: &World, processed: &str) {
    let output = driver(world, processed).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

/// The PySpark driver, with two threads.
fn driver(world: &World, processed: &str) -> Command {
    let pyspark = env::var_os("TRIPOD_TEST_PYSPARK")
        .expect("TRIPOD_TEST_PYSPARK must name a folder with PySpark; `cargo xtask test --only engines` does");
    let driver = Path::new(env!("CARGO_MANIFEST_DIR")).join("../etl/spark/score.py");
    let mut command = Command::new("python3");
    command
        .env("PYTHONPATH", pyspark)
        .env("SPARK_LOCAL_DIRS", world.path("spark-scratch"))
        .arg(driver)
        .args([
            "--master",
            "local[2]",
            "--memory",
            "2g",
            "--partitions",
            "2",
        ])
        .arg("--working")
        .arg(world.path("working"))
        .arg("--processed")
        .arg(world.path(processed))
        .arg("--popular")
        .arg(world.path("popular"));
    command
}

/// Takes whole lines until there is enough.
struct Limited<'l> {
    lines: &'l mut Vec<u8>,
}

impl Write for Limited<'_> {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        if self.lines.len() >= GENERATED_BYTES {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        self.lines.extend_from_slice(lines);
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
