//! Loading packs into the table, so that readers see the old content or the new, never half.
//!
//! A [`Loader`] is begun, fed with packs in the order of users, and published. Dropped before, it
//! leaves the old content in force.

mod mysql;
mod sqlite;

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use database_address::{Address, Options};
use sqlx::{ConnectOptions as _, Connection as _};
use twitter_core::record::{PACK_VERSION, parts};
use twitter_core::table::{Generation, PacksChecksum, SCHEMA_VERSION, TableMeta};

use crate::failure::{Failure, FailureKind, connected};

/// One row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
struct PartRow {
    user_id: u64,
    part: u16,
    bytes: Vec<u8>,
}

/// What was loaded and what must be found in the database afterwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    users: u64,
    rows: u64,
    parts: u64,
    bytes: u64,
    checksum: PacksChecksum,
}

/// A load that was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// What the table now says of itself.
    pub meta: TableMeta,
    /// Bytes of all packs.
    pub bytes: u64,
}

/// A load in progress.
#[derive(Debug)]
pub struct Loader {
    target: Target,
    tally: Tally,
    last_user: Option<u64>,
}

#[derive(Debug)]
enum Target {
    MySql(mysql::Load),
    Sqlite(sqlite::Load),
}

/// Whether a load could begin, for asking before hours of work. Changes nothing.
///
/// # Errors
///
/// When the database cannot be reached or refuses the login, or the file's folder is absent.
pub async fn probe(address: &Address) -> Result<(), Failure> {
    let options = address
        .options()
        .map_err(|error| Failure::new(FailureKind::Usage, error.to_string()))?;
    match options {
        Options::MySql(options) => {
            let failed = |error: sqlx::Error| Failure::of_database(address, &error);
            let connection = connected(address, options.connect()).await?;
            connection.close().await.map_err(failed)
        }
        Options::Sqlite(_) => {
            let folder = address.sqlite_path().and_then(Path::parent);
            let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
            if folder.is_none_or(Path::is_dir) {
                return Ok(());
            }
            let line = format!("{address}: there is no such folder; make it first");
            Err(Failure::new(FailureKind::Disk, line))
        }
    }
}

impl Loader {
    /// Connects and makes an empty table beside the one in force.
    ///
    /// # Errors
    ///
    /// When the database cannot be reached or refuses, or another load is running.
    pub async fn begin(address: &Address) -> Result<Self, Failure> {
        let options = address
            .options()
            .map_err(|error| Failure::new(FailureKind::Usage, error.to_string()))?;
        let place = address.to_string();
        let target = match options {
            Options::MySql(options) => Target::MySql(mysql::Load::begin(*options, place).await?),
            Options::Sqlite(options) => Target::Sqlite(sqlite::Load::begin(*options, place).await?),
        };
        Ok(Self {
            target,
            tally: Tally::default(),
            last_user: None,
        })
    }

    /// Adds a user's pack, which holds this many rows. Users come in ascending order, which is
    /// the order of the key: a page of the table is then written once.
    ///
    /// # Errors
    ///
    /// When the database fails, or users are out of order.
    pub async fn push(&mut self, user_id: u64, rows: u64, pack: &[u8]) -> Result<(), Failure> {
        if self.last_user.is_some_and(|last| last >= user_id) {
            let line = format!("packs are out of order at user {user_id}");
            return Err(Failure::new(FailureKind::Software, line));
        }
        self.last_user = Some(user_id);
        let cut = parts(pack)
            .map_err(|error| Failure::new(FailureKind::Software, format!("{user_id}: {error}")))?;
        for (part, bytes) in cut {
            self.tally.checksum.add(user_id, part, bytes);
            self.tally.parts += 1;
            self.tally.bytes += bytes.len() as u64;
            let row = PartRow {
                user_id,
                part,
                bytes: bytes.to_vec(),
            };
            match &mut self.target {
                Target::MySql(load) => load.push(row).await?,
                Target::Sqlite(load) => load.push(&row).await?,
            }
        }
        self.tally.users += 1;
        self.tally.rows += rows;
        Ok(())
    }

    /// Reads everything back, compares it, and puts the new content in force.
    ///
    /// # Errors
    ///
    /// When the database fails or holds something else than was sent; the old content then stays.
    pub async fn publish(self) -> Result<Published, Failure> {
        let tally = self.tally;
        let meta = TableMeta {
            schema_version: SCHEMA_VERSION,
            pack_version: PACK_VERSION,
            users: tally.users,
            rows: tally.rows,
            packs_checksum: tally.checksum.value(),
            generation: generation(tally.checksum),
        };
        match self.target {
            Target::MySql(load) => load.publish(&tally, &meta).await?,
            Target::Sqlite(load) => load.publish(&tally, &meta).await?,
        }
        Ok(Published {
            meta,
            bytes: tally.bytes,
        })
    }
}

impl Tally {
    /// Whether what was read back is what was sent.
    fn compare(&self, place: &str, parts: u64, checksum: PacksChecksum) -> Result<(), Failure> {
        if parts == self.parts && checksum == self.checksum {
            return Ok(());
        }
        let line = format!(
            "{place}: the database holds {parts} parts with checksum {:016x}, but {} with {:016x} were sent; nothing was published",
            checksum.value(),
            self.parts,
            self.checksum.value()
        );
        Err(Failure::new(FailureKind::Check, line))
    }
}

/// A name for this load: the time in milliseconds and the content's checksum.
fn generation(checksum: PacksChecksum) -> Generation {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let millis = now.map_or(0, |elapsed| elapsed.as_millis());
    let name = format!("{millis}-{:016x}", checksum.value());
    Generation::new(&name).expect("digits and a hyphen make a name")
}
