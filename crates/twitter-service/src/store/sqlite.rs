//! The embedded database: the same table and the same query in one file.
//!
//! SQLite's integers are signed: an id is stored as the 64-bit number with the same bits.

use std::time::Duration;

use database_address::{Address, Options};
use sqlx::error::DatabaseError;
use sqlx::sqlite::SqliteConnection;
use sqlx::{ConnectOptions as _, Connection as _, Row as _};

use super::{Driver, ROWS_QUERY, Rows, StoreError, gather, options};

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
        StoreError::of_sqlx(&self.address, error, is_no_table)
    }
}

fn is_no_table(error: &dyn DatabaseError) -> bool {
    error.message().starts_with("no such table")
}

impl Driver for Sqlite {
    type Connection = SqliteConnection;

    async fn connect(&self) -> Result<SqliteConnection, StoreError> {
        let Options::Sqlite(options) = options(&self.address)? else {
            return Err(StoreError::Failed("not an address of SQLite".into()));
        };
        let options = options.read_only(true).busy_timeout(BUSY_WAIT);
        let connected = options.connect().await;
        connected.map_err(|error| self.error(&error))
    }

    async fn ping(&self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        let pinged = connection.ping().await;
        pinged.map_err(|error| self.error(&error))
    }

    async fn rows(
        &self,
        connection: &mut SqliteConnection,
        user_id: u64,
    ) -> Result<Rows, StoreError> {
        let rows = sqlx::query(ROWS_QUERY)
            .bind(user_id.cast_signed())
            .fetch(connection);
        let found = gather(rows, |row| Ok((row.try_get(0)?, row.try_get(1)?))).await;
        Ok(found.map_err(|error| self.error(&error))??)
    }
}
