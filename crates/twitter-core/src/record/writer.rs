//! From rows to a pack.

use super::check::ContactCheck;
use super::layout::{CHECKED_FROM, Header};
use super::tags::SEPARATOR;
use super::{Latest, Row};
use crate::error::PackError;
use crate::query::lower_tag;

/// Packs the rows of one user, which must come strictly ascending by
/// (contact id, tweet id).
///
/// # Errors
///
/// See [`PackWriter::push`] and [`PackWriter::finish`].
pub fn encode<'a>(rows: impl IntoIterator<Item = Row<'a>>) -> Result<Vec<u8>, PackError> {
    let mut writer = PackWriter::default();
    for row in rows {
        writer.push(&row)?;
    }
    let mut pack = Vec::new();
    writer.finish(&mut pack)?;
    Ok(pack)
}

/// Collects the rows of one user and writes their pack.
///
/// [`finish`](Self::finish) leaves it empty, ready for the next user, with its
/// memory kept. After an error call [`clear`](Self::clear).
#[derive(Debug, Default)]
pub struct PackWriter {
    user_id: u64,
    current: Option<Current>,
    contact_ids: Vec<u8>,
    base_scores: Vec<u8>,
    reply_counts: Vec<u8>,
    retweet_counts: Vec<u8>,
    same_tag_counts: Vec<u8>,
    name_ends: Vec<u8>,
    description_ends: Vec<u8>,
    row_ends: Vec<u8>,
    tweet_ids: Vec<u8>,
    created_ats: Vec<u8>,
    text_ends: Vec<u8>,
    tag_ends: Vec<u8>,
    flags: Vec<u8>,
    names: Vec<u8>,
    texts: Vec<u8>,
    tags: Vec<u8>,
}

/// The contact whose rows are coming.
#[derive(Debug, Clone, Copy)]
struct Current {
    contact_id: u64,
    tweet_id: u64,
    reply_count: u32,
    retweet_count: u32,
    same_tag_count: u32,
    base_score: f64,
    name_start: usize,
    description_start: usize,
    check: ContactCheck,
}

impl PackWriter {
    /// Adds a row. The first one decides whose pack this is.
    ///
    /// # Errors
    ///
    /// The row is out of order, of another user, disagrees with its contact's
    /// earlier rows, has an empty text, or a tag that is empty or not lower
    /// case; or it ends a contact whose counts, marks or score are wrong; or
    /// the pack would pass 4 GiB. The pack is then incomplete.
    pub fn push(&mut self, row: &Row<'_>) -> Result<(), PackError> {
        if self.current.is_some() && row.user_id != self.user_id {
            return Err(PackError::WrongUser {
                expected: self.user_id,
                found: row.user_id,
            });
        }
        if row.tweet_text.is_empty() {
            return Err(PackError::EmptyText);
        }
        match self.current {
            Some(current) if row.contact_id == current.contact_id => {
                if row.tweet_id <= current.tweet_id {
                    return Err(PackError::NotSorted);
                }
                self.same_contact(row, &current)?;
            }
            Some(current) => {
                if row.contact_id < current.contact_id {
                    return Err(PackError::NotSorted);
                }
                self.end_contact(&current)?;
                self.begin_contact(row)?;
            }
            None => {
                self.user_id = row.user_id;
                self.tags.push(SEPARATOR);
                self.begin_contact(row)?;
            }
        }
        if let Some(current) = &mut self.current {
            current.tweet_id = row.tweet_id;
            let stamp = (row.created_at, row.tweet_id);
            current.check.add(row.kind, row.latest, stamp);
        }
        self.append(row)
    }

