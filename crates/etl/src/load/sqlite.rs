//! Loading the embedded database: everything in one transaction.
//!
//! The file is in write-ahead mode, so that services read the old content while a load writes, and
//! see the new one with their next query. A second file that takes the first one's place would not
//! do: services that have the file open would go on reading the old one, and its write-ahead log
//! would be left to a file that it does not belong to.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};
use twitter_core::table::{META_PART, META_USER_ID, PacksChecksum, TableMeta};

use super::changes::{Change, HeldPart, digest};
use super::{PartRow, Tally};
use crate::failure::{Failure, FailureKind, connected};

/// How long to wait for another load.
const BUSY_WAIT: Duration = Duration::from_secs(10);
/// Most rows, and bytes but for the last row, of one insert.
const BATCH_ROWS: usize = 64;
const BATCH_BYTES: usize = 1 << 20;

const CREATE: &str = include_str!("../../sql/sqlite.sql");
const IN_FORCE: &str =
    "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'user_pack'";
const READ: &str = "SELECT user_id, part, pack FROM user_pack_load";
const PACK_OF_SHADOW: &str =
    "SELECT part, pack FROM user_pack_load WHERE user_id = ? ORDER BY part";
const PACK_IN_FORCE: &str = "SELECT part, pack FROM user_pack WHERE user_id = ? ORDER BY part";
/// Ids of 2^63 and more are negative: they are walked over after the others.
const PAGE: &str = "SELECT user_id, part, pack FROM user_pack \
    WHERE (user_id, part) > (?, ?) AND user_id <= ? ORDER BY user_id, part LIMIT 64";

/// The transaction that a load is.
#[derive(Debug)]
pub(super) struct Shadow {
    connection: SqliteConnection,
    place: String,
    waiting: Vec<PartRow>,
    waiting_bytes: usize,
}

impl Shadow {
    /// Begins the transaction, which keeps out every other load.
    pub(super) async fn begin(
        options: SqliteConnectOptions,
        place: String,
    ) -> Result<Self, Failure> {
        let options = options
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .busy_timeout(BUSY_WAIT);
        let connection = connected(&place, options.connect()).await?;
        let mut load = Self {
            connection,
            place,
            waiting: Vec::new(),
            waiting_bytes: 0,
        };
        load.run("BEGIN IMMEDIATE").await?;
        Ok(load)
    }

    /// Makes the table. Pages of the one before the last are used again.
    pub(super) async fn create(&mut self) -> Result<(), Failure> {
        self.run("DROP TABLE IF EXISTS user_pack_load").await?;
        self.run("DROP TABLE IF EXISTS user_pack_old").await?;
        self.run(CREATE).await
    }

