//! A pack in the database: one or more parts of limited size.

use super::layout::{HEADER_BYTES, Header};
use crate::error::PackError;
use crate::table::MAX_PART_BYTES;

/// Cuts a pack into numbered parts: all but the last have
/// [`MAX_PART_BYTES`], none is empty. Nearly every pack has one.
///
/// # Errors
///
/// [`PackError::TooLarge`] for 4 GiB or more, which no pack has.
pub fn parts(pack: &[u8]) -> Result<impl Iterator<Item = (u16, &[u8])>, PackError> {
    if u32::try_from(pack.len()).is_err() {
        return Err(PackError::TooLarge);
    }
    Ok((0..).zip(pack.chunks(MAX_PART_BYTES)))
}

/// Joins the parts of a pack, given in order.
///
/// A pack of one part needs no joining: give its bytes to
/// [`OwnedPack::parse`](super::OwnedPack::parse), which notices a missing rest.
///
/// # Errors
///
/// As [`Joiner::push`] and [`Joiner::finish`].
pub fn join<B: AsRef<[u8]>>(
    parts: impl IntoIterator<Item = (u16, B)>,
) -> Result<Vec<u8>, PackError> {
    let mut joiner = Joiner::default();
    for (number, bytes) in parts {
        joiner.push(number, bytes.as_ref())?;
    }
    joiner.finish()
}

/// Joins parts as they arrive. Holds no more than what has come.
#[derive(Debug, Default)]
pub struct Joiner {
    bytes: Vec<u8>,
    next: u16,
    /// From the header, known with the first part.
    total: usize,
}

impl Joiner {
    /// Adds the next part.
    ///
    /// # Errors
    ///
    /// Its number is not the next one; or it is the first and no pack begins
    /// with it; or it goes past the length stated there, or falls short of a
    /// full part without being the last.
    pub fn push(&mut self, number: u16, part: &[u8]) -> Result<(), PackError> {
        if number != self.next {
            return Err(PackError::PartOrder {
                expected: self.next,
                found: number,
            });
        }
        if number == 0 {
            self.total = Header::read(part)?.total as usize;
        }
        let missing = self.total.saturating_sub(self.bytes.len());
        if part.is_empty() || part.len() != missing.min(MAX_PART_BYTES) {
            return Err(PackError::PartLength);
        }
        self.bytes.extend_from_slice(part);
        self.next = self.next.saturating_add(1);
        Ok(())
    }

    /// Whether all parts have come.
    pub fn is_whole(&self) -> bool {
        self.next > 0 && self.bytes.len() == self.total
    }

    /// The joined bytes, for [`OwnedPack::parse`](super::OwnedPack::parse).
    ///
    /// # Errors
    ///
    /// No part came, or one is missing at the end.
    pub fn finish(self) -> Result<Vec<u8>, PackError> {
        if self.bytes.len() < HEADER_BYTES {
            return Err(PackError::Truncated);
        }
        if self.bytes.len() != self.total {
            return Err(PackError::PartLength);
        }
        Ok(self.bytes)
    }
}
