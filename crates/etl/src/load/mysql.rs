//! Loading MySQL and MariaDB: into a table of its own, in the order of the key, then one atomic
//! rename.

use futures_util::TryStreamExt as _;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};
use twitter_core::table::{META_PART, META_USER_ID, PacksChecksum, TableMeta};

use super::{PartRow, Tally};
use crate::failure::{Failure, FailureKind, connected};

/// Most rows of one insert; statements are prepared for the powers of two up to it.
const BATCH_ROWS: usize = 128;
/// Most bytes that wait for an insert. With one part more it stays below the smallest common
/// `max_allowed_packet` of 4 MiB.
const BATCH_BYTES: usize = 2 << 20;
/// Bytes between commits: a small log, few waits for the disk.
const COMMIT_BYTES: usize = 32 << 20;

const CREATE: &str = include_str!("../../sql/mysql.sql");
const IN_FORCE: &str = "SELECT 1 FROM information_schema.tables \
    WHERE table_schema = DATABASE() AND table_name = 'user_pack'";
const READ: &str = "SELECT user_id, part, pack FROM user_pack_load";

#[derive(Debug)]
pub(super) struct Load {
    connection: MySqlConnection,
    place: String,
    waiting: Vec<PartRow>,
    waiting_bytes: usize,
    uncommitted_bytes: usize,
}

impl Load {
    pub(super) async fn begin(
        options: MySqlConnectOptions,
        place: String,
    ) -> Result<Self, Failure> {
        // One statement for each power of two, and none must be evicted.
        let options = options.statement_cache_capacity(64);
        let connection = connected(&place, options.connect()).await?;
        let mut load = Self {
            connection,
            place,
            waiting: Vec::with_capacity(BATCH_ROWS),
            waiting_bytes: 0,
            uncommitted_bytes: 0,
        };
        load.run("SET SESSION sql_mode = 'STRICT_ALL_TABLES', lock_wait_timeout = 60")
            .await?;
        load.lock().await?;
        load.run("DROP TABLE IF EXISTS user_pack_load").await?;
        load.run(CREATE).await?;
        load.run("START TRANSACTION").await?;
        Ok(load)
    }

    pub(super) async fn push(&mut self, row: PartRow) -> Result<(), Failure> {
        self.waiting_bytes += row.bytes.len();
        self.waiting.push(row);
        if self.waiting.len() >= BATCH_ROWS || self.waiting_bytes >= BATCH_BYTES {
            self.flush().await?;
        }
        Ok(())
    }

    pub(super) async fn publish(mut self, tally: &Tally, meta: &TableMeta) -> Result<(), Failure> {
        self.flush().await?;
        self.run("COMMIT").await?;
        let (parts, checksum) = self.read_back().await?;
        tally.compare(&self.place, parts, checksum)?;
        let described = PartRow {
            user_id: META_USER_ID,
            part: META_PART,
            bytes: meta.to_text().into_bytes(),
        };
        self.insert(&[described]).await?;
        self.run("DROP TABLE IF EXISTS user_pack_old").await?;
        let there = sqlx::query(IN_FORCE)
            .fetch_optional(&mut self.connection)
            .await
            .map_err(|error| Failure::of_database(&self.place, &error))?;
        if there.is_some() {
            self.run("RENAME TABLE user_pack TO user_pack_old, user_pack_load TO user_pack")
                .await?;
            // The new content is in force: from here on nothing is a failure. What stays is dropped by
            // the next load.
            let _ = self.run("DROP TABLE user_pack_old").await;
        } else {
            self.run("RENAME TABLE user_pack_load TO user_pack").await?;
        }
        let _ = self.connection.close().await;
        Ok(())
    }

    /// Keeps two loads from writing the same table; the lock ends with the connection.
    async fn lock(&mut self) -> Result<(), Failure> {
        let query = "SELECT GET_LOCK(CONCAT('etl.', LEFT(SHA2(DATABASE(), 256), 56)), 10)";
        let locked = sqlx::query_scalar::<_, Option<i64>>(query)
            .fetch_one(&mut self.connection)
            .await
            .map_err(|error| Failure::of_database(&self.place, &error))?;
        if locked == Some(1) {
            return Ok(());
        }
        let line = format!("{}: another load is running; wait for its end", self.place);
        Err(Failure::new(FailureKind::Unavailable, line))
    }

    /// Sends what waits, in inserts of a power of two of rows.
    async fn flush(&mut self) -> Result<(), Failure> {
        let waiting = std::mem::take(&mut self.waiting);
        let mut rest = waiting.as_slice();
        while !rest.is_empty() {
            let count = 1 << rest.len().ilog2();
            let (batch, behind) = rest.split_at(count);
            self.insert(batch).await?;
            rest = behind;
        }
        self.uncommitted_bytes += self.waiting_bytes;
        self.waiting_bytes = 0;
        if self.uncommitted_bytes >= COMMIT_BYTES {
            self.uncommitted_bytes = 0;
            self.run("COMMIT").await?;
            self.run("START TRANSACTION").await?;
        }
        Ok(())
    }

    async fn insert(&mut self, rows: &[PartRow]) -> Result<(), Failure> {
        let values = vec!["(?, ?, ?)"; rows.len()].join(", ");
        let statement = format!("INSERT INTO user_pack_load (user_id, part, pack) VALUES {values}");
        // Made of constants and a count.
        let mut query = sqlx::query(AssertSqlSafe(statement));
        for row in rows {
            query = query.bind(row.user_id).bind(row.part).bind(&row.bytes);
        }
        let inserted = query.execute(&mut self.connection).await;
        inserted.map_err(|error| Failure::of_database(&self.place, &error))?;
        Ok(())
    }

    async fn read_back(&mut self) -> Result<(u64, PacksChecksum), Failure> {
        let read = async {
            let mut parts = 0;
            let mut checksum = PacksChecksum::default();
            let mut rows = sqlx::query(READ).fetch(&mut self.connection);
            while let Some(row) = rows.try_next().await? {
                checksum.add(row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
                parts += 1;
            }
            Ok((parts, checksum))
        };
        let read: Result<_, sqlx::Error> = read.await;
        read.map_err(|error| Failure::of_database(&self.place, &error))
    }

    async fn run(&mut self, statement: &'static str) -> Result<(), Failure> {
        let run = sqlx::raw_sql(statement).execute(&mut self.connection).await;
        run.map_err(|error| Failure::of_database(&self.place, &error))?;
        Ok(())
    }
}