    pub(super) async fn push(&mut self, row: PartRow) -> Result<(), Failure> {
        self.waiting_bytes += row.bytes.len();
        self.waiting.push(row);
        if self.waiting.len() >= BATCH_ROWS || self.waiting_bytes >= BATCH_BYTES {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Failure> {
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        self.write("INSERT INTO user_pack_load", &waiting).await
    }

    /// Sends the rest, reads everything back and compares it with what was sent.
    pub(super) async fn finish(&mut self, tally: &Tally) -> Result<(), Failure> {
        self.flush().await?;
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
        let (parts, checksum) = read.map_err(|error| self.failed(&error))?;
        tally.compare(&self.place, parts, checksum)
    }

    /// A user's parts in the table that is being filled.
    pub(super) async fn parts_of(&mut self, user_id: u64) -> Result<Vec<(u16, Vec<u8>)>, Failure> {
        self.parts(PACK_OF_SHADOW, user_id).await
    }

    /// A user's parts in the table in force, as the transaction sees it.
    pub(super) async fn changed_parts_of(
        &mut self,
        user_id: u64,
    ) -> Result<Vec<(u16, Vec<u8>)>, Failure> {
        self.parts(PACK_IN_FORCE, user_id).await
    }

    /// Puts the table in force; the old one stays beside it.
    pub(super) async fn swap(&mut self, meta: &TableMeta) -> Result<(), Failure> {
        self.write("INSERT INTO user_pack_load", &[described(meta)])
            .await?;
        if self.number(IN_FORCE).await? > 0 {
            self.run("ALTER TABLE user_pack RENAME TO user_pack_old")
                .await?;
        }
        self.run("ALTER TABLE user_pack_load RENAME TO user_pack")
            .await?;
        self.run("COMMIT").await?;
        self.leave().await;
        Ok(())
    }

    /// The new content is in force: from here on nothing is a failure. Without readers the file
    /// leaves write-ahead mode, so that it can also be read in a folder that is read-only.
    async fn leave(&mut self) {
        let _ = self.run("PRAGMA busy_timeout = 0").await;
        let _ = self.run("PRAGMA journal_mode = DELETE").await;
    }

    /// What the table in force says of itself; `None` when there is none that could be changed.
    pub(super) async fn in_force(&mut self) -> Result<Option<TableMeta>, Failure> {
        if self.number(IN_FORCE).await? == 0 {
            return Ok(None);
        }
        let parts = self.parts(PACK_IN_FORCE, META_USER_ID).await?;
        let text = parts.iter().find(|(part, _)| *part == META_PART);
        let meta = text.and_then(|(_, text)| TableMeta::parse(text).ok());
        Ok(meta.filter(TableMeta::is_current))
    }

    /// Parts of the table in force behind a key, within ids of one sign; empty at the end.
    pub(super) async fn page(
        &mut self,
        behind: (i64, i32),
        last: i64,
    ) -> Result<Vec<HeldPart>, Failure> {
        let read = async {
            let mut page = Vec::new();
            let query = sqlx::query(PAGE).bind(behind.0).bind(behind.1).bind(last);
            let mut rows = query.fetch(&mut self.connection);
            while let Some(row) = rows.try_next().await? {
                let user_id: i64 = row.try_get(0)?;
                page.push(HeldPart {
                    user_id: user_id.cast_unsigned(),
                    part: row.try_get(1)?,
                    digest: digest(row.try_get(2)?),
                });
            }
            Ok(page)
        };
        let read: Result<_, sqlx::Error> = read.await;
        read.map_err(|error| self.failed(&error))
    }

    /// Writes some changes and reads them back.
    pub(super) async fn change(&mut self, changes: Vec<Change>) -> Result<(), Failure> {
        let mut rows = Vec::new();
        for change in changes {
            match change {
                Change::Replace(row) => rows.push(row),
                Change::Remove { user_id, part } => {
                    let query = "DELETE FROM user_pack WHERE user_id = ? AND part = ?";
                    let query = sqlx::query(query).bind(user_id.cast_signed()).bind(part);
                    let done = query.execute(&mut self.connection).await;
                    done.map_err(|error| self.failed(&error))?;
                }
            }
        }
        for rows in rows.chunks(BATCH_ROWS) {
            self.write("REPLACE INTO user_pack", rows).await?;
        }
        for row in &rows {
            let parts = self.parts(PACK_IN_FORCE, row.user_id).await?;
            if !parts.contains(&(row.part, row.bytes.clone())) {
                let line = format!(
                    "{}: the database holds another pack of user {} than was sent; nothing was published",
                    self.place, row.user_id
                );
                return Err(Failure::new(FailureKind::Check, line));
            }
        }
        Ok(())
    }

    /// Describes the table anew, counts its rows once more, and ends the transaction.
    pub(super) async fn commit_changes(
        &mut self,
        meta: &TableMeta,
        parts: u64,
    ) -> Result<(), Failure> {
        self.write("REPLACE INTO user_pack", &[described(meta)])
            .await?;
        let held = self.number("SELECT COUNT(*) FROM user_pack").await?;
        if held != parts + 1 {
            let line = format!(
                "{}: with the changes the database would hold {held} rows, not {}; nothing was published",
                self.place,
                parts + 1
            );
            return Err(Failure::new(FailureKind::Check, line));
        }
        self.run("COMMIT").await?;
        self.leave().await;
        Ok(())
    }

    pub(super) async fn close(mut self) {
        // After a swap there is no transaction, and nothing to undo.
        let _ = self.run("ROLLBACK").await;
        let _ = self.connection.close().await;
    }

    async fn parts(
        &mut self,
        query: &'static str,
        user_id: u64,
    ) -> Result<Vec<(u16, Vec<u8>)>, Failure> {
        let read = async {
            let mut parts = Vec::new();
            let query = sqlx::query(query).bind(user_id.cast_signed());
            let mut rows = query.fetch(&mut self.connection);
            while let Some(row) = rows.try_next().await? {
                parts.push((row.try_get(0)?, row.try_get(1)?));
            }
            Ok(parts)
        };
        let read: Result<_, sqlx::Error> = read.await;
        read.map_err(|error| self.failed(&error))
    }

    async fn write(&mut self, verb: &'static str, rows: &[PartRow]) -> Result<(), Failure> {
        let mut rest = rows;
        while !rest.is_empty() {
            let (batch, behind) = rest.split_at(1 << rest.len().ilog2());
            let values = vec!["(?, ?, ?)"; batch.len()].join(", ");
            let statement = format!("{verb} (user_id, part, pack) VALUES {values}");
            // Made of constants and a count.
            let mut query = sqlx::query(AssertSqlSafe(statement));
            for row in batch {
                query = query
                    .bind(row.user_id.cast_signed())
                    .bind(row.part)
                    .bind(row.bytes.as_slice());
            }
            let written = query.execute(&mut self.connection).await;
            written.map_err(|error| Failure::of_database(&self.place, &error))?;
            rest = behind;
        }
        Ok(())
    }

    async fn number(&mut self, query: &'static str) -> Result<u64, Failure> {
        let number = sqlx::query_scalar::<_, i64>(query)
            .fetch_one(&mut self.connection)
            .await
            .map_err(|error| self.failed(&error))?;
        Ok(u64::try_from(number).unwrap_or_default())
    }

    async fn run(&mut self, statement: &'static str) -> Result<(), Failure> {
        let run = sqlx::raw_sql(statement).execute(&mut self.connection).await;
        run.map_err(|error| self.failed(&error))?;
        Ok(())
    }

    fn failed(&self, error: &sqlx::Error) -> Failure {
        Failure::of_database(&self.place, error)
    }
}

/// The row that describes the table.
fn described(meta: &TableMeta) -> PartRow {
    PartRow {
        user_id: META_USER_ID,
        part: META_PART,
        bytes: meta.to_text().into_bytes(),
    }
}
