//! Looks at the table's description from time to time: opens the readiness latch when the table
//! can be read, says in one line why it cannot, and notices a new load.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use service_kit::health::Latch;
use twitter_core::table::Generation;

use crate::store::Store;

/// Pause after a good look: how late a new load is noticed.
const GOOD_PAUSE: Duration = Duration::from_secs(2);
/// Pause after a bad one: how late a database that came back is noticed.
const BAD_PAUSE: Duration = Duration::from_millis(500);

/// Runs for ever. `generations` goes up by one with each load that is noticed.
///
/// Once ready, the service stays so while the database is away: cached users can still be
/// answered, and taking all instances away would help nobody.
pub(crate) async fn watch(store: Store, latch: Latch, generations: Arc<AtomicU64>) {
    let mut known: Option<Generation> = None;
    let mut trouble: Option<String> = None;
    loop {
        match store.meta().await {
            Ok(meta) => {
                if trouble.take().is_some() && known.is_some() {
                    tracing::info!("the table can be read again");
                }
                if known.as_ref() != Some(&meta.generation) {
                    tracing::info!(
                        generation = %meta.generation,
                        users = meta.users,
                        rows = meta.rows,
                        "serving the table"
                    );
                    generations.fetch_add(1, Ordering::Relaxed);
                    known = Some(meta.generation);
                }
                latch.release();
                tokio::time::sleep(GOOD_PAUSE).await;
            }
            Err(error) => {
                let line = error.to_string();
                if known.is_none() {
                    latch.shut(line.clone());
                }
                // Once for each trouble, not once for each try.
                if trouble.as_ref() != Some(&line) {
                    tracing::warn!(error = line, "cannot read the table; trying again");
                    trouble = Some(line);
                }
                tokio::time::sleep(BAD_PAUSE).await;
            }
        }
    }
}