    /// Writes the pack over `out` and empties the writer, also on error.
    ///
    /// # Errors
    ///
    /// There was no row; the last contact's counts, marks or score are wrong;
    /// or the pack would pass 4 GiB.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), PackError> {
        let result = self.write(out);
        self.clear();
        result
    }

    /// Forgets all rows.
    pub fn clear(&mut self) {
        self.current = None;
        for column in self.columns_mut() {
            column.clear();
        }
    }

    fn begin_contact(&mut self, row: &Row<'_>) -> Result<(), PackError> {
        let name_start = self.names.len();
        self.names
            .extend_from_slice(row.contact_screen_name.as_bytes());
        let description_start = self.names.len();
        put_u32(&mut self.name_ends, description_start)?;
        self.names
            .extend_from_slice(row.contact_description.as_bytes());
        put_u32(&mut self.description_ends, self.names.len())?;
        self.contact_ids
            .extend_from_slice(&row.contact_id.to_le_bytes());
        self.base_scores
            .extend_from_slice(&row.base_score.to_bits().to_le_bytes());
        for (column, value) in [
            (&mut self.reply_counts, row.reply_count),
            (&mut self.retweet_counts, row.retweet_count),
            (&mut self.same_tag_counts, row.same_tag_count),
        ] {
            column.extend_from_slice(&value.to_le_bytes());
        }
        self.current = Some(Current {
            contact_id: row.contact_id,
            tweet_id: row.tweet_id,
            reply_count: row.reply_count,
            retweet_count: row.retweet_count,
            same_tag_count: row.same_tag_count,
            base_score: row.base_score,
            name_start,
            description_start,
            check: ContactCheck::default(),
        });
        Ok(())
    }

    fn same_contact(&self, row: &Row<'_>, current: &Current) -> Result<(), PackError> {
        let name = self
            .names
            .get(current.name_start..current.description_start);
        let description = self.names.get(current.description_start..);
        let same = row.reply_count == current.reply_count
            && row.retweet_count == current.retweet_count
            && row.same_tag_count == current.same_tag_count
            && row.base_score.to_bits() == current.base_score.to_bits()
            && name == Some(row.contact_screen_name.as_bytes())
            && description == Some(row.contact_description.as_bytes());
        if same {
            Ok(())
        } else {
            Err(PackError::ContactDiffers {
                contact_id: row.contact_id,
            })
        }
    }

    fn end_contact(&mut self, current: &Current) -> Result<(), PackError> {
        put_u32(&mut self.row_ends, self.flags.len())?;
        current.check.finish(
            current.contact_id,
            current.reply_count,
            current.retweet_count,
            current.base_score,
        )
    }

    fn append(&mut self, row: &Row<'_>) -> Result<(), PackError> {
        self.tweet_ids
            .extend_from_slice(&row.tweet_id.to_le_bytes());
        self.created_ats
            .extend_from_slice(&row.created_at.to_le_bytes());
        self.flags.push(flags(row));
        self.texts.extend_from_slice(row.tweet_text.as_bytes());
        self.texts.push(SEPARATOR);
        put_u32(&mut self.text_ends, self.texts.len())?;
        for tag in row.hashtags.iter() {
            if tag.is_empty() {
                return Err(PackError::EmptyTag);
            }
            if lower_tag(tag) != tag {
                return Err(PackError::TagNotLowerCase);
            }
            self.tags.extend_from_slice(tag.as_bytes());
            self.tags.push(SEPARATOR);
        }
        put_u32(&mut self.tag_ends, self.tags.len())
    }

    fn write(&mut self, out: &mut Vec<u8>) -> Result<(), PackError> {
        let current = self.current.ok_or(PackError::Empty)?;
        self.end_contact(&current)?;
        let len = |bytes: usize| u32::try_from(bytes).map_err(|_| PackError::TooLarge);
        let mut header = Header {
            checksum: 0,
            total: 0,
            contacts: len(self.contact_ids.len() / 8)?,
            rows: len(self.flags.len())?,
            names: len(self.names.len())?,
            texts: len(self.texts.len())?,
            tags: len(self.tags.len())?,
            user_id: self.user_id,
        };
        header.total = u32::try_from(header.computed_total()).map_err(|_| PackError::TooLarge)?;
        out.clear();
        out.reserve(header.total as usize);
        header.write(out);
        for column in self.columns_mut() {
            out.extend_from_slice(column);
        }
        let checksum = crc32fast::hash(out.get(CHECKED_FROM..).unwrap_or_default());
        if let Some(field) = out.get_mut(4..CHECKED_FROM) {
            field.copy_from_slice(&checksum.to_le_bytes());
        }
        Ok(())
    }

    /// All columns and regions in the order of the layout.
    fn columns_mut(&mut self) -> [&mut Vec<u8>; 16] {
        [
            &mut self.contact_ids,
            &mut self.base_scores,
            &mut self.reply_counts,
            &mut self.retweet_counts,
            &mut self.same_tag_counts,
            &mut self.name_ends,
            &mut self.description_ends,
            &mut self.row_ends,
            &mut self.tweet_ids,
            &mut self.created_ats,
            &mut self.text_ends,
            &mut self.tag_ends,
            &mut self.flags,
            &mut self.names,
            &mut self.texts,
            &mut self.tags,
        ]
    }
}

/// Kind in bits 0 and 1, latest above.
fn flags(row: &Row<'_>) -> u8 {
    row.kind.bits() | (row.latest.bits() << LATEST_SHIFT)
}

/// Where the latest bits begin in the flags byte.
pub(crate) const LATEST_SHIFT: u32 = 2;

/// Splits a flags byte; `None` if it means nothing.
pub(crate) fn split_flags(flags: u8) -> Option<(super::Kind, Latest)> {
    let kind = super::Kind::from_bits(flags & 3)?;
    let latest = Latest::from_bits(flags >> LATEST_SHIFT)?;
    Some((kind, latest))
}

fn put_u32(column: &mut Vec<u8>, value: usize) -> Result<(), PackError> {
    let value = u32::try_from(value).map_err(|_| PackError::TooLarge)?;
    column.extend_from_slice(&value.to_le_bytes());
    Ok(())
}
