//! Seeded fuzzing on any compiler: raw lines in every spelling that JSON allows, with fields of the
//! wrong type, missing or twice, halves of characters, numbers beyond any type and nesting beyond any
//! stack, whole or with damaged bytes. Each is judged once more by rules over `serde_json::Value`.
//! No panic, and every reason is reached. How long, and what else is watched: crate `storm`.

#![expect(clippy::unwrap_used, reason = "a panic is a failed test")]

use std::fmt::Write as _;

use etl::clean::{Cleaner, LANGUAGES, MAX_LINE_BYTES, Reason, Sighting, Tweet, clean};
use serde_json::Value;
use storm::{Choices, damage};

/// Stands for half a character in what the oracle reads; occurs nowhere else.
const HALF: char = '\u{f8ff}';

/// A value before it is spelled.
#[derive(Clone, Debug)]
enum Node {
    /// As it stands.
    Word(&'static str),
    Number(String),
    /// [`HALF`] in it is half of a surrogate pair.
    Text(String),
    Array(Vec<Node>),
    Object(Vec<(String, Node)>),
    /// Arrays or objects in each other, so many.
    Deep(usize, bool),
}

fn text(choices: &mut Choices) -> String {
    let letters = [
        "a", "b", "Z", "é", "İ", "Σ", "日", "😀", "\"", "\\", "/", "\t", "\n", "\u{0}", "\u{7f}",
        "\u{2028}",
    ];
    let mut text: String = (0..choices.below(6))
        .map(|_| *choices.pick(&letters))
        .collect();
    if choices.once_in(40) {
        text.push(HALF);
    }
    text
}

fn number(choices: &mut Choices) -> String {
    match choices.below(12) {
        0 => u64::MAX.to_string(),
        1 => "18446744073709551616".to_owned(),
        2 => format!("-{}", choices.below(9)),
        3 => (*choices.pick(&[
            "-0", "0", "0.0", "1e3", "1E+2", "5.0", "-0.0", "1e999", "-1e-999",
        ]))
        .to_owned(),
        4 => choices.word().to_string(),
        _ => choices.below(100).to_string(),
    }
}

/// Any value.
fn any(choices: &mut Choices) -> Node {
    match choices.below(9) {
        0 => Node::Word(choices.pick::<&str>(&["null", "true", "false"])),
        1 | 2 => Node::Number(number(choices)),
        3 | 4 => Node::Text(text(choices)),
        5 => Node::Array((0..choices.below(3)).map(|_| any(choices)).collect()),
        6 => {
            let members = (0..choices.below(3)).map(|_| (text(choices), any(choices)));
            Node::Object(members.collect())
        }
        7 if choices.once_in(8) => Node::Deep(2 + choices.index(300), choices.once_in(2)),
        _ => Node::Word("null"),
    }
}

/// Members of an object: mostly those that are right, some of another type, missing or twice, others
/// between them.
fn members(choices: &mut Choices, right: Vec<(&str, Node)>) -> Node {
    let mut members = Vec::new();
    for (name, node) in right {
        match choices.below(28) {
            0 => continue,
            1 => {
                members.push((name.to_owned(), any(choices)));
                continue;
            }
            2 => members.push((name.to_owned(), any(choices))),
            3 => members.push((text(choices), any(choices))),
            4 => members.push((HALF.to_string(), any(choices))),
            _ => {}
        }
        members.push((name.to_owned(), node));
    }
    for place in 1..members.len() {
        if choices.once_in(4) {
            let other = choices.index(place + 1);
            members.swap(place, other);
        }
    }
    Node::Object(members)
}

fn id(choices: &mut Choices, name: &'static str, twin: &'static str) -> Vec<(&'static str, Node)> {
    let digits = match choices.below(8) {
        0 => format!("{:020}", choices.below(1000)),
        1 => "18446744073709551616".to_owned(),
        2 => format!("+{}", choices.below(10)),
        _ => choices.below(1000).to_string(),
    };
    let number = Node::Number(number(choices));
    match choices.below(4) {
        0 => vec![(twin, Node::Text(digits))],
        1 => vec![(name, number)],
        _ => vec![(name, number), (twin, Node::Text(digits))],
    }
}

fn user(choices: &mut Choices) -> Node {
    let mut fields = id(choices, "id", "id_str");
    fields.push(("screen_name", Node::Text(text(choices))));
    fields.push(("description", Node::Text(text(choices))));
    members(choices, fields)
}

fn created_at(choices: &mut Choices) -> String {
    let days = ["Mon", "Tue", "Sun", "Fri", "fri", "Xyz"];
    let months = ["Jan", "Feb", "Apr", "Dec", "dec"];
    let mut stamp = if choices.once_in(3) {
        format!(
            "{} {} {:02} {:02}:{:02}:{:02} {}{:04} {:04}",
            choices.pick(&days),
            choices.pick(&months),
            choices.below(33),
            choices.below(25),
            choices.below(61),
            choices.below(61),
            choices.pick(&["+", "-", "+", "x"]),
            choices.below(2400),
            *choices.pick(&[0, 1, 1600, 1900, 1969, 1970, 2000, 2014, 9999]),
        )
    } else {
        format!("Fri Apr 04 05:30:{:02} +0000 2014", choices.below(60))
    };
    if choices.once_in(30) {
        let mut bytes = stamp.into_bytes();
        damage(&mut bytes, choices);
        stamp = String::from_utf8_lossy(&bytes).replace(HALF, "");
    }
    stamp
}

fn tweet(choices: &mut Choices) -> Node {
    let tags = (0..choices.below(4)).map(|_| {
        let tag = vec![
            ("text", Node::Text(text(choices))),
            ("indices", Node::Array(Vec::new())),
        ];
        match choices.below(12) {
            0 => any(choices),
            _ => members(choices, tag),
        }
    });
    let tags = Node::Array(tags.collect());
    let entities = members(
        choices,
        vec![("hashtags", tags), ("urls", Node::Array(Vec::new()))],
    );
    let mut letters = text(choices);
    letters.push('t');
    let lang = if choices.once_in(12) {
        "de"
    } else {
        *choices.pick(&LANGUAGES)
    };
    let mut fields = id(choices, "id", "id_str");
    fields.extend([
        ("created_at", Node::Text(created_at(choices))),
        ("text", Node::Text(letters)),
        ("lang", Node::Text(lang.to_owned())),
        ("entities", entities),
        ("user", user(choices)),
    ]);
    if choices.once_in(2) {
        fields.extend(id(
            choices,
            "in_reply_to_user_id",
            "in_reply_to_user_id_str",
        ));
    }
    if choices.once_in(2) {
        let user = user(choices);
        let retweeted = members(
            choices,
            vec![("id", Node::Number("1".to_owned())), ("user", user)],
        );
        fields.push(("retweeted_status", retweeted));
    }
    fields.push(("x", any(choices)));
    members(choices, fields)
}

fn space(out: &mut String, choices: &mut Choices) {
    while choices.once_in(12) {
        out.push(*choices.pick(&[' ', '\t', '\r', '\n']));
    }
}

fn spell_text(out: &mut String, text: &str, choices: &mut Choices) {
    let escaped = if choices.once_in(6) { 2 } else { 1_000 };
    out.push('"');
    for letter in text.chars() {
        let short = match letter {
            '"' => Some('"'),
            '\\' => Some('\\'),
            '/' => Some('/'),
            '\u{8}' => Some('b'),
            '\u{c}' => Some('f'),
            '\n' => Some('n'),
            '\r' => Some('r'),
            '\t' => Some('t'),
            _ => None,
        };
        let must = letter < ' ' || letter == '"' || letter == '\\';
        if letter == HALF {
            out.push_str(choices.pick::<&str>(&[
                "\\ud800",
                "\\uDFFF",
                "\\ud83dx",
                "\\udc00\\ud800",
            ]));
        } else if let Some(short) = short.filter(|_| must && !choices.once_in(3)) {
            out.extend(['\\', short]);
        } else if must || choices.once_in(escaped) {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                let _ = if choices.once_in(2) {
                    write!(out, "\\u{unit:04x}")
                } else {
                    write!(out, "\\u{unit:04X}")
                };
            }
        } else {
            out.push(letter);
        }
    }
    out.push('"');
}

