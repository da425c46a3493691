//! The clean step: raw files to facts.

#![expect(clippy::unwrap_used, reason = "a test whose data is wrong must fail")]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use etl::failure::{Failure, FailureKind};
use etl::generate;
use etl::steps::clean::{Cleaned, Gone, inputs, landing, plan};
use etl::zones::facts::{Fact, read};
use etl::zones::place::Place;
use etl::zones::working::{InputManifest, Table};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

/// A landing and a working zone, emptied when the test begins.
struct Zones {
    landing: PathBuf,
    working: Place,
}

impl Zones {
    fn new(name: &str) -> Self {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("clean-{name}"));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(root.join("landing")).unwrap();
        Self {
            landing: root.join("landing"),
            working: Place::local(root.join("working")),
        }
    }

    fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.landing.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    fn clean(&self, jobs: usize, gone: Gone) -> Result<Cleaned, Failure> {
        let raws = landing(&Place::local(&self.landing))?;
        plan(raws, &self.working, gone)?.run(jobs, &())
    }

    /// All files of the working zone with their bytes.
    fn bytes(&self) -> Vec<(String, Vec<u8>)> {
        let entries = self.working.list("").unwrap().into_iter();
        let read = |name: String| {
            let bytes = self.working.read(&name, 1 << 30).unwrap().unwrap();
            (name, bytes)
        };
        entries.map(|entry| read(entry.name)).collect()
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn generated(seed: u64, tweets: u64) -> Vec<u8> {
    let options = generate::Options {
        users: 200,
        tweets,
        seed,
        ..generate::Options::default()
    };
    let mut lines = Vec::new();
    generate::write(&options, &mut lines).unwrap();
    lines
}

fn tiny(file: &str) -> Vec<u8> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../twitter-core/tests/data");
    fs::read(data.join(file)).unwrap()
}

fn count(zones: &Zones, manifest: &InputManifest, table: Table) -> u64 {
    let mut rows = 0;
    read(&zones.working, manifest, table, &mut |_| {
        rows += 1;
        Ok(())
    })
    .unwrap();
    rows
}

#[test]
fn tiny_gives_its_counts_and_facts() {
    let zones = Zones::new("tiny");
    zones.put("tiny.jsonl", &tiny("tiny.jsonl"));
    let cleaned = zones.clean(2, Gone::Refuse).unwrap();
    assert_eq!(cleaned.files, 1);
    let [input] = cleaned.inputs.as_slice() else {
        panic!("{cleaned:?}");
    };
    let stats: Value = serde_json::from_slice(&tiny("tiny_stats.json")).unwrap();
    for (key, value) in &input.counts {
        assert_eq!(Some(value), stats.get(key), "{key}");
    }
    let stat = |key: &str| stats.get(key).and_then(Value::as_u64).unwrap();
    assert_eq!(count(&zones, input, Table::Tweets), stat("valid_tweets"));
    let contacts = count(&zones, input, Table::ContactTweets);
    assert_eq!(contacts, stat("contact_tweets"));
    let rows = 2 * input.relations - input.relations_with_oneself;
    assert_eq!(rows, stat("table_rows"));
    let (mut tags, mut uses_in_all) = (0, 0);
    read(&zones.working, input, Table::Tweets, &mut |fact| {
        if let Fact::Tweet { hashtags, .. } = fact {
            tags += u64::from(hashtags);
        }
        Ok(())
    })
    .unwrap();
    read(&zones.working, input, Table::TagUses, &mut |fact| {
        if let Fact::TagUse { uses, .. } = fact {
            uses_in_all += u64::from(uses);
        }
        Ok(())
    })
    .unwrap();
    assert_eq!(tags, stat("hashtag_occurrences"));
    assert_eq!(uses_in_all, tags);
    assert_eq!(inputs(&zones.working).unwrap(), cleaned.inputs);
}

#[test]
fn the_number_of_jobs_changes_nothing() {
    let make = |jobs: usize| {
        let zones = Zones::new(&format!("jobs-{jobs}"));
        for seed in 0..5 {
            zones.put(&format!("part-{seed}.jsonl"), &generated(seed, 1500));
            zones.put(
                &format!("more/part-{seed}.gz"),
                &gzip(&generated(seed + 9, 500)),
            );
        }
        let cleaned = zones.clean(jobs, Gone::Refuse).unwrap();
        let bytes = zones.bytes().into_iter();
        // The time of a raw file's last change stands in its manifest.
        let facts: Vec<_> = bytes
            .filter(|(name, _)| name.ends_with(".parquet"))
            .collect();
        let counts: Vec<_> = cleaned
            .inputs
            .iter()
            .map(|input| input.counts.clone())
            .collect();
        (facts, counts)
    };
    let one = make(1);
    assert_eq!(one.0.len(), 40);
    assert_eq!(one, make(3));
    assert_eq!(one, make(64));
}

