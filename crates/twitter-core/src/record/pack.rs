//! From bytes to a pack that can be asked.

use std::fmt;

use super::check::ContactCheck;
use super::layout::{CHECKED_FROM, Columns, Header};
use super::tags::{Hashtags, SEPARATOR};
use super::writer::split_flags;
use super::{Kind, Latest, Row};
use crate::error::PackError;

/// A checked pack, borrowed. Cheap to copy.
#[derive(Clone, Copy)]
pub struct Pack<'a> {
    user_id: u64,
    contacts: usize,
    pub(crate) columns: Columns<'a>,
}

impl<'a> Pack<'a> {
    /// Checks everything once: version, lengths, checksum, order, offsets,
    /// bits, counts, marks, score ranges and the UTF-8 of every string. Takes
    /// time linear in the length.
    ///
    /// # Errors
    ///
    /// The first thing found wrong. No input panics.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, PackError> {
        let pack = Self::view(bytes)?;
        let header = Header::read(bytes)?;
        if header.checksum != crc32fast::hash(bytes.get(CHECKED_FROM..).unwrap_or_default()) {
            return Err(PackError::Checksum);
        }
        pack.check()?;
        Ok(pack)
    }

    /// As [`parse`](Self::parse), and the pack must be that of `user_id`.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse), or [`PackError::WrongUser`].
    pub fn parse_for(user_id: u64, bytes: &'a [u8]) -> Result<Self, PackError> {
        let pack = Self::parse(bytes)?;
        if pack.user_id == user_id {
            Ok(pack)
        } else {
            Err(PackError::WrongUser {
                expected: user_id,
                found: pack.user_id,
            })
        }
    }

    /// The user whose contacts these are.
    pub const fn user_id(&self) -> u64 {
        self.user_id
    }

    /// Number of contacts, at least 1.
    pub const fn contact_count(&self) -> usize {
        self.contacts
    }

    /// Number of rows, at least 1.
    pub const fn row_count(&self) -> usize {
        self.columns.flags.len()
    }

    /// The rows as they were written, in key order.
    pub fn rows(&self) -> impl Iterator<Item = Row<'a>> + use<'a> {
        let pack = *self;
        (0..pack.contacts).flat_map(move |contact| {
            pack.contact_rows(contact)
                .filter_map(move |row| pack.row(contact, row))
        })
    }

    /// Cuts without checking contents.
    fn view(bytes: &'a [u8]) -> Result<Self, PackError> {
        let header = Header::read(bytes)?;
        Ok(Self {
            user_id: header.user_id,
            contacts: header.contacts as usize,
            columns: Columns::cut(&header, bytes)?,
        })
    }

    /// Row numbers of a contact.
    pub(crate) fn contact_rows(&self, contact: usize) -> std::ops::Range<usize> {
        let ends = self.columns.row_ends;
        ends.start(contact) as usize..ends.get(contact) as usize
    }

    /// Screen name and description of a contact.
    pub(crate) fn names(&self, contact: usize) -> (&'a [u8], &'a [u8]) {
        let Columns {
            names,
            name_ends,
            description_ends,
            ..
        } = self.columns;
        let (start, middle) = (description_ends.start(contact), name_ends.get(contact));
        let end = description_ends.get(contact);
        let cut = |from: u32, to: u32| names.get(from as usize..to as usize).unwrap_or_default();
        (cut(start, middle), cut(middle, end))
    }

    /// Text of a row, without its terminator.
    pub(crate) fn text(&self, row: usize) -> &'a [u8] {
        let ends = self.columns.text_ends;
        let end = ends.get(row).saturating_sub(1);
        let range = ends.start(row) as usize..end as usize;
        self.columns.texts.get(range).unwrap_or_default()
    }

    /// Tags of a row, each with its terminator.
    fn tags(&self, row: usize) -> &'a [u8] {
        let ends = self.columns.tag_ends;
        // The first row begins behind the leading separator.
        let start = ends.start(row).max(1);
        let range = start as usize..ends.get(row) as usize;
        self.columns.tags.get(range).unwrap_or_default()
    }

    fn row(&self, contact: usize, row: usize) -> Option<Row<'a>> {
        let columns = &self.columns;
        let (kind, latest) = split_flags(*columns.flags.get(row)?)?;
        let (name, description) = self.names(contact);
        Some(Row {
            user_id: self.user_id,
            contact_id: columns.contact_ids.get(contact),
            tweet_id: columns.tweet_ids.get(row),
            created_at: columns.created_ats.get(row).cast_signed(),
            kind,
            tweet_text: str::from_utf8(self.text(row)).ok()?,
            hashtags: Hashtags::packed(self.tags(row)),
            contact_screen_name: str::from_utf8(name).ok()?,
            contact_description: str::from_utf8(description).ok()?,
            reply_count: columns.reply_counts.get(contact),
            retweet_count: columns.retweet_counts.get(contact),
            same_tag_count: columns.same_tag_counts.get(contact),
            base_score: f64::from_bits(columns.base_scores.get(contact)),
            latest,
        })
    }

    fn check(&self) -> Result<(), PackError> {
        if self.contacts == 0 {
            return Err(PackError::Empty);
        }
        self.check_names()?;
        self.check_texts()?;
        self.check_tags()?;
        self.check_contacts()
    }

    /// Ends ascend, cover the region, and cut UTF-8 into UTF-8.
    fn check_names(&self) -> Result<(), PackError> {
        let columns = &self.columns;
        let names = simdutf8::basic::from_utf8(columns.names).map_err(|_| PackError::Text)?;
        let mut at = 0;
        let ends = columns
            .name_ends
            .iter()
            .zip(columns.description_ends.iter());
        for end in ends.flat_map(|(name, description)| [name, description]) {
            if end < at || end as usize > names.len() {
                return Err(PackError::Offset);
            }
            if !names.is_char_boundary(end as usize) {
                return Err(PackError::Text);
            }
            at = end;
        }
        exactly(at, names.len())
    }

    /// Each text is UTF-8, not empty, and ends in a separator.
    fn check_texts(&self) -> Result<(), PackError> {
        let texts = self.columns.texts;
        check_strings(texts)?;
        let mut at = 0;
        for end in self.columns.text_ends.iter() {
            if end < at {
                return Err(PackError::Offset);
            }
            let text = texts.get(at as usize..end as usize);
            match text.ok_or(PackError::Offset)? {
                [SEPARATOR] | [] => return Err(PackError::EmptyText),
                [.., SEPARATOR] => {}
                _ => return Err(PackError::Text),
            }
            at = end;
        }
        exactly(at, texts.len())?;
        // One ends each text, so there is none within.
        if memchr::memchr_iter(SEPARATOR, texts).count() == self.row_count() {
            Ok(())
        } else {
            Err(PackError::Text)
        }
    }

    /// A separator, then for each row tags that are UTF-8, not empty, and end in
    /// a separator.
    fn check_tags(&self) -> Result<(), PackError> {
        let tags = self.columns.tags;
        check_strings(tags)?;
        if tags.first() != Some(&SEPARATOR) {
            return Err(PackError::Text);
        }
        if memchr::memmem::find(tags, &[SEPARATOR; 2]).is_some() {
            return Err(PackError::EmptyTag);
        }
        let mut at = 1;
        for end in self.columns.tag_ends.iter() {
            if end < at {
                return Err(PackError::Offset);
            }
            let list = tags.get(at as usize..end as usize);
            match list.ok_or(PackError::Offset)? {
                [] | [.., SEPARATOR] => {}
                _ => return Err(PackError::Text),
            }
            at = end;
        }
        exactly(at, tags.len())
    }

    /// Order of the keys, rows of each contact, bits, counts and scores.
    fn check_contacts(&self) -> Result<(), PackError> {
        let columns = &self.columns;
        let mut before = None;
        for (contact, contact_id) in columns.contact_ids.iter().enumerate() {
            if before >= Some(contact_id) {
                return Err(PackError::NotSorted);
            }
            before = Some(contact_id);
            let rows = self.contact_rows(contact);
            if rows.is_empty() || rows.end > self.row_count() {
                return Err(PackError::Offset);
            }
            let mut check = ContactCheck::default();
            let mut tweet_before = None;
            for row in rows {
                let flags = columns.flags.get(row).copied().ok_or(PackError::Offset)?;
                let (kind, latest) = split_flags(flags).ok_or(PackError::Flags)?;
                let tweet_id = columns.tweet_ids.get(row);
                if tweet_before >= Some(tweet_id) {
                    return Err(PackError::NotSorted);
                }
                tweet_before = Some(tweet_id);
                let created_at = columns.created_ats.get(row).cast_signed();
                check.add(kind, latest, (created_at, tweet_id));
            }
            check.finish(
                contact_id,
                columns.reply_counts.get(contact),
                columns.retweet_counts.get(contact),
                f64::from_bits(columns.base_scores.get(contact)),
            )?;
        }
        exactly(columns.row_ends.last(), self.row_count())
    }

    /// Whether a contact has a tweet of these kinds.
    pub(crate) fn has_kind(&self, contact: usize, kinds: Kind) -> bool {
        let columns = &self.columns;
        (kinds.meets(Kind::REPLY) && columns.reply_counts.get(contact) != 0)
            || (kinds.meets(Kind::RETWEET) && columns.retweet_counts.get(contact) != 0)
    }

    /// Whether a row is of one of these kinds.
    pub(crate) fn row_is(&self, row: usize, kinds: Kind) -> bool {
        let flags = self.columns.flags.get(row).copied().and_then(split_flags);
        flags.is_some_and(|(kind, _)| kind.meets(kinds))
    }

    /// The row of a contact that carries a latest mark.
    pub(crate) fn latest_row(&self, contact: usize, mark: Latest) -> Option<usize> {
        let rows = self.contact_rows(contact);
        let flags = self.columns.flags.get(rows.clone())?;
        let carries = |flags: &u8| split_flags(*flags).is_some_and(|(_, latest)| latest.has(mark));
        rows.start.checked_add(flags.iter().position(carries)?)
    }
}