/// Writes a value in one of its spellings.
fn spell(out: &mut String, node: &Node, choices: &mut Choices) {
    space(out, choices);
    match node {
        Node::Word(word) => out.push_str(word),
        Node::Number(number) => out.push_str(number),
        Node::Text(text) => spell_text(out, text, choices),
        Node::Array(nodes) => {
            out.push('[');
            for (place, node) in nodes.iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                spell(out, node, choices);
            }
            space(out, choices);
            out.push(']');
        }
        Node::Object(members) => {
            out.push('{');
            for (place, (name, node)) in members.iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                space(out, choices);
                spell_text(out, name, choices);
                space(out, choices);
                out.push(':');
                spell(out, node, choices);
            }
            space(out, choices);
            out.push('}');
        }
        Node::Deep(depth, true) => {
            out.push_str(&"[".repeat(*depth));
            out.push_str(&"]".repeat(*depth));
        }
        Node::Deep(depth, false) => {
            out.push_str(&"{\"id\":".repeat(*depth));
            out.push('1');
            out.push_str(&"}".repeat(*depth));
        }
    }
    space(out, choices);
}

/// The value as serde_json can hold it; the last member of a name counts.
fn value(node: &Node) -> Value {
    match node {
        Node::Word("true") => Value::Bool(true),
        Node::Word("false") => Value::Bool(false),
        Node::Word(_) => Value::Null,
        // The one whole number that serde_json takes for a fraction.
        Node::Number(number) if number == "-0" => Value::from(0),
        Node::Number(number) => match number.parse::<u64>() {
            Ok(number) => Value::from(number),
            Err(_) => Value::from(-1.5),
        },
        Node::Text(text) => Value::from(text.as_str()),
        Node::Array(nodes) => nodes.iter().map(value).collect(),
        Node::Object(members) => {
            let members = members
                .iter()
                .map(|(name, node)| (name.clone(), value(node)));
            Value::Object(members.collect())
        }
        Node::Deep(_, true) => Value::Array(vec![Value::Array(Vec::new())]),
        Node::Deep(_, false) => serde_json::json!({"id": {"id": 1}}),
    }
}

