//! The rules once more, as plainly as they can be written: everything is a
//! `serde_json::Value`, every question walks over all tweets.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

/// A valid tweet.
#[derive(Debug, Clone)]
struct Tweet {
    id: u64,
    time: i64,
    value: Value,
}

fn id_at(object: &Value, key: &str) -> Option<u64> {
    if let Some(Value::Number(number)) = object.get(key)
        && let Some(id) = number.as_u64()
    {
        return Some(id);
    }
    let twin = object.get(format!("{key}_str"))?.as_str()?;
    let is_plain = (1..=20).contains(&twin.len()) && twin.chars().all(|c| c.is_ascii_digit());
    is_plain.then(|| twin.parse().ok())?
}

/// Only `Mon Apr 14 10:00:SS +0000 2014` is ever generated.
fn time_of(text: &str) -> Option<i64> {
    let second = text
        .strip_prefix("Mon Apr 14 10:00:")?
        .strip_suffix(" +0000 2014")?;
    Some(1_397_469_600 + second.parse::<i64>().ok()?)
}

fn text_at<'v>(object: &'v Value, key: &str) -> &'v str {
    object.get(key).and_then(Value::as_str).unwrap_or("")
}

impl Tweet {
    fn sender(&self) -> u64 {
        id_at(&self.value["user"], "id").unwrap()
    }

    fn reply_to(&self) -> Option<u64> {
        id_at(&self.value, "in_reply_to_user_id")
    }

    fn retweeted(&self) -> Option<u64> {
        id_at(&self.value["retweeted_status"]["user"], "id")
    }

    fn tags(&self) -> Vec<String> {
        let tags = self.value["entities"]["hashtags"].as_array().unwrap();
        let texts = tags.iter().filter_map(|tag| tag.get("text")?.as_str());
        let texts = texts.filter(|text| !text.is_empty());
        texts.map(str::to_lowercase).collect()
    }

    /// 1, 2 or 3 if this is a contact between the two, else 0.
    fn kind(&self, a: u64, b: u64) -> u8 {
        let meets = |other: Option<u64>| {
            other.is_some_and(|other| {
                (self.sender(), other) == (a, b) || (self.sender(), other) == (b, a)
            })
        };
        u8::from(meets(self.reply_to())) + 2 * u8::from(meets(self.retweeted()))
    }
}

fn judge(line: &str, kept: &[Tweet]) -> Result<Tweet, &'static str> {
    let value: Value = serde_json::from_str(line).map_err(|_| "malformed_json")?;
    if !value.is_object() {
        return Err("malformed_json");
    }
    let id = id_at(&value, "id").ok_or("no_tweet_id")?;
    id_at(&value["user"], "id").ok_or("no_user_id")?;
    let time = time_of(text_at(&value, "created_at")).ok_or("bad_created_at")?;
    if text_at(&value, "text").is_empty() {
        return Err("no_text");
    }
    let tags = value["entities"]["hashtags"].as_array();
    if tags.is_none_or(Vec::is_empty) {
        return Err("no_hashtags");
    }
    let languages = ["ar", "en", "fr", "in", "pt", "es", "tr", "ja"];
    if !languages.contains(&text_at(&value, "lang")) {
        return Err("language");
    }
    if kept.iter().any(|tweet| tweet.id == id) {
        return Err("duplicate");
    }
    Ok(Tweet { id, time, value })
}

