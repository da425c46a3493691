//! One synthetic tweet: what it says, and its JSON.

use super::damage::{self, Flaw};
use super::json::{Json, Spelling};
use super::random::{Random, Stream};
use super::{World, time, user, words};

mod nested;

/// Fields of a tweet that nobody reads, as JSON.
const UNREAD: &[(&str, &str)] = &[
    ("geo", "null"),
    ("contributors", "null"),
    ("favorited", "false"),
    ("retweeted", "false"),
    ("possibly_sensitive", "false"),
    ("filter_level", r#""medium""#),
];

const SOURCES: &[&str] = &[
    "<a href=\"http://twitter.com/download/iphone\" rel=\"nofollow\">Twitter for iPhone</a>",
    "<a href=\"http://twitter.com/download/android\" rel=\"nofollow\">Twitter for Android</a>",
    "web",
];

const PLACE: &str = concat!(
    r#"{"id":"94965b2c45386f87","place_type":"city","name":"New York","full_name":"New York, NY","#,
    r#""country_code":"US","country":"United States","bounding_box":{"type":"Polygon","coordinates":"#,
    r#"[[[-79.76,40.47],[-79.76,45.02],[-71.79,45.02],[-71.79,40.47]]]},"attributes":{}}"#
);

/// Parts of a tweet in the orders in which they are written.
#[derive(Clone, Copy)]
enum Part {
    Head,
    Reply,
    User,
    Place,
    Retweet,
    Quote,
    Counts,
    Entities,
    Language,
}

use Part::{Counts, Entities, Head, Language, Place, Quote, Reply, Retweet, User};

const ORDERS: [&[Part]; 3] = [
    &[
        Head, Reply, User, Place, Retweet, Quote, Counts, Entities, Language,
    ],
    &[
        Retweet, Entities, Quote, Language, User, Reply, Counts, Place, Head,
    ],
    &[
        Language, Quote, User, Entities, Head, Place, Counts, Reply, Retweet,
    ],
];

/// A tweet before it is written.
pub(super) struct Tweet {
    world: World,
    /// Goes on with the content after what is decided here.
    random: Random,
    sender: u64,
    ms: u64,
    id: u64,
    /// The user replied to.
    reply: Option<u64>,
    /// The rank of the user retweeted, and whether their id is given.
    retweet: Option<(u64, bool)>,
    language: &'static str,
    words: &'static [&'static str],
    tags: Vec<String>,
    /// What the sender says, or the retweeted user said.
    inner: String,
    text: String,
}

impl Tweet {
    /// The tweet of an index, always the same; `variant` is 0 for the original, and other numbers give
    /// tweets of the same id that differ in most other things.
    pub(super) fn new(world: World, index: u64, variant: u64) -> Self {
        let World { seed, users, .. } = world;
        let mut identity = Random::new(seed, Stream::Identity, index);
        let sender = user::anybody(users, &mut identity);
        let circle = user::circle(sender);
        let (ms, id) = time::stamp(seed, index, circle, &mut identity);
        let random = &mut Random::new(seed ^ variant, Stream::Content, index);

        let contact = random.below(100);
        let reply = matches!(contact, 0..26 | 50..53).then(|| {
            if random.one_in(50) {
                user::unseen_id(users, random)
            } else {
                user::id(user::contact(seed, users, sender, random))
            }
        });
        let retweet = matches!(contact, 26..54)
            .then(|| (user::contact(seed, users, sender, random), contact != 53));
        // Half of the tweets that are both go to one user.
        let reply = match retweet {
            Some((rank, true)) if reply.is_some() && random.one_in(2) => Some(user::id(rank)),
            _ => reply,
        };

        let (language, words) = words::LANGUAGES[random.index(words::LANGUAGES.len())];
        let mut tags: Vec<String> = Vec::new();
        for _ in 0..[1, 1, 1, 1, 1, 2, 2, 3, 4, 1 + random.below(6)][random.index(10)] {
            let repeated = random.one_in(8) && !tags.is_empty();
            let tag = if repeated {
                tags[random.index(tags.len())].clone()
            } else {
                let rank = words::tag_rank(seed, world.hashtags, circle, random);
                words::tag(rank, random)
            };
            tags.push(tag);
        }

        let mut inner = String::new();
        if random.one_in(200) {
            inner.push_str("  ");
        } else {
            words::sentence(words, 2, 14, random, &mut inner);
            for tag in &tags {
                inner.push_str(" #");
                inner.push_str(tag);
            }
            if random.one_in(3) {
                inner.push(' ');
                words::link(random, &mut inner);
            }
        }
        let mut text = String::new();
        if let Some((rank, _)) = retweet {
            text.push_str("RT @");
            user::handle(rank, &mut text);
            text.push_str(": ");
        } else if reply.is_some() {
            text.push('@');
            user::handle(random.below(users), &mut text);
            text.push(' ');
        }
        text.push_str(&inner);

        Self {
            world,
            random: Random::new(random.next(), Stream::Content, index),
            sender,
            ms: if variant % 3 == 1 { ms + 3_600_000 } else { ms },
            id,
            reply,
            retweet,
            language,
            words,
            tags,
            inner,
            text,
        }
    }

