//! The embedded database: the same table and the same query in one file.
//!
//! SQLite's integers are signed: an id is stored as the 64-bit number with the same bits.

use std::time::Duration;

use database_address::{Address, Options};
use sqlx::error::DatabaseError;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection as _, Row as _};

use super::{Driver, Found, Meaning, StoreError, Wanted, gather, options};

/// How long to wait while a load of the table commits.
const BUSY_WAIT: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(crate) struct Sqlite {
    address: Address,
}

impl Sqlite {
    pub(crate) fn new(address: Address) -> Self {
        Self { address }
    }

    fn error(&self, error: &sqlx::Error) -> StoreError {
        StoreError::of_sqlx(&self.address, error, meaning)
    }
}

fn meaning(error: &dyn DatabaseError) -> Meaning {
    if error.message().starts_with("no such table") {
        Meaning::NoTable
    } else {
        Meaning::Other
    }
}

impl Driver for Sqlite {
    type Connection = SqliteConnection;

    async fn connect(&self) -> Result<SqliteConnection, StoreError> {
        let Options::Sqlite(options) = options(&self.address)? else {
            return Err(StoreError::Failed("not an address of SQLite".into()));
        };
        let connected = database_address::read_only(*options, BUSY_WAIT).await;
        connected.map_err(|error| self.error(&error))
    }

    async fn ping(&self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        let pinged = connection.ping().await;
        pinged.map_err(|error| self.error(&error))
    }

    async fn rows(
        &self,
        connection: &mut SqliteConnection,
        wanted: Wanted<'_>,
    ) -> Result<Found, StoreError> {
        let (text, keys) = wanted.statement();
        let query = keys.fold(sqlx::query(text), |query, key| {
            query.bind(key.cast_signed())
        });
        let found = gather(query.fetch(connection), |row| {
            let user_id: i64 = row.try_get(0)?;
            let user_id = user_id.cast_unsigned();
            Ok(match wanted {
                Wanted::FirstParts(_) => (user_id, 0, row.try_get(1)?),
                Wanted::All(_) => (user_id, row.try_get(1)?, row.try_get(2)?),
            })
        });
        found.await.map_err(|error| self.error(&error))
    }
}
