//! The one query, for either kind of database, about one user or many.

mod mysql;
mod sqlite;

use std::sync::Arc;

use database_address::{Address, Options};
use deadpool::managed::Pool;
use futures_util::{Stream, TryStreamExt as _};
use service_kit::metrics::WorkerDurations;
use sqlx::error::DatabaseError;
use twitter_core::error::{MetaError, PackError};
use twitter_core::record::{Joiner, OwnedPack, PACK_VERSION};
use twitter_core::table::{
    MAX_PART_BYTES, META_PART, META_USER_ID, SCHEMA_VERSION, TABLE, TableMeta,
};

use crate::batch::Batches;
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

    /// The rows that are asked for, each key's in the order of `part`.
    fn rows(
        &self,
        connection: &mut Self::Connection,
        wanted: Wanted<'_>,
    ) -> impl Future<Output = Result<Found, StoreError>> + Send;
}

/// What one statement asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted<'a> {
    /// The first part of the packs of these users, 1 to [`MAX_KEYS`] different ones. It is all there
    /// is of nearly every pack.
    FirstParts(&'a [u64]),
    /// All rows of one key, as they are at one time.
    All(u64),
}

/// Keys that one query may ask for. More gain nothing, and wait longer for each other.
pub(crate) const MAX_KEYS: usize = 32;

/// What was found under each of the keys that have rows.
#[derive(Debug, Default)]
pub(crate) struct Found(Vec<(u64, Result<Rows, PackError>)>);

impl Found {
    /// Takes the next row, in the order of key and `part`. Damage of one key is kept for that key.
    pub(crate) fn push(&mut self, user_id: u64, part: u16, pack: &[u8]) {
        if self.0.last().is_none_or(|(last, _)| *last != user_id) {
            self.0.push((user_id, Ok(Rows::default())));
        }
        if let Some((_, rows)) = self.0.last_mut()
            && let Ok(found) = rows
            && let Err(error) = found.push(part, pack)
        {
            *rows = Err(error);
        }
    }

    /// What was found under a key; nothing the second time.
    pub(crate) fn take(&mut self, user_id: u64) -> Result<Rows, StoreError> {
        let place = self.0.iter().position(|(found, _)| *found == user_id);
        match place.map(|place| self.0.swap_remove(place)) {
            Some((_, rows)) => Ok(rows?),
            None => Ok(Rows::default()),
        }
    }
}

/// What the table holds under one `user_id`, gathered row by row.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    /// Of the pack, as far as they came.
    pub(crate) parts: Option<Joiner>,
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

    /// Whether the pack has more parts than came.
    pub(crate) fn has_more(&self) -> bool {
        self.parts.as_ref().is_some_and(|parts| !parts.is_whole())
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
    /// The database did not answer a moment ago, so it was not asked.
    #[error("the database did not answer a moment ago")]
    Sick,
    /// A new connection was refused: nobody listens, too many connections, a wrong password.
    #[error("{0}")]
    NoConnection(Arc<str>),
    /// A connection broke or talks nonsense, or the database says that it ends it.
    #[error("{0}")]
    Broken(Arc<str>),
    /// The database reports an error, and the connection goes on.
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
        /// Not asked, because it did not answer a moment ago.
        Sick => "sick",
        /// The database refuses connections, reports an error or is away.
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
            Self::Sick => StoreErrorKind::Sick,
            Self::NoConnection(_) | Self::Broken(_) | Self::Failed(_) => StoreErrorKind::Failed,
            Self::NoTable | Self::NoMeta | Self::Meta(_) | Self::Version { .. } => {
                StoreErrorKind::Table
            }
            Self::Damaged(_) => StoreErrorKind::Damaged,
        }
    }

    /// The one line that a person needs, from what sqlx says. `meaning` knows how this kind of
    /// database says what.
    fn of_sqlx(
        address: &Address,
        error: &sqlx::Error,
        meaning: fn(&dyn DatabaseError) -> Meaning,
    ) -> Self {
        let reported = error.as_database_error().map(meaning);
        if reported == Some(Meaning::NoTable) {
            return Self::NoTable;
        }
        let text = match error {
            sqlx::Error::Database(error) => error.message().to_owned(),
            sqlx::Error::Io(error) => format!("the database cannot be reached: {error}"),
            sqlx::Error::Tls(error) => format!("no TLS with the database: {error}"),
            other => other.to_string(),
        };
        let line = format!("{address}: {}", text.replace('\n', " ")).into();
        let is_broken = matches!(
            error,
            sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::Protocol(_)
                | sqlx::Error::WorkerCrashed
        );
        if is_broken || reported == Some(Meaning::Ends) {
            Self::Broken(line)
        } else {
            Self::Failed(line)
        }
    }
}

