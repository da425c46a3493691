//! Reading packs back from the table, for people and for comparisons.

use std::time::Duration;

use database_address::{Address, Options};
use futures_util::TryStreamExt as _;
use sqlx::{ConnectOptions as _, Row as _};
use twitter_core::record::{Joiner, OwnedPack};
use twitter_core::table::{META_PART, META_USER_ID};

use crate::failure::{Failure, FailureKind, connected};

/// How long to wait for a load that commits.
const BUSY_WAIT: Duration = Duration::from_secs(10);

const ALL_MYSQL: &str = "SELECT user_id, part, pack FROM user_pack ORDER BY user_id, part";
const ONE_MYSQL: &str = "SELECT user_id, part, pack FROM user_pack WHERE user_id = ? ORDER BY part";
/// Ids of 2^63 and more are negative there and come last.
const ALL_SQLITE: &str =
    "SELECT user_id, part, pack FROM user_pack ORDER BY user_id < 0, user_id, part";
const ONE_SQLITE: &str =
    "SELECT user_id, part, pack FROM user_pack WHERE user_id = ? ORDER BY part";

/// Hands every pack to `each`, in ascending order of users; or just that of one user. Holds one
/// pack at a time. Gives the number of packs.
///
/// # Errors
///
/// When the database fails, a pack is damaged, or `each` says so.
pub async fn for_each_pack(
    address: &Address,
    only: Option<u64>,
    mut each: impl FnMut(&OwnedPack) -> Result<(), Failure>,
) -> Result<u64, Failure> {
    let mut gather = Gather::default();
    let failed = |error: &sqlx::Error| Failure::of_database(address, error);
    let options = address
        .options()
        .map_err(|error| Failure::new(FailureKind::Usage, error.to_string()))?;
    match options {
        Options::MySql(options) => {
            let mut connection = connected(address, options.connect()).await?;
            let query = match only {
                Some(user_id) => sqlx::query(ONE_MYSQL).bind(user_id),
                None => sqlx::query(ALL_MYSQL),
            };
            let mut rows = query.fetch(&mut connection);
            while let Some(row) = rows.try_next().await.map_err(|error| failed(&error))? {
                let fields = || Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
                let (user_id, part, bytes) = fields().map_err(|error| failed(&error))?;
                gather.push(user_id, part, bytes, &mut each)?;
            }
        }
        Options::Sqlite(options) => {
            if address.sqlite_path().is_some_and(|path| !path.exists()) {
                let line = format!("{address}: there is no such file; `etl build` makes it");
                return Err(Failure::new(FailureKind::Unavailable, line));
            }
            let mut connection =
                connected(address, database_address::read_only(*options, BUSY_WAIT)).await?;
            let query = match only {
                Some(user_id) => sqlx::query(ONE_SQLITE).bind(user_id.cast_signed()),
                None => sqlx::query(ALL_SQLITE),
            };
            let mut rows = query.fetch(&mut connection);
            while let Some(row) = rows.try_next().await.map_err(|error| failed(&error))? {
                let fields = || Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
                let fields: Result<(i64, u16, &[u8]), sqlx::Error> = fields();
                let (user_id, part, bytes) = fields.map_err(|error| failed(&error))?;
                gather.push(user_id.cast_unsigned(), part, bytes, &mut each)?;
            }
        }
    }
    gather.finish(&mut each)
}

/// Joins parts as rows arrive.
#[derive(Default)]
struct Gather {
    current: Option<(u64, Joiner)>,
    packs: u64,
}

impl Gather {
    fn push(
        &mut self,
        user_id: u64,
        part: u16,
        bytes: &[u8],
        each: &mut impl FnMut(&OwnedPack) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if user_id == META_USER_ID && part == META_PART {
            return Ok(());
        }
        if self
            .current
            .as_ref()
            .is_none_or(|(user, _)| *user != user_id)
        {
            self.hand_over(each)?;
            self.current = Some((user_id, Joiner::default()));
        }
        match &mut self.current {
            Some((_, joiner)) => joiner
                .push(part, bytes)
                .map_err(|error| damaged(user_id, &error)),
            None => Ok(()),
        }
    }

    fn finish(
        mut self,
        each: &mut impl FnMut(&OwnedPack) -> Result<(), Failure>,
    ) -> Result<u64, Failure> {
        self.hand_over(each)?;
        Ok(self.packs)
    }

    fn hand_over(
        &mut self,
        each: &mut impl FnMut(&OwnedPack) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let Some((user_id, joiner)) = self.current.take() else {
            return Ok(());
        };
        let bytes = joiner.finish().map_err(|error| damaged(user_id, &error))?;
        let pack = OwnedPack::parse_for(user_id, bytes);
        self.packs += 1;
        each(&pack.map_err(|error| damaged(user_id, &error))?)
    }
}

fn damaged(user_id: u64, error: &twitter_core::error::PackError) -> Failure {
    let line = format!("the pack of user {user_id} is damaged: {error}; load the table again");
    Failure::new(FailureKind::Input, line)
}
