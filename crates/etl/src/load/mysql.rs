//! Loading MySQL and MariaDB: into a table of its own, in the order of the key, then one atomic
//! rename; or only what has changed, in one transaction.
//!
//! One connection ([`Shadow`]) holds the lock against a second load, makes the table and swaps it;
//! others ([`Writer`]) each fill a range of users and read it back.

mod changed;
mod held;

use futures_util::TryStreamExt as _;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};
use twitter_core::table::{MAX_PART_BYTES, META_PART, META_USER_ID, PacksChecksum, TableMeta};

pub(super) use self::held::Held;
use super::{PartRow, Tally};
use crate::failure::{Failure, FailureKind, connected};

/// Most rows of one insert; statements are prepared for the powers of two up to it.
const BATCH_ROWS: usize = 512;
/// Most bytes that wait for an insert, where the server takes them.
const BATCH_BYTES: usize = 2 << 20;
/// Room in a packet for everything that is no pack.
const PACKET_MARGIN: usize = 64 << 10;
/// Bytes between commits: a small log, few waits for the disk.
const COMMIT_BYTES: usize = 32 << 20;

const CREATE: &str = include_str!("../../sql/mysql.sql");
const IN_FORCE: &str = "SELECT COUNT(*) FROM information_schema.tables \
    WHERE table_schema = DATABASE() AND table_name = 'user_pack'";
const READ: &str = "SELECT user_id, part, pack FROM user_pack_load WHERE user_id BETWEEN ? AND ?";
const PACK_OF_SHADOW: &str =
    "SELECT part, pack FROM user_pack_load WHERE user_id IN (?) ORDER BY user_id, part";
const PACK_IN_FORCE: &str =
    "SELECT part, pack FROM user_pack WHERE user_id IN (?) ORDER BY user_id, part";

/// A connection that runs our statements and turns errors into failures.
#[derive(Debug)]
struct Session {
    connection: MySqlConnection,
    place: String,
}

impl Session {
    async fn open(options: &MySqlConnectOptions, place: &str) -> Result<Self, Failure> {
        // One statement for each power of two and some more, and none must be evicted.
        let options = options.clone().statement_cache_capacity(128);
        let mut session = Self {
            connection: connected(&place, options.connect()).await?,
            place: place.to_owned(),
        };
        // Between two statements the rows of a million users may be packed, or all be read back.
        session
            .run("SET SESSION sql_mode = 'STRICT_ALL_TABLES', lock_wait_timeout = 60, wait_timeout = 28800, net_read_timeout = 600, net_write_timeout = 600")
            .await?;
        Ok(session)
    }

    fn failed(&self, error: &sqlx::Error) -> Failure {
        Failure::of_database(&self.place, error)
    }

    async fn run(&mut self, statement: &'static str) -> Result<(), Failure> {
        let run = sqlx::raw_sql(statement).execute(&mut self.connection).await;
        run.map_err(|error| Failure::of_database(&self.place, &error))?;
        Ok(())
    }

    /// The one number that a query gives.
    async fn number(&mut self, query: &'static str) -> Result<u64, Failure> {
        let number = sqlx::query_scalar::<_, i64>(query)
            .fetch_one(&mut self.connection)
            .await
            .map_err(|error| Failure::of_database(&self.place, &error))?;
        Ok(u64::try_from(number).unwrap_or_default())
    }

    async fn batch_bytes(&mut self) -> Result<usize, Failure> {
        let query = "SELECT CAST(@@max_allowed_packet AS SIGNED)";
        let packet = self.number(query).await?;
        batch_bytes(packet).map_err(|text| {
            let line = format!("{}: {text}", self.place);
            Failure::new(FailureKind::Unavailable, line)
        })
    }

    /// Writes rows in one statement that begins like this. A warning is a failure: strict mode turns
    /// those that lose data into errors, and others mean that something is not as we think.
    async fn write(&mut self, verb: &'static str, rows: &[PartRow]) -> Result<(), Failure> {
        let values = vec!["(?, ?, ?)"; rows.len()].join(", ");
        let statement = format!("{verb} (user_id, part, pack) VALUES {values}");
        // Made of constants and a count.
        let mut query = sqlx::query(AssertSqlSafe(statement));
        for row in rows {
            query = query
                .bind(row.user_id)
                .bind(row.part)
                .bind(row.bytes.as_slice());
        }
        let written = query.execute(&mut self.connection).await;
        written.map_err(|error| Failure::of_database(&self.place, &error))?;
        let warnings = self
            .number("SELECT CAST(@@warning_count AS SIGNED)")
            .await?;
        if warnings == 0 {
            return Ok(());
        }
        let shown = sqlx::raw_sql("SHOW WARNINGS LIMIT 1")
            .fetch_optional(&mut self.connection)
            .await;
        let text: Option<String> = shown.ok().flatten().and_then(|row| row.try_get(2).ok());
        let line = format!(
            "{}: the database gave {warnings} warnings, first: {}; nothing was published",
            self.place,
            text.unwrap_or_default()
        );
        Err(Failure::new(FailureKind::Check, line))
    }