/// What an error that the database reports is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// There is no such table.
    NoTable,
    /// The connection: the database is being stopped, or somebody has ended it.
    Ends,
    /// The statement.
    Other,
}

/// The table's description, through one connection.
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

impl AnyPool {
    /// Prepares to connect; nothing is opened yet.
    fn new(addresses: &[Address], connections: usize, deadlines: Deadlines) -> Self {
        let file = addresses.iter().find(|one| one.sqlite_path().is_some());
        if let Some(file) = file {
            // Each connection is a thread; more than two for a worker only get in its way.
            let driver = sqlite::Sqlite::new(file.clone());
            Self::Sqlite(pool::new(driver, connections.min(2), deadlines))
        } else {
            let driver = mysql::MySql::new(addresses, deadlines.connect);
            Self::MySql(pool::new(driver, connections, deadlines))
        }
    }
}

impl Store {
    /// Prepares to connect; nothing is opened yet.
    pub(crate) fn new(addresses: &[Address], deadlines: Deadlines) -> Self {
        Self {
            pool: AnyPool::new(addresses, 1, deadlines),
            deadlines,
        }
    }

    /// What the table says of itself.
    pub(crate) async fn meta(&self) -> Result<TableMeta, StoreError> {
        let wanted = Wanted::All(META_USER_ID);
        let mut found = match &self.pool {
            AnyPool::MySql(pool) => pool::rows(pool, wanted, self.deadlines).await,
            AnyPool::Sqlite(pool) => pool::rows(pool, wanted, self.deadlines).await,
        }?;
        let rows = found.take(META_USER_ID)?;
        let meta = TableMeta::parse(&rows.meta.ok_or(StoreError::NoMeta)?)?;
        if !meta.is_current() {
            return Err(StoreError::Version {
                schema: meta.schema_version,
                packs: meta.pack_version,
            });
        }
        Ok(meta)
    }
}

/// One worker's way to the packs: look-ups that wait at the same time share a query.
pub(crate) enum Packs {
    MySql(Batches<mysql::MySql>),
    Sqlite(Batches<sqlite::Sqlite>),
}

impl Packs {
    /// Prepares to open at most so many connections, and to ask for at most so many users in a
    /// query, up to [`MAX_KEYS`]; nothing is opened yet. `waits` counts how long look-ups wait until
    /// they are part of a query.
    pub(crate) fn new(
        addresses: &[Address],
        connections: usize,
        keys_per_query: usize,
        deadlines: Deadlines,
        waits: WorkerDurations,
    ) -> Self {
        match AnyPool::new(addresses, connections, deadlines) {
            AnyPool::MySql(pool) => {
                Self::MySql(Batches::new(pool, keys_per_query, deadlines, waits))
            }
            AnyPool::Sqlite(pool) => {
                Self::Sqlite(Batches::new(pool, keys_per_query, deadlines, waits))
            }
        }
    }

    /// What OpenTelemetry calls the database.
    pub(crate) fn system(&self) -> &'static str {
        match self {
            Self::MySql(_) => "mysql",
            Self::Sqlite(_) => "sqlite",
        }
    }

    /// The pack of a user, checked; `None` for a user without contacts.
    pub(crate) async fn pack(&self, user_id: u64) -> Result<Option<OwnedPack>, StoreError> {
        let rows = match self {
            Self::MySql(batches) => batches.rows(user_id).await,
            Self::Sqlite(batches) => batches.rows(user_id).await,
        }?;
        let Some(parts) = rows.parts else {
            return Ok(None);
        };
        let bytes = parts.finish()?;
        if bytes.len() <= MAX_PART_BYTES {
            return Ok(Some(OwnedPack::parse_for(user_id, bytes)?));
        }
        // Checking takes some 0.3 ms a MiB. There are no more of these at a time than look-ups wait.
        let checked = tokio::task::spawn_blocking(move || OwnedPack::parse_for(user_id, bytes));
        let checked = checked.await.map_err(|_| StoreError::Timeout)?;
        Ok(Some(checked?))
    }
}

/// Gathers the rows as they arrive; `fields` takes user, part and pack from a row.
async fn gather<R>(
    mut rows: impl Stream<Item = Result<R, sqlx::Error>> + Unpin,
    fields: impl Fn(&R) -> Result<(u64, u16, &[u8]), sqlx::Error>,
) -> Result<Found, sqlx::Error> {
    let mut found = Found::default();
    while let Some(row) = rows.try_next().await? {
        let (user_id, part, pack) = fields(&row)?;
        found.push(user_id, part, pack);
    }
    Ok(found)
}

