//! Tables for the tests, made by the ETL.

use std::fs;
use std::path::{Path, PathBuf};

use database_address::Address;
use etl::load::{Load, Mode, Origin, Published};
use etl::report::Run;
use etl::steps::score::read_excluded;
use etl::steps::temporary::Temporary;

/// A file of the vectors that lie in the repository.
pub(crate) fn data(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../twitter-core/tests/data")
        .join(file)
}

/// The address of an embedded database of its own, not there yet.
pub(crate) fn sqlite(name: &str) -> String {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.db"));
    for end in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{end}", path.display()));
    }
    format!("sqlite://{}", path.display())
}

/// Fills the table at this address with the hand-made tweets.
pub(crate) fn load_tiny(database: &str) {
    let address = Address::parse(database, None, None).expect("an address");
    load(
        &address,
        &data("tiny.jsonl"),
        &data("tiny_popular_hashtags.txt"),
    );
}

/// Fills the table at this address.
pub(crate) fn load(address: &Address, raw: &Path, popular: &Path) {
    load_as(address, raw, popular, Mode::Changes);
}

/// Fills the table at this address, whole or where it has changed.
pub(crate) fn load_as(address: &Address, raw: &Path, popular: &Path, mode: Mode) -> Published {
    let zones = Temporary::create().expect("a folder");
    let run = zones.run(&[raw.to_owned()], popular, 1);
    let cleaned = run.clean.run(&()).expect("good input");
    run.score(&cleaned, &()).expect("good facts");
    let excluded = read_excluded(popular).expect("a list");
    let load = Load {
        processed: &run.processed,
        origin: Origin {
            working: &run.clean.working,
            excluded: &excluded,
        },
        address,
        jobs: 2,
        mode,
        spill_folder: &std::env::temp_dir(),
    };
    load.run(&mut Run::default(), &|_| ()).expect("a table")
}

/// The hand-made tweets without one of them, in a file of this name.
pub(crate) fn fewer(name: &str) -> PathBuf {
    let raw = fs::read(data("tiny.jsonl")).expect("vectors");
    let has_text = |line: &&[u8]| !line.windows(10).any(|text| text == b"hello cc!!");
    let fewer: Vec<&[u8]> = raw.split(|byte| *byte == b'\n').filter(has_text).collect();
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.jsonl"));
    fs::write(&file, fewer.join(&b'\n')).expect("a file");
    file
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(future)
}