    /// What is stored under a user's id, in the order of parts.
    async fn parts_of(
        &mut self,
        query: &'static str,
        user_id: u64,
    ) -> Result<Vec<(u16, Vec<u8>)>, Failure> {
        let read = async {
            let mut parts = Vec::new();
            let mut rows = sqlx::query(query).bind(user_id).fetch(&mut self.connection);
            while let Some(row) = rows.try_next().await? {
                parts.push((row.try_get(0)?, row.try_get(1)?));
            }
            Ok(parts)
        };
        let read: Result<_, sqlx::Error> = read.await;
        read.map_err(|error| self.failed(&error))
    }
}

/// Most bytes of packs in one statement, for a server that takes packets of this size.
fn batch_bytes(max_allowed_packet: u64) -> Result<usize, String> {
    let packet = usize::try_from(max_allowed_packet).unwrap_or(usize::MAX);
    // A batch is sent when it is full, so it may pass its limit by one part.
    let room = packet.saturating_sub(PACKET_MARGIN + MAX_PART_BYTES);
    if room == 0 {
        let needed = (PACKET_MARGIN + MAX_PART_BYTES).next_power_of_two();
        return Err(format!(
            "the server takes packets of {packet} bytes only, and a part of a pack may have {MAX_PART_BYTES}; set max_allowed_packet to {needed} or more"
        ));
    }
    Ok(room.min(BATCH_BYTES))
}

/// Fills a range of the shadow table.
#[derive(Debug)]
pub(super) struct Writer {
    session: Session,
    waiting: Vec<PartRow>,
    waiting_bytes: usize,
    uncommitted_bytes: usize,
    batch_bytes: usize,
    users: Option<(u64, u64)>,
}

impl Writer {
    pub(super) async fn connect(
        options: &MySqlConnectOptions,
        place: &str,
    ) -> Result<Self, Failure> {
        let mut session = Session::open(options, place).await?;
        let batch_bytes = session.batch_bytes().await?;
        session.run("START TRANSACTION").await?;
        Ok(Self {
            session,
            waiting: Vec::with_capacity(BATCH_ROWS),
            waiting_bytes: 0,
            uncommitted_bytes: 0,
            batch_bytes,
            users: None,
        })
    }

    pub(super) async fn push(&mut self, row: PartRow) -> Result<(), Failure> {
        let first = self.users.map_or(row.user_id, |(first, _)| first);
        self.users = Some((first, row.user_id));
        self.waiting_bytes += row.bytes.len();
        self.waiting.push(row);
        if self.waiting.len() >= BATCH_ROWS || self.waiting_bytes >= self.batch_bytes {
            self.flush().await?;
        }
        Ok(())
    }

    /// Sends what waits, in inserts of a power of two of rows.
    async fn flush(&mut self) -> Result<(), Failure> {
        let mut rest = self.waiting.as_slice();
        while !rest.is_empty() {
            let (batch, behind) = rest.split_at(1 << rest.len().ilog2());
            self.session
                .write("INSERT INTO user_pack_load", batch)
                .await?;
            rest = behind;
        }
        self.waiting.clear();
        self.uncommitted_bytes += self.waiting_bytes;
        self.waiting_bytes = 0;
        if self.uncommitted_bytes >= COMMIT_BYTES {
            self.uncommitted_bytes = 0;
            self.session.run("COMMIT").await?;
            self.session.run("START TRANSACTION").await?;
        }
        Ok(())
    }

