//! The contract: every known request, and what lies around it.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use service_kit::testing::{Answer, Connection, public_vectors};

use crate::start;

pub(crate) const HEAD: &str = "TEAMID,AWSACCOUNT\n";

/// The second line of the body.
pub(crate) fn payload(answer: &Answer, what: &str) -> String {
    assert_eq!(answer.status, 200, "{what}");
    assert_eq!(answer.header("content-type"), Some("text/plain"), "{what}");
    let text = answer.text();
    let payload = text.strip_prefix(HEAD).expect("the first line");
    assert!(!payload.contains('\n'), "{what}");
    payload.to_owned()
}

pub(crate) fn unpack(payload: &str) -> Value {
    let stream = base64_simd::URL_SAFE
        .decode_to_vec(payload.as_bytes())
        .expect("padded base64");
    let mut text = String::new();
    #[expect(clippy::disallowed_methods, reason = "the test's own reply")]
    let mut inflated = flate2::read::ZlibDecoder::new(stream.as_slice());
    inflated
        .read_to_string(&mut text)
        .expect("a zlib stream of UTF-8");
    serde_json::from_str(&text).expect("JSON")
}

/// Asks all requests of a file on one connection and gives their number.
fn check_file(connection: &mut Connection, path: &Path) -> usize {
    let text = std::fs::read_to_string(path).expect("vectors are readable");
    for line in text.lines() {
        let vector: Value = serde_json::from_str(line).expect("vectors are JSON");
        let id = vector["id"].as_str().expect("an id");
        let cc = vector["cc"].as_str().expect("a request");
        let payload = payload(&connection.get(&format!("/blockchain?cc={cc}")), id);
        match vector["expect"].as_str() {
            Some("INVALID") => assert_eq!(payload, "INVALID", "{id}"),
            Some("CHAIN") => {
                let reply = unpack(&payload);
                let chain = reply["chain"].as_array().expect("a chain");
                assert_eq!(reply.as_object().map(serde_json::Map::len), Some(1), "{id}");
                let (block, rest) = chain.split_last().expect("a new block");
                let asked = vector["request"]["chain"].as_array().expect("a chain");
                assert_eq!(rest, asked.as_slice(), "{id}");
                if let Some(expected) = vector.get("expect_new_block") {
                    assert_eq!(block, expected, "{id}");
                }
                if let Some(sample) = vector["sample_payload"].as_str() {
                    assert_eq!(reply, unpack(sample), "{id}");
                }
            }
            other => panic!("{id}: {other:?}"),
        }
    }
    text.lines().count()
}

fn data(file: &str) -> PathBuf {
    let core = Path::new(env!("CARGO_MANIFEST_DIR")).join("../blockchain-core/tests/data");
    core.join(file)
}

/// The request of the first line of a file.
pub(crate) fn first_request(file: &str) -> String {
    requests(file).swap_remove(0)
}

/// All requests of a file.
pub(crate) fn requests(file: &str) -> Vec<String> {
    let text = std::fs::read_to_string(data(file)).expect("vectors are readable");
    let request = |line| {
        let vector: Value = serde_json::from_str(line).expect("JSON");
        vector["cc"].as_str().expect("a request").to_owned()
    };
    text.lines().map(request).collect()
}

#[test]
fn answers_every_known_request() {
    let service = start(&[]);
    let mut connection = service.connect();
    for (file, lines) in [
        ("generated_valid.jsonl", 120),
        ("generated_long.jsonl", 12),
        ("generated_invalid.jsonl", 154),
        ("edge_cases.jsonl", 45),
    ] {
        assert_eq!(check_file(&mut connection, &data(file)), lines, "{file}");
    }
}

#[test]
fn answers_every_published_request() {
    let Some(path) = public_vectors("blockchain/public_samples.jsonl") else {
        return;
    };
    assert_eq!(check_file(&mut start(&[]).connect(), &path), 29);
}

