//! A message that fits a symbol.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::fmt;
use std::str::FromStr;

use crate::error::EncodeError;

/// The longest message in bytes: what a version 2 symbol holds.
pub const MAX_MESSAGE_LEN: usize = 22;

/// 0 to 22 bytes, each in 0x20..=0x7E, stored inline.
///
/// Made with [`TryFrom`] from decoded bytes (percent escapes are the business
/// of the caller) or by [`decode`](crate::decode).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Message {
    len: u8,
    /// Zero from `len` on, so that the derived comparison is that of the text.
    bytes: [u8; MAX_MESSAGE_LEN],
}

impl Message {
    /// The message without characters.
    pub const EMPTY: Self = Self {
        len: 0,
        bytes: [0; MAX_MESSAGE_LEN],
    };

    /// Number of characters, which is the number of bytes.
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there are no characters.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The characters as bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len()).unwrap_or_default()
    }

    /// The characters as text.
    pub fn as_str(&self) -> &str {
        str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// Adds one character; the only way in, so the two rules live here.
    pub(crate) fn push(&mut self, byte: u8) -> Result<(), EncodeError> {
        let slot = self
            .bytes
            .get_mut(usize::from(self.len))
            .ok_or(EncodeError::TooLong)?;
        if !matches!(byte, 0x20..=0x7e) {
            return Err(EncodeError::Character);
        }
        *slot = byte;
        self.len = self.len.saturating_add(1);
        Ok(())
    }
}

impl TryFrom<&[u8]> for Message {
    type Error = EncodeError;

    /// # Errors
    ///
    /// [`EncodeError::TooLong`] before [`EncodeError::Character`]: a long text
    /// is refused without reading it.
    fn try_from(bytes: &[u8]) -> Result<Self, EncodeError> {
        if bytes.len() > MAX_MESSAGE_LEN {
            return Err(EncodeError::TooLong);
        }
        let mut message = Self::EMPTY;
        for &byte in bytes {
            message.push(byte)?;
        }
        Ok(message)
    }
}

impl FromStr for Message {
    type Err = EncodeError;

    fn from_str(text: &str) -> Result<Self, EncodeError> {
        Self::try_from(text.as_bytes())
    }
}

impl AsRef<[u8]> for Message {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Message").field(&self.as_str()).finish()
    }
}

#[cfg(test)]
#[allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may panic"
)]
mod tests {
    use super::*;

    #[test]
    fn takes_every_printable_character_and_no_other() {
        for byte in 0..=u8::MAX {
            let expected = (0x20..=0x7e).contains(&byte);
            let message = Message::try_from([b'a', byte].as_slice());
            assert_eq!(message.is_ok(), expected, "{byte:#04x}");
            if !expected {
                assert_eq!(message, Err(EncodeError::Character));
            }
        }
    }

    #[test]
    fn holds_22_characters_and_refuses_23() {
        assert_eq!(Message::try_from([b'~'; 22].as_slice()).unwrap().len(), 22);
        assert_eq!(
            Message::try_from([0; 23].as_slice()),
            Err(EncodeError::TooLong)
        );
        assert_eq!(Message::try_from([].as_slice()), Ok(Message::EMPTY));
    }

    #[test]
    fn shows_its_text() {
        let message: Message = "CC Team".parse().unwrap();
        assert_eq!(message.as_str(), "CC Team");
        assert_eq!(message.to_string(), "CC Team");
        assert_eq!(format!("{message:?}"), r#"Message("CC Team")"#);
    }
}
