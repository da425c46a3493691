//! Everything that makes a line drop out, in the forms in which it is met.

use super::json::Json;
use super::random::Random;

/// What is wrong with a tweet. Places for bad text: 0 the text, 1 a hashtag, 2 the sender's description.
#[derive(Clone, Copy)]
pub(super) enum Flaw {
    None,
    Id,
    User,
    Time,
    Text,
    Hashtags,
    Language,
    /// Half of a surrogate pair.
    Surrogate(u64),
    /// Bytes that are not UTF-8.
    Encoding(u64),
    /// A number that JSON does not know.
    Number,
}

/// The filters by how often a line meets them: most lines of the real data have no hashtag or another
/// language.
pub(super) fn filter(random: &mut Random) -> Flaw {
    match random.below(100) {
        0..10 => Flaw::Id,
        10..20 => Flaw::User,
        20..28 => Flaw::Time,
        28..36 => Flaw::Text,
        36..68 => Flaw::Hashtags,
        _ => Flaw::Language,
    }
}

/// No usable id. Some lines are notices rather than tweets, see [`notice`].
pub(super) fn id(random: &mut Random, id: u64, json: &mut Json) {
    match random.below(6) {
        0 => json.name("id").raw("null"),
        1 => {
            json.name("id").number(id);
            json.raw(".5");
        }
        2 => {
            json.name("id").raw("18446744073709551616");
            json.name("id_str").raw("\"18446744073709551616\"");
        }
        3 => {
            json.name("id").raw("-7");
            json.name("id_str").raw("\"-7\"");
        }
        4 => {
            json.name("id").quoted(id);
            json.name("id_str").number(id);
        }
        _ => json.name("id_str").raw(random.pick(&[
            "\"\"",
            "\" 12\"",
            "\"+12\"",
            "\"0x12\"",
            "\"000000000000000000012\"",
            "\"١٢\"",
        ])),
    }
}

