//! The one query, for either kind of database.

mod mysql;
mod sqlite;

use std::sync::Arc;

use database_address::{Address, Options};
use deadpool::managed::Pool;
use futures_util::{Stream, TryStreamExt as _};
use sqlx::error::DatabaseError;
use twitter_core::error::{MetaError, PackError};
use twitter_core::record::{Joiner, OwnedPack, PACK_VERSION};
use twitter_core::table::{
    MAX_PART_BYTES, META_PART, META_USER_ID, SCHEMA_VERSION, TABLE, TableMeta,
};

use crate::config::Deadlines;
use crate::pool::{self, Manager};

/// One way to reach the table.
pub(crate) trait Driver: Send + Sync + 'static {
    /// An open connection.
    type Connection: Send + 'static;

    /// Opens one.
    fn connect(&self) -> impl Future<Output = Result<Self::Connection, StoreError>> + Send;

    /// Whether it is still there.
    fn ping(
        &self,
        connection: &mut Self::Connection,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// All rows of one key in the order of `part`.
    fn rows(
        &self,
        connection: &mut Self::Connection,
        user_id: u64,
    ) -> impl Future<Output = Result<Rows, StoreError>> + Send;
}

/// What the table holds under one `user_id`, gathered row by row.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    parts: Option<Joiner>,
    meta: Option<Vec<u8>>,
}

impl Rows {
    /// Takes the next row, in the order of `part`.
    pub(crate) fn push(&mut self, part: u16, pack: &[u8]) -> Result<(), PackError> {
        if part == META_PART {
            self.meta = Some(pack.to_vec());
            return Ok(());
        }
        self.parts.get_or_insert_default().push(part, pack)
    }
}

/// Why the table did not answer. Cheap to copy to everybody who waits for the same answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StoreError {
    /// All connections are in use.
    #[error("all connections are in use")]
    Busy,
    /// Connecting or the query took too long.
    #[error("no answer in time")]
    Timeout,
    /// The database cannot be reached, refuses the login, or reports an error.
    #[error("{0}")]
    Failed(Arc<str>),
    /// The database has no such table.
    #[error("there is no table {TABLE}; fill it with `etl build`")]
    NoTable,
    /// The table has no row that describes it.
    #[error("the table {TABLE} is empty or half loaded; fill it with `etl build`")]
    NoMeta,
    /// The row that describes the table is garbled.
    #[error("the description of the table {TABLE} is garbled: {0}; load it again with `etl build`")]
    Meta(#[from] MetaError),
    /// The table was written in another form.
    #[error(
        "the table {TABLE} has schema {schema} and packs {packs}, but this service reads schema {SCHEMA_VERSION} and packs {PACK_VERSION}; load it again with the `etl` of this version"
    )]
    Version {
        /// Its schema version.
        schema: u32,
        /// Its pack version.
        packs: u8,
    },
    /// A user's pack is damaged.
    #[error("a damaged pack: {0}")]
    Damaged(#[from] PackError),
}

service_kit::labels! {
    /// The kinds of [`StoreError`], for metrics.
    pub(crate) enum StoreErrorKind {
        /// All connections are in use.
        Busy => "busy",
        /// Too late.
        Timeout => "timeout",
        /// The database reports an error or is away.
        Failed => "failed",
        /// No table, an empty one, or one of another version.
        Table => "table",
        /// A damaged pack.
        Damaged => "damaged",
    }
}

impl StoreError {
    pub(crate) fn kind(&self) -> StoreErrorKind {
        match self {
            Self::Busy => StoreErrorKind::Busy,
            Self::Timeout => StoreErrorKind::Timeout,
            Self::Failed(_) => StoreErrorKind::Failed,
            Self::NoTable | Self::NoMeta | Self::Meta(_) | Self::Version { .. } => {
                StoreErrorKind::Table
            }
            Self::Damaged(_) => StoreErrorKind::Damaged,
        }
    }

    /// The one line that a person needs, from what sqlx says. `is_no_table` knows how this kind of
    /// database says that.
    fn of_sqlx(
        address: &Address,
        error: &sqlx::Error,
        is_no_table: fn(&dyn DatabaseError) -> bool,
    ) -> Self {
        if error.as_database_error().is_some_and(is_no_table) {
            return Self::NoTable;
        }
        let text = match error {
            sqlx::Error::Database(error) => error.message().to_owned(),
            sqlx::Error::Io(error) => format!("the database cannot be reached: {error}"),
            sqlx::Error::Tls(error) => format!("no TLS with the database: {error}"),
            other => other.to_string(),
        };
        Self::Failed(format!("{address}: {}", text.replace('\n', " ")).into())
    }
}

