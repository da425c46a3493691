//! Known answers: two raw sets give the figures and rows of an independent
//! implementation.

#![expect(clippy::unwrap_used, reason = "a test whose data is wrong must fail")]

#[path = "support/files.rs"]
mod files;

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use etl::rows::write_table;
use flate2::read::MultiGzDecoder;
use twitter_core::record::OwnedPack;

use crate::files::{Checked, run};

#[test]
fn tiny_gives_its_figures_and_rows() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../twitter-core/tests/data");
    let tags = data.join("tiny_popular_hashtags.txt");
    let outcome = run(&[data.join("tiny.jsonl")], &tags, 2).unwrap();
    let stats = fs::read_to_string(data.join("tiny_stats.json")).unwrap();
    assert_eq!(outcome.stats.to_json(), stats);
    let rows = fs::read_to_string(data.join("tiny_rows.tsv")).unwrap();
    check_rows(&outcome, &rows);
}

#[test]
fn generated_gives_its_figures_and_rows() {
    let Some(data) = generated_vectors() else {
        return;
    };
    let tags = data.join("popular_hashtags.txt");
    let outcome = run(&[data.join("generated.jsonl")], &tags, 2).unwrap();
    let stats = fs::read_to_string(data.join("generated_stats.json")).unwrap();
    // Its keys stand in the order in which they first occurred.
    let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(parse(&outcome.stats.to_json()), parse(&stats));
    let packed = fs::File::open(data.join("generated_rows.tsv.gz")).unwrap();
    let mut rows = String::new();
    let mut decoder = MultiGzDecoder::new(packed).take(64 << 20);
    decoder.read_to_string(&mut rows).unwrap();
    check_rows(&outcome, &rows);
}

/// Compares the rows, and the packs with the rows.
fn check_rows(outcome: &Checked, expected: &str) {
    let mut found = Vec::new();
    write_table(&outcome.table, &mut found).unwrap();
    let found = String::from_utf8(found).unwrap();
    assert!(found.ends_with('\n') && expected.ends_with('\n'));
    assert_eq!(found.lines().count(), expected.lines().count());
    for (found, expected) in found.lines().zip(expected.lines()) {
        if found != expected {
            assert_eq!(without_score(found).0, without_score(expected).0);
            let (found, expected) = (without_score(found).1, without_score(expected).1);
            let (found, expected): (f64, f64) = (found.parse().unwrap(), expected.parse().unwrap());
            assert!((found - expected).abs() <= 1e-12 * expected);
        }
    }
    let mut rows = 0;
    let mut last = None;
    for packed in outcome.packs() {
        assert!(last < Some(packed.user_id));
        last = Some(packed.user_id);
        let pack = OwnedPack::parse_for(packed.user_id, packed.pack).unwrap();
        assert_eq!(pack.as_pack().row_count() as u64, packed.rows);
        rows += packed.rows;
    }
    assert_eq!(rows, outcome.stats.tally.table_rows);
}

/// A line without its score, and the score.
fn without_score(line: &str) -> (String, &str) {
    let mut cells: Vec<&str> = line.split('\t').collect();
    let score = cells.remove(cells.len() - 2);
    (cells.join("\t"), score)
}

/// The folder with the larger set, or `None` after saying that it is absent.
fn generated_vectors() -> Option<PathBuf> {
    let root = env::var_os("TRIPOD_VECTORS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors"),
        PathBuf::from,
    );
    let data = root.join("twitter");
    if data.join("generated.jsonl").is_file() {
        return Some(data);
    }
    assert!(
        env::var("CI").as_deref() != Ok("true"),
        "the generated vectors must be there in CI; set TRIPOD_VECTORS"
    );
    println!("SKIPPED: no generated vectors; set TRIPOD_VECTORS to their folder");
    None
}