/// A string at a field; `Err` when it is used and has half a character.
fn string(object: &Value, name: &str) -> Result<Option<String>, Reason> {
    match object.get(name) {
        Some(Value::String(text)) if text.contains(HALF) => Err(Reason::MalformedJson),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        _ => Ok(None),
    }
}

fn id_at(object: &Value, name: &str) -> Result<Option<u64>, Reason> {
    string(object, name)?;
    let twin = string(object, &format!("{name}_str"))?;
    let number = object.get(name).and_then(Value::as_u64);
    let is_plain = |twin: &String| {
        (1..=20).contains(&twin.len()) && twin.chars().all(|letter| letter.is_ascii_digit())
    };
    Ok(number.or_else(|| twin.filter(is_plain)?.parse().ok()))
}

fn sighting(object: &Value) -> Result<Option<Sighting>, Reason> {
    let id = id_at(object, "id")?;
    let screen_name = string(object, "screen_name")?.unwrap_or_default();
    let description = string(object, "description")?.unwrap_or_default();
    Ok(id.map(|user_id| Sighting {
        user_id,
        screen_name,
        description,
    }))
}

/// Seconds since 1970, year by year.
fn time(text: &str) -> Option<i64> {
    let digits = |text: &str, count: usize| {
        let fits = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
        fits.then(|| text.parse::<i64>().unwrap())
    };
    let words: Vec<&str> = text.split(' ').collect();
    let [day_name, month, day, clock, zone, year] = words.as_slice() else {
        return None;
    };
    if !["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"].contains(day_name) {
        return None;
    }
    let year = digits(year, 4).filter(|year| *year > 0)?;
    let is_leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let february = if is_leap(year) { 29 } else { 28 };
    let months = [
        ("Jan", 31),
        ("Feb", february),
        ("Mar", 31),
        ("Apr", 30),
        ("May", 31),
        ("Jun", 30),
        ("Jul", 31),
        ("Aug", 31),
        ("Sep", 30),
        ("Oct", 31),
        ("Nov", 30),
        ("Dec", 31),
    ];
    let at = months.iter().position(|(name, _)| name == month)?;
    let day = digits(day, 2).filter(|day| (1..=months[at].1).contains(day))?;
    let clock: Vec<&str> = clock.split(':').collect();
    let [hour, minute, second] = clock.as_slice() else {
        return None;
    };
    let hour = digits(hour, 2).filter(|hour| *hour < 24)?;
    let minute = digits(minute, 2).filter(|minute| *minute < 60)?;
    let second = digits(second, 2).filter(|second| *second < 60)?;
    let sign = match zone.chars().next()? {
        '+' => 1,
        '-' => -1,
        _ => return None,
    };
    let zone = digits(&zone[1..], 4).filter(|zone| zone / 100 < 24 && zone % 100 < 60)?;
    let mut days: i64 = months[..at].iter().map(|(_, days)| days).sum::<i64>() + day - 1;
    for before in 1970..year {
        days += if is_leap(before) { 366 } else { 365 };
    }
    for after in year..1970 {
        days -= if is_leap(after) { 366 } else { 365 };
    }
    let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second;
    Some(seconds - sign * (zone / 100 * 3_600 + zone % 100 * 60))
}