/// Figures and lines of the table, header apart.
pub(crate) fn build(lines: &[String], excluded: &[&str]) -> (Value, Vec<String>) {
    let mut stats: Map<String, Value> = Map::new();
    let mut rejected: BTreeMap<&str, u64> = [
        "malformed_json",
        "no_tweet_id",
        "no_user_id",
        "bad_created_at",
        "no_text",
        "no_hashtags",
        "language",
        "duplicate",
    ]
    .into_iter()
    .map(|reason| (reason, 0))
    .collect();
    let mut tweets = Vec::new();
    for line in lines {
        match judge(line, &tweets) {
            Ok(tweet) => tweets.push(tweet),
            Err(reason) => *rejected.get_mut(reason).unwrap() += 1,
        }
    }
    let mut users = BTreeSet::new();
    let mut seen = BTreeSet::new();
    for tweet in &tweets {
        users.extend([Some(tweet.sender()), tweet.reply_to(), tweet.retweeted()]);
        seen.extend([Some(tweet.sender()), tweet.retweeted()]);
    }
    let users: Vec<u64> = users.into_iter().flatten().collect();
    let seen: BTreeSet<u64> = seen.into_iter().flatten().collect();

    let mut rows = Vec::new();
    let mut with_contacts = BTreeSet::new();
    let (mut pairs, mut self_pairs, mut bonus) = (0, 0, 0);
    for &a in &users {
        for &b in &users {
            let mut met: Vec<&Tweet> = tweets.iter().filter(|t| t.kind(a, b) > 0).collect();
            if met.is_empty() {
                continue;
            }
            met.sort_by_key(|tweet| tweet.id);
            with_contacts.insert(a);
            let same = same_tags(&tweets, a, b, excluded);
            if a <= b {
                pairs += 1;
                self_pairs += u64::from(a == b);
                bonus += u64::from(same > 10);
            }
            rows.extend(met.iter().map(|t| row(&tweets, t, (a, b), &met, same)));
        }
    }
    let tags = tweets.iter().flat_map(Tweet::tags);
    stats.insert("lines".to_owned(), json!(lines.len()));
    for (reason, count) in rejected {
        stats.insert(format!("rejected_{reason}"), json!(count));
    }
    let is_contact = |t: &&Tweet| t.reply_to().or(t.retweeted()).is_some();
    let unseen = with_contacts.iter().filter(|user| !seen.contains(user));
    for (key, value) in [
        ("valid_tweets", tweets.len()),
        ("hashtag_occurrences", tags.clone().count()),
        (
            "reply_tweets",
            tweets.iter().filter_map(Tweet::reply_to).count(),
        ),
        (
            "retweet_tweets",
            tweets.iter().filter_map(Tweet::retweeted).count(),
        ),
        ("contact_tweets", tweets.iter().filter(is_contact).count()),
        ("distinct_hashtags", tags.collect::<BTreeSet<_>>().len()),
        ("users_with_info", seen.len()),
        ("users_with_contacts", with_contacts.len()),
        ("contacted_users_without_info", unseen.count()),
        ("table_rows", rows.len()),
    ] {
        stats.insert(key.to_owned(), json!(value));
    }
    for (key, value) in [
        ("pairs", pairs),
        ("self_pairs", self_pairs),
        ("pairs_with_hashtag_bonus", bonus),
    ] {
        stats.insert(key.to_owned(), json!(value));
    }
    (Value::Object(stats), rows)
}

fn same_tags(tweets: &[Tweet], a: u64, b: u64, excluded: &[&str]) -> u64 {
    if a == b {
        return 0;
    }
    let uses = |user| {
        let mut uses: BTreeMap<String, u64> = BTreeMap::new();
        for tweet in tweets.iter().filter(|tweet| tweet.sender() == user) {
            for tag in tweet.tags() {
                *uses.entry(tag).or_default() += 1;
            }
        }
        uses
    };
    let (first, second) = (uses(a), uses(b));
    let mut sum = 0;
    for (tag, count) in first {
        if !excluded.contains(&&*tag)
            && let Some(other) = second.get(&tag)
        {
            sum += count + other;
        }
    }
    sum
}

/// Screen name and description from the greatest stamp; the sender's own wins.
fn names(tweets: &[Tweet], user: u64) -> (String, String) {
    let mut sightings = Vec::new();
    for tweet in tweets {
        let own = &tweet.value["user"];
        let repeated = &tweet.value["retweeted_status"]["user"];
        for (shown, is_sender) in [(own, true), (repeated, false)] {
            if id_at(shown, "id") == Some(user) {
                sightings.push(((tweet.time, tweet.id, is_sender), shown));
            }
        }
    }
    let latest = sightings.into_iter().max_by_key(|(stamp, _)| *stamp);
    let Some((_, shown)) = latest else {
        return Default::default();
    };
    let text = |key| text_at(shown, key).to_owned();
    (text("screen_name"), text("description"))
}

#[expect(clippy::cast_precision_loss, reason = "counts are small")]
fn row(tweets: &[Tweet], tweet: &Tweet, pair: (u64, u64), met: &[&Tweet], same: u64) -> String {
    let (a, b) = pair;
    let of = |bits: u8| met.iter().filter(move |t| t.kind(a, b) & bits > 0);
    let (replies, retweets) = (of(1).count(), of(2).count());
    let interaction = (1.0 + 2.0 * replies as f64 + retweets as f64).ln();
    let factor = if same > 10 {
        1.0 + (1.0 + same as f64 - 10.0).ln()
    } else {
        1.0
    };
    let mut latest = 0;
    for (bits, mark) in [(1, 1), (2, 2), (3, 4)] {
        let greatest = of(bits).max_by_key(|t| (t.time, t.id));
        if greatest.is_some_and(|t| t.id == tweet.id) {
            latest += mark;
        }
    }
    let (name, description) = names(tweets, b);
    let cells = [
        a.to_string(),
        b.to_string(),
        tweet.id.to_string(),
        tweet.time.to_string(),
        tweet.kind(a, b).to_string(),
        escape(text_at(&tweet.value, "text")),
        escape(&json!(tweet.tags()).to_string()),
        escape(&name),
        escape(&description),
        replies.to_string(),
        retweets.to_string(),
        same.to_string(),
        format!("{:?}", interaction * factor),
        latest.to_string(),
    ];
    cells.join("\t")
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('\t', "\\t")
        .replace('\n', "\\n")
        .replace('\r', "\\r")
        .replace('\0', "\\0")
}
