use super::*;

/// A valid line with `members` in front of, and so overruled by, nothing.
fn line(members: &str) -> String {
    format!(
        r#"{{"id":1,"created_at":"Fri Apr 04 05:30:11 +0000 2014","text":"t","lang":"en","user":{{"id":2}},"entities":{{"hashtags":[{{"text":"A"}}]}}{members}}}"#
    )
}

fn read(members: &str) -> Result<Tweet, Reason> {
    clean(line(members).as_bytes())
}

#[test]
fn reads_the_fields_and_nothing_else() {
    let tweet = read(
        r#","in_reply_to_user_id":3,"retweeted_status":{"id":9,"user":{"id":4,"screen_name":"n","description":null}},"x":[{}]"#,
    );
    let tweet = tweet.unwrap();
    assert_eq!((tweet.id, tweet.sender.user_id), (1, 2));
    assert_eq!(tweet.created_at, 1_396_589_411);
    assert_eq!(tweet.reply_to, Some(3));
    assert_eq!(tweet.hashtags, ["a"]);
    let retweeted = tweet.retweeted.unwrap();
    assert_eq!((retweeted.user_id, &*retweeted.screen_name), (4, "n"));
    assert_eq!(retweeted.description, "");
}

#[test]
fn judges_the_whole_line() {
    for bad in [
        "",
        " ",
        "[]",
        "null",
        "1",
        "{",
        "{}}",
        "{} {}",
        "{},",
        "{\"a\":1,}",
        "{,}",
        "{\"a\" 1}",
        "{\"a\":}",
        "{'a':1}",
        "{a:1}",
        "\u{feff}{}",
    ] {
        assert_eq!(clean(bad.as_bytes()), Err(Reason::MalformedJson), "{bad:?}");
    }
    for value in [
        "NaN",
        "Infinity",
        "-",
        "01",
        "1.",
        ".5",
        "1e",
        "+1",
        "0x1",
        "tru",
        "nul",
        "[1,]",
        "[1 2]",
        "[,]",
        "{\"a\":[}]",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"\t\"",
        "\"\u{1}\"",
        "\"\n\"",
        "'a'",
        "[[]",
        "\"\\u+123\"",
    ] {
        let found = read(&format!(",\"x\":{value}"));
        assert_eq!(found, Err(Reason::MalformedJson), "{value:?}");
    }
    for value in [
        "-0",
        "1e999",
        "-1.5E+3",
        "[ ]",
        "{ }",
        "\"\u{7f}\"",
        "\"\\/\"",
        "[[],{}]",
    ] {
        assert!(read(&format!(",\"x\":{value}")).is_ok(), "{value:?}");
    }
    let mut bytes = line(",\"x\":\"?\"").into_bytes();
    let at = bytes.iter().position(|byte| *byte == b'?').unwrap();
    bytes[at] = 0xff;
    assert_eq!(clean(&bytes), Err(Reason::MalformedJson));
    assert!(clean(format!(" {}\r\n", line("")).as_bytes()).is_ok());
    assert!(clean(line("").replace(',', " ,\t").as_bytes()).is_ok());
}

