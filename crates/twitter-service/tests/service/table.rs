//! Tables for the tests, made by the ETL.

use std::fs;
use std::path::{Path, PathBuf};

use database_address::Address;
use etl::load::Loader;
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
    let zones = Temporary::create().expect("a folder");
    let run = zones.run(&[raw.to_owned()], popular, 1);
    let checked = run.run(&()).expect("good input");
    block_on(async {
        let mut loader = Loader::begin(address).await.expect("a database");
        for packed in checked.packs() {
            let packed = packed.expect("a pack");
            let pushed = loader.push(packed.user_id, packed.rows, &packed.pack);
            pushed.await.expect("a row");
        }
        loader.publish().await.expect("a table");
    });
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(future)
}
