//! What differs between the table in force and new packs, found by walking both in the order of the
//! key, and kept in a nameless file until it is written.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufReader, BufWriter, IntoInnerError, Read as _, Seek as _, Write as _};
use std::path::Path;

use sha2::{Digest as _, Sha256};
use twitter_core::table::{MAX_PART_BYTES, META_PART, META_USER_ID};

use super::PartRow;
use crate::checks::nameless;
use crate::failure::{Failure, FailureKind};

/// SHA-256 of a part. A pack holds a CRC-32 of itself, so that another CRC would tell little more.
pub(super) type Digest = [u8; 32];

/// The digest of a part.
pub(super) fn digest(bytes: &[u8]) -> Digest {
    Sha256::digest(bytes).into()
}

/// A part that the table holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HeldPart {
    pub(super) user_id: u64,
    pub(super) part: u16,
    pub(super) digest: Digest,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// A part that is new or has changed.
    Replace(PartRow),
    /// A part that is no more.
    Remove { user_id: u64, part: u16 },
}

/// Length that stands for a removed part.
const REMOVED: u32 = u32::MAX;

/// Differences of a range of users, in the order of the key.
#[derive(Debug)]
pub(super) struct Changes {
    file: BufWriter<File>,
    pub(super) replaced: u64,
    pub(super) removed: u64,
    pub(super) bytes: u64,
}

impl Changes {
    pub(super) fn new(folder: &Path) -> Result<Self, Failure> {
        let file = nameless(folder).map_err(|error| failed(&error))?;
        Ok(Self {
            file: BufWriter::with_capacity(1 << 18, file),
            replaced: 0,
            removed: 0,
            bytes: 0,
        })
    }

    fn replace(&mut self, row: &PartRow) -> Result<(), Failure> {
        self.replaced += 1;
        self.bytes += row.bytes.len() as u64;
        let len = u32::try_from(row.bytes.len()).unwrap_or(REMOVED);
        self.write(row.user_id, row.part, len, &row.bytes)
    }

    fn remove(&mut self, held: HeldPart) -> Result<(), Failure> {
        self.removed += 1;
        self.write(held.user_id, held.part, REMOVED, &[])
    }

    fn write(&mut self, user_id: u64, part: u16, len: u32, bytes: &[u8]) -> Result<(), Failure> {
        let mut write = || {
            self.file.write_all(&user_id.to_le_bytes())?;
            self.file.write_all(&part.to_le_bytes())?;
            self.file.write_all(&len.to_le_bytes())?;
            self.file.write_all(bytes)
        };
        write().map_err(|error| failed(&error))
    }

    /// How many.
    pub(super) fn count(&self) -> u64 {
        self.replaced + self.removed
    }

    /// From the first difference on.
    pub(super) fn read(self) -> Result<ChangesReader, Failure> {
        let left = self.count();
        let rewound = self.file.into_inner().map_err(IntoInnerError::into_error);
        let rewound = rewound.and_then(|mut file| file.rewind().map(|()| file));
        let file = rewound.map_err(|error| failed(&error))?;
        Ok(ChangesReader {
            file: BufReader::with_capacity(1 << 18, file),
            left,
        })
    }
}

/// Hands differences back.
#[derive(Debug)]
pub(super) struct ChangesReader {
    file: BufReader<File>,
    left: u64,
}

impl ChangesReader {
    /// The next differences, with little more than so many bytes and no more than so many; empty at
    /// the end.
    pub(super) fn batch(&mut self, bytes: usize, count: usize) -> Result<Vec<Change>, Failure> {
        let mut batch = Vec::new();
        let mut held = 0;
        while self.left > 0 && held < bytes && batch.len() < count {
            self.left -= 1;
            let change = self.next().map_err(|error| failed(&error))?;
            if let Change::Replace(row) = &change {
                held += row.bytes.len();
            }
            batch.push(change);
        }
        Ok(batch)
    }

    fn next(&mut self) -> std::io::Result<Change> {
        let (mut user_id, mut part, mut len) = ([0; 8], [0; 2], [0; 4]);
        self.file.read_exact(&mut user_id)?;
        self.file.read_exact(&mut part)?;
        self.file.read_exact(&mut len)?;
        let user_id = u64::from_le_bytes(user_id);
        let (part, len) = (u16::from_le_bytes(part), u32::from_le_bytes(len));
        if len == REMOVED {
            return Ok(Change::Remove { user_id, part });
        }
        let mut bytes = vec![0; (len as usize).min(MAX_PART_BYTES)];
        self.file.read_exact(&mut bytes)?;
        Ok(Change::Replace(PartRow {
            user_id,
            part,
            bytes,
        }))
    }
}

