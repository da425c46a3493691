//! Known answers, made by a second implementation or found in public code.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use qrcode_core::{Field, Message, Symbol, decode, encode};
use serde_json::Value;

/// Lines of `invalid.jsonl` that fail before this crate sees any bytes: no or a
/// wrong `type`, no `data`, a broken escape. The socket tests of the service run
/// them; here they are only counted, so that none is lost between the two.
const LEFT_TO_THE_SERVICE: [(&str, &str); 10] = [
    ("invalid-0", "no query"),
    ("invalid-1", "no type"),
    ("invalid-2", "empty type"),
    ("invalid-3", "type is case sensitive"),
    ("invalid-4", "unknown type"),
    ("invalid-5", "no data"),
    ("invalid-6", "no data"),
    ("invalid-12", "cut escape"),
    ("invalid-13", "cut escape"),
    ("invalid-14", "bad escape"),
];

#[test]
fn lengths() {
    assert_eq!(run(&committed("lengths.jsonl")), 60);
}

#[test]
fn characters() {
    assert_eq!(run(&committed("characters.jsonl")), 103);
}

#[test]
fn forms() {
    assert_eq!(run(&committed("forms.jsonl")), 11);
}

#[test]
fn random_encode() {
    assert_eq!(run(&committed("random_encode.jsonl")), 300);
}

#[test]
fn random_decode() {
    assert_eq!(run(&committed("random_decode.jsonl")), 300);
}

#[test]
fn placements() {
    let lines = committed("placements.jsonl");
    assert_eq!(run(&lines), 832);
    // Not only the message: the symbol is found where it was put, and drawing
    // it there again changes nothing.
    for line in &lines {
        let (_, data) = query(text(line, "request"));
        let data = data.expect("the line has data");
        let field = Field::parse(&data).expect("the image is sound");
        let found = field.locate().expect("the image shows a symbol");
        let place = format!(
            "side {} row {} col {} rotation {}",
            found.version().side(),
            found.row(),
            found.col(),
            found.turn().degrees()
        );
        assert_eq!(place, text(line, "note"));

        let message =
            Message::try_from(text(line, "reply").as_bytes()).expect("the reply is a message");
        let symbol = Symbol::with_version(&message, found.version()).expect("the message fits");
        let mut again = field;
        assert_eq!(
            again.place(&symbol, found.row(), found.col(), found.turn()),
            Some(found)
        );
        assert_eq!(again, field);
        let mut words = Vec::new();
        again.write_words(&mut words);
        assert_eq!(words, data);
    }
}

#[test]
fn invalid() {
    let mut left = Vec::new();
    let mut run = 0;
    for line in committed("invalid.jsonl") {
        assert_eq!(text(&line, "reply"), "INVALID");
        match query(text(&line, "request")) {
            (Some(kind), Some(data)) if kind == b"encode" || kind == b"decode" => {
                assert_eq!(reply(&kind, &data), b"INVALID", "{}", text(&line, "id"));
                run += 1;
            }
            _ => left.push((text(&line, "id").to_owned(), text(&line, "note").to_owned())),
        }
    }
    let expected = LEFT_TO_THE_SERVICE.map(|(id, note)| (id.to_owned(), note.to_owned()));
    assert_eq!(left, expected);
    assert_eq!((run, left.len()), (38, 10));
}

#[test]
fn public_requests() {
    if let Some(lines) = public("public_requests.jsonl") {
        assert_eq!(run(&lines), 12);
    }
}

#[test]
fn public_stages() {
    let Some(lines) = public("public_stages.jsonl") else {
        return;
    };
    assert_eq!(lines.len(), 4);
    for line in &lines {
        let message = Message::try_from(text(line, "message").as_bytes()).expect("a message");
        let symbol = Symbol::new(&message);
        match text(line, "stage") {
            "unmasked_words" => assert_eq!(unmasked_words(&symbol), text(line, "value")),
            "payload_bytes" => {
                let bytes = numbers(&line["value"]);
                assert_eq!(payload_bytes(&symbol, bytes.len()), bytes);
            }
            "keystream_bytes" => {
                // A light field shows the mask itself.
                let mut words = Vec::new();
                Field::default().write_words(&mut words);
                let expected: Vec<String> = numbers(&line["value"])
                    .chunks_exact(4)
                    .map(|key| u32::from_le_bytes([key[0], key[1], key[2], key[3]]).reverse_bits())
                    .map(|word| format!("{word:#x}"))
                    .collect();
                assert_eq!(words, expected.concat().as_bytes());
            }
            other => panic!("unknown stage {other}"),
        }
    }
}