/// The rules once more.
fn judge(line: &Value) -> Result<Tweet, Reason> {
    if !line.is_object() {
        return Err(Reason::MalformedJson);
    }
    // Half a character makes the line malformed before anything else is asked.
    let id = id_at(line, "id")?;
    let null = Value::Null;
    let sender = sighting(line.get("user").unwrap_or(&null))?;
    let created_at = string(line, "created_at")?;
    let text = string(line, "text")?;
    let lang = string(line, "lang")?;
    let reply_to = id_at(line, "in_reply_to_user_id")?;
    let status = line.get("retweeted_status").unwrap_or(&null);
    let retweeted = sighting(status.get("user").unwrap_or(&null))?;
    let entities = line.get("entities").unwrap_or(&null);
    let elements = entities.get("hashtags").and_then(Value::as_array);
    let mut tags = Vec::new();
    for element in elements.into_iter().flatten() {
        tags.extend(string(element, "text")?.filter(|tag| !tag.is_empty()));
    }
    let id = id.ok_or(Reason::NoTweetId)?;
    let sender = sender.ok_or(Reason::NoUserId)?;
    let created_at = created_at.and_then(|text| time(&text));
    let created_at = created_at.ok_or(Reason::BadCreatedAt)?;
    let text = text.filter(|text| !text.is_empty()).ok_or(Reason::NoText)?;
    if elements.is_none_or(Vec::is_empty) {
        return Err(Reason::NoHashtags);
    }
    if !lang.is_some_and(|lang| LANGUAGES.contains(&lang.as_str())) {
        return Err(Reason::Language);
    }
    Ok(Tweet {
        id,
        created_at,
        sender,
        retweeted,
        reply_to,
        text,
        hashtags: tags.iter().map(|tag| tag.to_lowercase()).collect(),
    })
}

/// Whether a number that serde_json cannot tell from `-0` stands at an id.
fn has_minus_zero(value: &Value) -> bool {
    match value {
        Value::Number(number) => number
            .as_f64()
            .is_some_and(|number| number == 0.0 && number.is_sign_negative()),
        Value::Array(values) => values.iter().any(has_minus_zero),
        Value::Object(members) => members.values().any(has_minus_zero),
        _ => false,
    }
}

/// What was damaged is judged as serde_json reads it.
fn check_damaged(line: &[u8], judged: &Result<Tweet, Reason>) {
    let shown = || line.escape_ascii().to_string();
    match serde_json::from_slice::<Value>(line) {
        Ok(value) if has_minus_zero(&value) => {}
        // A real character, where it stands for a half elsewhere.
        Ok(value) if value.to_string().contains(HALF) => {}
        Ok(value) => assert_eq!(*judged, judge(&value), "{}", shown()),
        // It refuses more: half characters anywhere, numbers beyond a float, deep nesting.
        Err(_) if *judged != Err(Reason::MalformedJson) => {
            assert!(std::str::from_utf8(line).is_ok(), "{}", shown());
            let skipped = serde_json::from_slice::<serde::de::IgnoredAny>(line);
            assert!(skipped.is_ok(), "{}", shown());
        }
        Err(_) => {}
    }
}

fn execute(cleaner: &mut Cleaner, seed: u64) -> Option<Reason> {
    let mut choices = Choices::new(seed);
    let node = if choices.once_in(60) {
        any(&mut choices)
    } else {
        tweet(&mut choices)
    };
    let mut line = String::new();
    spell(&mut line, &node, &mut choices);
    if choices.once_in(2) {
        line.push('\n');
    }
    let judged;
    if choices.once_in(3) {
        let mut line = line.into_bytes();
        damage(&mut line, &mut choices);
        judged = cleaner.clean(&line);
        check_damaged(&line, &judged);
    } else {
        let is_too_long = choices.once_in(5_000);
        if is_too_long {
            line.insert_str(0, &" ".repeat(MAX_LINE_BYTES));
        }
        judged = cleaner.clean(line.as_bytes());
        let expected = if is_too_long {
            Err(Reason::MalformedJson)
        } else {
            judge(&value(&node))
        };
        assert_eq!(judged, expected, "seed {seed}: {line}");
        // Scratch memory that is used again changes nothing.
        assert_eq!(judged, clean(line.as_bytes()), "seed {seed}");
    }
    judged.err()
}

#[test]
fn a_storm_of_lines_reaches_every_reason_and_is_judged_as_the_oracle_does() {
    let storm = storm::run_against(
        "line",
        20_000,
        64,
        std::process::id(),
        Cleaner::default,
        |cleaner, seeds, coverage| {
            for seed in seeds {
                let code = execute(cleaner, seed).map(Reason::name);
                *coverage.entry(code).or_default() += 1;
            }
        },
    );
    // Whether a tweet came before is not for one line to say.
    let reachable = Reason::ALL
        .into_iter()
        .filter(|reason| *reason != Reason::Duplicate);
    storm.reached(reachable.map(Reason::name));
}
