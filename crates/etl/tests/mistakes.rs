//! Mistakes seen in public solutions of the task, a test each.

#![expect(clippy::unwrap_used, reason = "a test whose data is wrong must fail")]

#[path = "support/files.rs"]
mod files;

use etl::clean::Reason;
use etl::score::Table;
use serde_json::{Value, json};
use twitter_core::query::{Query, RawQuery};
use twitter_core::rank::Scratch;
use twitter_core::record::{OwnedPack, Row};
use twitter_core::render::respond;

use crate::files::{Checked, Folder};

/// A tweet of `sender` at second `id`, with `more` fields over these.
fn tweet(id: u64, sender: u64, tags: &[&str], more: Value) -> Value {
    let tags: Vec<Value> = tags.iter().map(|tag| json!({"text": tag})).collect();
    let mut tweet = json!({
        "id": id,
        "created_at": format!("Mon Apr 14 10:00:{id:02} +0000 2014"),
        "text": format!("text {id}"),
        "lang": "en",
        "user": {"id": sender, "screen_name": format!("n{sender}"), "description": "d"},
        "entities": {"hashtags": tags},
    });
    let Value::Object(more) = more else {
        return tweet;
    };
    for (key, value) in more {
        tweet[key] = value;
    }
    tweet
}

fn reply(id: u64, sender: u64, to: u64, tags: &[&str]) -> Value {
    tweet(id, sender, tags, json!({"in_reply_to_user_id": to}))
}

fn plain(id: u64, sender: u64, tags: &[&str]) -> Value {
    tweet(id, sender, tags, Value::Null)
}

fn build(tweets: &[Value], excluded: &[&str]) -> Checked {
    let lines = tweets.iter().map(Value::to_string).collect();
    Folder::new(&[lines], excluded).run(1).unwrap()
}