impl fmt::Debug for Pack<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pack")
            .field("user_id", &self.user_id)
            .field("contacts", &self.contact_count())
            .field("rows", &self.row_count())
            .finish_non_exhaustive()
    }
}

/// Strings with separators between them are UTF-8 if the whole is, with a character of one byte in
/// place of each separator. Checked in blocks, not string by string: most are short, and the vector
/// instructions for this want length.
fn check_strings(mut region: &[u8]) -> Result<(), PackError> {
    const BLOCK: usize = 2048;
    let mut block = [0; BLOCK];
    while !region.is_empty() {
        let mut len = region.len().min(BLOCK);
        // Not within a character, which has three further bytes at most.
        let starts = |at: &usize| region.get(*at).is_none_or(|byte| byte & 0xc0 != 0x80);
        if !starts(&len) {
            let before = (len.saturating_sub(3)..len).rev().find(starts);
            len = before.ok_or(PackError::Text)?;
        }
        let (taken, rest) = region.split_at_checked(len).ok_or(PackError::Text)?;
        let block = block.get_mut(..len).ok_or(PackError::Text)?;
        for (to, from) in block.iter_mut().zip(taken) {
            *to = if *from == SEPARATOR { 0 } else { *from };
        }
        simdutf8::basic::from_utf8(block).map_err(|_| PackError::Text)?;
        region = rest;
    }
    Ok(())
}

