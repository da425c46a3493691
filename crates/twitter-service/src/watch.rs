//! Looks at the table's description from time to time: opens the readiness latch when the table
//! can be read, says in one line why it cannot, and notices a new load.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use service_kit::Facts;
use service_kit::health::Latch;
use service_kit::metrics::{Metrics, WorkerGauge};
use twitter_core::table::{Generation, TableMeta};

use crate::store::Store;

/// Pause after a good look: how late a new load is noticed.
const GOOD_PAUSE: Duration = Duration::from_secs(2);
/// Pause after a bad one: how late a database that came back is noticed.
const BAD_PAUSE: Duration = Duration::from_millis(500);

/// Shows which table is served: at `/version`, and as metrics.
pub(crate) struct Shown {
    facts: Facts,
    users: WorkerGauge,
    rows: WorkerGauge,
    loaded: WorkerGauge,
}

impl Shown {
    pub(crate) fn new(metrics: &Metrics, facts: Facts) -> Self {
        // There is one watcher, so one worker's share is the whole.
        let gauge = |name: &str, help: &str| metrics.gauge(name, help).worker(0);
        Self {
            facts,
            users: gauge(
                "table_users",
                "Users with a pack in the table that is served.",
            ),
            rows: gauge(
                "table_rows",
                "Rows in the packs of the table that is served.",
            ),
            loaded: gauge(
                "table_loaded_timestamp_seconds",
                "When the table that is served was loaded, in seconds since 1970; 0 if its name does not tell.",
            ),
        }
    }

    fn table(&self, meta: &TableMeta) {
        let table = serde_json::json!({
            "generation": meta.generation.as_str(),
            "users": meta.users,
            "rows": meta.rows,
            "packs_checksum": format!("{:016x}", meta.packs_checksum),
            "pack_version": meta.pack_version,
        });
        self.facts.set("table", table);
        self.users.set(meta.users);
        self.rows.set(meta.rows);
        self.loaded.set(loaded_seconds(&meta.generation));
    }
}

/// `etl` names a load by its time in milliseconds, then a hyphen.
fn loaded_seconds(generation: &Generation) -> u64 {
    let millis = generation.as_str().split_once('-');
    let millis = millis.and_then(|(millis, _)| millis.parse::<u64>().ok());
    millis.unwrap_or_default() / 1000
}

/// Runs for ever. `generations` goes up by one with each load that is noticed.
///
/// Once ready, the service stays so while the database is away: cached users can still be
/// answered, and taking all instances away would help nobody.
pub(crate) async fn watch(store: Store, latch: Latch, generations: Arc<AtomicU64>, shown: Shown) {
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
                    shown.table(&meta);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_load_is_in_its_name() {
        let seconds = |name: &str| loaded_seconds(&Generation::new(name).expect("a name"));
        assert_eq!(seconds("1700000000123-00ff"), 1_700_000_000);
        assert_eq!(seconds("run_3"), 0);
        assert_eq!(seconds("nightly-3"), 0);
    }
}
