//! Why a message or an image was refused.
//!
//! Both enums are closed and carry no data, so a reason costs nothing to make
//! and [`EncodeError::code`] or [`DecodeError::code`] can label a metric.

/// Why bytes are not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum EncodeError {
    /// More than [`MAX_MESSAGE_LEN`](crate::MAX_MESSAGE_LEN) bytes.
    #[error("the message is longer than 22 bytes")]
    TooLong,
    /// A byte outside 0x20..=0x7E.
    #[error("the message holds a byte that is not printable ASCII")]
    Character,
}

impl EncodeError {
    /// Every reason, in the order in which they are checked.
    pub const ALL: [Self; 2] = [Self::TooLong, Self::Character];

    /// A stable label for metrics and logs.
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Character => "character",
        }
    }
}

/// Why hex words do not decode to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum DecodeError {
    /// Too short or too long to be 32 hex words.
    #[error("the text is too short or too long to be 32 hex words")]
    TextLength,
    /// A word without the prefix `0x` or without 1 to 8 hex digits.
    #[error("the text is not a sequence of hex words")]
    Word,
    /// Well-formed words, but not 32 of them.
    #[error("the image does not have 32 words")]
    WordCount,
    /// No placement has finders on three corners.
    #[error("the image shows no symbol")]
    NoSymbol,
    /// The length byte exceeds the capacity of the symbol.
    #[error("the length byte exceeds the capacity of the symbol")]
    MessageLength,
    /// The check byte of a character is not its parity.
    #[error("a check byte does not match its character")]
    CheckByte,
    /// A message byte outside 0x20..=0x7E.
    #[error("the symbol holds a byte that is not printable ASCII")]
    Character,
}

impl DecodeError {
    /// Every reason, in the order in which they are checked.
    pub const ALL: [Self; 7] = [
        Self::TextLength,
        Self::Word,
        Self::WordCount,
        Self::NoSymbol,
        Self::MessageLength,
        Self::CheckByte,
        Self::Character,
    ];

    /// A stable label for metrics and logs.
    pub const fn code(self) -> &'static str {
        match self {
            Self::TextLength => "text_length",
            Self::Word => "word",
            Self::WordCount => "word_count",
            Self::NoSymbol => "no_symbol",
            Self::MessageLength => "message_length",
            Self::CheckByte => "check_byte",
            Self::Character => "character",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_differ_and_are_label_safe() {
        let mut codes: Vec<_> = DecodeError::ALL
            .iter()
            .map(|reason| reason.code())
            .collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), DecodeError::ALL.len());
        codes.extend(EncodeError::ALL.iter().map(|reason| reason.code()));
        for code in codes {
            assert!(
                code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
                "{code}"
            );
        }
    }
}
