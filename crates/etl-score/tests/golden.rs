//! Known answers: the vector sets, in one file and cut into several.

#![expect(clippy::unwrap_used, reason = "a test whose data is wrong must fail")]

#[path = "support/vectors.rs"]
mod vectors;
#[path = "support/world.rs"]
mod world;

use etl::report::Counts;
use serde_json::Value;

use crate::vectors::{Vectors, all, assert_rows};
use crate::world::{World, assert_same_run, run};

#[test]
fn the_vectors_give_their_figures_and_rows() {
    for set in all() {
        for files in [1, 3] {
            for sort_merge_only in [false, true] {
                check(&set, files, sort_merge_only);
            }
        }
    }
}

fn check(set: &Vectors, files: usize, sort_merge_only: bool) {
    let world = World::new();
    world.popular(&set.popular);
    let lines: Vec<&[u8]> = set.lines.split_inclusive(|byte| *byte == b'\n').collect();
    for (number, part) in lines.chunks(lines.len().div_ceil(files)).enumerate() {
        world.put(&format!("part-{number}.jsonl"), part.concat());
    }
    let cleaned = world.clean();
    let mut options = world.options("processed");
    options.sort_merge_only = sort_merge_only;
    let (done, _) = run(&options).unwrap();
    assert_rows(set.name, &world.rows("processed"), &set.rows);
    assert_eq!(world.manifest("processed"), done.manifest);
    assert_same_run(&done.manifest, &world.in_memory(&cleaned.inputs, "memory"));

    set.assert_tally(&done.manifest.tally);
    let mut found = done.manifest.tally.clone();
    let mut counts = Counts::default();
    for (input, lost) in cleaned.inputs.iter().zip(&done.manifest.inputs) {
        assert_eq!((&input.input, &input.crc32), (&lost.input, &lost.crc32));
        let mut own = Counts::from_map(&input.counts).unwrap();
        own.repeat(lost.repeated_tweets);
        assert!(own.is_complete());
        counts.add(&own);
    }
    found.extend(counts.to_map());
    assert_eq!(Value::Object(found), Value::Object(set.stats.clone()));

    let relations: u64 = cleaned.inputs.iter().map(|input| input.relations).sum();
    let oneself: u64 = cleaned
        .inputs
        .iter()
        .map(|input| input.relations_with_oneself)
        .sum();
    let lost = &done.manifest.inputs;
    let lost_relations: u64 = lost.iter().map(|input| input.repeated_relations).sum();
    let lost_oneself: u64 = lost
        .iter()
        .map(|input| input.repeated_relations_with_oneself)
        .sum();
    let rows = 2 * (relations - lost_relations) - (oneself - lost_oneself);
    assert_eq!(rows, done.rows);
}
