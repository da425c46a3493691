//! The vector sets: raw lines, the figures and rows that an independent implementation made of them.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use flate2::read::MultiGzDecoder;
use serde_json::{Map, Value};

pub(crate) struct Vectors {
    pub(crate) name: &'static str,
    pub(crate) lines: Vec<u8>,
    pub(crate) popular: String,
    /// With their header.
    pub(crate) rows: Vec<String>,
    pub(crate) stats: Map<String, Value>,
}

/// The set that is part of this project, and the larger one where it can be found.
pub(crate) fn all() -> Vec<Vectors> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../twitter-core/tests/data");
    let rows = fs::read_to_string(own.join("tiny_rows.tsv")).unwrap();
    let mut all = vec![read("tiny", &own, "tiny_popular_hashtags.txt", &rows)];
    if let Some(data) = larger() {
        let packed = fs::File::open(data.join("generated_rows.tsv.gz")).unwrap();
        let mut rows = String::new();
        let mut decoder = MultiGzDecoder::new(packed).take(64 << 20);
        decoder.read_to_string(&mut rows).unwrap();
        all.push(read("generated", &data, "popular_hashtags.txt", &rows));
    }
    all
}

fn read(name: &'static str, data: &Path, popular: &str, rows: &str) -> Vectors {
    let stats = fs::read(data.join(format!("{name}_stats.json"))).unwrap();
    Vectors {
        name,
        lines: fs::read(data.join(format!("{name}.jsonl"))).unwrap(),
        popular: fs::read_to_string(data.join(popular)).unwrap(),
        rows: rows.lines().map(str::to_owned).collect(),
        stats: serde_json::from_slice(&stats).unwrap(),
    }
}

/// The folder with the larger set, or `None` after saying that it is absent.
fn larger() -> Option<PathBuf> {
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

impl Vectors {
    /// Compares a run's tally with the figures.
    pub(crate) fn assert_tally(&self, tally: &Map<String, Value>) {
        assert_eq!(tally.len(), 12, "{}", self.name);
        for (key, value) in tally {
            assert_eq!(self.stats.get(key), Some(value), "{}: {key}", self.name);
        }
    }
}

/// Compares rows: the same but for the last digits of a score.
pub(crate) fn assert_rows(name: &str, found: &[String], expected: &[String]) {
    assert_eq!(found.len(), expected.len(), "{name}");
    for (found, expected) in found.iter().zip(expected) {
        if found != expected {
            let (found, expected) = (split(found), split(expected));
            assert_eq!(found.0, expected.0, "{name}");
            let (found, expected): (f64, f64) =
                (found.1.parse().unwrap(), expected.1.parse().unwrap());
            assert!((found - expected).abs() <= 1e-12 * expected, "{name}");
        }
    }
}

/// A line without its score, and the score.
fn split(line: &str) -> (Vec<&str>, &str) {
    let mut cells: Vec<&str> = line.split('\t').collect();
    let score = cells.remove(cells.len() - 2);
    (cells, score)
}
