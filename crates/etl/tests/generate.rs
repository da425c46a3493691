//! The synthetic tweets: always the same, of the announced shape, and with every case in them.

use std::collections::{HashMap, HashSet};

use etl::generate::{self, Options};
use serde_json::Value;

const LANGUAGES: [&str; 8] = ["ar", "en", "fr", "in", "pt", "es", "tr", "ja"];

fn generate(options: &Options) -> Vec<u8> {
    let mut out = Vec::new();
    let summary = generate::write(options, &mut out).expect("a vector takes all");
    assert_eq!(summary.lines, options.tweets);
    assert_eq!(summary.bytes, out.len() as u64);
    out
}

fn options(tweets: u64, seed: u64) -> Options {
    Options {
        users: 500,
        tweets,
        hashtags: 300,
        seed,
        ..Options::default()
    }
}

/// The lines without their ends, of which each must have one.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes
        .split_inclusive(|&byte| byte == b'\n')
        .map(|line| line.strip_suffix(b"\n").expect("an ended line"))
}

/// Parses a line; surrogates are only looked at in strings that count.
fn parse(line: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(line).ok()?;
    let text = text.replace(r"\ud83d (cut)", "");
    serde_json::from_str(&text).ok().filter(Value::is_object)
}

fn id(object: &Value, number: &str, string: &str) -> Option<u64> {
    object[number].as_u64().or_else(|| {
        let digits = object[string].as_str()?;
        let fits = matches!(digits.len(), 1..=20) && digits.bytes().all(|b| b.is_ascii_digit());
        digits.parse().ok().filter(|_| fits)
    })
}

fn is_time(text: &str) -> bool {
    let number = |range: std::ops::Range<usize>, most: u32| {
        let digits = &text[range];
        digits.bytes().all(|b| b.is_ascii_digit())
            && digits.parse().is_ok_and(|number: u32| number <= most)
    };
    text.len() == 30
        && text.is_ascii()
        && ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"].contains(&&text[..3])
        && "JanFebMarAprMayJunJulAugSepOctNovDec".contains(&text[4..7])
        && number(8..10, 31)
        && &text[8..10] != "00"
        && number(11..13, 23)
        && number(14..16, 59)
        && number(17..19, 59)
        && (&text[20..21] == "+" || &text[20..21] == "-")
        && number(21..25, 1400)
        && number(26..30, 9999)
}

/// The reason why a tweet drops out, the first that holds; duplicates are not looked for.
fn reason(value: Option<&Value>) -> Option<&'static str> {
    let Some(tweet) = value else {
        return Some("malformed_json");
    };
    let missing_text = |value: &Value| value.as_str().is_none_or(str::is_empty);
    if id(tweet, "id", "id_str").is_none() {
        Some("no_tweet_id")
    } else if id(&tweet["user"], "id", "id_str").is_none() {
        Some("no_user_id")
    } else if !tweet["created_at"].as_str().is_some_and(is_time) {
        Some("bad_created_at")
    } else if missing_text(&tweet["text"]) {
        Some("no_text")
    } else if tweet["entities"]["hashtags"]
        .as_array()
        .is_none_or(Vec::is_empty)
    {
        Some("no_hashtags")
    } else if !tweet["lang"]
        .as_str()
        .is_some_and(|l| LANGUAGES.contains(&l))
    {
        Some("language")
    } else {
        None
    }
}

/// The valid tweets, and how many lines dropped out for which reason.
fn sift(bytes: &[u8]) -> (Vec<Value>, HashMap<&'static str, usize>) {
    let (mut valid, mut reasons, mut seen) = (Vec::new(), HashMap::new(), HashSet::new());
    for line in lines(bytes) {
        let value = parse(line);
        let reason = reason(value.as_ref()).or_else(|| {
            let tweet = value.as_ref()?;
            (!seen.insert(id(tweet, "id", "id_str"))).then_some("duplicate")
        });
        match (reason, value) {
            (Some(reason), _) => *reasons.entry(reason).or_default() += 1,
            (None, tweet) => valid.extend(tweet),
        }
    }
    (valid, reasons)
}

#[test]
fn the_same_options_give_the_same_bytes() {
    assert_eq!(generate(&options(500, 7)), generate(&options(500, 7)));
}

#[test]
fn another_seed_gives_other_lines() {
    let (one, two) = (generate(&options(500, 1)), generate(&options(500, 2)));
    let one: HashSet<&[u8]> = lines(&one).filter(|line| line.len() > 100).collect();
    assert!(lines(&two).all(|line| !one.contains(line)));
}

#[test]
fn a_shorter_run_is_the_beginning_of_a_longer_one() {
    let (short, long) = (generate(&options(300, 3)), generate(&options(900, 3)));
    assert!(long.starts_with(&short));
}

/// Data made on other days and machines must stay comparable. A change here is a change of the data: say
/// so in the change log, and measure again what was measured with it.
#[test]
fn the_first_thousand_lines_of_seed_one_are_as_ever() {
    let bytes = generate(&Options {
        tweets: 1_000,
        ..Options::default()
    });
    assert_eq!(
        (bytes.len(), crc32fast::hash(&bytes)),
        (2_788_906, 2_024_465_628)
    );
}

