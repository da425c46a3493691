//! The one table, as far as the job that fills it and the service that reads
//! it must agree.
//!
//! | column | type | |
//! | --- | --- | --- |
//! | `user_id` | `BIGINT UNSIGNED` | key, first |
//! | `part` | `SMALLINT UNSIGNED` | key, second; 0 to 65,534 |
//! | `pack` | `MEDIUMBLOB NOT NULL` | at most [`MAX_PART_BYTES`] |
//!
//! One more row, at ([`META_USER_ID`], [`META_PART`]), describes the table
//! itself: a [`TableMeta`] as text.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::fmt;
use std::fmt::Write as _;

use crate::error::MetaError;

/// Name of the table.
pub const TABLE: &str = "user_pack";
/// Column of the user id.
pub const USER_ID_COLUMN: &str = "user_id";
/// Column of the part number.
pub const PART_COLUMN: &str = "part";
/// Column of the bytes.
pub const PACK_COLUMN: &str = "pack";

/// Greatest length of a part: 1 MiB.
pub const MAX_PART_BYTES: usize = 1 << 20;
/// Greatest part number of a user's pack.
pub const MAX_PART: u16 = META_PART - 1;

/// User id of the row that describes the table.
pub const META_USER_ID: u64 = 0;
/// Part number of the row that describes the table; no pack has it.
pub const META_PART: u16 = u16::MAX;

/// Version of the table's columns and of [`TableMeta`].
pub const SCHEMA_VERSION: u32 = 1;

/// Greatest length of a [`Generation`].
const MAX_GENERATION_BYTES: usize = 64;

/// Name of one run of the job: 1 to 64 of `A-Z a-z 0-9 . _ -`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Generation(String);

impl Generation {
    /// Takes a name if it is allowed.
    pub fn new(name: &str) -> Option<Self> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let fits = (1..=MAX_GENERATION_BYTES).contains(&name.len());
        (fits && name.bytes().all(is_allowed)).then(|| Self(name.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the table holds; written last, so that its presence says the load was
/// complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableMeta {
    /// [`SCHEMA_VERSION`] of the writer.
    pub schema_version: u32,
    /// [`PACK_VERSION`](crate::record::PACK_VERSION) of the writer.
    pub pack_version: u8,
    /// Users with a pack.
    pub users: u64,
    /// Rows in all packs.
    pub rows: u64,
    /// [`PacksChecksum`] over all parts of all packs.
    pub packs_checksum: u64,
    /// The run that made it.
    pub generation: Generation,
}

const KEYS: [&str; 6] = [
    "schema_version",
    "pack_version",
    "users",
    "rows",
    "packs_checksum",
    "generation",
];

impl TableMeta {
    /// One `key=value` line for each field, the checksum as 16 hexadecimal
    /// digits.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "schema_version={}\npack_version={}\nusers={}\nrows={}\npacks_checksum={:016x}\ngeneration={}\n",
            self.schema_version,
            self.pack_version,
            self.users,
            self.rows,
            self.packs_checksum,
            self.generation,
        );
        text
    }

    /// Reads what [`to_text`](Self::to_text) writes, keys in any order. Whether
    /// the versions are ones the reader knows is the reader's question, see
    /// [`is_current`](Self::is_current).
    ///
    /// # Errors
    ///
    /// The first line that is wrong, or a key that is missing.
    pub fn parse(text: &[u8]) -> Result<Self, MetaError> {
        let text = str::from_utf8(text).map_err(|_| MetaError::Syntax)?;
        let mut values: [Option<&str>; KEYS.len()] = [None; KEYS.len()];
        for line in text.lines() {
            let (key, value) = line.split_once('=').ok_or(MetaError::Syntax)?;
            let mut slots = KEYS.into_iter().zip(&mut values);
            let (key, slot) = slots
                .find(|(known, _)| *known == key)
                .ok_or(MetaError::UnknownKey)?;
            if slot.replace(value).is_some() {
                return Err(MetaError::Repeated(key));
            }
        }
        let [schema, pack, users, rows, checksum, generation] = values;
        let [k_schema, k_pack, k_users, k_rows, k_checksum, k_generation] = KEYS;
        Ok(Self {
            schema_version: number(k_schema, schema)?,
            pack_version: number(k_pack, pack)?,
            users: number(k_users, users)?,
            rows: number(k_rows, rows)?,
            packs_checksum: checksum
                .ok_or(MetaError::Missing(k_checksum))
                .and_then(|hex| parse_hex(hex).ok_or(MetaError::Value(k_checksum)))?,
            generation: generation
                .ok_or(MetaError::Missing(k_generation))
                .and_then(|name| Generation::new(name).ok_or(MetaError::Value(k_generation)))?,
        })
    }