#[test]
fn only_what_is_new_or_changed_is_cleaned() {
    let zones = Zones::new("incremental");
    zones.put("a.gz", &gzip(&generated(1, 300)));
    zones.put("b.jsonl", &generated(2, 300));
    zones.put("notes.txt", b"not raw");
    zones.put(".c.jsonl", b"not complete");
    assert_eq!(zones.clean(1, Gone::Refuse).unwrap().files, 2);
    let before = zones.bytes();
    assert_eq!(zones.clean(1, Gone::Refuse).unwrap().files, 0);
    assert_eq!(zones.bytes(), before);
    // The same bytes under another time are not cleaned again, and remembered.
    let same = generated(2, 300);
    let path = zones.put("b.jsonl", &same);
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(7);
    fs::File::options()
        .append(true)
        .open(&path)
        .unwrap()
        .set_modified(later)
        .unwrap();
    let again = zones.clean(1, Gone::Refuse).unwrap();
    assert_eq!((again.files, again.inputs.len()), (0, 2));
    let raws = landing(&Place::local(&zones.landing)).unwrap();
    assert!(
        plan(raws, &zones.working, Gone::Refuse)
            .unwrap()
            .todo
            .is_empty()
    );
    // As many other bytes are.
    let mut other = same.clone();
    let at = other.iter().position(|byte| *byte == b'\n').unwrap();
    other[at - 1] = b' ';
    zones.put("b.jsonl", &other);
    fs::File::options()
        .append(true)
        .open(&path)
        .unwrap()
        .set_modified(
            later + later.elapsed().unwrap_or_default() + std::time::Duration::from_secs(1),
        )
        .unwrap();
    let changed = zones.clean(1, Gone::Refuse).unwrap();
    assert_eq!(changed.files, 1);
    assert_ne!(changed.inputs, again.inputs);
    zones.put("c/d.json", &generated(3, 300));
    let more = zones.clean(1, Gone::Refuse).unwrap();
    assert_eq!((more.files, more.inputs.len()), (1, 3));
    assert_eq!(more.inputs.last().unwrap().path, "c/d.json");
}

#[test]
fn a_file_that_is_gone_is_an_operators_decision() {
    let zones = Zones::new("gone");
    zones.put("a.jsonl", &generated(1, 300));
    zones.put("b.jsonl", &generated(2, 300));
    zones.clean(1, Gone::Refuse).unwrap();
    let before = zones.bytes();
    fs::remove_file(zones.landing.join("a.jsonl")).unwrap();
    let refused = zones.clean(1, Gone::Refuse).unwrap_err();
    assert_eq!(refused.kind, FailureKind::Input);
    assert!(refused.line.contains("a.jsonl"), "{refused}");
    assert_eq!(zones.bytes(), before);
    assert_eq!(zones.clean(1, Gone::Keep).unwrap().inputs.len(), 2);
    assert_eq!(zones.bytes(), before);
    assert_eq!(zones.clean(1, Gone::Drop).unwrap().inputs.len(), 1);
    assert!(
        zones
            .bytes()
            .iter()
            .all(|(name, _)| !name.contains("a.jsonl"))
    );
}

#[test]
fn bad_files_are_named_and_the_others_cleaned() {
    let zones = Zones::new("bad");
    let whole = gzip(&generated(1, 500));
    zones.put("a.gz", &whole);
    zones.put("b.gz", &whole[..whole.len() - 5]);
    zones.put("c.gz", &whole);
    zones.put("d.gz", b"");
    let mut garbled = whole.clone();
    garbled[whole.len() / 2] ^= 0x55;
    zones.put("e.gz", &garbled);
    zones.put("f.jsonl", b"");
    let failure = zones.clean(2, Gone::Refuse).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Input);
    assert!(failure.line.contains("b.gz, line "), "{failure}");
    assert!(failure.line.contains("2 more files"), "{failure}");
    let done = inputs(&zones.working).unwrap();
    let paths: Vec<&str> = done.iter().map(|input| input.path.as_str()).collect();
    assert_eq!(paths, ["a.gz", "c.gz", "f.jsonl"]);
    assert_eq!(done[2].counts.get("lines"), Some(&Value::from(0)));
    for name in ["b.gz", "d.gz", "e.gz"] {
        zones.put(name, &whole);
    }
    assert_eq!(zones.clean(2, Gone::Refuse).unwrap().files, 3);
    // Copies of one file have the same facts; which of them counts is for the score step to say.
    let all = inputs(&zones.working).unwrap();
    assert!(
        all.iter()
            .take(5)
            .all(|input| input.counts == all[0].counts)
    );
}

#[test]
fn what_a_crash_left_is_removed_and_redone() {
    let zones = Zones::new("crash");
    zones.put("a.jsonl", &generated(1, 300));
    zones.put("b.jsonl", &generated(2, 300));
    zones.clean(1, Gone::Refuse).unwrap();
    let before = zones.bytes();
    let root = zones.working.as_local().unwrap();
    fs::remove_file(root.join("manifests/a.jsonl.json")).unwrap();
    fs::write(root.join("tag_uses/.b.jsonl.parquet.tmp"), b"x").unwrap();
    fs::write(root.join("tweets/c.jsonl.parquet"), b"x").unwrap();
    fs::remove_file(root.join("sightings/b.jsonl.parquet")).unwrap();
    assert!(inputs(&zones.working).is_err());
    assert_eq!(zones.clean(2, Gone::Refuse).unwrap().files, 2);
    assert_eq!(zones.bytes(), before);
    assert!(!root.join("tag_uses/.b.jsonl.parquet.tmp").exists());
}

#[test]
fn a_zone_of_another_version_is_refused() {
    let zones = Zones::new("version");
    zones.put("a.jsonl", &generated(1, 50));
    zones.clean(1, Gone::Refuse).unwrap();
    let path = zones
        .working
        .as_local()
        .unwrap()
        .join("manifests/a.jsonl.json");
    let text = fs::read_to_string(&path).unwrap();
    let newer = text.replace("\"working_version\": 1", "\"working_version\": 2");
    assert_ne!(newer, text);
    fs::write(&path, newer).unwrap();
    let before = zones.bytes();
    let refused = zones.clean(1, Gone::Refuse).unwrap_err();
    assert_eq!(refused.kind, FailureKind::Input);
    assert!(refused.line.contains("version 2"), "{refused}");
    assert_eq!(zones.bytes(), before);
}