/// A region must be used up to its last byte.
fn exactly(used: u32, len: usize) -> Result<(), PackError> {
    if used as usize == len {
        Ok(())
    } else {
        Err(PackError::Offset)
    }
}

/// A checked pack with its bytes, for a cache.
///
/// The bytes are checked when it is made and never again;
/// [`as_pack`](Self::as_pack) only cuts them into columns, in constant time.
/// `B` must return the same bytes each time it is asked; if it does not,
/// replies are wrong, but nothing panics.
#[derive(Clone)]
pub struct OwnedPack<B = Vec<u8>> {
    bytes: B,
    user_id: u64,
}

impl<B: AsRef<[u8]>> OwnedPack<B> {
    /// Checks `bytes` as [`Pack::parse`] does and keeps them.
    ///
    /// # Errors
    ///
    /// As [`Pack::parse`].
    pub fn parse(bytes: B) -> Result<Self, PackError> {
        let user_id = Pack::parse(bytes.as_ref())?.user_id();
        Ok(Self { bytes, user_id })
    }

    /// Checks `bytes` as [`Pack::parse_for`] does and keeps them.
    ///
    /// # Errors
    ///
    /// As [`Pack::parse_for`].
    pub fn parse_for(user_id: u64, bytes: B) -> Result<Self, PackError> {
        Pack::parse_for(user_id, bytes.as_ref())?;
        Ok(Self { bytes, user_id })
    }

    /// The pack, without checking it again.
    pub fn as_pack(&self) -> Pack<'_> {
        Pack::view(self.bytes.as_ref()).unwrap_or(Pack {
            user_id: self.user_id,
            contacts: 0,
            columns: Columns::default(),
        })
    }

    /// The user whose contacts these are.
    pub const fn user_id(&self) -> u64 {
        self.user_id
    }

    /// The bytes, header included.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.as_ref()
    }

    /// Gives the bytes back.
    pub fn into_bytes(self) -> B {
        self.bytes
    }
}

impl<B: AsRef<[u8]>> fmt::Debug for OwnedPack<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_pack().fmt(f)
    }
}
