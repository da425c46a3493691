//! A folder with all zones, scored by one engine or another.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, process};

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Int32Type, Int64Type};
use etl::failure::Failure;
use etl::rows::write_row;
use etl::steps::clean::{Cleaned, Gone, landing, plan};
use etl::steps::score::{Engine, Score};
use etl::zones::key;
use etl::zones::place::Place;
use etl::zones::processed::RunManifest;
use etl::zones::working::InputManifest;
use etl_score::memory::MemorySize;
use etl_score::{Done, Options, Step, score};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use twitter_core::record::{Hashtags, Kind, Latest, Row};
use twitter_core::score::base_score;

static COUNT: AtomicU32 = AtomicU32::new(0);

/// The zones of a test; they go away with it.
pub(crate) struct World {
    root: PathBuf,
}

impl World {
    pub(crate) fn new() -> Self {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        // A name that would mean something in URLs and patterns.
        let name = format!("etl-score {}%[{number}]", process::id());
        let root = env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(root.join("landing")).unwrap();
        fs::write(root.join("popular"), "").unwrap();
        Self { root }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub(crate) fn popular(&self, text: &str) {
        fs::write(self.path("popular"), text).unwrap();
    }

    /// A raw file.
    pub(crate) fn put(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path("landing").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub(crate) fn clean(&self) -> Cleaned {
        let raws = landing(&Place::local(self.path("landing"))).unwrap();
        let plan = plan(raws, &Place::local(self.path("working")), Gone::Refuse).unwrap();
        plan.run(2, &()).unwrap()
    }

    pub(crate) fn options(&self, processed: &str) -> Options {
        Options {
            working: Place::local(self.path("working")),
            processed: Place::local(self.path(processed)),
            popular: self.path("popular"),
            memory: MemorySize::of_bytes(1 << 30),
            jobs: NonZeroUsize::new(2).unwrap(),
            scratch: self.path(processed).join(".scratch"),
            sort_merge_only: false,
        }
    }

    /// Scores with the engine in memory.
    pub(crate) fn in_memory(&self, inputs: &[InputManifest], processed: &str) -> RunManifest {
        let options = self.options(processed);
        let score = Score {
            working: &options.working,
            processed: &options.processed,
            popular: &options.popular,
            memory: None,
            jobs: 1,
        };
        score.run(inputs, Engine::Memory, &()).unwrap()
    }

    /// What a processed zone holds, as lines with their header.
    pub(crate) fn rows(&self, processed: &str) -> Vec<String> {
        let folder = self.path(processed);
        let manifest = self.manifest(processed);
        let mut lines = etl::rows::HEADER.as_bytes().to_vec();
        lines.push(b'\n');
        let mut names = Vec::new();
        for file in &manifest.rows {
            let path = folder.join("rows").join(&file.name);
            assert_eq!(fs::metadata(&path).unwrap().len(), file.size_bytes);
            assert_eq!(write_rows(&path, &mut lines), file.rows);
            names.push(file.name.clone());
        }
        assert!(names.is_sorted());
        let mut there: Vec<_> = fs::read_dir(folder.join("rows"))
            .map(|all| {
                all.map(|one| one.unwrap().file_name().into_string().unwrap())
                    .collect()
            })
            .unwrap_or_default();
        there.sort();
        assert_eq!(there, names, "nothing but the files of the manifest");
        assert!(
            !folder.join(".scratch").exists(),
            "the scratch folder is gone"
        );
        let text = String::from_utf8(lines).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    pub(crate) fn manifest(&self, processed: &str) -> RunManifest {
        let text = fs::read(self.path(processed).join("run.json")).unwrap();
        serde_json::from_slice(&text).unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// Scores with the engine under test.
pub(crate) fn run(options: &Options) -> Result<(Done, Vec<Step>), Failure> {
    let mut steps = Vec::new();
    let done = score(options, &mut |step| steps.push(step))?;
    Ok((done, steps))
}

/// Compares runs that differ in their engine, where the facts are, and in how rows are cut into files.
pub(crate) fn assert_same_run(found: &RunManifest, expected: &RunManifest) {
    let mut found = found.clone();
    found.engine.clone_from(&expected.engine);
    found.working.clone_from(&expected.working);
    found.rows.clone_from(&expected.rows);
    assert_eq!(&found, expected);
}

fn write_rows(path: &Path, lines: &mut Vec<u8>) -> u64 {
    let file = fs::File::open(path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .unwrap()
        .build()
        .unwrap();
    let mut rows = 0;
    for batch in reader {
        let batch = batch.unwrap();
        let column = |name: &str| batch.column_by_name(name).unwrap();
        for column in batch.columns() {
            assert_eq!(column.null_count(), 0);
        }
        let long = |name: &str, row: usize| column(name).as_primitive::<Int64Type>().value(row);
        let int = |name: &str, row: usize| {
            u8::try_from(column(name).as_primitive::<Int32Type>().value(row)).unwrap()
        };
        let count = |name: &str, row: usize| u32::try_from(long(name, row)).unwrap();
        let text = |name: &str| column(name).as_string::<i32>();
        for row in 0..batch.num_rows() {
            let tags: Vec<String> = serde_json::from_str(text("hashtags").value(row)).unwrap();
            let (replies, retweets) = (count("reply_count", row), count("retweet_count", row));
            let same_tags = count("same_tag_count", row);
            let row = Row {
                user_id: key::id(long("user_key", row)),
                contact_id: key::id(long("contact_key", row)),
                tweet_id: key::id(long("tweet_key", row)),
                created_at: long("created_at", row),
                kind: Kind::from_bits(int("kind", row)).unwrap(),
                tweet_text: text("tweet_text").value(row),
                hashtags: Hashtags::from(tags.as_slice()),
                contact_screen_name: text("contact_screen_name").value(row),
                contact_description: text("contact_description").value(row),
                reply_count: replies,
                retweet_count: retweets,
                same_tag_count: same_tags,
                base_score: base_score(replies, retweets, same_tags),
                latest: Latest::from_bits(int("latest", row)).unwrap(),
            };
            write_row(&row, lines).unwrap();
        }
        rows += batch.num_rows() as u64;
    }
    rows
}
