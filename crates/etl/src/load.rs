//! Loading packs into the table, so that readers see the old content or the new, never half.
//!
//! A [`Load`] takes a processed zone into the table, checked, by several connections, whole or only what
//! has changed.

mod ask;
mod changes;
mod mysql;
mod publish;
mod serve;
mod sqlite;
mod target;
mod walk;

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use database_address::{Address, Options};
use sqlx::{ConnectOptions as _, Connection as _};
use twitter_core::record::{PACK_VERSION, parts};
use twitter_core::table::{Generation, PacksChecksum, SCHEMA_VERSION, TableMeta};

pub use self::ask::ask;
pub use self::publish::{Load, Mode, Origin, Recorded};
use crate::checks::Histogram;
use crate::failure::{Failure, FailureKind, connected};

/// One row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
struct PartRow {
    user_id: u64,
    part: u16,
    bytes: Vec<u8>,
}

/// What was made and must be found in the database afterwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    users: u64,
    rows: u64,
    parts: u64,
    bytes: u64,
    checksum: PacksChecksum,
    pack_bytes: Histogram,
}

/// A load that was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// What the table now says of itself.
    pub meta: TableMeta,
    /// Bytes of all packs.
    pub bytes: u64,
    /// What of it was written.
    pub written: Written,
    /// Packs by their size in bytes.
    pub pack_bytes: Histogram,
}

/// What a load wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Everything, into a table of its own that then took the old one's place.
    Everything,
    /// Only what had changed, in one transaction.
    Changes {
        /// Parts of packs that are new or differ.
        replaced: u64,
        /// Parts that are no more.
        removed: u64,
        /// Bytes of the former.
        bytes: u64,
    },
    /// Nothing: the table holds this already.
    Nothing,
}

/// Whether a load could begin, for asking before hours of work. Changes nothing.
///
/// # Errors
///
/// When the database cannot be reached or refuses the login, or the file's folder is absent.
pub async fn probe(address: &Address) -> Result<(), Failure> {
    match options(address)? {
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

fn options(address: &Address) -> Result<Options, Failure> {
    address
        .options()
        .map_err(|error| Failure::new(FailureKind::Usage, error.to_string()))
}

impl Tally {
    /// Counts a user's pack and cuts it into rows of the table.
    fn cut(&mut self, user_id: u64, rows: u64, pack: &[u8]) -> Result<Vec<PartRow>, Failure> {
        let cut = parts(pack)
            .map_err(|error| Failure::new(FailureKind::Software, format!("{user_id}: {error}")))?;
        self.users += 1;
        self.rows += rows;
        self.pack_bytes.add(pack.len() as u64);
        let cut = cut.map(|(part, bytes)| {
            self.checksum.add(user_id, part, bytes);
            self.parts += 1;
            self.bytes += bytes.len() as u64;
            PartRow {
                user_id,
                part,
                bytes: bytes.to_vec(),
            }
        });
        Ok(cut.collect())
    }

    fn merge(&mut self, other: &Self) {
        self.users += other.users;
        self.rows += other.rows;
        self.parts += other.parts;
        self.bytes += other.bytes;
        self.checksum.merge(other.checksum);
        self.pack_bytes.merge(&other.pack_bytes);
    }

    fn meta(&self) -> TableMeta {
        TableMeta {
            schema_version: SCHEMA_VERSION,
            pack_version: PACK_VERSION,
            users: self.users,
            rows: self.rows,
            packs_checksum: self.checksum.value(),
            generation: generation(self.checksum),
        }
    }

    fn published(&self, meta: TableMeta, written: Written) -> Published {
        Published {
            meta,
            bytes: self.bytes,
            written,
            pack_bytes: self.pack_bytes,
        }
    }

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
