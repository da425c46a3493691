//! Where everything stands in a pack. The table is in the docs of `record`.

use crate::error::PackError;

/// First byte of every pack this crate writes, and the only one it reads.
pub const PACK_VERSION: u8 = 1;

/// Bytes before the contact table.
pub(crate) const HEADER_BYTES: usize = 40;

/// Bytes before those the checksum covers.
pub(crate) const CHECKED_FROM: usize = 8;

const CONTACT_BYTES: u64 = 40;
const ROW_BYTES: u64 = 25;

/// The fixed fields in front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) checksum: u32,
    pub(crate) total: u32,
    pub(crate) contacts: u32,
    pub(crate) rows: u32,
    pub(crate) names: u32,
    pub(crate) texts: u32,
    pub(crate) tags: u32,
    pub(crate) user_id: u64,
}

impl Header {
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, PackError> {
        let mut reader = Reader(bytes.get(..HEADER_BYTES).ok_or(PackError::Truncated)?);
        let [version] = reader.array()?;
        if version != PACK_VERSION {
            return Err(PackError::Version { found: version });
        }
        if reader.array()? != [0; 3] {
            return Err(PackError::Reserved);
        }
        Ok(Self {
            checksum: reader.u32()?,
            total: reader.u32()?,
            contacts: reader.u32()?,
            rows: reader.u32()?,
            names: reader.u32()?,
            texts: reader.u32()?,
            tags: reader.u32()?,
            user_id: u64::from_le_bytes(reader.array()?),
        })
    }

    /// Appends the header, with the checksum as it is here.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[PACK_VERSION, 0, 0, 0]);
        for field in [
            self.checksum,
            self.total,
            self.contacts,
            self.rows,
            self.names,
            self.texts,
            self.tags,
        ] {
            out.extend_from_slice(&field.to_le_bytes());
        }
        out.extend_from_slice(&self.user_id.to_le_bytes());
    }

    /// The length that follows from the counts. Cannot overflow: the sum of
    /// five 32-bit numbers, two of them times less than 64.
    #[expect(clippy::arithmetic_side_effects, reason = "stays below 2^39")]
    pub(crate) fn computed_total(&self) -> u64 {
        HEADER_BYTES as u64
            + u64::from(self.contacts) * CONTACT_BYTES
            + u64::from(self.rows) * ROW_BYTES
            + u64::from(self.names)
            + u64::from(self.texts)
            + u64::from(self.tags)
    }
}

/// A column of 32-bit numbers.
#[derive(Clone, Copy, Default)]
pub(crate) struct Column32<'a>(&'a [[u8; 4]]);

impl<'a> Column32<'a> {
    /// The number at `index`, 0 out of range.
    pub(crate) fn get(self, index: usize) -> u32 {
        self.0.get(index).copied().map_or(0, u32::from_le_bytes)
    }

    pub(crate) fn iter(self) -> impl ExactSizeIterator<Item = u32> + 'a {
        self.0.iter().map(|bytes| u32::from_le_bytes(*bytes))
    }

    pub(crate) fn last(self) -> u32 {
        self.0.last().copied().map_or(0, u32::from_le_bytes)
    }

    /// Where entry `index` begins, in a column of ends.
    pub(crate) fn start(self, index: usize) -> u32 {
        index.checked_sub(1).map_or(0, |before| self.get(before))
    }

    /// First entry from `from` on that ends behind `position`.
    pub(crate) fn containing(self, from: usize, position: usize) -> usize {
        /// Hits tend to be dense or far apart; this many entries are looked at
        /// one by one before the rest is bisected.
        const NEAR: usize = 8;
        let Some(rest) = self.0.get(from..) else {
            return self.0.len();
        };
        let is_before = |end: &[u8; 4]| u32::from_le_bytes(*end) as usize <= position;
        let (near, far) = rest.split_at_checked(NEAR).unwrap_or((rest, &[]));
        let skipped = match near.iter().position(|end| !is_before(end)) {
            Some(skipped) => skipped,
            None => near.len().saturating_add(far.partition_point(is_before)),
        };
        from.saturating_add(skipped)
    }
}

