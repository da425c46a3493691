//! The query engine, set up for one query at a time within a limit.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow_schema::Schema;
use datafusion::datasource::TableProvider;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{
    ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl,
};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::prelude::{SessionConfig, SessionContext};
use object_store::ObjectStore;

use crate::joins::BoundedJoins;
use crate::memory::MemoryPlan;
use crate::pool::SharedPool;

/// What queries have in common: memory, disk, tables so far.
pub(crate) struct Engine {
    runtime: Arc<RuntimeEnv>,
    plan: MemoryPlan,
    tables: BTreeMap<String, Arc<dyn TableProvider>>,
}

impl Engine {
    /// An engine that spills into a folder of its own inside `scratch`.
    pub(crate) fn new(plan: MemoryPlan, scratch: &Path) -> Result<Self> {
        // How much it may spill is for the disk to say.
        let disk = DiskManagerBuilder::default()
            .with_mode(DiskManagerMode::Directories(vec![scratch.to_owned()]))
            .with_max_temp_directory_size(u64::MAX);
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(SharedPool::new(plan.pool_bytes)))
            .with_disk_manager_builder(disk)
            .build_arc()?;
        Ok(Self {
            runtime,
            plan,
            tables: BTreeMap::new(),
        })
    }

    /// Makes a bucket's objects readable as `s3://BUCKET/...`.
    pub(crate) fn add_bucket(&self, bucket: &str, client: Arc<dyn ObjectStore>) -> Result<()> {
        let url = ListingTableUrl::parse(format!("s3://{bucket}/"))?.object_store();
        self.runtime.register_object_store(url.as_ref(), client);
        Ok(())
    }

    /// Adds a table for all later queries.
    pub(crate) fn add(&mut self, name: &str, table: Arc<dyn TableProvider>) {
        self.tables.insert(name.to_owned(), table);
    }

    /// A table of Parquet files.
    pub(crate) fn parquet(
        &self,
        schema: &Schema,
        files: impl IntoIterator<Item = String>,
    ) -> Result<Arc<dyn TableProvider>> {
        let urls: Vec<_> = files
            .into_iter()
            .map(ListingTableUrl::parse)
            .collect::<Result<_>>()?;
        let options =
            ListingOptions::new(Arc::new(ParquetFormat::new())).with_file_extension(".parquet");
        let config = ListingTableConfig::new_with_multi_paths(urls)
            .with_listing_options(options)
            .with_schema(Arc::new(schema.clone()));
        let cache = self.runtime.cache_manager.get_file_statistic_cache();
        Ok(Arc::new(ListingTable::try_new(config)?.with_cache(cache)))
    }

    /// A session for one query in so many partitions.
    pub(crate) fn session(&self, joins: BoundedJoins, partitions: usize) -> Result<SessionContext> {
        let mut config = SessionConfig::new()
            .with_target_partitions(partitions)
            .with_batch_size(self.plan.batch_rows)
            .with_collect_statistics(true);
        let options = config.options_mut();
        // A merge must be able to begin however small the pool is.
        options.execution.sort_spill_reservation_bytes =
            (self.plan.pool_bytes / partitions.max(1) / 16).clamp(1 << 20, 10 << 20);
        // A view keeps the whole page of its text alive: what a sort holds could then not be told.
        options.execution.parquet.schema_force_view_types = false;
        options.sql_parser.map_string_types_to_utf8view = false;
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(Arc::clone(&self.runtime))
            .with_default_features()
            .with_physical_optimizer_rules(rules(joins))
            .build();
        let session = SessionContext::new_with_state(state);
        for (name, table) in &self.tables {
            session.register_table(name.as_str(), Arc::clone(table))?;
        }
        Ok(session)
    }

    /// What a limit means here.
    pub(crate) fn plan(&self) -> MemoryPlan {
        self.plan
    }
}

/// The usual rules, with ours after joins have chosen their sides and before sorts are put in.
fn rules(joins: BoundedJoins) -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let mut rules = PhysicalOptimizer::new().rules;
    let at = rules
        .iter()
        .position(|rule| rule.name() == "join_selection");
    let at = at.map_or(0, |at| at + 1);
    rules.insert(at, Arc::new(joins));
    rules
}

/// Whether a query ended because there was not enough memory.
pub(crate) fn is_exhausted(error: &DataFusionError) -> bool {
    matches!(error.find_root(), DataFusionError::ResourcesExhausted(_))
}