    /// Writes the tweet with at most one flaw; `line` decides what the flaw looks like.
    pub(super) fn write(mut self, flaw: Flaw, line: &mut Random, json: &mut Json) {
        let random = &mut self.random;
        json.spelling = Spelling {
            ascii: random.one_in(2),
            capitals: random.one_in(4),
            blanks: random.one_in(8),
            slashes: random.one_in(2),
        };
        let order = ORDERS[[0, 0, 0, 0, 0, 0, 0, 0, 1, 2][random.index(10)]];
        json.open(b'{');
        for part in order {
            match part {
                Head => self.head(flaw, line, json),
                Reply => self.reply(json),
                User => self.user(flaw, line, json),
                Place => self.place(flaw, line, json),
                Retweet => self.retweet(json),
                Quote => self.quote(json),
                Counts => self.counts(json),
                Entities => self.entities(flaw, line, json),
                Language => match flaw {
                    Flaw::Language => damage::language(line, json),
                    _ => json.name("lang").string(self.language),
                },
            }
        }
        json.close(b'}');
    }

    fn head(&mut self, flaw: Flaw, line: &mut Random, json: &mut Json) {
        let random = &mut self.random;
        if matches!(flaw, Flaw::Time) {
            damage::created_at(line, json);
        } else {
            let zone = if random.one_in(20) {
                [60, -300, 330, 720, -570, 0][random.index(6)]
            } else {
                0
            };
            created_at(self.ms, zone, json);
        }
        match flaw {
            Flaw::Id => damage::id(line, self.id, json),
            _ => id_fields("id", "id_str", self.id, random, json),
        }
        let tail = match flaw {
            Flaw::Surrogate(0) => damage::surrogate(line),
            Flaw::Encoding(0) => damage::encoding(line),
            _ => b"",
        };
        match flaw {
            Flaw::Text => damage::text(line, json),
            _ => json.name("text").string_with_tail(&self.text, tail),
        }
        json.name("source").string(random.pick(SOURCES));
        json.name("truncated").raw("false");
        if random.one_in(30) {
            json.name("extended_tweet").open(b'{');
            json.name("full_text").string(&self.inner);
            json.name("entities").open(b'{');
            json.name("hashtags").raw(r#"[{"text":"nottobeused"}]"#);
            json.close(b'}');
            json.close(b'}');
        }
        json.name("timestamp_ms").quoted(self.ms);
    }

    fn reply(&mut self, json: &mut Json) {
        let names = ("in_reply_to_user_id", "in_reply_to_user_id_str");
        if let Some(id) = self.reply {
            let status = self.id - self.random.below(1 << 20).min(self.id - 1);
            json.name("in_reply_to_status_id").number(status);
            json.name("in_reply_to_status_id_str").quoted(status);
            id_fields(names.0, names.1, id, &mut self.random, json);
            json.name("in_reply_to_screen_name").string("somebody");
        } else if !self.random.one_in(10) {
            json.name("in_reply_to_status_id").raw("null");
            json.name("in_reply_to_status_id_str").raw("null");
            json.name(names.0).raw("null");
            json.name(names.1).raw("null");
            json.name("in_reply_to_screen_name").raw("null");
        }
    }

    fn user(&mut self, flaw: Flaw, line: &mut Random, json: &mut Json) {
        let random = &mut self.random;
        if matches!(flaw, Flaw::User) && !damage::user(line, json) {
            return;
        }
        if !matches!(flaw, Flaw::User) {
            json.name("user").open(b'{');
            id_fields("id", "id_str", user::id(self.sender), random, json);
        }
        let tail = match flaw {
            Flaw::Surrogate(2) => damage::surrogate(line),
            Flaw::Encoding(2) => damage::encoding(line),
            _ => b"",
        };
        user::write_profile(self.world.seed, self.sender, self.ms, random, tail, json);
        json.close(b'}');
    }

    fn place(&mut self, flaw: Flaw, line: &mut Random, json: &mut Json) {
        let value = match flaw {
            Flaw::Number => damage::number(line),
            _ if self.random.one_in(40) => r#"{"type":"Point","coordinates":[-73.98,40.75e0]}"#,
            _ => "null",
        };
        json.name("coordinates").raw(value);
        let place = if self.random.one_in(20) {
            PLACE
        } else {
            "null"
        };
        json.name("place").raw(place);
    }

    fn counts(&mut self, json: &mut Json) {
        json.name("retweet_count").number(self.random.below(100));
        json.name("favorite_count").number(self.random.below(100));
        for (name, value) in UNREAD {
            json.name(name).raw(value);
        }
    }

    fn entities(&mut self, flaw: Flaw, line: &mut Random, json: &mut Json) {
        let random = &mut self.random;
        if matches!(flaw, Flaw::Hashtags) {
            damage::hashtags(line, json);
            return;
        }
        let tail = match flaw {
            Flaw::Surrogate(1) => damage::surrogate(line),
            Flaw::Encoding(1) => damage::encoding(line),
            _ => b"",
        };
        json.name("entities").open(b'{');
        json.name("hashtags").open(b'[');
        let unusable = random.below(100);
        // At times unusable elements come among the tags, or there are no others.
        if unusable < 3 {
            for _ in 0..=random.below(3) {
                json.separate();
                json.raw(random.pick(words::UNUSABLE));
            }
        }
        if unusable > 0 || !tail.is_empty() {
            for tag in &self.tags {
                hashtag(tag, tail, random, json);
            }
        }
        if unusable == 3 {
            json.separate();
            json.raw(random.pick(words::UNUSABLE));
        }
        json.close(b']');
        json.name("urls").open(b'[');
        if random.one_in(3) {
            let mut text = String::new();
            words::link(random, &mut text);
            json.open(b'{');
            json.name("url").string(&text);
            json.name("expanded_url")
                .string("http://example.com/2014/03/21/a?b=c&d=e");
            json.name("display_url").string("example.com/2014/03/21/a…");
            json.name("indices").raw("[40,62]");
            json.close(b'}');
        }
        json.close(b']');
        self.mentions(json);
        json.name("symbols").raw("[]");
        json.close(b'}');
    }

    fn mentions(&mut self, json: &mut Json) {
        json.name("user_mentions").open(b'[');
        if let Some((rank, _)) = self.retweet {
            let mut text = String::new();
            user::handle(rank, &mut text);
            json.open(b'{');
            json.name("screen_name").string(&text);
            json.name("name").string("Ada");
            id_fields("id", "id_str", user::id(rank), &mut self.random, json);
            json.name("indices").raw("[3,12]");
            json.close(b'}');
        }
        json.close(b']');
    }
}

fn hashtag(tag: &str, tail: &[u8], random: &mut Random, json: &mut Json) {
    json.separate();
    json.open(b'{');
    json.name("text").string_with_tail(tag, tail);
    let start = random.below(100);
    json.name("indices").open(b'[');
    json.number(start);
    json.separate();
    json.number(start + 5);
    json.close(b']');
    json.close(b'}');
}

fn created_at(ms: u64, zone_minutes: i32, json: &mut Json) {
    let mut text = String::with_capacity(30);
    time::format(ms / 1_000, zone_minutes, &mut text);
    json.name("created_at").string(&text);
}

/// An id as number and as string, or one of them, the other missing, null or of a wrong kind.
fn id_fields(number: &str, string: &str, id: u64, random: &mut Random, json: &mut Json) {
    let form = random.below(100);
    match form {
        0 | 1 => {}
        2 => json.name(number).raw("null"),
        3 => {
            // A number, though no integer.
            json.name(number).number(id);
            json.raw(".0");
        }
        4 => json.name(number).quoted(id),
        5 => json.name(number).raw("-1"),
        6 => json.name(number).raw("18446744073709551616"),
        _ => json.name(number).number(id),
    }
    match form {
        7 | 8 => {}
        9 => json.name(string).raw("null"),
        10 => json.name(string).raw("\"\""),
        11 => json.name(string).raw("\"12x\""),
        _ => json.name(string).quoted(id),
    }
}
