//! Known answers; see `data/README.md` for where they come from.

#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use std::path::{Path, PathBuf};

use blockchain_core::{Scratch, respond};
use serde_json::{Value, json};

#[path = "support/packing.rs"]
mod packing;

fn check(line: &str, scratch: &mut Scratch) {
    let vector: Value = serde_json::from_str(line).unwrap();
    let id = vector["id"].as_str().unwrap();
    let cc = vector["cc"].as_str().unwrap();
    let mut out = b"team,account\n".to_vec();
    let result = respond(cc.as_bytes(), scratch, &mut out);
    let payload = out.strip_prefix(b"team,account\n").unwrap();
    match vector["expect"].as_str().unwrap() {
        "CHAIN" => {
            assert_eq!(result, Ok(()), "{id}");
            let text = packing::unpack(payload);
            let reply: Value = serde_json::from_str(&text).unwrap();
            let mut chain = vector["request"]["chain"].as_array().unwrap().clone();
            if let Some(block) = vector.get("expect_new_block") {
                chain.push(block.clone());
                assert_eq!(reply, json!({ "chain": chain }), "{id}");
            } else {
                let blocks = reply["chain"].as_array().unwrap();
                assert_eq!(blocks.split_last().unwrap().1, chain, "{id}");
            }
            if vector["payload_bytes_exact"] == true {
                let sample = vector["sample_payload"].as_str().unwrap();
                assert_eq!(text, packing::unpack(sample.as_bytes()), "{id}");
            }
        }
        "INVALID" => {
            let reason = result.expect_err(id);
            assert!(payload.is_empty(), "{id}");
            if let Some(rule) = vector["rule"].as_str() {
                assert_eq!(reason.code(), rule, "{id}");
            }
        }
        other => panic!("{id} expects {other}"),
    }
}

fn check_file(path: &Path) -> usize {
    let lines = std::fs::read_to_string(path).unwrap();
    let mut scratch = Scratch::default();
    lines.lines().map(|line| check(line, &mut scratch)).count()
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

#[test]
fn answers_valid_requests() {
    assert_eq!(check_file(&data("generated_valid.jsonl")), 120);
}

#[test]
fn answers_long_chains() {
    assert_eq!(check_file(&data("generated_long.jsonl")), 12);
}

#[test]
fn refuses_invalid_requests_for_the_broken_rule() {
    assert_eq!(check_file(&data("generated_invalid.jsonl")), 154);
}

#[test]
fn decides_edge_cases() {
    assert_eq!(check_file(&data("edge_cases.jsonl")), 45);
}

#[test]
fn answers_published_samples() {
    let folder = std::env::var_os("TRIPOD_VECTORS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors"),
        PathBuf::from,
    );
    let path = folder.join("blockchain/public_samples.jsonl");
    if !path.exists() {
        assert_ne!(
            std::env::var("CI").as_deref(),
            Ok("true"),
            "{} is absent",
            path.display()
        );
        eprintln!("SKIPPED: {} is absent; set TRIPOD_VECTORS", path.display());
        return;
    }
    assert!(check_file(&path) > 0);
}
