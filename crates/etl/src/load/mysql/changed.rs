//! Writing changes into the table in force, in one transaction.

use std::collections::HashMap;

use futures_util::TryStreamExt as _;
use sqlx::{AssertSqlSafe, Row as _};
use twitter_core::table::TableMeta;

use super::{IN_FORCE, PACK_IN_FORCE, PartRow, Shadow, described};
use crate::failure::{Failure, FailureKind};
use crate::load::changes::{Change, Digest, digest};

/// Keys of one statement that removes or compares.
const KEYS: usize = 64;

impl Shadow {
    /// What the table in force says of itself; `None` when there is none that could be changed.
    pub(in crate::load) async fn in_force(&mut self) -> Result<Option<TableMeta>, Failure> {
        if self.session.number(IN_FORCE).await? == 0 {
            return Ok(None);
        }
        let query = "SELECT part, pack FROM user_pack WHERE user_id = ? AND part = 65535";
        let parts = self.session.parts_of(query, 0).await?;
        let meta = parts
            .first()
            .and_then(|(_, text)| TableMeta::parse(text).ok());
        Ok(meta.filter(TableMeta::is_current))
    }

    /// Begins the transaction; gives the bytes of packs that one call of [`Self::change`] may bring,
    /// but for the last part.
    pub(in crate::load) async fn begin_changes(&mut self) -> Result<usize, Failure> {
        let bytes = self.session.batch_bytes().await?;
        self.session.run("START TRANSACTION").await?;
        Ok(bytes)
    }

    pub(in crate::load) async fn rollback_changes(&mut self) -> Result<(), Failure> {
        self.session.run("ROLLBACK").await
    }

    /// Writes some changes and reads them back.
    pub(in crate::load) async fn change(&mut self, changes: Vec<Change>) -> Result<(), Failure> {
        let (mut rows, mut removed) = (Vec::new(), Vec::new());
        for change in changes {
            match change {
                Change::Replace(row) => rows.push(row),
                Change::Remove { user_id, part } => removed.push((user_id, part)),
            }
        }
        let mut rest = rows.as_slice();
        while !rest.is_empty() {
            let (batch, behind) = rest.split_at(1 << rest.len().ilog2());
            self.session.write("REPLACE INTO user_pack", batch).await?;
            rest = behind;
        }
        for keys in removed.chunks(KEYS) {
            let statement = format!("DELETE FROM user_pack WHERE {}", any_key(keys.len()));
            // Made of constants and a count.
            let mut query = sqlx::query(AssertSqlSafe(statement));
            for (user_id, part) in keys {
                query = query.bind(user_id).bind(part);
            }
            let done = query.execute(&mut self.session.connection).await;
            done.map_err(|error| self.session.failed(&error))?;
        }
        self.compare(&rows).await
    }

    /// Whether the table holds these rows, as the transaction sees it.
    async fn compare(&mut self, rows: &[PartRow]) -> Result<(), Failure> {
        for rows in rows.chunks(KEYS) {
            let keys = any_key(rows.len());
            let statement =
                format!("SELECT user_id, part, UNHEX(SHA2(pack, 256)) FROM user_pack WHERE {keys}");
            let mut query = sqlx::query(AssertSqlSafe(statement));
            for row in rows {
                query = query.bind(row.user_id).bind(row.part);
            }
            let connection = &mut self.session.connection;
            let read = async {
                let mut held: HashMap<(u64, u16), Digest> = HashMap::new();
                let mut found = query.fetch(connection);
                while let Some(row) = found.try_next().await? {
                    let digest: &[u8] = row.try_get(2)?;
                    let digest = Digest::try_from(digest).unwrap_or_default();
                    held.insert((row.try_get(0)?, row.try_get(1)?), digest);
                }
                Ok(held)
            };
            let read: Result<_, sqlx::Error> = read.await;
            let held = read.map_err(|error| self.session.failed(&error))?;
            let is_held =
                |row: &PartRow| held.get(&(row.user_id, row.part)) == Some(&digest(&row.bytes));
            if let Some(row) = rows.iter().find(|row| !is_held(row)) {
                let (place, user_id) = (&self.session.place, row.user_id);
                let line = format!(
                    "{place}: the database holds another pack of user {user_id} than was sent; nothing was published"
                );
                return Err(Failure::new(FailureKind::Check, line));
            }
        }
        Ok(())
    }

    /// A user's parts in the table in force, as the transaction sees it.
    pub(in crate::load) async fn changed_parts_of(
        &mut self,
        user_id: u64,
    ) -> Result<Vec<(u16, Vec<u8>)>, Failure> {
        self.session.parts_of(PACK_IN_FORCE, user_id).await
    }

    /// Describes the table anew, counts its rows once more, and ends the transaction.
    pub(in crate::load) async fn commit_changes(
        &mut self,
        meta: &TableMeta,
        parts: u64,
    ) -> Result<(), Failure> {
        let described = [described(meta)];
        self.session
            .write("REPLACE INTO user_pack", &described)
            .await?;
        let held = self
            .session
            .number("SELECT COUNT(*) FROM user_pack")
            .await?;
        if held != parts + 1 {
            let line = format!(
                "{}: with the changes the database would hold {held} rows, not {}; nothing was published",
                self.session.place,
                parts + 1
            );
            return Err(Failure::new(FailureKind::Check, line));
        }
        self.session.run("COMMIT").await
    }
}

fn any_key(count: usize) -> String {
    vec!["(user_id = ? AND part = ?)"; count].join(" OR ")
}