#[test]
fn half_a_character_counts_only_where_it_is_used() {
    for field in [
        "text",
        "lang",
        "created_at",
        "id_str",
        "in_reply_to_user_id_str",
    ] {
        for half in ["\\ud83d", "\\ude00", "\\ud83d\\u0041", "\\ude00\\ud83d"] {
            let found = read(&format!(",\"{field}\":\"{half}\""));
            assert_eq!(found, Err(Reason::MalformedJson), "{field} {half}");
        }
    }
    for used in [
        r#","user":{"id":2,"screen_name":"\ud83d"}"#,
        r#","user":{"id":2,"description":"\ud83d"}"#,
        r#","retweeted_status":{"user":{"id":2,"description":"\ud83d"}}"#,
        r#","entities":{"hashtags":[{"text":"\ud83d"}]}"#,
    ] {
        assert_eq!(read(used), Err(Reason::MalformedJson), "{used}");
    }
    for ignored in [
        r#","x":"\ud83d""#,
        r#","\ud83d":1"#,
        r#","user":{"id":2,"\ud83d":"\ud83d"}"#,
        r#","quoted_status":{"text":"\ud83d"}"#,
        r#","retweeted_status":{"text":"\ud83d"}"#,
    ] {
        assert!(read(ignored).is_ok(), "{ignored}");
    }
    // An overruled value is not used.
    let text = line("").replace(r#""text":"t""#, r#""text":"\ud83d","text":"\ud83d\ude00""#);
    assert_eq!(clean(text.as_bytes()).unwrap().text, "😀");
}

#[test]
fn of_a_repeated_key_the_last_counts() {
    let tweet = read(r#","id":7,"text":"last","user":{"id":8,"id":9}"#).unwrap();
    assert_eq!(
        (tweet.id, &*tweet.text, tweet.sender.user_id),
        (7, "last", 9)
    );
    assert_eq!(read(r#","text":null"#), Err(Reason::NoText));
    assert_eq!(read(r#","user":null"#), Err(Reason::NoUserId));
    assert_eq!(read(r#","entities":{}"#), Err(Reason::NoHashtags));
    assert_eq!(
        read(r#","\u0074ext":"escaped key""#).unwrap().text,
        "escaped key"
    );
}

#[test]
fn ids_are_64_bits_and_never_rounded() {
    for (id, found) in [
        (r#""id":18446744073709551615"#, Some(u64::MAX)),
        (r#""id":9007199254740993"#, Some(9_007_199_254_740_993)),
        (r#""id":18446744073709551616"#, None),
        (r#""id":18446744073709551616,"id_str":"5""#, Some(5)),
        (r#""id":-1,"id_str":"5""#, Some(5)),
        (r#""id":1.0"#, None),
        (r#""id":1e3,"id_str":"1000""#, Some(1000)),
        (r#""id":"7""#, None),
        (r#""id":null,"id_str":"00000000000000000007""#, Some(7)),
        (r#""id":null,"id_str":"000000000000000000007""#, None),
        (
            r#""id":null,"id_str":"18446744073709551615""#,
            Some(u64::MAX),
        ),
        (r#""id":null,"id_str":"+7""#, None),
        (r#""id":null,"id_str":"""#, None),
        (r#""id":null,"id_str":7"#, None),
        (r#""id":3,"id_str":"4""#, Some(3)),
        (r#""id":-0"#, Some(0)),
        (r#""id":[3]"#, None),
        (r#""id":{"id":3}"#, None),
    ] {
        let text = line("").replace(r#""id":1"#, id);
        let judged = clean(text.as_bytes()).map(|tweet| tweet.id);
        assert_eq!(judged, found.ok_or(Reason::NoTweetId), "{id}");
    }
}

#[test]
fn hashtags_need_elements_not_usable_ones() {
    for (hashtags, found) in [
        ("[]", Err(Reason::NoHashtags)),
        ("null", Err(Reason::NoHashtags)),
        ("{}", Err(Reason::NoHashtags)),
        ("[1]", Ok(vec![])),
        (
            r#"[{"text":""},{"text":5},{"text":"B"},{"text":"b"},[]]"#,
            Ok(vec!["b", "b"]),
        ),
        (r#"[{"text":"x","text":null}]"#, Ok(vec![])),
    ] {
        let judged = read(&format!(",\"entities\":{{\"hashtags\":{hashtags}}}"));
        let found = found.map(|tags| tags.into_iter().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(judged.map(|tweet| tweet.hashtags), found, "{hashtags}");
    }
}

#[test]
fn nesting_has_no_limit_in_fields_not_used() {
    let depth = MAX_LINE_BYTES / 2 - 200;
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let depth = depth / (open.len() + close.len()) * 2;
        let deep = format!("{}1{}", open.repeat(depth), close.repeat(depth));
        assert!(read(&format!(",\"x\":{deep}")).is_ok());
        assert_eq!(
            read(&format!(",\"user\":{{\"x\":{deep}}}")),
            Err(Reason::NoUserId)
        );
        let cut = &deep[..deep.len() - 1];
        assert_eq!(read(&format!(",\"x\":{cut}")), Err(Reason::MalformedJson));
    }
}

#[test]
fn a_line_over_the_limit_is_malformed() {
    let spare = MAX_LINE_BYTES - line(",\"x\":\"\"").len();
    let longest = line(&format!(",\"x\":\"{}\"", "y".repeat(spare)));
    assert!(clean(longest.as_bytes()).is_ok());
    assert!(clean(format!("{longest}\n").as_bytes()).is_ok());
    let longer = format!(" {longest}");
    assert_eq!(clean(longer.as_bytes()), Err(Reason::MalformedJson));
}

#[test]
fn reasons_come_in_order() {
    for (text, reason) in [
        (r"{}", Reason::NoTweetId),
        (r#"{"delete":{"status":{"id":7}}}"#, Reason::NoTweetId),
        (r#"{"id":1}"#, Reason::NoUserId),
        (r#"{"id":1,"user":{"id":2}}"#, Reason::BadCreatedAt),
    ] {
        assert_eq!(clean(text.as_bytes()), Err(reason), "{text}");
    }
    for (member, reason) in [
        (r#","created_at":null,"text":null"#, Reason::BadCreatedAt),
        (r#","text":"","entities":null"#, Reason::NoText),
        (r#","entities":null,"lang":null"#, Reason::NoHashtags),
        (r#","lang":"EN""#, Reason::Language),
        (r#","lang":"id""#, Reason::Language),
        (r#","lang":null"#, Reason::Language),
    ] {
        assert_eq!(read(member), Err(reason), "{member}");
    }
    assert!(read(r#","text":" ","lang":"in""#).is_ok());
}

#[test]
fn strings_end_where_json_says_wherever_that_is() {
    // Longer than two blocks, so that every mark stands at every place of one.
    let plain = "abcdefghijklmnopqrstuvwxyz0123456789é~";
    let marks = [
        "\"",
        "\\",
        "\\\"",
        "\\\\",
        "\\/",
        "\\b\\f\\n\\r\\t",
        "\\x",
        "\u{0}",
        "\u{1f}",
        " ",
        "\u{7f}",
        "é",
        "😀",
        "\\u00e9",
        "\\u00E9\\u3042\\n",
        "\\u00g9",
        "\\u0",
        "\\ud83d\\ude00",
        "\\ud83d",
    ];
    let lengths = plain.char_indices().map(|(at, _)| at);
    for (len, mark) in lengths.flat_map(|len| marks.map(|mark| (len, mark))) {
        let text = [&plain[..len], mark, &plain[len..]].concat();
        for line in [
            format!("{{\"x\":\"{text}\"}}"),
            format!("{{\"{text}\":[{{\"y\":\"{text}\"}},\"{text}\"]}}"),
            format!("{{\"x\":\"{text}"),
        ] {
            let is_json = serde_json::from_str::<serde::de::IgnoredAny>(&line).is_ok();
            let expected = if is_json {
                Reason::NoTweetId
            } else {
                Reason::MalformedJson
            };
            assert_eq!(clean(line.as_bytes()), Err(expected), "{line}");
        }
        let used = format!("{{\"id\":1,\"text\":\"{text}\"}}");
        let is_text = serde_json::from_str::<serde_json::Value>(&used).is_ok();
        let expected = if is_text {
            Reason::NoUserId
        } else {
            Reason::MalformedJson
        };
        assert_eq!(clean(used.as_bytes()), Err(expected), "{used}");
    }
}
