//! Any bytes as a pack, as they are and under a right checksum: no panic, and
//! what is accepted writes back to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use twitter_core::error::PackError;
use twitter_core::query::{Query, RawQuery};
use twitter_core::rank::Scratch;
use twitter_core::record::{Pack, encode, join, parts};
use twitter_core::render::respond;

fuzz_target!(|data: &[u8]| {
    ask(data);
    let _ = join([(0, data)]);
    let mut fixed = data.to_vec();
    if fixed.len() >= 12 {
        // Version, length and checksum, so that the rest is reached.
        let total = u32::try_from(fixed.len()).expect("inputs are small");
        fixed[..4].copy_from_slice(&[1, 0, 0, 0]);
        fixed[8..12].copy_from_slice(&total.to_le_bytes());
        let checksum = crc32fast::hash(&fixed[8..]);
        fixed[4..8].copy_from_slice(&checksum.to_le_bytes());
    }
    ask(&fixed);
});

fn ask(bytes: &[u8]) {
    let Ok(pack) = Pack::parse(bytes) else {
        return;
    };
    let mut scratch = Scratch::default();
    for contact_type in [b"reply".as_slice(), b"retweet", b"both"] {
        let query = Query::parse(RawQuery {
            user_id: Some(b"1"),
            contact_type: Some(contact_type),
            phrase: Some(b"aa"),
            hashtag: Some(b"a"),
        })
        .expect("a valid request");
        let mut reply = Vec::new();
        respond(&query, &pack, b"T,A", &mut reply, &mut scratch);
        assert!(reply.starts_with(b"T,A") && reply != b"T,A\n");
    }
    assert!(pack.rows().count() == pack.row_count());
    match encode(pack.rows()) {
        Ok(again) => assert_eq!(again, bytes),
        Err(error) => assert_eq!(error, PackError::TagNotLowerCase),
    }
    let cut = parts(bytes).expect("a pack is small enough");
    assert_eq!(join(cut).expect("parts of a pack join"), bytes);
}