/// The table, through a pool of connections. Clones share the pool.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pool: AnyPool,
    deadlines: Deadlines,
}

#[derive(Clone, Debug)]
enum AnyPool {
    MySql(Pool<Manager<mysql::MySql>>),
    Sqlite(Pool<Manager<sqlite::Sqlite>>),
}

impl Store {
    /// Prepares to connect; nothing is opened yet.
    pub(crate) fn new(address: &Address, connections: usize, deadlines: Deadlines) -> Self {
        let pool = if address.sqlite_path().is_some() {
            // Each connection is a thread; more than two for a worker only get in its way.
            let driver = sqlite::Sqlite::new(address.clone());
            AnyPool::Sqlite(pool::new(driver, connections.min(2), deadlines))
        } else {
            let driver = mysql::MySql::new(address.clone());
            AnyPool::MySql(pool::new(driver, connections, deadlines))
        };
        Self { pool, deadlines }
    }

    /// The pack of a user, checked; `None` for a user without contacts.
    pub(crate) async fn pack(&self, user_id: u64) -> Result<Option<OwnedPack>, StoreError> {
        let Some(parts) = self.rows(user_id).await?.parts else {
            return Ok(None);
        };
        let bytes = parts.finish()?;
        if bytes.len() <= MAX_PART_BYTES {
            return Ok(Some(OwnedPack::parse_for(user_id, bytes)?));
        }
        // Checking takes some 0.3 ms a MiB. There are no more of these at a time than connections.
        let checked = tokio::task::spawn_blocking(move || OwnedPack::parse_for(user_id, bytes));
        let checked = checked.await.map_err(|_| StoreError::Timeout)?;
        Ok(Some(checked?))
    }

    /// What the table says of itself.
    pub(crate) async fn meta(&self) -> Result<TableMeta, StoreError> {
        let rows = self.rows(META_USER_ID).await?;
        let meta = TableMeta::parse(&rows.meta.ok_or(StoreError::NoMeta)?)?;
        if !meta.is_current() {
            return Err(StoreError::Version {
                schema: meta.schema_version,
                packs: meta.pack_version,
            });
        }
        Ok(meta)
    }

    async fn rows(&self, user_id: u64) -> Result<Rows, StoreError> {
        match &self.pool {
            AnyPool::MySql(pool) => pool::rows(pool, user_id, self.deadlines).await,
            AnyPool::Sqlite(pool) => pool::rows(pool, user_id, self.deadlines).await,
        }
    }
}

/// Gathers the rows of one key as they arrive; `fields` takes part and pack from a row.
async fn gather<R>(
    mut rows: impl Stream<Item = Result<R, sqlx::Error>> + Unpin,
    fields: impl Fn(&R) -> Result<(u16, &[u8]), sqlx::Error>,
) -> Result<Result<Rows, PackError>, sqlx::Error> {
    let mut found = Rows::default();
    while let Some(row) = rows.try_next().await? {
        let (part, pack) = fields(&row)?;
        if let Err(error) = found.push(part, pack) {
            return Ok(Err(error));
        }
    }
    Ok(Ok(found))
}

/// Options for the driver that the address was recognised for.
fn options(address: &Address) -> Result<Options, StoreError> {
    address
        .options()
        .map_err(|error| StoreError::Failed(error.to_string().into()))
}

/// The one query's text must be a constant for sqlx.
const ROWS_QUERY: &str =
    "SELECT part, pack FROM user_pack WHERE user_id IN (?) ORDER BY user_id, part";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_names_the_table() {
        assert!(ROWS_QUERY.contains(&format!(" FROM {TABLE} ")));
    }

    #[test]
    fn the_row_that_describes_the_table_is_no_part_of_user_0() {
        let mut rows = Rows::default();
        rows.push(META_PART, b"x").unwrap();
        assert!(rows.parts.is_none());
        assert_eq!(rows.meta.as_deref(), Some(b"x".as_slice()));
    }
}