/// Runs request lines and says how many there were.
fn run(lines: &[Value]) -> usize {
    for line in lines {
        let (kind, data) = query(text(line, "request"));
        let kind = kind.expect("the line has a type");
        let data = data.expect("the line has data");
        assert_eq!(
            String::from_utf8_lossy(&reply(&kind, &data)),
            text(line, "reply"),
            "{}",
            text(line, "id")
        );
    }
    lines.len()
}

/// What a service puts into the second line of its reply.
fn reply(kind: &[u8], data: &[u8]) -> Vec<u8> {
    let reply = match kind {
        b"encode" => Message::try_from(data).ok().map(|message| {
            let mut words = Vec::new();
            encode(&message, &mut words);
            words
        }),
        b"decode" => decode(data).ok().map(|message| message.as_bytes().to_vec()),
        _ => None,
    };
    reply.unwrap_or_else(|| b"INVALID".to_vec())
}

/// `type` and `data` of a request target, percent-decoded by the letter of the
/// contract; `None` if missing or malformed.
fn query(target: &str) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
    let items = target.split_once('?').map_or("", |(_, query)| query);
    let value = |name: &str| {
        let items = items
            .split('&')
            .map(|item| item.split_once('=').unwrap_or((item, "")));
        let mut values = items
            .filter(|(key, _)| *key == name)
            .map(|(_, value)| value);
        values.next().and_then(percent_decode)
    };
    (value("type"), value("data"))
}

fn percent_decode(value: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::new();
    let mut bytes = value.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let high = char::from(bytes.next()?).to_digit(16)?;
                let low = char::from(bytes.next()?).to_digit(16)?;
                u8::try_from(16 * high + low).expect("two hex digits fit a byte")
            }
            other => other,
        });
    }
    Some(decoded)
}

/// The plain cells of a symbol in groups of 32, printed like a reply.
fn unmasked_words(symbol: &Symbol) -> String {
    let side = symbol.side();
    let cells: Vec<bool> = (0..side * side)
        .map(|k| symbol.is_dark(k / side, k % side))
        .collect();
    let words: Vec<String> = cells
        .chunks(32)
        .map(|group| {
            group
                .iter()
                .fold(0_u32, |word, &dark| word << 1 | u32::from(dark))
        })
        .map(|word| format!("{word:#x}"))
        .collect();
    words.concat()
}

/// The first payload bytes of a version 1 symbol: its three rightmost column
/// pairs, which are free from row 8 to row 20.
fn payload_bytes(symbol: &Symbol, count: usize) -> Vec<u8> {
    let up = (8..21).rev().map(|row| (row, 20));
    let down = (8..21).map(|row| (row, 18));
    let up_again = (8..21).rev().map(|row| (row, 16));
    let bits: Vec<bool> = up
        .chain(down)
        .chain(up_again)
        .flat_map(|(row, col)| [symbol.is_dark(row, col), symbol.is_dark(row, col - 1)])
        .collect();
    assert!(count * 8 <= bits.len(), "longer than these columns");
    bits.chunks_exact(8)
        .take(count)
        .map(|bits| bits.iter().fold(0, |byte, &bit| byte << 1 | u8::from(bit)))
        .collect()
}

fn committed(name: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name);
    lines(&std::fs::read_to_string(path).expect("the file is part of the repository"))
}

/// Lines of a file that is not part of the repository.
fn public(name: &str) -> Option<Vec<Value>> {
    let folder = std::env::var_os("TRIPOD_VECTORS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors"),
        PathBuf::from,
    );
    match std::fs::read_to_string(folder.join("qrcode").join(name)) {
        Ok(content) => Some(lines(&content)),
        Err(error) => {
            let ci = std::env::var_os("CI").is_some_and(|value| value == "true");
            assert!(
                !ci,
                "{name}: {error}; set TRIPOD_VECTORS to the folder that holds qrcode/{name}"
            );
            // Written past the capture of the test harness, which would hide it.
            let _ = writeln!(
                std::io::stderr(),
                "SKIPPED qrcode-core vectors: {name}: {error}; set TRIPOD_VECTORS to run them"
            );
            None
        }
    }
}

fn lines(content: &str) -> Vec<Value> {
    content
        .lines()
        .map(|line| serde_json::from_str(line).expect("every line is a JSON object"))
        .collect()
}

fn text<'a>(line: &'a Value, key: &str) -> &'a str {
    line[key]
        .as_str()
        .unwrap_or_else(|| panic!("{key} in {line}"))
}

fn numbers(value: &Value) -> Vec<u8> {
    let values = value.as_array().expect("an array").iter();
    values
        .map(|value| u8::try_from(value.as_u64().expect("a number")).expect("a byte"))
        .collect()
}