/// A column of 64-bit values.
#[derive(Clone, Copy, Default)]
pub(crate) struct Column64<'a>(&'a [[u8; 8]]);

impl<'a> Column64<'a> {
    /// The bits at `index`, 0 out of range.
    pub(crate) fn get(self, index: usize) -> u64 {
        self.0.get(index).copied().map_or(0, u64::from_le_bytes)
    }

    pub(crate) fn iter(self) -> impl ExactSizeIterator<Item = u64> + 'a {
        self.0.iter().map(|bytes| u64::from_le_bytes(*bytes))
    }
}

/// A pack cut into its columns and regions; contents are not judged here.
#[derive(Clone, Copy, Default)]
pub(crate) struct Columns<'a> {
    pub(crate) contact_ids: Column64<'a>,
    pub(crate) base_scores: Column64<'a>,
    pub(crate) reply_counts: Column32<'a>,
    pub(crate) retweet_counts: Column32<'a>,
    pub(crate) same_tag_counts: Column32<'a>,
    pub(crate) name_ends: Column32<'a>,
    pub(crate) description_ends: Column32<'a>,
    pub(crate) row_ends: Column32<'a>,
    pub(crate) tweet_ids: Column64<'a>,
    pub(crate) created_ats: Column64<'a>,
    pub(crate) text_ends: Column32<'a>,
    pub(crate) tag_ends: Column32<'a>,
    pub(crate) flags: &'a [u8],
    pub(crate) names: &'a [u8],
    pub(crate) texts: &'a [u8],
    pub(crate) tags: &'a [u8],
}

impl<'a> Columns<'a> {
    /// Cuts `bytes`, header included.
    pub(crate) fn cut(header: &Header, bytes: &'a [u8]) -> Result<Self, PackError> {
        if u64::from(header.total) != header.computed_total()
            || bytes.len() as u64 != header.computed_total()
        {
            return Err(PackError::Length);
        }
        let (contacts, rows) = (header.contacts as usize, header.rows as usize);
        let mut reader = Reader(bytes.get(HEADER_BYTES..).ok_or(PackError::Length)?);
        Ok(Self {
            contact_ids: reader.column64(contacts)?,
            base_scores: reader.column64(contacts)?,
            reply_counts: reader.column32(contacts)?,
            retweet_counts: reader.column32(contacts)?,
            same_tag_counts: reader.column32(contacts)?,
            name_ends: reader.column32(contacts)?,
            description_ends: reader.column32(contacts)?,
            row_ends: reader.column32(contacts)?,
            tweet_ids: reader.column64(rows)?,
            created_ats: reader.column64(rows)?,
            text_ends: reader.column32(rows)?,
            tag_ends: reader.column32(rows)?,
            flags: reader.bytes(rows)?,
            names: reader.bytes(header.names as usize)?,
            texts: reader.bytes(header.texts as usize)?,
            tags: reader.bytes(header.tags as usize)?,
        })
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, len: usize) -> Result<&'a [u8], PackError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(PackError::Length)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PackError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(PackError::Truncated)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u32(&mut self) -> Result<u32, PackError> {
        self.array().map(u32::from_le_bytes)
    }

    fn column32(&mut self, len: usize) -> Result<Column32<'a>, PackError> {
        let len_bytes = len.checked_mul(4).ok_or(PackError::Length)?;
        Ok(Column32(self.bytes(len_bytes)?.as_chunks().0))
    }

    fn column64(&mut self, len: usize) -> Result<Column64<'a>, PackError> {
        let len_bytes = len.checked_mul(8).ok_or(PackError::Length)?;
        Ok(Column64(self.bytes(len_bytes)?.as_chunks().0))
    }
}
