//! The masked symbol of the QR code service: message to hex words and back.
//!
//! Pure: bytes in, values out. Splitting a query, percent-decoding and the
//! reply around the payload belong to the service.
//!
//! ```
//! use qrcode_core::{Message, decode, encode};
//! use qrcode_core::{Field, Symbol, Turn};
//!
//! // Encode: the symbol, masked, as hex words.
//! let message = Message::try_from(b"CC Team".as_slice())?;
//! let mut reply = Vec::new();
//! encode(&message, &mut reply);
//! assert!(reply.starts_with(b"0x66d92b800x5bc76d830x121a7fa6"));
//! assert!(reply.ends_with(b"0xff132a"));
//!
//! // The same symbol as a picture.
//! let symbol = Symbol::new(&message);
//! assert_eq!(symbol.side(), 21);
//! assert!(symbol.is_dark(0, 0) && !symbol.is_dark(1, 1));
//!
//! // Decode: the sender hides the symbol in a larger field.
//! let mut field = Field::new([0x5eed_cafe; 32]);
//! field.place(&symbol, 3, 8, Turn::Deg90).expect("21 cells fit at (3, 8)");
//! let mut request = Vec::new();
//! field.write_words(&mut request);
//! assert_eq!(decode(&request)?, message);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Guarantees
//!
//! * No input panics, and [`encode()`] cannot fail: [`Message`] holds only what
//!   fits.
//! * A message longer than 13 characters is drawn in version 2, any other in
//!   version 1; [`decode()`] accepts short messages in both.
//! * [`decode()`] takes the first placement in the order of row, column, side
//!   and turn, and verifies length, check bytes and characters. A wrong check
//!   byte is an error, never a wrong message.
//! * Nothing allocates except the caller's buffer when it is too small.
//!
//! # Fuzzing
//!
//! `fuzz/` holds three targets for `cargo fuzz`, which needs a nightly
//! compiler. From the folder of this crate:
//!
//! ```text
//! cargo +nightly fuzz run words -- -max_total_time=120
//! cargo +nightly fuzz run field -- -max_total_time=120
//! cargo +nightly fuzz run message -- -max_total_time=120
//! ```

mod decode;
mod encode;
mod error;
mod layout;
mod locate;
mod mask;
mod matrix;
mod message;
mod words;

pub use decode::decode;
pub use encode::{MAX_ENCODED_LEN, encode};
pub use error::{DecodeError, EncodeError};
pub use layout::{Turn, Version};
pub use matrix::{FIELD_SIDE, Field, Placement, Symbol};
pub use message::{MAX_MESSAGE_LEN, Message};
pub use words::{MAX_FIELD_TEXT_LEN, MIN_FIELD_TEXT_LEN};
