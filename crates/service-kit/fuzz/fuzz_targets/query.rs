//! Any bytes as a query, against a plain second reading of the rules.

#![no_main]

use libfuzzer_sys::fuzz_target;
use service_kit::request::Query;

/// Percent-decoding, a byte at a time.
fn decode(raw: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < raw.len() {
        match raw[at] {
            b'+' => decoded.push(b' '),
            b'%' => {
                let digits = raw.get(at + 1..at + 3)?;
                if !digits.iter().all(u8::is_ascii_hexdigit) {
                    return None;
                }
                let text = std::str::from_utf8(digits).ok()?;
                decoded.push(u8::from_str_radix(text, 16).ok()?);
                at += 2;
            }
            byte => decoded.push(byte),
        }
        at += 1;
    }
    Some(decoded)
}

/// The first item of this name; its value, or that it is broken.
fn first(query: &[u8], name: &[u8]) -> Option<Option<Vec<u8>>> {
    query
        .split(|byte| *byte == b'&')
        .filter(|item| !item.is_empty())
        .map(|item| {
            let mut halves = item.splitn(2, |byte| *byte == b'=');
            let name = halves.next().unwrap_or_default();
            (name, halves.next().unwrap_or_default())
        })
        .find(|(key, _)| decode(key).as_deref() == Some(name))
        .map(|(_, value)| decode(value))
}

fuzz_target!(|query: &[u8]| {
    let names = ["type", "data", "cc", "a"];
    for (name, found) in names.iter().zip(Query(query).first(names)) {
        let found = found.map(|value| value.decode().ok().map(|value| value.into_owned()));
        assert_eq!(found, first(query, name.as_bytes()), "{name}");
    }
});
