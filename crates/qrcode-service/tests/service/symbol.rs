//! The contract: every known request, with its reply to the byte.

use std::path::{Path, PathBuf};

use service_kit::testing::{Answer, Connection, public_vectors};

use crate::start;

fn assert_contract(answer: &Answer, payload: &str, what: &str) {
    assert_eq!(answer.status, 200, "{what}");
    assert_eq!(answer.header("content-type"), Some("text/plain"), "{what}");
    assert_eq!(
        answer.text(),
        format!("TEAMID,AWSACCOUNT\n{payload}"),
        "{what}"
    );
}

/// Asks all requests of a file on one connection and gives their number.
fn check_file(connection: &mut Connection, path: &Path) -> usize {
    let text = std::fs::read_to_string(path).expect("vectors are readable");
    for line in text.lines() {
        let vector: serde_json::Value = serde_json::from_str(line).expect("vectors are JSON");
        let field = |name: &str| vector[name].as_str().expect("vectors have strings");
        let answer = connection.get(field("request"));
        assert_contract(&answer, field("reply"), field("id"));
    }
    text.lines().count()
}

fn data(file: &str) -> PathBuf {
    let core = Path::new(env!("CARGO_MANIFEST_DIR")).join("../qrcode-core/tests/data");
    core.join(file)
}

#[test]
fn answers_every_known_request() {
    let service = start(&[]);
    let mut connection = service.connect();
    for (file, lines) in [
        ("lengths.jsonl", 60),
        ("characters.jsonl", 103),
        ("placements.jsonl", 832),
        ("forms.jsonl", 11),
        ("invalid.jsonl", 48),
        ("random_encode.jsonl", 300),
        ("random_decode.jsonl", 300),
    ] {
        assert_eq!(check_file(&mut connection, &data(file)), lines, "{file}");
    }
}

#[test]
fn answers_every_published_request() {
    let Some(path) = public_vectors("qrcode/public_requests.jsonl") else {
        return;
    };
    assert_eq!(check_file(&mut start(&[]).connect(), &path), 12);
}

#[test]
fn the_first_line_is_made_of_the_settings() {
    let service = start(&[("TEAM_ID", "The Team"), ("AWS_ACCOUNT_ID", "123456789012")]);
    let answer = service.get("/qrcode?type=decode&data=");
    assert_eq!(answer.text(), "The Team,123456789012\nINVALID");
}

#[test]
fn counts_invalid_requests_by_reason() {
    let service = start(&[]);
    assert_contract(&service.get("/qrcode"), "INVALID", "no query");
    assert_contract(
        &service.get("/qrcode?type=encode&data=%0A"),
        "INVALID",
        "newline",
    );
    for reason in ["type", "encode_character"] {
        let name = format!("qrcode_invalid_total{{reason=\"{reason}\"}}");
        assert!((service.metric(&name) - 1.0).abs() < f64::EPSILON, "{name}");
    }
    let invalid = service.metric("qrcode_requests_total{outcome=\"invalid\"}");
    assert!((invalid - 2.0).abs() < f64::EPSILON);
}

#[test]
fn a_target_over_16_kib_is_414() {
    let service = start(&[]);
    let target = |length: usize| format!("/qrcode?{}", "a".repeat(length - 8));
    assert_eq!(service.get(&target(16 * 1024)).status, 200);
    assert_eq!(service.get(&target(16 * 1024 + 1)).status, 414);
}
