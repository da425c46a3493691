//! Loading the embedded database: everything in one transaction.
//!
//! The file is in write-ahead mode, so that services read the old content while a load writes,
//! and see the new one with their next query.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};
use twitter_core::table::{META_PART, META_USER_ID, PacksChecksum, TableMeta};

use super::{PartRow, Tally};
use crate::failure::{Failure, connected};

/// How long to wait for another load.
const BUSY_WAIT: Duration = Duration::from_secs(10);

const CREATE: &str = include_str!("../../sql/sqlite.sql");
const INSERT: &str = "INSERT INTO user_pack_load (user_id, part, pack) VALUES (?, ?, ?)";
const READ: &str = "SELECT user_id, part, pack FROM user_pack_load";

#[derive(Debug)]
pub(super) struct Load {
    connection: SqliteConnection,
    place: String,
}

impl Load {
    pub(super) async fn begin(
        options: SqliteConnectOptions,
        place: String,
    ) -> Result<Self, Failure> {
        let options = options
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .busy_timeout(BUSY_WAIT);
        let connection = connected(&place, options.connect()).await?;
        let mut load = Self { connection, place };
        load.run("BEGIN IMMEDIATE").await?;
        load.run("DROP TABLE IF EXISTS user_pack_load").await?;
        load.run(CREATE).await?;
        Ok(load)
    }

    pub(super) async fn push(&mut self, row: &PartRow) -> Result<(), Failure> {
        self.insert(row.user_id, row.part, &row.bytes).await
    }

    pub(super) async fn publish(mut self, tally: &Tally, meta: &TableMeta) -> Result<(), Failure> {
        let (parts, checksum) = self.read_back().await?;
        tally.compare(&self.place, parts, checksum)?;
        let text = meta.to_text();
        self.insert(META_USER_ID, META_PART, text.as_bytes())
            .await?;
        self.run("DROP TABLE IF EXISTS user_pack").await?;
        self.run("ALTER TABLE user_pack_load RENAME TO user_pack")
            .await?;
        self.run("COMMIT").await?;
        // The new content is in force: from here on nothing is a failure. Without readers the file
        // leaves write-ahead mode, so that it can also be read in a folder that is read-only.
        let _ = self.run("PRAGMA busy_timeout = 0").await;
        let _ = self.run("PRAGMA journal_mode = DELETE").await;
        let _ = self.connection.close().await;
        Ok(())
    }

    async fn read_back(&mut self) -> Result<(u64, PacksChecksum), Failure> {
        let read = async {
            let mut parts = 0;
            let mut checksum = PacksChecksum::default();
            let mut rows = sqlx::query(READ).fetch(&mut self.connection);
            while let Some(row) = rows.try_next().await? {
                let user_id: i64 = row.try_get(0)?;
                checksum.add(user_id.cast_unsigned(), row.try_get(1)?, row.try_get(2)?);
                parts += 1;
            }
            Ok((parts, checksum))
        };
        let read: Result<_, sqlx::Error> = read.await;
        read.map_err(|error| Failure::of_database(&self.place, &error))
    }

    async fn insert(&mut self, user_id: u64, part: u16, bytes: &[u8]) -> Result<(), Failure> {
        let inserted = sqlx::query(INSERT)
            .bind(user_id.cast_signed())
            .bind(part)
            .bind(bytes)
            .execute(&mut self.connection);
        let inserted = inserted.await;
        inserted.map_err(|error| Failure::of_database(&self.place, &error))?;
        Ok(())
    }

    async fn run(&mut self, statement: &'static str) -> Result<(), Failure> {
        let run = sqlx::raw_sql(statement).execute(&mut self.connection).await;
        run.map_err(|error| Failure::of_database(&self.place, &error))?;
        Ok(())
    }
}