/// What `look` sees in the row (user, contact, tweet).
fn row<T>(outcome: &Checked, key: (u64, u64, u64), look: impl Fn(&Row<'_>) -> T) -> Option<T> {
    let mut found = None;
    for number in 0..outcome.table.users() {
        outcome.table.with_user(number, &mut |rows| {
            let row = rows
                .iter()
                .find(|row| (row.user_id, row.contact_id, row.tweet_id) == key);
            found = found.take().or(row.map(&look));
        });
    }
    found
}

fn same_tags(outcome: &Checked, a: u64, b: u64, id: u64) -> u32 {
    row(outcome, (a, b, id), |row| row.same_tag_count).unwrap()
}

fn ask(outcome: &Checked, user_id: u64, phrase: &str, hashtag: &str) -> String {
    let packed = outcome
        .packs()
        .into_iter()
        .find(|packed| packed.user_id == user_id);
    let pack = OwnedPack::parse_for(user_id, packed.unwrap().pack).unwrap();
    let digits = user_id.to_string();
    let query = Query::parse(RawQuery {
        user_id: Some(digits.as_bytes()),
        contact_type: Some(b"both"),
        phrase: Some(phrase.as_bytes()),
        hashtag: Some(hashtag.as_bytes()),
    });
    let mut out = Vec::new();
    let pack = pack.as_pack();
    respond(
        &query.unwrap(),
        &pack,
        b"T,A",
        &mut out,
        &mut Scratch::default(),
    );
    String::from_utf8(out).unwrap()
}

#[test]
fn excluded_tags_do_not_count_and_stay_in_the_row() {
    let tags = ["zip"; 20];
    let outcome = build(&[reply(1, 10, 20, &tags), plain(2, 20, &tags)], &["ZIP"]);
    assert_eq!(same_tags(&outcome, 10, 20, 1), 0);
    let kept = row(&outcome, (10, 20, 1), |row| row.hashtags.iter().count());
    assert_eq!(kept, Some(20));
}

#[test]
fn tag_counts_are_added_over_all_tweets_of_both() {
    let outcome = build(
        &[
            reply(1, 10, 20, &["a", "a", "b"]),
            plain(2, 20, &["A", "b", "c"]),
            plain(3, 20, &["a", "a"]),
            plain(4, 10, &["d"]),
        ],
        &[],
    );
    assert_eq!(same_tags(&outcome, 10, 20, 1), (2 + 3) + (1 + 1));
    assert_eq!(same_tags(&outcome, 20, 10, 1), (2 + 3) + (1 + 1));
}

#[test]
fn a_retweet_uses_its_own_tags_for_its_sender_only() {
    let more = json!({"retweeted_status": {
        "user": {"id": 20}, "entities": {"hashtags": [{"text": "a"}]},
    }});
    let outcome = build(&[tweet(1, 10, &["a"; 12], more)], &[]);
    assert_eq!(same_tags(&outcome, 10, 20, 1), 0);
}

#[test]
fn both_directions_are_stored_and_counted_together() {
    let outcome = build(&[reply(1, 10, 20, &["a"]), reply(2, 20, 10, &["b"])], &[]);
    for key in [(10, 20, 1), (20, 10, 1), (10, 20, 2), (20, 10, 2)] {
        assert_eq!(
            row(&outcome, key, |row| row.reply_count),
            Some(2),
            "{key:?}"
        );
    }
}

#[test]
fn a_tie_is_decided_by_the_outer_tweet() {
    let retweet = |id: u64, inner: u64, name: &str| {
        let more = json!({
            "created_at": "Mon Apr 14 10:00:00 +0000 2014",
            "retweeted_status": {
                "id": inner,
                "created_at": "Sat Apr 19 10:00:00 +0000 2014",
                "user": {"id": 20, "screen_name": name},
            },
        });
        tweet(id, 10, &["a"], more)
    };
    let outcome = build(&[retweet(1, 900, "older"), retweet(2, 800, "newer")], &[]);
    let name = row(&outcome, (10, 20, 1), |row| {
        row.contact_screen_name.to_owned()
    });
    assert_eq!(name.as_deref(), Some("newer"));
    assert_eq!(ask(&outcome, 10, "-", "-"), "T,A\n20\tnewer\t\ttext 2");
}

#[test]
fn tweets_with_a_string_id_only_are_no_duplicates_of_each_other() {
    let named = |id: u64| {
        let more = json!({"id": null, "id_str": id.to_string(), "in_reply_to_user_id": 20});
        tweet(id, 10, &["a"], more)
    };
    let outcome = build(&[named(1), named(2), reply(2, 10, 20, &["a"])], &[]);
    assert_eq!(row(&outcome, (10, 20, 2), |row| row.reply_count), Some(2));
    assert_eq!(outcome.stats.counts.rejected(Reason::Duplicate), 1);
}

#[test]
fn a_filtered_copy_hides_nothing_and_the_first_valid_one_stays() {
    let copy = |text: &str, lang: &str| {
        let more = json!({"text": text, "lang": lang, "in_reply_to_user_id": 20});
        tweet(1, 10, &["a"], more).to_string()
    };
    let files = [
        vec![copy("filtered", "de")],
        vec![copy("first", "en")],
        vec![copy("second", "en")],
    ];
    for jobs in 1..4 {
        let outcome = Folder::new(&files, &[]).run(jobs).unwrap();
        let text = row(&outcome, (10, 20, 1), |row| row.tweet_text.to_owned());
        assert_eq!(text.as_deref(), Some("first"));
        let counts = outcome.files.last().unwrap().counts;
        assert_eq!((counts.rejected(Reason::Duplicate), counts.valid), (1, 0));
    }
}

#[test]
fn nothing_is_cut() {
    let long = "é".repeat(5000);
    let tags: Vec<String> = (0..300)
        .map(|n| format!("{n}{}", "t".repeat(200)))
        .collect();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    let more = json!({
        "user": {"id": 10, "screen_name": long, "description": long},
        "text": long,
        "in_reply_to_user_id": 20,
    });
    let outcome = build(&[tweet(1, 10, &tags, more)], &[]);
    let is_whole = row(&outcome, (20, 10, 1), |row| {
        row.contact_screen_name == long
            && row.contact_description == long
            && row.tweet_text == long
            && row.hashtags.iter().eq(tags.iter().copied())
    });
    assert_eq!(is_whole, Some(true));
}

#[test]
fn scores_of_ten_and_more_keep_all_digits() {
    let mut tweets: Vec<Value> = (1..50).map(|id| reply(id, 10, 20, &["a"; 40])).collect();
    tweets.push(plain(50, 20, &["a"; 40]));
    let outcome = build(&tweets, &[]);
    let score = row(&outcome, (20, 10, 1), |row| row.base_score).unwrap();
    let expected = 99f64.ln() * (1.0 + (f64::from(50 * 40) - 9.0).ln());
    assert!(score > 10.0 && (score - expected).abs() < 1e-12 * expected);
}

#[test]
fn text_that_troubles_csv_arrives_whole() {
    let odd = "\t\n\r\\\\n\"quoted\",'x',\u{0}\u{1}\u{2028}\\N😀\u{fffd};";
    let more = json!({
        "user": {"id": 10, "screen_name": odd, "description": odd},
        "text": odd,
        "in_reply_to_user_id": 20,
    });
    let outcome = build(&[tweet(1, 10, &[odd], more)], &[]);
    let reply = ask(&outcome, 20, "-", "-");
    assert_eq!(reply, format!("T,A\n10\t{odd}\t{odd}\t{odd}"));
}

#[test]
fn phrases_overlap_and_the_asked_tag_is_lower_cased() {
    let more = json!({"text": "hahaha bahaha", "in_reply_to_user_id": 20});
    let mut tweets = vec![tweet(1, 10, &["CMU", "b"], more)];
    // Two replies each, and as many matches as a reader without overlap, or
    // without lower-casing, would count in the first: either ranks above then.
    for (id, text, tags) in [(3, "haha haha", vec!["cmu"]), (5, "haha haha haha", vec![])] {
        let tags = if tags.is_empty() { vec!["x"] } else { tags };
        let more = json!({"text": text, "in_reply_to_user_id": 20});
        tweets.push(tweet(id, 10 + id, &tags, more));
    }
    let outcome = build(&tweets, &[]);
    let reply = ask(&outcome, 20, "haha", "cMu");
    let ids: Vec<&str> = reply
        .lines()
        .skip(1)
        .filter_map(|line| line.split('\t').next())
        .collect();
    assert_eq!(ids, ["10", "15", "13"]);
}

#[test]
fn equal_rounded_scores_are_ordered_by_id() {
    let outcome = build(&[reply(1, 10, 9, &["a"]), reply(2, 10, 100, &["a"])], &[]);
    let reply = ask(&outcome, 10, "-", "-");
    assert_eq!(reply, "T,A\n100\t\t\ttext 2\n9\t\t\ttext 1");
}