    /// Sends the rest, reads the whole range back and compares it with what was sent.
    pub(super) async fn finish(&mut self, tally: &Tally) -> Result<(), Failure> {
        self.flush().await?;
        self.session.run("COMMIT").await?;
        let Some((first, last)) = self.users else {
            return tally.compare(&self.session.place, 0, PacksChecksum::default());
        };
        let connection = &mut self.session.connection;
        let read = async {
            let mut parts = 0;
            let mut checksum = PacksChecksum::default();
            let mut rows = sqlx::query(READ).bind(first).bind(last).fetch(connection);
            while let Some(row) = rows.try_next().await? {
                checksum.add(row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
                parts += 1;
            }
            Ok((parts, checksum))
        };
        let read: Result<_, sqlx::Error> = read.await;
        let (parts, checksum) = read.map_err(|error| self.session.failed(&error))?;
        tally.compare(&self.session.place, parts, checksum)
    }
}

/// The table that is being filled, and the lock that keeps others from doing so.
#[derive(Debug)]
pub(super) struct Shadow {
    session: Session,
}

impl Shadow {
    /// Takes the lock. Changes nothing.
    pub(super) async fn begin(options: &MySqlConnectOptions, place: &str) -> Result<Self, Failure> {
        let session = Session::open(options, place).await?;
        let mut shadow = Self { session };
        shadow.lock().await?;
        Ok(shadow)
    }

    /// Makes the table anew; one that a load left behind which died is dropped.
    pub(super) async fn create(&mut self) -> Result<(), Failure> {
        self.session
            .run("DROP TABLE IF EXISTS user_pack_load")
            .await?;
        self.session.run(CREATE).await
    }

    /// Drops it, as nothing will come of it.
    pub(super) async fn abandon(&mut self) {
        // What cannot be dropped now is dropped by the next load.
        let _ = self
            .session
            .run("DROP TABLE IF EXISTS user_pack_load")
            .await;
    }

    /// Whether the table holds as many rows as all writers sent, however they divided it.
    pub(super) async fn check_count(&mut self, parts: u64) -> Result<(), Failure> {
        let held = self
            .session
            .number("SELECT COUNT(*) FROM user_pack_load")
            .await?;
        if held == parts {
            return Ok(());
        }
        let line = format!(
            "{}: the database holds {held} parts, but {parts} were sent; nothing was published",
            self.session.place
        );
        Err(Failure::new(FailureKind::Check, line))
    }

    /// A user's parts in the table that is being filled.
    pub(super) async fn parts_of(&mut self, user_id: u64) -> Result<Vec<(u16, Vec<u8>)>, Failure> {
        self.session.parts_of(PACK_OF_SHADOW, user_id).await
    }

    /// Puts the table in force; the old one stays beside it.
    pub(super) async fn swap(&mut self, meta: &TableMeta) -> Result<(), Failure> {
        let described = [described(meta)];
        self.session
            .write("INSERT INTO user_pack_load", &described)
            .await?;
        self.session
            .run("DROP TABLE IF EXISTS user_pack_old")
            .await?;
        if self.session.number(IN_FORCE).await? > 0 {
            self.session
                .run("RENAME TABLE user_pack TO user_pack_old, user_pack_load TO user_pack")
                .await
        } else {
            self.session
                .run("RENAME TABLE user_pack_load TO user_pack")
                .await
        }
    }

    /// Keeps two loads from writing the same table; the lock ends with the connection.
    async fn lock(&mut self) -> Result<(), Failure> {
        let query = "SELECT GET_LOCK(CONCAT('etl.', LEFT(SHA2(DATABASE(), 256), 56)), 10)";
        let locked = sqlx::query_scalar::<_, Option<i64>>(query)
            .fetch_one(&mut self.session.connection)
            .await
            .map_err(|error| self.session.failed(&error))?;
        if locked == Some(1) {
            return Ok(());
        }
        let place = &self.session.place;
        let line = format!("{place}: another load is running; wait for its end");
        Err(Failure::new(FailureKind::Unavailable, line))
    }

    pub(super) async fn close(self) {
        let _ = self.session.connection.close().await;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_fit_the_servers_packets() {
        assert_eq!(batch_bytes(16 << 20), Ok(BATCH_BYTES));
        assert_eq!(batch_bytes(1 << 30), Ok(BATCH_BYTES));
        let tight = batch_bytes(2 << 20).unwrap();
        assert!(tight + MAX_PART_BYTES + PACKET_MARGIN <= 2 << 20);
        for small in [1024, 1 << 20] {
            let refused = batch_bytes(small).unwrap_err();
            assert!(
                refused.contains("max_allowed_packet to 2097152"),
                "{refused}"
            );
        }
    }
}
