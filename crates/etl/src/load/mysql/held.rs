//! What the table in force holds, as digests in the order of the key.

use futures_util::TryStreamExt as _;
use sqlx::Row as _;
use sqlx::mysql::MySqlConnectOptions;

use super::Session;
use crate::failure::Failure;
use crate::load::changes::{Digest, HeldPart};

/// Parts asked for at a time. More than a pack can have, so that each page holds a whole user.
const PAGE: usize = 8192;

/// The server works the digests out: they cross the network, the packs do not.
const DIGESTS: &str = "SELECT user_id, part, UNHEX(SHA2(pack, 256)) FROM user_pack \
    WHERE user_id >= ? AND user_id <= ? ORDER BY user_id, part LIMIT 8192";

/// Reads the digests of a range of users, a page at a time.
#[derive(Debug)]
pub(in crate::load) struct Held {
    session: Session,
    /// From where on the next page is; `None` after the last.
    rest: Option<(u64, u64)>,
}

impl Held {
    pub(in crate::load) async fn open(
        options: &MySqlConnectOptions,
        place: &str,
        users: (u64, u64),
    ) -> Result<Self, Failure> {
        Ok(Self {
            session: Session::open(options, place).await?,
            rest: Some(users),
        })
    }

    /// The next parts; empty at the end.
    pub(in crate::load) async fn page(&mut self) -> Result<Vec<HeldPart>, Failure> {
        let Some((first, last)) = self.rest else {
            return Ok(Vec::new());
        };
        let connection = &mut self.session.connection;
        let read = async {
            let mut page = Vec::new();
            let mut rows = sqlx::query(DIGESTS)
                .bind(first)
                .bind(last)
                .fetch(connection);
            while let Some(row) = rows.try_next().await? {
                let digest: &[u8] = row.try_get(2)?;
                page.push(HeldPart {
                    user_id: row.try_get(0)?,
                    part: row.try_get(1)?,
                    // A digest of another length is like none, and the part is sent again.
                    digest: Digest::try_from(digest).unwrap_or_default(),
                });
            }
            Ok(page)
        };
        let read: Result<Vec<HeldPart>, sqlx::Error> = read.await;
        let mut page = read.map_err(|error| self.session.failed(&error))?;
        self.rest = None;
        if page.len() >= PAGE
            && let Some(cut) = page.last().map(|part| part.user_id)
        {
            // The last user may go on in the next page and is left to it.
            page.retain(|part| part.user_id != cut);
            self.rest = Some((cut, last));
        }
        Ok(page)
    }
}
