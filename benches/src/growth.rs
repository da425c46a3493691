//! Time against size: is it linear?

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use blockchain_core::{Compression, Request, Scratch};
use serde_json::{Value, json};
use twitter_core::query::{Query, RawQuery};
use twitter_core::rank::Scratch as RankScratch;
use twitter_core::render;

use crate::{corpus, packs};

/// Sizes in units of the typical one.
const FACTORS: [usize; 10] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];
/// Each size is timed for this long, and the quickest of as many runs taken.
const SLICE: Duration = Duration::from_millis(40);
/// But no fewer: on a busy machine a single run may take as long as that, most of it waiting.
const LEAST_RUNS: u32 = 25;
/// Payments in a block of a long chain.
const PAYMENTS: usize = 40;

/// Both curves: the size in bytes (of the request's text, of the pack) and the microseconds.
///
/// # Errors
///
/// When the requests in the repository are garbled.
pub fn measure() -> Result<Value> {
    Ok(json!({ "blockchain": blockchain()?, "twitter": twitter()? }))
}

/// Parse, check, extend and pack, for texts of up to a thousand times the usual size; with the
/// unpacking too, as long as a packed request may be.
fn blockchain() -> Result<Vec<Value>> {
    let chains = corpus::generated()?;
    let texts = chains.packed.iter().map(|packed| corpus::unpack(packed));
    let texts = texts.collect::<Result<Vec<String>>>()?;
    let typical = texts.iter().map(String::len).sum::<usize>() / texts.len();
    let mut chain = LongChain::new()?;
    let mut scratch = Scratch::new(Compression::FAST);
    let mut points = Vec::new();
    for factor in FACTORS {
        let text = chain.grow_to(typical * factor)?;
        let mut out = Vec::new();
        let micros = quickest(|| {
            out.clear();
            let plan = Request::parse(&text).and_then(Request::validate);
            let replied = plan.and_then(|plan| plan.reply(&mut scratch.packer, &mut out));
            replied.map_or(0, |()| out.len())
        });
        let packed = corpus::pack(&text);
        let whole = (packed.len() <= blockchain_core::wire::MAX_PACKED_LEN).then(|| {
            quickest(|| {
                out.clear();
                let replied = blockchain_core::respond(packed.as_bytes(), &mut scratch, &mut out);
                replied.map_or(0, |()| out.len())
            })
        });
        points.push(json!({
            "factor": factor,
            "bytes": text.len(),
            "micros": micros,
            "micros_packed": whole,
        }));
    }
    Ok(points)
}

/// A chain of one block: the request in the docs of the core.
const FIRST: &str = "eJxFjssKgzAQRf_lrrOYvNDkV4pImqY1oLbYoAXx35uEYu9qOOfOMDv84OIMe9nhxrFPnzouwa-w\
    nEzTKkUkSBoGNyVYTb8wpDgFWHDdCi1I0T9gGNx7yFKYcPWNNDg6htdzy0jJrOMNls4WcdPedROy\
    SG55hFTO1pU5bP2JqBQqKV92xxfRVjOZ";

/// That chain and blocks of our own, with payments from our account, which the core signs.
struct LongChain {
    /// The blocks, without the brackets around them.
    blocks: String,
    /// Time of the last transaction.
    nanos: u64,
}

impl LongChain {
    fn new() -> Result<Self> {
        let text = corpus::unpack(FIRST)?;
        let blocks = text.strip_prefix(r#"{"chain":["#);
        let blocks = blocks.and_then(|rest| Some(rest.split_once("],\"new_t")?.0));
        let mut chain = Self {
            blocks: blocks
                .context("a request begins with its chain")?
                .to_owned(),
            nanos: 1_582_520_400_000_000_000,
        };
        // Earns what the payments of later blocks spend.
        chain.push(0)?;
        Ok(chain)
    }

    /// Appends blocks until a request about the chain has this many bytes, within a block.
    fn grow_to(&mut self, bytes: usize) -> Result<String> {
        // A payment has some 150 bytes.
        while self.blocks.len() + 300 < bytes {
            self.push(((bytes - self.blocks.len()) / 150).clamp(1, PAYMENTS))?;
        }
        Ok(self.request(0))
    }

    fn request(&mut self, payments: usize) -> String {
        let payments: Vec<String> = (0..payments)
            .map(|_| {
                self.nanos += 1_000_000;
                let nanos = self.nanos;
                format!(r#"{{"recv":831361201829,"amt":1,"time":"{nanos}"}}"#)
            })
            .collect();
        let (blocks, payments) = (&self.blocks, payments.join(","));
        format!(r#"{{"chain":[{blocks}],"new_target":"2","new_tx":[{payments}]}}"#)
    }

    fn push(&mut self, payments: usize) -> Result<()> {
        let reward = self.nanos + blockchain_core::validate::REWARD_INTERVAL_NANOS;
        let text = self.request(payments);
        let mut reply = Vec::new();
        Request::parse(&text)?.validate()?.reply_json(&mut reply)?;
        let reply = String::from_utf8(reply)?;
        let blocks = reply.strip_prefix(r#"{"chain":["#);
        let blocks = blocks.and_then(|rest| rest.strip_suffix("]}"));
        let blocks = blocks.context("a reply is a chain")?;
        blocks.clone_into(&mut self.blocks);
        self.nanos = reward;
        Ok(())
    }
}

/// Rank and render, for packs of up to a thousand times the usual rows.
fn twitter() -> Result<Vec<Value>> {
    let query = Query::parse(RawQuery {
        user_id: Some(b"7"),
        contact_type: Some(b"both"),
        phrase: Some(b"hello cc"),
        hashtag: Some(b"cloud"),
    })?;
    let mut scratch = RankScratch::default();
    let mut out = Vec::new();
    let points = FACTORS.map(|factor| {
        let rows = packs::TYPICAL_ROWS * factor;
        let pack = packs::pack(7, rows);
        let micros = quickest(|| {
            out.clear();
            let head = b"Tripod,000000000000";
            render::respond(&query, &pack.as_pack(), head, &mut out, &mut scratch);
            out.len()
        });
        let bytes = pack.as_bytes().len();
        json!({ "factor": factor, "rows": rows, "bytes": bytes, "micros": micros })
    });
    Ok(points.to_vec())
}

/// Microseconds of the quickest of many runs; others are what the machine adds.
fn quickest(mut run: impl FnMut() -> usize) -> f64 {
    let started = Instant::now();
    let mut least = Duration::MAX;
    let mut runs = 0;
    while runs < LEAST_RUNS || started.elapsed() < SLICE {
        runs += 1;
        let begun = Instant::now();
        assert_ne!(std::hint::black_box(run()), 0, "a request was refused");
        least = least.min(begun.elapsed());
    }
    least.as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_chain_stays_valid_and_has_the_wanted_size() {
        let mut chain = LongChain::new().unwrap();
        for bytes in [2_000, 40_000] {
            let text = chain.grow_to(bytes).unwrap();
            assert!(Request::parse(&text).unwrap().validate().is_ok());
            assert!(text.len().abs_diff(bytes) < 800, "{} {bytes}", text.len());
        }
    }
}
