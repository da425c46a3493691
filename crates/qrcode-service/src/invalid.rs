//! Why a request is answered `INVALID`: for metrics and debug logs, never for the reply.

use qrcode_core::{DecodeError, EncodeError};
use service_kit::request::BrokenEscape;

service_kit::labels! {
    /// One value for each rule that a request can break.
    pub(crate) enum Invalid {
        /// `type` is missing or neither `encode` nor `decode`.
        Type => "type",
        /// `data` is missing.
        Data => "data",
        /// A broken percent escape in a wanted value.
        Escape => "escape",
        /// `timestamp` is not a whole number.
        Timestamp => "timestamp",
        /// The message has more than 22 bytes.
        EncodeTooLong => "encode_too_long",
        /// The message has a byte outside 0x20..=0x7E.
        EncodeCharacter => "encode_character",
        /// Too short or too long for 32 words.
        DecodeTextLength => "decode_text_length",
        /// Not hex words.
        DecodeWord => "decode_word",
        /// Not 32 words.
        DecodeWordCount => "decode_word_count",
        /// No symbol in the image.
        DecodeNoSymbol => "decode_no_symbol",
        /// The length byte is over the symbol's capacity.
        DecodeMessageLength => "decode_message_length",
        /// A check byte does not match.
        DecodeCheckByte => "decode_check_byte",
        /// A message byte outside 0x20..=0x7E.
        DecodeCharacter => "decode_character",
    }
}

impl From<BrokenEscape> for Invalid {
    fn from(_: BrokenEscape) -> Self {
        Self::Escape
    }
}

impl From<EncodeError> for Invalid {
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::TooLong => Self::EncodeTooLong,
            EncodeError::Character => Self::EncodeCharacter,
        }
    }
}

impl From<DecodeError> for Invalid {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::TextLength => Self::DecodeTextLength,
            DecodeError::Word => Self::DecodeWord,
            DecodeError::WordCount => Self::DecodeWordCount,
            DecodeError::NoSymbol => Self::DecodeNoSymbol,
            DecodeError::MessageLength => Self::DecodeMessageLength,
            DecodeError::CheckByte => Self::DecodeCheckByte,
            DecodeError::Character => Self::DecodeCharacter,
        }
    }
}
