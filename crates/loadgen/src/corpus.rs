//! What is asked and what the answer must be.
//!
//! A corpus is made or read before the run, so that a run neither draws nor reads anything.

pub mod blockchain;
mod escape;
pub mod file;
pub mod qrcode;
pub mod rows;
pub mod twitter;

use std::fmt::Write as _;

/// What follows the team line of a refusal.
pub const INVALID: &[u8] = b"\nINVALID";

/// One request and its answer.
#[derive(Clone, Debug)]
pub struct Item {
    /// Path and query.
    pub target: String,
    /// What a right reply is.
    pub expect: Expect,
}

/// What a right reply is. All but [`Expect::Body`] and [`Expect::Any`] begin with a team line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// The team line, then exactly these bytes; the first is a line feed, unless there are none.
    Rest(Vec<u8>),
    /// Exactly this body.
    Body(Vec<u8>),
    /// The same chain and one more valid block, with any proof of work that fits.
    Chain(Box<Chain>),
    /// The shape of the reply to a valid request of `/twitter`: nothing, or lines of contacts.
    Contacts,
    /// Anything.
    Any,
}

/// How much of a reply is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Nothing: any reply passes.
    Unchecked,
    /// Whether it could be an answer to some request of its kind.
    Shape,
    /// Whether it is the answer.
    Exact,
}

impl Expect {
    /// What a check against this is worth.
    pub const fn depth(&self) -> Depth {
        match self {
            Self::Any => Depth::Unchecked,
            Self::Contacts => Depth::Shape,
            Self::Rest(_) | Self::Body(_) | Self::Chain(_) => Depth::Exact,
        }
    }
}

/// The right answer to a valid request of `/blockchain`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// As our core packs it; compared first, since that costs least.
    pub packed: Vec<u8>,
    /// The JSON text with the smallest proof of work.
    pub json: String,
}

/// How a generated corpus is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recipe {
    /// The same seed gives the same corpus.
    pub seed: u64,
    /// Number of requests.
    pub size: usize,
    /// Share of requests that break a rule, from 0 to 1.
    pub invalid: f64,
}

/// Appends a query value, percent-encoded where it must be.
pub(crate) fn escape_into(target: &mut String, value: &[u8]) {
    for &byte in value {
        if byte.is_ascii_alphanumeric() || b"-_.~=".contains(&byte) {
            target.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(target, "%{byte:02X}");
        }
    }
}
