//! Any four values: a request is valid exactly when a plain reading of the
//! rules says so.
#![no_main]

use libfuzzer_sys::fuzz_target;
use twitter_core::query::{Query, RawQuery};

type Values<'a> = [Option<&'a [u8]>; 4];

fuzz_target!(|values: Values<'_>| {
    let [user_id, contact_type, phrase, hashtag] = values;
    let parsed = Query::parse(RawQuery {
        user_id,
        contact_type,
        phrase,
        hashtag,
    });
    let text = |value: Option<&[u8]>| {
        let text = String::from_utf8(value?.to_vec()).ok()?;
        (!text.is_empty()).then_some(text)
    };
    let id = text(user_id).filter(|id| id.len() <= 20 && id.bytes().all(|b| b.is_ascii_digit()));
    let id = id.and_then(|id| id.parse::<u64>().ok());
    let known = ["reply", "retweet", "both"].map(str::to_owned);
    let is_type = text(contact_type).is_some_and(|name| known.contains(&name));
    match (id, is_type, text(phrase), text(hashtag)) {
        (Some(id), true, Some(phrase), Some(hashtag)) => {
            let query = parsed.expect("all four are right");
            assert_eq!(query.user_id(), id);
            assert_eq!(query.phrase(), phrase);
            assert_eq!(query.hashtag_lower(), hashtag.to_lowercase());
        }
        _ => assert!(parsed.is_err()),
    }
});
