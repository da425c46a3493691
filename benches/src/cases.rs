//! One unit of each core's work.

use anyhow::{Context as _, Result};
use blockchain_core::Scratch as ChainScratch;
use qrcode_core::Message;
use twitter_core::query::{Query, RawQuery};
use twitter_core::rank::Scratch as RankScratch;
use twitter_core::record::OwnedPack;
use twitter_core::render;

use crate::corpus::{self, Chains};
use crate::packs;

/// What replies begin with.
const HEAD: &[u8] = b"Tripod,000000000000";

/// Requests of one kind, answered by a core without any HTTP.
pub struct Case {
    /// As the baseline names it.
    pub name: &'static str,
    /// Requests in one pass.
    pub requests: u64,
    pass: Box<dyn FnMut() -> usize>,
}

impl Case {
    fn new(name: &'static str, requests: usize, pass: impl FnMut() -> usize + 'static) -> Self {
        Self {
            name,
            requests: requests as u64,
            pass: Box::new(pass),
        }
    }

    /// Answers all requests once; the sum of the replies' bytes.
    pub fn pass(&mut self) -> usize {
        (self.pass)()
    }
}

/// The names of all cases.
pub const NAMES: [&str; 6] = [
    "blockchain-mix",
    "blockchain-007",
    "qrcode-encode",
    "qrcode-decode",
    "twitter-reply",
    "twitter-check",
];

/// Makes a case.
///
/// # Errors
///
/// When there is none of that name, or the vectors in the repository are garbled.
pub fn case(name: &str) -> Result<Case> {
    let name = NAMES.iter().find(|known| **known == name);
    let name = *name.with_context(|| format!("the cases are {}", NAMES.join(", ")))?;
    match name {
        "blockchain-mix" => Ok(blockchain(name, corpus::generated()?)),
        "blockchain-007" => Ok(blockchain(name, corpus::with_target("007")?)),
        "qrcode-encode" => encode(name),
        "qrcode-decode" => decode(name),
        "twitter-reply" => reply(name),
        _ => Ok(check(name)),
    }
}

fn blockchain(name: &'static str, chains: Chains) -> Case {
    let mut scratch = ChainScratch::default();
    let mut out = Vec::new();
    Case::new(name, chains.packed.len(), move || {
        let replies = chains.packed.iter().map(|packed| {
            out.clear();
            out.extend_from_slice(HEAD);
            let answered = blockchain_core::respond(packed.as_bytes(), &mut scratch, &mut out);
            answered.map_or(0, |()| out.len())
        });
        replies.sum()
    })
}

/// The fields of the decode requests.
fn fields() -> Result<Vec<Vec<u8>>> {
    let targets = corpus::decode()?;
    let fields = targets.iter().map(|target| {
        let (_, data) = target.split_once("data=").context("a request has data")?;
        Ok(data.split('&').next().unwrap_or(data).as_bytes().to_vec())
    });
    fields.collect()
}

fn encode(name: &'static str) -> Result<Case> {
    let messages = fields()?
        .iter()
        .map(|field| Ok(qrcode_core::decode(field)?))
        .collect::<Result<Vec<Message>>>()?;
    let mut out = Vec::new();
    Ok(Case::new(name, messages.len(), move || {
        let replies = messages.iter().map(|message| {
            out.clear();
            qrcode_core::encode(message, &mut out);
            out.len()
        });
        replies.sum()
    }))
}

fn decode(name: &'static str) -> Result<Case> {
    let fields = fields()?;
    Ok(Case::new(name, fields.len(), move || {
        let messages = fields.iter().map(|field| qrcode_core::decode(field));
        messages
            .map(|message| message.map_or(0, |message| message.as_bytes().len()))
            .sum()
    }))
}

/// Queries for one user, of every type, with and without hits.
fn queries(user_id: &[u8]) -> Result<Vec<Query<'static>>> {
    let mut queries = Vec::new();
    for contact_type in ["reply", "retweet", "both"] {
        for phrase in ["hello cc", "music", "nothing like it"] {
            for hashtag in ["cloud", "Tag7", "unused"] {
                let query = Query::parse(RawQuery {
                    user_id: Some(user_id),
                    contact_type: Some(contact_type.as_bytes()),
                    phrase: Some(phrase.as_bytes()),
                    hashtag: Some(hashtag.as_bytes()),
                })?;
                queries.push(query.into_owned());
            }
        }
    }
    Ok(queries)
}

fn reply(name: &'static str) -> Result<Case> {
    let pack = packs::pack(7, packs::TYPICAL_ROWS);
    let queries = queries(b"7")?;
    let mut scratch = RankScratch::default();
    let mut out = Vec::new();
    Ok(Case::new(name, queries.len(), move || {
        let replies = queries.iter().map(|query| {
            out.clear();
            render::respond(query, &pack.as_pack(), HEAD, &mut out, &mut scratch);
            out.len()
        });
        replies.sum()
    }))
}

/// Taking a pack from the database: its copy and its check.
fn check(name: &'static str) -> Case {
    let pack = packs::pack(7, packs::TYPICAL_ROWS);
    Case::new(name, 1, move || {
        let copy = pack.as_bytes().to_vec();
        OwnedPack::parse_for(7, copy).map_or(0, |pack| pack.as_bytes().len())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_answers_all_its_requests() {
        for name in NAMES {
            let mut case = case(name).unwrap();
            let first = case.pass();
            assert!(first as u64 > case.requests, "{name}");
            assert_eq!(case.pass(), first, "{name}: a pass leaves no trace");
        }
        assert!(case("none").is_err());
    }
}
