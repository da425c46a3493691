//! What cannot be scored is refused in one line, with nothing published and nothing lost.

#![expect(clippy::unwrap_used, reason = "a test whose data is wrong must fail")]

#[path = "support/vectors.rs"]
mod vectors;
#[path = "support/world.rs"]
mod world;

use std::fs;
use std::process::{Command, Output};

use etl::zones::working::Table;

use crate::vectors::{all, assert_rows};
use crate::world::{World, assert_same_run, run};

/// A world with the rows of the smaller set in `processed`.
fn scored() -> World {
    let world = World::new();
    let set = all().remove(0);
    world.popular(&set.popular);
    world.put("part-0.jsonl", &set.lines);
    let cleaned = world.clean();
    let (done, _) = run(&world.options("processed")).unwrap();
    assert_same_run(&done.manifest, &world.in_memory(&cleaned.inputs, "memory"));
    assert_rows(set.name, &world.rows("processed"), &set.rows);
    set.assert_tally(&done.manifest.tally);
    world
}

fn program(world: &World, working: &str, processed: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_etl-score"))
        .args(["--memory", "1G", "--jobs", "2", "--working"])
        .arg(world.path(working))
        .arg("--processed")
        .arg(world.path(processed))
        .arg("--popular")
        .arg(world.path("popular"))
        .output()
        .unwrap()
}

/// The exit code and the last line, which is all there is to say.
fn refused(output: &Output) -> (i32, String) {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let last = said.lines().last().unwrap_or_default().to_owned();
    assert!(
        last.starts_with("etl: ") && !said.contains("panicked"),
        "{said}"
    );
    (output.status.code().unwrap(), last)
}

#[test]
fn a_working_zone_that_is_not_there_or_empty_is_bad_input() {
    let world = World::new();
    let (code, line) = refused(&program(&world, "absent", "processed"));
    assert_eq!(code, 65, "{line}");
}

#[test]
fn damaged_facts_publish_nothing() {
    let world = scored();
    let before = world.rows("processed");
    for table in Table::ALL {
        let folder = world.path("working").join(table.name());
        let path = fs::read_dir(folder)
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .path();
        let whole = fs::read(&path).unwrap();
        let mut cut = whole.clone();
        cut.pop();
        let mut garbled = whole.clone();
        let end = garbled.len() - 12;
        garbled[4..end].fill(0xA5);
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 1;
        for damaged in [cut, garbled, flipped] {
            fs::write(&path, damaged).unwrap();
            let (code, line) = refused(&program(&world, "working", "processed"));
            assert_eq!(code, 65, "{}: {line}", table.name());
            assert_eq!(world.rows("processed"), before);
        }
        fs::write(&path, whole).unwrap();
    }
    assert_eq!(
        program(&world, "working", "processed").status.code(),
        Some(0)
    );
    assert_eq!(world.rows("processed"), before);
}

#[test]
fn facts_of_another_version_are_refused() {
    let world = scored();
    let manifests = world.path("working").join("manifests");
    let path = fs::read_dir(manifests)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let text = fs::read_to_string(&path).unwrap();
    let other = text.replace("\"working_version\": 1", "\"working_version\": 99");
    assert_ne!(text, other);
    fs::write(&path, other).unwrap();
    let (code, line) = refused(&program(&world, "working", "processed"));
    assert_eq!(code, 65, "{line}");
}

#[test]
fn what_a_killed_run_left_does_not_count() {
    let world = scored();
    let before = world.rows("processed");
    let scratch = world.path("processed").join(".scratch/rows");
    fs::create_dir_all(&scratch).unwrap();
    fs::write(scratch.join("part-00000.parquet"), "half").unwrap();
    fs::write(
        world.path("processed").join("rows/part-00009.parquet"),
        "old",
    )
    .unwrap();
    fs::remove_file(world.path("processed").join("run.json")).unwrap();
    assert_eq!(
        program(&world, "working", "processed").status.code(),
        Some(0)
    );
    assert_eq!(world.rows("processed"), before);
}

#[test]
fn a_size_that_means_nothing_is_bad_usage() {
    let output = Command::new(env!("CARGO_BIN_EXE_etl-score"))
        .args([
            "--working",
            "w",
            "--processed",
            "p",
            "--popular",
            "f",
            "--memory",
            "many",
        ])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64));
}