    /// Whether this crate can read the table.
    pub fn is_current(&self) -> bool {
        self.schema_version == SCHEMA_VERSION && self.pack_version == crate::record::PACK_VERSION
    }
}

/// Digits only: `from_str` alone would take a sign.
fn number<T: std::str::FromStr>(key: &'static str, value: Option<&str>) -> Result<T, MetaError> {
    let value = value.ok_or(MetaError::Missing(key))?;
    if !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(MetaError::Value(key));
    }
    value.parse().map_err(|_| MetaError::Value(key))
}

fn parse_hex(hex: &str) -> Option<u64> {
    let is_plain = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let fits = hex.len() == 16 && hex.bytes().all(is_plain);
    fits.then(|| u64::from_str_radix(hex, 16).ok()).flatten()
}

/// A checksum over the parts of a table that does not depend on their order,
/// so that workers can sum their own and add up, and a reader can compare in
/// whatever order rows come back. It finds accidents, not forgeries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PacksChecksum(u64);

impl PacksChecksum {
    /// Adds one row of the table; not the one that describes it.
    pub fn add(&mut self, user_id: u64, part: u16, bytes: &[u8]) {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&user_id.to_le_bytes());
        hasher.update(&part.to_le_bytes());
        hasher.update(bytes);
        let digest = (bytes.len() as u64) << 32 | u64::from(hasher.finalize());
        self.0 = self.0.wrapping_add(spread(digest));
    }

    /// Adds what another worker has summed.
    pub fn merge(&mut self, other: Self) {
        self.0 = self.0.wrapping_add(other.0);
    }

    /// The sum so far.
    pub const fn value(self) -> u64 {
        self.0
    }
}

/// The finaliser of splitmix64: a bijection in which every input bit matters
/// to every output bit, so that sums of digests do not cancel out.
fn spread(digest: u64) -> u64 {
    let mixed = digest.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta() -> TableMeta {
        TableMeta {
            schema_version: SCHEMA_VERSION,
            pack_version: crate::record::PACK_VERSION,
            users: 30,
            rows: u64::MAX,
            packs_checksum: 0xabc,
            generation: Generation::new("2025-01-02.run_3").unwrap(),
        }
    }

    #[test]
    fn the_description_survives_the_round_trip() {
        let text = meta().to_text();
        assert!(text.contains("\npacks_checksum=0000000000000abc\n"));
        assert_eq!(TableMeta::parse(text.as_bytes()), Ok(meta()));
        assert!(meta().is_current());
    }

    #[test]
    fn says_what_is_wrong_with_a_description() {
        let text = meta().to_text();
        let broken = |from: &str, to: &str| TableMeta::parse(text.replace(from, to).as_bytes());
        assert_eq!(TableMeta::parse(b"\xff"), Err(MetaError::Syntax));
        assert_eq!(
            TableMeta::parse(b""),
            Err(MetaError::Missing("schema_version"))
        );
        assert_eq!(broken("users=", "users"), Err(MetaError::Syntax));
        assert_eq!(broken("users=", "user="), Err(MetaError::UnknownKey));
        assert_eq!(broken("users=", "rows="), Err(MetaError::Repeated("rows")));
        assert_eq!(broken("users=30\n", ""), Err(MetaError::Missing("users")));
        assert_eq!(
            broken("users=30", "users=+30"),
            Err(MetaError::Value("users"))
        );
        assert_eq!(broken("users=30", "users="), Err(MetaError::Value("users")));
        assert_eq!(
            broken("pack_version=1", "pack_version=256"),
            Err(MetaError::Value("pack_version"))
        );
        assert_eq!(
            broken("=0000", "=000"),
            Err(MetaError::Value("packs_checksum"))
        );
        assert_eq!(
            broken("run_3", "run 3"),
            Err(MetaError::Value("generation"))
        );
    }

    #[test]
    fn the_checksum_does_not_depend_on_order_but_on_everything_else() {
        let sum = |parts: &[(u64, u16, &[u8])]| {
            let mut checksum = PacksChecksum::default();
            for (user_id, part, bytes) in parts {
                checksum.add(*user_id, *part, bytes);
            }
            checksum
        };
        let forward = sum(&[(1, 0, b"a"), (1, 1, b"b"), (2, 0, b"a")]);
        assert_eq!(forward, sum(&[(2, 0, b"a"), (1, 1, b"b"), (1, 0, b"a")]));
        let mut merged = sum(&[(1, 0, b"a")]);
        merged.merge(sum(&[(1, 1, b"b"), (2, 0, b"a")]));
        assert_eq!(forward, merged);
        assert_ne!(forward, sum(&[(1, 0, b"b"), (1, 1, b"a"), (2, 0, b"a")]));
        assert_ne!(forward, sum(&[(1, 0, b"a"), (1, 1, b"b")]));
    }
}