#[test]
fn every_reason_to_drop_out_occurs_and_most_lines_are_valid() {
    let bytes = generate(&options(5_000, 1));
    let (valid, reasons) = sift(&bytes);
    for reason in [
        "malformed_json",
        "no_tweet_id",
        "no_user_id",
        "bad_created_at",
        "no_text",
        "no_hashtags",
        "language",
        "duplicate",
    ] {
        let count = reasons.get(reason).copied().unwrap_or_default();
        assert!(count > 30, "{reason}: {count} of {reasons:?}");
    }
    assert!(
        (3_300..3_900).contains(&valid.len()),
        "{} {reasons:?}",
        valid.len()
    );
    let malformed = reasons["malformed_json"];
    assert!((250..350).contains(&malformed), "{malformed}");
}

#[test]
fn about_half_of_the_valid_tweets_are_contacts_of_each_kind() {
    let (valid, _) = sift(&generate(&options(5_000, 1)));
    let mut kinds = [0; 4];
    let mut own = 0;
    for tweet in &valid {
        let reply = id(tweet, "in_reply_to_user_id", "in_reply_to_user_id_str");
        let retweet = id(&tweet["retweeted_status"]["user"], "id", "id_str");
        kinds[usize::from(reply.is_some()) + 2 * usize::from(retweet.is_some())] += 1;
        let sender = id(&tweet["user"], "id", "id_str");
        own += usize::from(sender == reply || sender == retweet);
    }
    let contacts = valid.len() - kinds[0];
    assert!(
        (45..60).contains(&(contacts * 100 / valid.len())),
        "{kinds:?}"
    );
    assert!(
        kinds.iter().all(|&count| count > 50) && own > 20,
        "{kinds:?} {own}"
    );
}

#[test]
fn some_pairs_share_more_than_ten_tags() {
    let (valid, _) = sift(&generate(&options(5_000, 1)));
    let mut used: HashMap<u64, HashMap<String, usize>> = HashMap::new();
    let mut pairs = HashSet::new();
    for tweet in &valid {
        let sender = id(&tweet["user"], "id", "id_str").unwrap();
        pairs.extend(id(&tweet["retweeted_status"]["user"], "id", "id_str").map(|to| (sender, to)));
        for tag in tweet["entities"]["hashtags"].as_array().unwrap() {
            let tag = tag["text"].as_str().unwrap_or_default().to_lowercase();
            if !generate::excluded_hashtags().contains(&tag.as_str()) {
                *used.entry(sender).or_default().entry(tag).or_default() += 1;
            }
        }
    }
    let shared = |(one, two): &(u64, u64)| -> usize {
        let (Some(one), Some(two)) = (used.get(one), used.get(two)) else {
            return 0;
        };
        one.iter()
            .map(|(tag, count)| two.get(tag).map_or(0, |other| count + other))
            .sum()
    };
    let busy = pairs.iter().filter(|pair| shared(pair) > 10).count();
    assert!(busy > pairs.len() / 20, "{busy} of {}", pairs.len());
}

#[test]
fn lines_are_as_long_as_real_ones() {
    let bytes = generate(&options(5_000, 1));
    let average = bytes.len() / 5_000;
    assert!((1_500..4_000).contains(&average), "{average}");
    assert!(lines(&bytes).all(|line| line.len() < 64 << 10));
}

#[test]
fn texts_and_spellings_hold_the_awkward_cases() {
    let bytes = generate(&options(5_000, 1));
    let (valid, _) = sift(&bytes);
    let texts: Vec<&str> = valid
        .iter()
        .filter_map(|tweet| tweet["text"].as_str())
        .collect();
    for piece in [
        "hello cc", "hahaha", "\t", "\n", "\r", "\"", "\\", "\0", "&amp;", "😀", "\u{200f}", "Ｗ",
        "İ", "ß", "Σ",
    ] {
        assert!(texts.iter().any(|text| text.contains(piece)), "{piece:?}");
    }
    let raw = String::from_utf8_lossy(&bytes);
    for piece in [
        "😀",
        r"\ud83d\ude00",
        r"\uD83D\uDE00",
        r"\u0000",
        r"\/",
        "\": ",
        " +0100 ",
    ] {
        assert!(raw.contains(piece), "{piece:?}");
    }
}

#[test]
fn unusual_options_are_taken_for_the_nearest_sensible_ones() {
    let mut options = Options {
        users: 0,
        hashtags: 0,
        tweets: 200,
        malformed_share: f64::NAN,
        filtered_share: -1.0,
        duplicate_share: 0.0,
        ..Options::default()
    };
    let (valid, reasons) = sift(&generate(&options));
    assert_eq!((valid.len(), reasons.len()), (200, 0), "{reasons:?}");
    options.malformed_share = 7.0;
    let (valid, _) = sift(&generate(&options));
    assert_eq!(valid.len(), 0);
    options.tweets = 0;
    assert!(generate(&options).is_empty());
}

#[test]
fn an_error_of_the_output_is_handed_on() {
    let mut full = [0_u8; 1_000];
    let error = generate::write(&options(10, 1), &mut full.as_mut_slice()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WriteZero);
}
