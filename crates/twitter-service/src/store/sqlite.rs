//! The embedded database: the same table and the same query in one file.
//!
//! SQLite's integers are signed: an id is stored as the 64-bit number with the same bits.

use std::time::Duration;

use database_address::{Address, Options};
use futures_util::TryStreamExt as _;
use sqlx::sqlite::SqliteConnection;
use sqlx::{ConnectOptions as _, Connection as _, Row as _};

use super::{Driver, ROWS_QUERY, Rows, StoreError, options};

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
        let is_no_table = |error: &sqlx::Error| {
            error
                .as_database_error()
                .is_some_and(|error| error.message().starts_with("no such table"))
        };
        match StoreError::of_sqlx(error, is_no_table) {
            StoreError::Failed(text) => {
                StoreError::Failed(format!("{}: {text}", self.address).into())
            }
            other => other,
        }
    }
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
        let read = async {
            let mut found = Rows::default();
            let id = user_id.cast_signed();
            let mut rows = sqlx::query(ROWS_QUERY).bind(id).fetch(connection);
            while let Some(row) = rows.try_next().await? {
                let part: u16 = row.try_get(0)?;
                let pack: &[u8] = row.try_get(1)?;
                if let Err(error) = found.push(part, pack) {
                    return Ok(Err(error));
                }
            }
            Ok(Ok(found))
        };
        let found: Result<_, sqlx::Error> = read.await;
        Ok(found.map_err(|error| self.error(&error))??)
    }
}
