//! Is a reply right, not only 200.

use std::sync::OnceLock;

use blockchain_core::{Request, Unpacker};

use crate::corpus::{Chain, Expect};

/// Why a reply is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// The first line is not the team line.
    TeamLine,
    /// Other bytes than expected.
    Bytes,
    /// Not a packed chain.
    Unpack,
    /// A chain that breaks a rule.
    Chain,
    /// A valid chain, but not the one that was asked for.
    OtherChain,
    /// Not a list of contacts.
    Shape,
}

impl Wrong {
    /// A few words for reports.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::TeamLine => "another team line",
            Self::Bytes => "other bytes",
            Self::Unpack => "not a packed chain",
            Self::Chain => "an invalid chain",
            Self::OtherChain => "another chain",
            Self::Shape => "not a list of contacts",
        }
    }
}

/// The line that replies begin with: given, or taken from the first reply.
#[derive(Debug, Default)]
pub struct TeamLine(OnceLock<Vec<u8>>);

impl TeamLine {
    /// The line that replies must begin with, if it is known.
    pub fn new(line: Option<&str>) -> Self {
        match line {
            Some(line) => Self(OnceLock::from(line.as_bytes().to_vec())),
            None => Self::default(),
        }
    }

    /// The line, once it is known.
    pub fn get(&self) -> Option<&[u8]> {
        self.0.get().map(Vec::as_slice)
    }

    /// What follows the team line, from its line feed on.
    fn strip<'a>(&self, body: &'a [u8]) -> Result<&'a [u8], Wrong> {
        let end = body.iter().position(|&byte| byte == b'\n');
        let (line, rest) = body.split_at(end.unwrap_or(body.len()));
        let known = match self.0.get() {
            Some(known) => known,
            // A first line that cannot be one must not become the measure of the others.
            None if line.is_empty() || line == b"INVALID" => return Err(Wrong::TeamLine),
            None => self.0.get_or_init(|| line.to_vec()),
        };
        if known == line {
            Ok(rest)
        } else {
            Err(Wrong::TeamLine)
        }
    }
}

/// Checks replies; owns the buffers for it.
#[derive(Debug, Default)]
pub struct Checker {
    unpacker: Unpacker,
}

impl Checker {
    /// Whether the body of a reply is right.
    ///
    /// # Errors
    ///
    /// Why it is not.
    pub fn check(&mut self, expect: &Expect, team: &TeamLine, body: &[u8]) -> Result<(), Wrong> {
        match expect {
            Expect::Any => Ok(()),
            Expect::Body(expected) => require(body == expected, Wrong::Bytes),
            Expect::Rest(expected) => require(team.strip(body)? == expected, Wrong::Bytes),
            Expect::Contacts => require(are_contacts(team.strip(body)?), Wrong::Shape),
            Expect::Chain(chain) => self.check_chain(chain, team.strip(body)?),
        }
    }

    fn check_chain(&mut self, expected: &Chain, rest: &[u8]) -> Result<(), Wrong> {
        if rest == expected.packed {
            return Ok(());
        }
        let packed = rest.strip_prefix(b"\n").ok_or(Wrong::Unpack)?;
        let text = self.unpacker.unpack(packed).map_err(|_| Wrong::Unpack)?;
        if text == expected.json {
            return Ok(());
        }
        // Other key orders and other proofs of work are right too. The core validates requests,
        // so the reply becomes one.
        let (text, expected) = (as_request(text), as_request(&expected.json));
        let (Some(text), Some(expected)) = (text, expected) else {
            return Err(Wrong::Chain);
        };
        let found = Request::parse(&text).map_err(|_| Wrong::Chain)?;
        let wanted = Request::parse(&expected).map_err(|_| Wrong::Chain)?;
        let same = match (found.chain().split_last(), wanted.chain().split_last()) {
            (Some((last, blocks)), Some((wanted_last, wanted_blocks))) => {
                blocks == wanted_blocks
                    && last.payments == wanted_last.payments
                    && last.reward == wanted_last.reward
                    && last.id == wanted_last.id
                    && last.target == wanted_last.target
            }
            _ => false,
        };
        found.validate().map_err(|_| Wrong::Chain)?;
        require(same, Wrong::OtherChain)
    }
}

fn require(holds: bool, wrong: Wrong) -> Result<(), Wrong> {
    if holds { Ok(()) } else { Err(wrong) }
}

/// A reply's `{"chain":[...]}` as a request that adds nothing.
fn as_request(reply: &str) -> Option<String> {
    let open = reply.trim_end().strip_suffix('}')?;
    Some(format!("{open},\"new_target\":\"1\",\"new_tx\":[]}}"))
}

/// Nothing, as for a user who is not known, or at least one contact with its three fields. Texts hold
/// line feeds and tabs of their own, so that more cannot be told. A valid request is never refused.
fn are_contacts(rest: &[u8]) -> bool {
    if rest.is_empty() {
        return true;
    }
    let Some(line) = rest.strip_prefix(b"\n") else {
        return false;
    };
    let digits = line.iter().take_while(|byte| byte.is_ascii_digit()).count();
    digits > 0
        && line.get(digits) == Some(&b'\t')
        && line.split(|&byte| byte == b'\t').count() > 3
        && std::str::from_utf8(line).is_ok()
}
