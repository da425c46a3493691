//! The requests that are sent.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use blockchain_core::{Request, Unpacker};
use libdeflater::{CompressionLvl, Compressor};
use serde_json::Value;

/// Valid requests that lie in the repository; their new targets are those of the published ones.
const GENERATED: &str =
    include_str!("../../crates/blockchain-core/tests/data/generated_valid.jsonl");
const ENCODE: &str = include_str!("../../crates/qrcode-core/tests/data/random_encode.jsonl");
const DECODE: &str = include_str!("../../crates/qrcode-core/tests/data/random_decode.jsonl");

/// Packed requests with how hard they are.
#[derive(Clone, Debug)]
pub struct Chains {
    /// Values of `cc`.
    pub packed: Vec<String>,
    /// Tries that their answers take on average.
    pub mean_tries: f64,
}

/// Tries that a request of the published mix takes on average.
const PUBLISHED_TRIES: f64 = 21.0;

/// The published mix: the requests that teams made public, if the folder of vectors has them, and
/// the generated ones of the same shape, less those that make the mean of the tries differ by over a
/// hundredth from that of the whole published mix. A few hard ones among eleven would.
///
/// # Errors
///
/// When the vectors are garbled.
pub fn published(vectors: Option<&Path>) -> Result<Chains> {
    let file = vectors.map(|folder| folder.join("blockchain/public_samples.jsonl"));
    let text = file.and_then(|file| fs::read_to_string(file).ok());
    let mut all = valid(text.as_deref().unwrap_or_default())?;
    all.extend(valid(GENERATED)?);
    of_mean(all, PUBLISHED_TRIES)
}

/// The generated requests in the repository.
///
/// # Errors
///
/// When they are garbled.
pub fn generated() -> Result<Chains> {
    chains(valid(GENERATED)?)
}

/// The generated requests with another new target, less those that make the mean of the tries
/// differ from what the target asks for by over a hundredth.
///
/// # Errors
///
/// When the requests are garbled.
pub fn with_target(target: &str) -> Result<Chains> {
    let mut hard = Vec::new();
    for packed in valid(GENERATED)? {
        let text = unpack(&packed)?;
        let mut value: Value = serde_json::from_str(&text)?;
        value["new_target"] = target.into();
        hard.push(pack(&value.to_string()));
    }
    of_mean(hard, expected_tries(target))
}

/// Leaves out, one by one, what brings the mean of the tries nearest to the goal, until it is within
/// a hundredth of it or few are left.
fn of_mean(packed: Vec<String>, goal: f64) -> Result<Chains> {
    let found = packed
        .into_iter()
        .map(|packed| Ok((tries(&packed)?, packed)));
    let mut found = found.collect::<Result<Vec<(f64, String)>>>()?;
    loop {
        let mean = mean(found.iter().map(|(tries, _)| *tries));
        if (mean / goal - 1.0).abs() <= 0.01 || found.len() < 32 {
            break;
        }
        let sum = mean * count(found.len());
        let without = |tries: f64| ((sum - tries) / count(found.len() - 1) - goal).abs();
        let worst = (0..found.len())
            .min_by(|a, b| without(found[*a].0).total_cmp(&without(found[*b].0)))
            .context("there are requests")?;
        found.swap_remove(worst);
    }
    chains(found.into_iter().map(|(_, packed)| packed).collect())
}

/// Targets of encode requests with random messages.
///
/// # Errors
///
/// When they are garbled.
pub fn encode() -> Result<Vec<String>> {
    strings(ENCODE, "request")
}

/// Targets of decode requests with random messages, places and noise.
///
/// # Errors
///
/// When they are garbled.
pub fn decode() -> Result<Vec<String>> {
    strings(DECODE, "request")
}

/// Inflates a packed request.
///
/// # Errors
///
/// When it breaks a rule.
pub fn unpack(packed: &str) -> Result<String> {
    Ok(Unpacker::new().unpack(packed.as_bytes())?.to_owned())
}

/// Compresses and encodes a request's text, as senders do.
///
/// # Panics
///
/// Never: the buffer has the size that the compressor asks for.
pub fn pack(text: &str) -> String {
    let mut compressor = Compressor::new(CompressionLvl::default());
    let mut stream = vec![0; compressor.zlib_compress_bound(text.len())];
    let len = compressor
        .zlib_compress(text.as_bytes(), &mut stream)
        .expect("the bound is kept");
    base64_simd::URL_SAFE.encode_to_string(&stream[..len])
}

fn expected_tries(target: &str) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "below 2^33")]
    let good = blockchain_core::target::good_hashes(target) as f64;
    f64::from(u32::MAX) / good
}

fn chains(packed: Vec<String>) -> Result<Chains> {
    let tries = packed.iter().map(|packed| tries(packed));
    let tries = tries.collect::<Result<Vec<f64>>>()?;
    ensure!(!tries.is_empty(), "no valid request");
    Ok(Chains {
        mean_tries: mean(tries.into_iter()),
        packed,
    })
}

fn tries(packed: &str) -> Result<f64> {
    let text = unpack(packed)?;
    let plan = Request::parse(&text)?.validate()?;
    let block = plan.extend()?;
    let pow: u32 = block.pow.parse()?;
    Ok(f64::from(pow) + 1.0)
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let len = count(values.len());
    values.sum::<f64>() / len
}

#[expect(clippy::cast_precision_loss, reason = "some hundred requests")]
fn count(len: usize) -> f64 {
    len as f64
}

fn valid(lines: &str) -> Result<Vec<String>> {
    let chains = objects(lines)?;
    let chains = chains.iter().filter(|vector| vector["expect"] == "CHAIN");
    Ok(chains
        .filter_map(|vector| Some(vector["cc"].as_str()?.to_owned()))
        .collect())
}

fn strings(lines: &str, key: &str) -> Result<Vec<String>> {
    let objects = objects(lines)?;
    let strings = objects.iter().map(|vector| vector[key].as_str());
    strings
        .map(|text| Ok(text.context("a vector without its request")?.to_owned()))
        .collect()
}

fn objects(lines: &str) -> Result<Vec<Value>> {
    lines
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_str(line).context("a garbled vector"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generated_requests_are_as_hard_as_published_ones() {
        let chains = generated().unwrap();
        assert_eq!(chains.packed.len(), 120);
        assert!(
            (15.0..40.0).contains(&chains.mean_tries),
            "{}",
            chains.mean_tries
        );
    }

    #[test]
    fn the_published_mix_has_its_mean() {
        let chains = published(None).unwrap();
        assert!(chains.packed.len() >= 100, "{}", chains.packed.len());
        assert!((chains.mean_tries / PUBLISHED_TRIES - 1.0).abs() < 0.02);
    }

    #[test]
    fn a_hard_target_is_met_on_average() {
        let chains = with_target("007").unwrap();
        assert!(chains.packed.len() >= 32);
        assert!((chains.mean_tries / 585.0 - 1.0).abs() < 0.02);
    }

    #[test]
    fn every_symbol_vector_has_a_request() {
        assert!(encode().unwrap().len() >= 100);
        assert!(decode().unwrap().iter().all(|t| t.starts_with("/qrcode?")));
    }
}
