//! From a table to packs, in the order they are loaded.

use twitter_core::error::PackError;
use twitter_core::record::{PackWriter, Row};

use crate::score::Table;

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

/// The packs of a table by ascending user id, made one at a time.
#[derive(Debug)]
pub struct Packs<'t, T> {
    table: &'t T,
    next: usize,
    writer: PackWriter,
}

impl<'t, T: Table> Packs<'t, T> {
    /// Starts with the least user id.
    pub fn new(table: &'t T) -> Self {
        Self {
            table,
            next: 0,
            writer: PackWriter::default(),
        }
    }
}

impl<T: Table> Iterator for Packs<'_, T> {
    type Item = Result<PackedUser, PackError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.table.users() {
            return None;
        }
        let mut packed = Err(PackError::Empty);
        let writer = &mut self.writer;
        self.table
            .with_user(self.next, &mut |rows| packed = pack(writer, rows));
        self.next = self.next.saturating_add(1);
        Some(packed)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.table.users().saturating_sub(self.next);
        (left, Some(left))
    }
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
