//! The chain and its rules.
//!
//! A request packs a whole chain of blocks. If every rule holds, the reply packs the
//! same chain with one more block, which holds the request's new transactions, pays us
//! a reward and carries the smallest proof of work. A request that breaks a rule has a
//! [`Reason`] and no reply. There is no state between requests, and nothing here does
//! IO or panics on any input.
//!
//! The steps are separate, because they differ in cost: [`wire::Unpacker::unpack`]
//! (microseconds), [`Request::parse`] and [`Request::validate`] (linear in the text's
//! length), [`Plan::reply`] (microseconds to seconds, see [`Plan::expected_tries`]).
//! [`respond`] does them all. A plan borrows the request's text; a caller that finds
//! the reply too heavy for its thread repeats the call elsewhere with the packed
//! request and another [`Scratch`], since what is repeated costs little against it.
//!
//! ```
//! use blockchain_core::{Reason, Request, Scratch, respond};
//!
//! # fn main() -> Result<(), Reason> {
//! // One block, nothing new, target "0e".
//! let packed = b"\
//!     eJxFjssKgzAQRf_lrrOYvNDkV4pImqY1oLbYoAXx35uEYu9qOOfOMDv84OIMe9nhxrFPnzouwa-w\
//!     nEzTKkUkSBoGNyVYTb8wpDgFWHDdCi1I0T9gGNx7yFKYcPWNNDg6htdzy0jJrOMNls4WcdPedROy\
//!     SG55hFTO1pU5bP2JqBQqKV92xxfRVjOZ";
//! let mut scratch = Scratch::default();
//! let mut out = b"team,account\n".to_vec();
//! respond(packed, &mut scratch, &mut out)?;
//!
//! // The same in steps.
//! let text = scratch.unpacker.unpack(packed)?;
//! let plan = Request::parse(text)?.validate()?;
//! assert_eq!(plan.expected_tries(), 19);
//! assert_eq!(plan.extend()?.id, 1);
//! let mut again = b"team,account\n".to_vec();
//! plan.reply(&mut scratch.packer, &mut again)?;
//! assert_eq!(again, out);
//!
//! // A refusal has a reason and leaves the output as it is.
//! assert_eq!(respond(b"eJ*", &mut scratch, &mut out), Err(Reason::Base64));
//! assert_eq!(Reason::Base64.code(), "E2-base64");
//! assert_eq!(again, out);
//! # Ok(())
//! # }
//! ```
//!
//! # Fuzzing
//!
//! `fuzz/` holds one target per layer; with cargo-fuzz and a nightly compiler,
//! `cargo +nightly fuzz run cc` (or `json`, `chain`) in this crate's folder runs it.

pub mod block;
mod deflate;
pub mod error;
mod extend;
pub mod hash;
mod json;
pub mod mine;
mod parse;
mod render;
pub mod signature;
pub mod target;
pub mod transaction;
pub mod validate;
pub mod wire;

pub use block::{Block, Request};
pub use error::Reason;
pub use transaction::{NewTransaction, Payment, Reward, ShortHash, Time, Unsigned};
pub use validate::Plan;
pub use wire::{Compression, Packer, Unpacker};

/// The buffers and coders of one worker, reused from request to request.
///
/// Between requests it holds at most what the last one needed; usual ones need tens of
/// kilobytes, the largest legal ones a few megabytes.
#[derive(Debug, Default)]
pub struct Scratch {
    /// For requests.
    pub unpacker: Unpacker,
    /// For replies.
    pub packer: Packer,
}

impl Scratch {
    /// A scratch whose replies are compressed as stated.
    pub fn new(compression: Compression) -> Self {
        Self {
            unpacker: Unpacker::new(),
            packer: Packer::new(compression),
        }
    }
}

/// Answers a packed request: appends the packed reply to `out`.
///
/// # Errors
///
/// The rule the request breaks; `out` is then unchanged.
pub fn respond(packed: &[u8], scratch: &mut Scratch, out: &mut Vec<u8>) -> Result<(), Reason> {
    let text = scratch.unpacker.unpack(packed)?;
    Request::parse(text)?
        .validate()?
        .reply(&mut scratch.packer, out)
}
