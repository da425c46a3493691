//! From rows to packs.

use twitter_core::error::PackError;
use twitter_core::record::{PackWriter, Row};

/// All rows of one user, packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedUser {
    /// Whose rows.
    pub user_id: u64,
    /// How many.
    pub rows: u64,
    /// Them, as [`twitter_core::record`] describes.
    pub pack: Vec<u8>,
}

/// Packs the rows of one user.
///
/// # Errors
///
/// As [`PackWriter`] has them; the writer is then empty again.
pub fn pack(writer: &mut PackWriter, rows: &[Row<'_>]) -> Result<PackedUser, PackError> {
    writer.clear();
    for row in rows {
        writer.push(row)?;
    }
    let mut pack = Vec::new();
    writer.finish(&mut pack)?;
    Ok(PackedUser {
        user_id: rows.first().map_or(0, |row| row.user_id),
        rows: rows.len() as u64,
        pack,
    })
}