/// Writes a line that never was a tweet.
pub(super) fn notice(random: &mut Random, id: u64, json: &mut Json) {
    match random.below(8) {
        0 => json.raw("{}"),
        1 => json.raw(r#"{"limit":{"track":1234,"timestamp_ms":"1395360000000"}}"#),
        _ => {
            json.open(b'{');
            json.name("delete").open(b'{');
            json.name("status").open(b'{');
            json.name("id").number(id);
            json.name("id_str").quoted(id);
            json.name("user_id").number(12);
            json.name("user_id_str").quoted(12);
            json.close(b'}');
            json.name("timestamp_ms").raw("\"1395360000000\"");
            json.close(b'}');
            json.close(b'}');
        }
    }
}

/// No usable user id. Whether a profile is to follow, its brace opened.
pub(super) fn user(random: &mut Random, json: &mut Json) -> bool {
    match random.below(6) {
        0 => {}
        1 => json.name("user").raw("null"),
        2 => json.name("user").raw("{}"),
        3 => json.name("user").raw("\"12\""),
        form => {
            json.name("user").open(b'{');
            if form == 4 {
                json.name("id").raw("null");
                json.name("id_str").raw("null");
            }
            return true;
        }
    }
    false
}

pub(super) fn created_at(random: &mut Random, json: &mut Json) {
    match random.below(16) {
        0..2 => {}
        2..4 => json.name("created_at").raw("null"),
        4 => json.name("created_at").raw("1395360000"),
        _ => json.name("created_at").raw(random.pick(&[
            r#""""#,
            r#""2014-04-04T05:30:11Z""#,
            r#""Fri Apr 4 05:30:11 +0000 2014""#,
            r#""Fri Apr 04 05:30:11 2014""#,
            r#""Fri Apr 04 05:30:11 UTC 2014""#,
            r#""Fri Avr 04 05:30:11 +0000 2014""#,
            r#""Ven Apr 04 05:30:11 +0000 2014""#,
            r#""Fri Apr 04 25:30:11 +0000 2014""#,
            r#""Fri Apr 04 05:60:11 +0000 2014""#,
            r#""Fri Apr 00 05:30:11 +0000 2014""#,
            r#""Fri Apr 04 05:30:11 +0000 2014 ""#,
            r#"" Fri Apr 04 05:30:11 +0000 2014""#,
            r#""Fri, 04 Apr 2014 05:30:11 +0000""#,
            r#""Apr 04 05:30:11 +0000 2014""#,
        ])),
    }
}

pub(super) fn text(random: &mut Random, json: &mut Json) {
    match random.below(3) {
        0 => {}
        1 => json.name("text").raw("null"),
        _ => json.name("text").raw("\"\""),
    }
}

pub(super) fn hashtags(random: &mut Random, json: &mut Json) {
    match random.below(8) {
        0 => {}
        1 => json.name("entities").raw("null"),
        2 => json
            .name("entities")
            .raw(r#"{"urls":[],"user_mentions":[]}"#),
        3 => json.name("entities").raw(r#"{"hashtags":null,"urls":[]}"#),
        4 => json.name("entities").raw("{}"),
        _ => json
            .name("entities")
            .raw(r#"{"hashtags":[],"urls":[],"user_mentions":[],"symbols":[]}"#),
    }
}

pub(super) fn language(random: &mut Random, json: &mut Json) {
    match random.below(20) {
        0 | 1 => {}
        2 | 3 => json.name("lang").raw("null"),
        4 => json
            .name("lang")
            .raw(random.pick(&["\"\"", "5", "\"en-gb\"", "\" en\"", "[\"en\"]"])),
        _ => json.name("lang").raw(random.pick(&[
            "\"id\"", "\"und\"", "\"EN\"", "\"ko\"", "\"ru\"", "\"de\"", "\"th\"", "\"und\"",
        ])),
    }
}

/// An escape that is half of a surrogate pair, or two halves in the wrong order.
pub(super) fn surrogate(random: &mut Random) -> &'static [u8] {
    [
        &b"\\ud83d"[..],
        b"\\udc4d",
        b"\\uD83Dx",
        b"\\ud83d\\u0041",
        b"\\udc4d\\ud83d",
    ][random.index(5)]
}

/// Bytes that cannot be in UTF-8: never used, cut, a surrogate, overlong, too great.
pub(super) fn encoding(random: &mut Random) -> &'static [u8] {
    [
        &b"\xff"[..],
        b"\xe3\x81",
        b"\xed\xa0\xbd",
        b"\xc0\xaf",
        b"\xf4\x90\x80\x80",
        b"\x80",
    ][random.index(6)]
}

pub(super) fn number(random: &mut Random) -> &'static str {
    random.pick(&[
        "NaN",
        "Infinity",
        "-Infinity",
        "01",
        "+1",
        ".5",
        "undefined",
        "'x'",
    ])
}

/// How to break a line after it is written, or the flaw to write it with.
pub(super) fn malformed(random: &mut Random) -> (Flaw, fn(&mut Random, &mut Vec<u8>)) {
    match random.below(10) {
        0 => (Flaw::Surrogate(random.below(3)), keep),
        1 => (Flaw::Encoding(random.below(3)), keep),
        2 => (Flaw::Number, keep),
        3 => (Flaw::None, blank),
        4 => (Flaw::None, list),
        5 => (Flaw::None, trail),
        6 => (Flaw::None, replace),
        _ => (Flaw::None, cut),
    }
}

fn keep(_: &mut Random, _: &mut Vec<u8>) {}

/// Cuts the end off, or at times the beginning.
fn cut(random: &mut Random, line: &mut Vec<u8>) {
    if random.one_in(6) {
        line.drain(..=random.index(line.len() - 1));
    } else {
        line.truncate(1 + random.index(line.len() - 1));
    }
}

fn blank(random: &mut Random, line: &mut Vec<u8>) {
    line.clear();
    line.extend_from_slice(random.pick(&["", "", " ", "\t \t", "\r"]).as_bytes());
}

fn list(_: &mut Random, line: &mut Vec<u8>) {
    line.insert(0, b'[');
    line.push(b']');
}

fn trail(random: &mut Random, line: &mut Vec<u8>) {
    line.extend_from_slice(
        random
            .pick(&["}", " x", "{}", ",", "\0", "\"", " null"])
            .as_bytes(),
    );
}

fn replace(random: &mut Random, line: &mut Vec<u8>) {
    line.clear();
    line.extend_from_slice(
        random
            .pick(&[
                "null",
                "17",
                "\"{}\"",
                "true",
                "Exceeded connection limit for user",
            ])
            .as_bytes(),
    );
}
