//! Any bytes as a line: no panic, and judged malformed exactly when serde_json
//! says so, where the two have the same idea of JSON.
#![no_main]

use etl::clean::{Reason, clean};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
    let judged = clean(data);
    let is_malformed = judged == Err(Reason::MalformedJson);
    match serde_json::from_slice::<Value>(data) {
        // It refuses more: half characters anywhere, numbers beyond a float,
        // deep nesting.
        Ok(value) => assert_eq!(!is_malformed, value.is_object()),
        // And skipping, it checks all but UTF-8.
        Err(_) if !is_malformed => {
            str::from_utf8(data).expect("a line that passes is UTF-8");
            serde_json::from_slice::<serde::de::IgnoredAny>(data).expect("a line that passes is JSON");
        }
        Err(_) => {}
    }
    if let Ok(tweet) = judged {
        assert!(!tweet.text.is_empty());
        assert!(tweet.hashtags.iter().all(|tag| !tag.is_empty()));
    }
});