/// Walks over what the table holds beside the new parts.
#[derive(Debug)]
pub(super) struct Comparer {
    held: VecDeque<HeldPart>,
    is_last_page: bool,
    changes: Changes,
}

impl Comparer {
    pub(super) fn new(folder: &Path) -> Result<Self, Failure> {
        Ok(Self {
            held: VecDeque::new(),
            is_last_page: false,
            changes: Changes::new(folder)?,
        })
    }

    /// Compares the next new part. `next_page` reads on in the table.
    pub(super) fn push(
        &mut self,
        row: &PartRow,
        next_page: &mut dyn FnMut() -> Result<Vec<HeldPart>, Failure>,
    ) -> Result<(), Failure> {
        let key = (row.user_id, row.part);
        while let Some(held) = self.peek(next_page)? {
            if (held.user_id, held.part) > key {
                break;
            }
            self.held.pop_front();
            if (held.user_id, held.part) == key {
                if held.digest == digest(&row.bytes) {
                    return Ok(());
                }
                break;
            }
            self.changes.remove(held)?;
        }
        self.changes.replace(row)
    }

    /// What the table holds beyond the last new part is no more.
    pub(super) fn finish(
        mut self,
        next_page: &mut dyn FnMut() -> Result<Vec<HeldPart>, Failure>,
    ) -> Result<Changes, Failure> {
        while let Some(held) = self.peek(next_page)? {
            self.held.pop_front();
            self.changes.remove(held)?;
        }
        Ok(self.changes)
    }

    /// Differences so far.
    pub(super) fn changes(&self) -> &Changes {
        &self.changes
    }

    fn peek(
        &mut self,
        next_page: &mut dyn FnMut() -> Result<Vec<HeldPart>, Failure>,
    ) -> Result<Option<HeldPart>, Failure> {
        loop {
            match self.held.front() {
                // The row that describes the table is no part of a pack.
                Some(held) if (held.user_id, held.part) == (META_USER_ID, META_PART) => {
                    self.held.pop_front();
                }
                Some(held) => return Ok(Some(*held)),
                None if self.is_last_page => return Ok(None),
                None => {
                    self.held.extend(next_page()?);
                    self.is_last_page = self.held.is_empty();
                }
            }
        }
    }
}

fn failed(error: &std::io::Error) -> Failure {
    let line = format!("the temporary file for changes: {error}; see --spill");
    Failure::new(FailureKind::Disk, line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(user_id: u64, part: u16, text: &str) -> PartRow {
        PartRow {
            user_id,
            part,
            bytes: text.as_bytes().to_vec(),
        }
    }

    fn held(row: &PartRow) -> HeldPart {
        HeldPart {
            user_id: row.user_id,
            part: row.part,
            digest: digest(&row.bytes),
        }
    }

    fn differences(old: &[PartRow], new: &[PartRow], page: usize) -> Vec<Change> {
        let mut pages = old.chunks(page);
        let mut next_page = || Ok(pages.next().unwrap_or_default().iter().map(held).collect());
        let mut comparer = Comparer::new(&std::env::temp_dir()).unwrap();
        for row in new {
            comparer.push(row, &mut next_page).unwrap();
        }
        let changes = comparer.finish(&mut next_page).unwrap();
        let mut reader = changes.read().unwrap();
        let mut all = Vec::new();
        loop {
            let batch = reader.batch(2, 3).unwrap();
            if batch.is_empty() {
                return all;
            }
            all.extend(batch);
        }
    }

    #[test]
    fn finds_what_is_new_changed_or_gone() {
        let old = [
            row(META_USER_ID, META_PART, "meta"),
            row(1, 0, "a"),
            row(2, 0, "b"),
            row(3, 0, "c"),
            row(3, 1, "d"),
            row(9, 0, "e"),
            row(u64::MAX, 0, "f"),
        ];
        let new = [
            row(1, 0, "a"),
            row(2, 0, "B"),
            row(3, 0, "c"),
            row(4, 0, "x"),
            row(4, 1, "y"),
            row(9, 0, "e"),
        ];
        let remove = |user_id, part| Change::Remove { user_id, part };
        let wanted = [
            Change::Replace(row(2, 0, "B")),
            remove(3, 1),
            Change::Replace(row(4, 0, "x")),
            Change::Replace(row(4, 1, "y")),
            remove(u64::MAX, 0),
        ];
        for page in 1..8 {
            assert_eq!(differences(&old, &new, page), wanted, "pages of {page}");
            assert_eq!(differences(&old, &old[1..], page), []);
        }
        assert_eq!(differences(&[], &new, 1).len(), new.len());
        assert_eq!(differences(&old, &[], 2).len(), old.len() - 1);
    }
}
