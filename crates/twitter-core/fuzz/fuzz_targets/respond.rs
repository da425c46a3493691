//! Rows and a request: the reply equals that of a slow second implementation.
#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use twitter_core::query::{Query, RawQuery};
use twitter_core::rank::Scratch;
use twitter_core::record::{OwnedPack, encode};
use twitter_core::render::respond;

#[path = "../../tests/support/twin.rs"]
mod twin;

use twin::{OwnedRow, Tweet};

#[derive(Debug, Arbitrary)]
struct Input {
    user_id: u8,
    tweets: Vec<BareTweet>,
    contacts: [Contact; 3],
    requests: Vec<Request>,
}

#[derive(Debug, Arbitrary)]
struct BareTweet {
    contact_id: u8,
    tweet_id: u8,
    created_at: i8,
    kind: u8,
    text: Text,
    tags: Vec<Text>,
}

#[derive(Debug, Arbitrary)]
struct Contact {
    name: Text,
    description: Text,
    same_tags: u16,
}

#[derive(Debug, Arbitrary)]
struct Request {
    contact_type: u8,
    phrase: Text,
    hashtag: Text,
}

/// Mostly of few letters, so that something occurs.
#[derive(Debug, Clone)]
struct Text(String);

impl<'a> Arbitrary<'a> for Text {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        if u.ratio(1, 8)? {
            return Ok(Self(String::arbitrary(u)?));
        }
        let letters = ["a", "b", "A", "é", "Σ", "İ", "\n", "😀"];
        let len = u.int_in_range(0..=12)?;
        let text: arbitrary::Result<String> =
            (0..len).map(|_| u.choose(&letters).copied()).collect();
        Ok(Self(text?))
    }
}

fuzz_target!(|input: Input| {
    let tweets: Vec<Tweet> = input
        .tweets
        .iter()
        .map(|tweet| Tweet {
            contact_id: u64::from(tweet.contact_id % 16),
            tweet_id: u64::from(tweet.tweet_id),
            created_at: i64::from(tweet.created_at),
            kind: tweet.kind,
            text: tweet.text.0.clone(),
            tags: tweet.tags.iter().map(|tag| tag.0.clone()).collect(),
        })
        .collect();
    let user_id = u64::from(input.user_id % 16);
    let rows = twin::rows(user_id, &tweets, |contact_id| {
        let contact = &input.contacts[(contact_id % 3) as usize];
        let Contact {
            name,
            description,
            same_tags,
        } = contact;
        (name.0.clone(), description.0.clone(), u32::from(*same_tags))
    });
    let Ok(pack) = encode(rows.iter().map(OwnedRow::row)) else {
        assert!(rows.is_empty());
        return;
    };
    let pack = OwnedPack::parse_for(user_id, pack).expect("a written pack parses");
    assert!(pack.as_pack().rows().eq(rows.iter().map(OwnedRow::row)));
    let mut scratch = Scratch::default();
    let mut reply = Vec::new();
    for request in &input.requests {
        let types = [b"reply".as_slice(), b"retweet", b"both"];
        let Ok(query) = Query::parse(RawQuery {
            user_id: Some(b"1"),
            contact_type: Some(types[usize::from(request.contact_type % 3)]),
            phrase: Some(request.phrase.0.as_bytes()),
            hashtag: Some(request.hashtag.0.as_bytes()),
        }) else {
            continue;
        };
        reply.clear();
        respond(&query, &pack.as_pack(), b"T,A", &mut reply, &mut scratch);
        assert_eq!(reply, twin::reply(b"T,A", &query, &rows));
    }
});
