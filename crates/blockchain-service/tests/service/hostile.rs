//! The costliest and the strangest requests: each gets the contract's answer, and others are served
//! meanwhile.

use serde_json::json;
use service_kit::testing::wait_until;

use crate::chain::{HEAD, first_request, pack, pack_text, payload, unpack};
use crate::start;

/// Asks with a packed text and gives the payload.
fn ask(service: &service_kit::testing::Running, cc: &str, what: &str) -> String {
    payload(&service.get(&format!("/blockchain?cc={cc}")), what)
}

/// A request for one more block onto a reply's chain, with a target that one of a million hashes meets:
/// tens of milliseconds, on the compute pool.
fn hard_request(reply: &str) -> serde_json::Value {
    let mut request = unpack(reply.strip_prefix(HEAD).expect("a chain"));
    request["new_tx"] = json!([]);
    request["new_target"] = json!("00001");
    request
}

#[test]
fn zip_bombs_stop_at_the_limit() {
    let service = start(&[("WORKERS", "1")]);
    // Deflate shrinks by a thousand at most, so this is nearly all that 60,000 characters can hold.
    for byte in [b' ', b'[', 0] {
        let bomb = pack_text(&vec![byte; 40 << 20]);
        assert!((50_000..60_000).contains(&bomb.len()), "{}", bomb.len());
        assert_eq!(ask(&service, &bomb, "a bomb"), "INVALID");
    }
    let limit = "blockchain_invalid_total{reason=\"E8-limit\"}";
    assert!((service.metric(limit) - 3.0).abs() < f64::EPSILON);
}

#[test]
fn json_of_any_depth_is_refused_without_a_stack_overflow() {
    let service = start(&[("WORKERS", "1")]);
    for open in ["[", "{\"chain\":", "{\"chain\":[", "[[[[{\"a\":"] {
        let deep = open.repeat((1 << 20) / open.len() - 1);
        assert_eq!(
            ask(&service, &pack_text(deep.as_bytes()), open),
            "INVALID",
            "{open}"
        );
    }
    let inside = format!(
        "{{\"chain\":{}{}}}",
        "[".repeat(500_000),
        "]".repeat(500_000)
    );
    assert_eq!(
        ask(&service, &pack_text(inside.as_bytes()), "inside"),
        "INVALID"
    );
}

#[test]
fn zero_bytes_and_broken_texts_are_invalid() {
    let service = start(&[]);
    for cc in [
        "%00",
        "%00%00%00%00",
        "eJ%00",
        "%FF",
        "=",
        "====",
        "A===",
        "%",
        "%4",
        "eJw",
        "eJwDAAAAAAE=",
    ] {
        assert_eq!(ask(&service, cc, cc), "INVALID", "{cc}");
    }
    for text in [&b"\0"[..], b"", b"null", b"\xff", b"{}", b"\"\\ud800\""] {
        assert_eq!(ask(&service, &pack_text(text), "a text"), "INVALID");
    }
}

#[test]
fn the_hardest_target_is_mined_while_others_are_served() {
    let service = start(&[("WORKERS", "1"), ("REQUEST_DEADLINE_MS", "600000")]);
    let easy = first_request("generated_valid.jsonl");
    let known = service.get(&format!("/blockchain?cc={easy}")).text();
    let mut request = hard_request(&known);
    let hard = pack(&request);
    let mut connections: Vec<_> = (0..3).map(|_| service.connect()).collect();
    for connection in &mut connections {
        connection
            .send(format!("GET /blockchain?cc={hard} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes());
    }
    for _ in 0..50 {
        assert_eq!(service.get(&format!("/blockchain?cc={easy}")).text(), known);
    }
    for connection in &mut connections {
        let answer = connection.reply().expect("a whole reply");
        let chain = unpack(&payload(&answer, "hard"));
        let block = chain["chain"].as_array().and_then(|chain| chain.last());
        let hash = block.and_then(|block| block["hash"].as_str());
        assert!(hash.is_some_and(|hash| hash < "00001"), "{hash:?}");
    }
    // Harder is not allowed.
    request["new_target"] = json!("00000fff");
    assert_eq!(ask(&service, &pack(&request), "too hard"), "INVALID");
}

#[test]
fn a_chain_of_two_hundred_blocks_is_answered() {
    let service = start(&[("WORKERS", "1"), ("REQUEST_DEADLINE_MS", "600000")]);
    let mut cc = first_request("generated_valid.jsonl");
    let mut blocks = 0;
    // Each reply is the next request.
    while blocks < 200 {
        let answer = service.get(&format!("/blockchain?cc={cc}"));
        let mut request = unpack(&payload(&answer, "a chain"));
        blocks = request["chain"].as_array().map_or(0, Vec::len);
        request["new_target"] = json!("1");
        request["new_tx"] = json!([]);
        cc = pack(&request);
    }
}

#[test]
fn a_right_request_whose_time_is_over_is_503_and_never_invalid() {
    let service = start(&[("WORKERS", "1"), ("REQUEST_DEADLINE_MS", "600000")]);
    let easy = first_request("generated_valid.jsonl");
    let known = service.get(&format!("/blockchain?cc={easy}")).text();
    let hard = pack(&hard_request(&known));
    let mut connection = service.connect();
    wait_until("one takes longer than it may", || {
        let field = "X-Request-Timeout-Ms: 1";
        let text = format!("GET /blockchain?cc={hard} HTTP/1.1\r\nHost: test\r\n{field}\r\n\r\n");
        connection.send(text.as_bytes());
        let answer = connection.reply().expect("a whole reply");
        if answer.status == 503 {
            assert_eq!(answer.header("retry-after"), Some("1"));
            return true;
        }
        assert_ne!(payload(&answer, "hard"), "INVALID");
        false
    });
    assert_ne!(ask(&service, &hard, "with time"), "INVALID");
}
