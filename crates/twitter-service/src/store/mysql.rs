//! MySQL and MariaDB.

use database_address::{Address, Options};
use sqlx::error::DatabaseError;
use sqlx::mysql::{MySqlConnection, MySqlDatabaseError};
use sqlx::query::Query;
use sqlx::{ConnectOptions as _, Connection as _, Row as _};

use super::{Driver, Found, StoreError, gather, options, query_for};

/// More than the statements there are: an eviction would send a command without a reply, which
/// this version of sqlx follows with a stall of 40 ms (it does not set TCP_NODELAY).
const STATEMENTS: usize = 32;

/// The server's number for a table that does not exist.
const NO_SUCH_TABLE: u16 = 1146;

#[derive(Debug)]
pub(crate) struct MySql {
    address: Address,
}

impl MySql {
    pub(crate) fn new(address: Address) -> Self {
        Self { address }
    }

    fn error(&self, error: &sqlx::Error) -> StoreError {
        StoreError::of_sqlx(&self.address, error, is_no_table)
    }
}

fn is_no_table(error: &dyn DatabaseError) -> bool {
    error
        .try_downcast_ref::<MySqlDatabaseError>()
        .is_some_and(|error| error.number() == NO_SUCH_TABLE)
}

impl Driver for MySql {
    type Connection = MySqlConnection;

    async fn connect(&self) -> Result<MySqlConnection, StoreError> {
        let Options::MySql(options) = options(&self.address)? else {
            return Err(StoreError::Failed("not an address of MySQL".into()));
        };
        let connected = options.statement_cache_capacity(STATEMENTS).connect().await;
        connected.map_err(|error| self.error(&error))
    }

    async fn ping(&self, connection: &mut MySqlConnection) -> Result<(), StoreError> {
        let pinged = connection.ping().await;
        pinged.map_err(|error| self.error(&error))
    }

    async fn rows(
        &self,
        connection: &mut MySqlConnection,
        user_ids: &[u64],
    ) -> Result<Found, StoreError> {
        let (text, keys) = query_for(user_ids);
        let query = keys.fold(sqlx::query(text), Query::bind);
        let found = gather(query.fetch(connection), |row| {
            Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))
        });
        found.await.map_err(|error| self.error(&error))
    }
}
