//! Query strings: spelled in many ways, and read once more as slowly and literally as the contract
//! says.

use crate::{Choices, Storm, damage, run_against};

/// Bytes of a query that mean themselves, also to those who split it.
const PLAIN: &[u8] =
    b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~!$'()*,;:@/?";

/// A query of up to six items. Mostly each has one of the names, and a value that `value` gives for
/// it; spelling, order, repeats and what is broken are chosen. All bytes may stand in a request target.
pub fn text(
    choices: &mut Choices,
    names: &[&str],
    mut value: impl FnMut(&str, &mut Choices) -> Vec<u8>,
) -> Vec<u8> {
    let mut order: Vec<&str> = names.to_vec();
    for place in 1..order.len() {
        let other = choices.index(place + 1);
        order.swap(place, other);
    }
    let mut query = Vec::new();
    for name in &order {
        if choices.once_in(12) {
            continue;
        }
        if choices.once_in(6) {
            // Something before it: nothing, an unknown name, the same name, a broken name.
            match choices.below(4) {
                0 => {}
                1 => query.extend_from_slice(b"x=1"),
                2 => item(&mut query, name, &value(name, choices), choices),
                _ => {
                    let broken = choices.pick::<&[u8]>(&[b"%zz=1", b"%=", b"=", b"a%4"]);
                    query.extend_from_slice(broken);
                }
            }
            query.push(b'&');
        }
        item(&mut query, name, &value(name, choices), choices);
        query.push(b'&');
    }
    if !choices.once_in(4) {
        query.pop();
    }
    query
}

fn item(query: &mut Vec<u8>, name: &str, value: &[u8], choices: &mut Choices) {
    let mut name = name.as_bytes().to_vec();
    if choices.once_in(40) {
        damage(&mut name, choices);
    }
    if choices.once_in(40) {
        name.make_ascii_uppercase();
    }
    spell(query, &name, choices);
    if choices.once_in(40) {
        return;
    }
    query.push(b'=');
    let mut value = value.to_vec();
    if choices.once_in(10) {
        damage(&mut value, choices);
    }
    let start = query.len();
    spell(query, &value, choices);
    if choices.once_in(20) {
        // A broken escape.
        let place = start + choices.index(query.len() - start + 1);
        let broken: &[u8] = choices.pick::<&[u8]>(&[b"%", b"%4", b"%g0", b"%0G", b"%%41", b"%+1"]);
        query.splice(place..place, broken.iter().copied());
    }
}

/// Writes bytes so that decoding gives them back; how, is chosen.
fn spell(query: &mut Vec<u8>, bytes: &[u8], choices: &mut Choices) {
    let escaped = if choices.once_in(3) { 4 } else { 1_000 };
    for &byte in bytes {
        if byte == b' ' && !choices.once_in(3) {
            query.push(b'+');
        } else if PLAIN.contains(&byte) && !choices.once_in(escaped) {
            query.push(byte);
        } else {
            let text = if choices.once_in(2) {
                format!("%{byte:02x}")
            } else {
                format!("%{byte:02X}")
            };
            query.extend_from_slice(text.as_bytes());
        }
    }
}

/// Requests that are on their way at a time.
const BATCH: u64 = 32;

/// A query, and what the rules say about it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// As it is sent.
    pub query: Vec<u8>,
    /// The whole body of the reply; `None` for a query that is right, with a reply that is not known.
    pub body: Option<Vec<u8>>,
    /// What is wrong with the query.
    pub code: Option<&'static str>,
}

/// A storm against a running service: `make` gives queries, `ask` sends them on a connection and gives
/// the bodies of the replies, in their order.
///
/// # Panics
///
/// As [`run_against`], or when a reply is wrong.
pub fn against<C>(
    name: &'static str,
    usual: u64,
    process: u32,
    open: impl Fn() -> C + Sync,
    ask: impl Fn(&mut C, &[Vec<u8>]) -> Vec<Vec<u8>> + Sync,
    make: impl Fn(&mut Choices) -> Asked + Sync,
) -> Storm {
    run_against(
        name,
        usual,
        BATCH,
        process,
        open,
        |connection, seeds, coverage| {
            let asked: Vec<Asked> = seeds
                .clone()
                .map(|seed| make(&mut Choices::new(seed)))
                .collect();
            let queries: Vec<Vec<u8>> = asked.iter().map(|asked| asked.query.clone()).collect();
            let bodies = ask(connection, &queries);
            assert_eq!(bodies.len(), asked.len(), "seeds {seeds:?}");
            for ((seed, asked), body) in seeds.zip(asked).zip(bodies) {
                let shown = asked.query.escape_ascii();
                match &asked.body {
                    Some(expected) => assert_eq!(
                        body.escape_ascii().to_string(),
                        expected.escape_ascii().to_string(),
                        "seed {seed}: {shown}"
                    ),
                    None => assert!(!body.ends_with(b"\nINVALID"), "seed {seed}: {shown}"),
                }
                *coverage.entry(asked.code).or_default() += 1;
            }
        },
    )
}

/// The value of the first item of this name: `None` when there is no such item, `Some(None)` when it
/// has a broken escape.
pub fn first(query: &[u8], name: &str) -> Option<Option<Vec<u8>>> {
    for item in query.split(|byte| *byte == b'&') {
        if item.is_empty() {
            continue;
        }
        let mut halves = item.splitn(2, |byte| *byte == b'=');
        let key = halves.next().unwrap_or_default();
        let value = halves.next().unwrap_or_default();
        if decode(key).as_deref() == Some(name.as_bytes()) {
            return Some(decode(value));
        }
    }
    None
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spelled_is_read() {
        for seed in 0..2_000 {
            let mut choices = Choices::new(seed);
            let bytes: Vec<u8> = (0..choices.below(20)).map(|_| choices.byte()).collect();
            let mut query = b"x=1&a=".to_vec();
            spell(&mut query, &bytes, &mut choices);
            assert_eq!(first(&query, "a"), Some(Some(bytes)), "seed {seed}");
            assert!(query.iter().all(u8::is_ascii_graphic), "seed {seed}");
        }
    }

    #[test]
    fn reads_as_the_contract_says() {
        assert_eq!(first(b"a=1&a=2", "a"), Some(Some(b"1".to_vec())));
        assert_eq!(first(b"&&%61=b=c%2b+", "a"), Some(Some(b"b=c+ ".to_vec())));
        assert_eq!(first(b"a=%4", "a"), Some(None));
        assert_eq!(first(b"%zz=1", "a"), None);
    }

    #[test]
    fn a_target_has_no_bytes_that_it_may_not_have() {
        for seed in 0..2_000 {
            let mut choices = Choices::new(seed);
            let value = |_: &str, choices: &mut Choices| vec![choices.byte(), b' ', 0xff, b'#'];
            let query = text(&mut choices, &["type", "data"], value);
            let is_allowed = |byte: &u8| byte.is_ascii_graphic() && !b"#\"<>\\^`{|}".contains(byte);
            assert!(
                query.iter().all(is_allowed),
                "seed {seed}: {}",
                query.escape_ascii()
            );
        }
    }
}