/// Options for the driver that the address was recognised for.
fn options(address: &Address) -> Result<Options, StoreError> {
    address
        .options()
        .map_err(|error| StoreError::Failed(error.to_string().into()))
}

/// The query for the first part of each user's pack, which is all there is of nearly every one. The
/// list is of places, as its text must be a constant for sqlx.
///
/// With a condition on each column of the key the database looks up rows; on `user_id` alone it
/// would look up where a range begins and ends, twice, the first time to guess how many rows it has.
macro_rules! first_parts {
    ($places:literal) => {
        concat!(
            "SELECT user_id, pack FROM user_pack WHERE part = 0 AND user_id IN (",
            $places,
            ")"
        )
    };
}

/// A statement for each of a few numbers of keys, so that a connection prepares ten of them at most,
/// and few places are filled up in vain: the database plans and sorts for each.
const FIRST_PARTS: [(usize, &str); 10] = [
    (1, first_parts!("?")),
    (2, first_parts!("?,?")),
    (4, first_parts!("?,?,?,?")),
    (8, first_parts!("?,?,?,?,?,?,?,?")),
    (12, first_parts!("?,?,?,?,?,?,?,?,?,?,?,?")),
    (16, first_parts!("?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?")),
    (20, first_parts!("?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?")),
    (
        24,
        first_parts!("?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?"),
    ),
    (
        28,
        first_parts!("?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?"),
    ),
    (
        MAX_KEYS,
        first_parts!("?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?"),
    ),
];

/// The query for all rows of one key: one statement sees one state of the table.
const ALL_PARTS: &str =
    "SELECT user_id, part, pack FROM user_pack WHERE user_id = ? ORDER BY user_id, part";

impl<'a> Wanted<'a> {
    /// The smallest statement that takes all keys, and the keys for its places: the last one fills
    /// up, which finds nothing twice.
    fn statement(self) -> (&'static str, impl Iterator<Item = u64> + 'a) {
        let (keys, only): (&[u64], _) = match self {
            Self::FirstParts(user_ids) => (user_ids, None),
            Self::All(user_id) => (&[], Some(user_id)),
        };
        let fits = FIRST_PARTS.iter().find(|(places, _)| keys.len() <= *places);
        let (places, text) = match only {
            Some(_) => (1, ALL_PARTS),
            None => fits.copied().unwrap_or(FIRST_PARTS[FIRST_PARTS.len() - 1]),
        };
        let last = keys.last().copied().or(only).into_iter().cycle();
        (text, keys.iter().copied().chain(last).take(places))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_query_names_the_table_and_has_its_places() {
        for (places, text) in FIRST_PARTS {
            assert!(text.contains(&format!(" FROM {TABLE} ")));
            assert_eq!(text.matches('?').count(), places);
        }
    }

    #[test]
    fn a_query_is_filled_up_with_its_last_key() {
        for (keys, places) in [(1, 1), (2, 2), (3, 4), (5, 8), (17, 20), (32, 32)] {
            let keys: Vec<u64> = (1..=keys).collect();
            let (text, bound) = Wanted::FirstParts(&keys).statement();
            let bound: Vec<u64> = bound.collect();
            assert_eq!(text.matches('?').count(), places);
            assert_eq!(bound.len(), places);
            assert_eq!(bound[..keys.len()], keys[..]);
            assert!(bound.iter().all(|key| keys.contains(key)));
        }
    }

    #[test]
    fn the_row_that_describes_the_table_is_no_part_of_user_0() {
        let mut rows = Rows::default();
        rows.push(META_PART, b"x").unwrap();
        assert!(rows.parts.is_none());
        assert_eq!(rows.meta.as_deref(), Some(b"x".as_slice()));
    }

    #[test]
    fn damage_of_one_user_is_not_that_of_another() {
        let mut found = Found::default();
        // As much of a pack as joining its parts looks at: version and length.
        let mut pack = [0_u8; 64];
        (pack[0], pack[8]) = (PACK_VERSION, 64);
        found.push(1, 0, &pack);
        // A part is missing.
        found.push(2, 0, &pack);
        found.push(2, 2, &pack);
        found.push(3, 0, &pack);
        assert!(found.take(3).unwrap().parts.is_some());
        assert!(matches!(found.take(2), Err(StoreError::Damaged(_))));
        assert!(found.take(1).unwrap().parts.is_some());
        assert!(found.take(4).unwrap().parts.is_none(), "no rows");
        assert!(found.take(1).unwrap().parts.is_none(), "taken before");
    }
}