#[test]
fn a_reply_sent_back_is_valid_again() {
    let service = start(&[]);
    let mut cc = first_request("generated_valid.jsonl");
    for _ in 0..5 {
        let answer = service.get(&format!("/blockchain?cc={cc}"));
        let mut request = unpack(&payload(&answer, "a longer chain"));
        request["new_target"] = json!("1");
        request["new_tx"] = json!([]);
        cc = pack(&request);
    }
}

pub(crate) fn pack(request: &Value) -> String {
    pack_text(request.to_string().as_bytes())
}

/// Packs bytes that need not be a request.
pub(crate) fn pack_text(text: &[u8]) -> String {
    use std::io::Write as _;
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text).expect("writing to memory");
    let stream = encoder.finish().expect("writing to memory");
    base64_simd::URL_SAFE.encode_to_string(stream)
}

#[test]
fn the_query_is_read_as_on_every_path() {
    let service = start(&[]);
    let cc = first_request("generated_valid.jsonl");
    let plain = service.get(&format!("/blockchain?cc={cc}")).text();
    assert_ne!(plain, format!("{HEAD}INVALID"));
    let escaped = cc.replace('=', "%3D").replace('e', "%65");
    for query in [
        format!("cc={escaped}"),
        format!("x=1&cc={cc}&y"),
        format!("cc={cc}&cc=no"),
        format!("&&cc={cc}&%zz"),
    ] {
        let answer = service.get(&format!("/blockchain?{query}"));
        assert_eq!(answer.text(), plain, "{query}");
    }
    for query in [
        String::new(),
        "cc".to_owned(),
        "cc=".to_owned(),
        format!("cc=&cc={cc}"),
        format!("cc=%zz{cc}"),
        format!("CC={cc}"),
    ] {
        let answer = service.get(&format!("/blockchain?{query}"));
        assert_eq!(payload(&answer, &query), "INVALID");
    }
}

#[test]
fn the_limits_meet_without_a_gap() {
    let service = start(&[]);
    let target = |length: usize| format!("/blockchain?cc={}", "A".repeat(length - 15));
    for length in [60_000, 60_015, 60_016, 65_000] {
        let answer = service.get(&target(length));
        assert_eq!(payload(&answer, "below the limit"), "INVALID");
    }
    for length in [65_001, 65_535, 66_000, 100_000] {
        assert_eq!(service.get(&target(length)).status, 414, "{length}");
    }
}

#[test]
fn heavy_requests_leave_the_worker() {
    let service = start(&[("WORKERS", "1")]);
    let text = std::fs::read_to_string(data("edge_cases.jsonl")).expect("vectors");
    let line = text
        .lines()
        .find(|line| line.contains("\"edge-target-0001\""))
        .expect("the hard target");
    let vector: Value = serde_json::from_str(line).expect("JSON");
    let cc = vector["cc"].as_str().expect("a request");
    let answer = service.get(&format!("/blockchain?cc={cc}"));
    assert_ne!(payload(&answer, "hard"), "INVALID");
    let heavy = service.metric("blockchain_requests_total{outcome=\"mined_heavy\"}");
    assert!((heavy - 1.0).abs() < f64::EPSILON);
}

#[test]
fn counts_invalid_requests_by_the_rule_they_break() {
    let service = start(&[]);
    service.get("/blockchain");
    service.get("/blockchain?cc=*");
    for reason in ["E1-missing", "E2-base64"] {
        let name = format!("blockchain_invalid_total{{reason=\"{reason}\"}}");
        assert!((service.metric(&name) - 1.0).abs() < f64::EPSILON, "{name}");
    }
}

#[test]
fn a_level_of_compression_changes_bytes_and_not_content() {
    let cc = first_request("generated_long.jsonl");
    let ask = |level: &str| {
        let service = start(&[("DEFLATE_LEVEL", level)]);
        payload(&service.get(&format!("/blockchain?cc={cc}")), level)
    };
    let (fast, small) = (ask("fast"), ask("9"));
    assert_eq!(unpack(&fast), unpack(&small));
    assert!(small.len() < fast.len());
}
