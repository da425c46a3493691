//! Laws of packs, parts, matching and order.

#![expect(clippy::unwrap_used, reason = "a test whose data is wrong must fail")]

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use twitter_core::error::PackError;
use twitter_core::query::{Query, RawQuery, lower_tag};
use twitter_core::rank::{Scratch, rank};
use twitter_core::record::{OwnedPack, Pack, encode, join, parts};
use twitter_core::render::respond;

#[path = "support/twin.rs"]
mod twin;

use twin::{OwnedRow, Tweet};

const USER: u64 = 7;

/// Few letters, so that phrases overlap themselves and tags meet.
fn word() -> impl Strategy<Value = String> {
    let letters = select(vec![
        "a", "b", "A", "é", "Σ", "İ", " ", "\n", "\t", "ｂ", "😀",
    ]);
    vec(letters, 1..12).prop_map(|letters| letters.concat())
}

fn dull_word() -> impl Strategy<Value = String> {
    vec(select(vec!["a", "b"]), 1..16).prop_map(|letters| letters.concat())
}

fn tweet() -> impl Strategy<Value = Tweet> {
    let tags = vec(
        prop_oneof![
            word(),
            vec(select(vec!["a", "B"]), 1..3).prop_map(|l| l.concat())
        ],
        0..5,
    );
    (
        prop_oneof![0_u64..12, any::<u64>()],
        prop_oneof![0_u64..40, any::<u64>()],
        prop_oneof![0_i64..3, any::<i64>()],
        any::<u8>(),
        prop_oneof![word(), dull_word()],
        tags,
    )
        .prop_map(
            |(contact_id, tweet_id, created_at, kind, text, tags)| Tweet {
                contact_id,
                tweet_id,
                created_at,
                kind,
                text,
                tags,
            },
        )
}

fn rows() -> impl Strategy<Value = Vec<OwnedRow>> {
    (vec(tweet(), 1..40), vec((word(), word(), 0_u32..40), 1..8)).prop_map(|(tweets, contacts)| {
        twin::rows(USER, &tweets, |contact_id| {
            let choice = usize::try_from(contact_id % contacts.len() as u64).unwrap();
            let (name, description, same_tags) = contacts[choice].clone();
            // Every third contact was never seen.
            if contact_id % 3 == 0 {
                (String::new(), String::new(), same_tags)
            } else {
                (name, description, same_tags)
            }
        })
    })
}

fn pack_of(rows: &[OwnedRow]) -> Vec<u8> {
    encode(rows.iter().map(OwnedRow::row)).unwrap()
}

/// Asks everything a pack can be asked.
fn exercise(pack: &Pack<'_>) -> usize {
    let mut reply = Vec::new();
    let mut scratch = Scratch::default();
    for contact_type in ["reply", "retweet", "both"] {
        let query = query(contact_type, "a", "a");
        respond(&query, pack, b"head", &mut reply, &mut scratch);
    }
    reply.len() + pack.rows().map(|row| row.tweet_text.len()).sum::<usize>()
}

/// Makes the checksum right again after damage.
fn fix_checksum(pack: &mut [u8]) {
    if pack.len() >= 8 {
        let checksum = crc32fast::hash(&pack[8..]);
        pack[4..8].copy_from_slice(&checksum.to_le_bytes());
    }
}

fn query<'a>(contact_type: &'a str, phrase: &'a str, hashtag: &'a str) -> Query<'a> {
    Query::parse(RawQuery {
        user_id: Some(b"7"),
        contact_type: Some(contact_type.as_bytes()),
        phrase: Some(phrase.as_bytes()),
        hashtag: Some(hashtag.as_bytes()),
    })
    .unwrap()
}

proptest! {
    #[test]
    fn packs_give_their_rows_back(rows in rows()) {
        let bytes = pack_of(&rows);
        let pack = Pack::parse(&bytes).unwrap();
        prop_assert!(pack.rows().eq(rows.iter().map(OwnedRow::row)));
        prop_assert_eq!(pack.row_count(), rows.len());
        prop_assert_eq!(encode(pack.rows()).unwrap(), &bytes[..]);
        let owned = OwnedPack::parse_for(USER, bytes.clone()).unwrap();
        prop_assert!(owned.as_pack().rows().eq(rows.iter().map(OwnedRow::row)));
        prop_assert_eq!(owned.into_bytes(), bytes);
    }

    #[test]
    fn any_bytes_are_refused_without_a_panic(bytes in vec(any::<u8>(), 0..200)) {
        prop_assert!(Pack::parse(&bytes).is_err());
    }

    #[test]
    fn every_truncation_and_every_changed_byte_is_refused(rows in rows(), change in 1_u8..) {
        let mut bytes = pack_of(&rows);
        for len in 0..bytes.len() {
            prop_assert!(Pack::parse(&bytes[..len]).is_err(), "cut at {}", len);
        }
        for at in 0..bytes.len() {
            bytes[at] ^= change;
            prop_assert!(Pack::parse(&bytes).is_err(), "changed at {}", at);
            bytes[at] ^= change;
        }
        bytes.push(0);
        prop_assert_eq!(Pack::parse(&bytes).err(), Some(PackError::Length));
    }

    #[test]
    fn damage_under_a_right_checksum_never_panics(
        rows in rows(),
        damages in vec((any::<Index>(), any::<Index>(), prop_oneof![0_u32..64, any::<u32>()]), 1..4),
    ) {
        let mut bytes = pack_of(&rows);
        for (at, width, value) in damages {
            let at = at.index(bytes.len());
            let width = [1, 4][width.index(2)].min(bytes.len() - at);
            bytes[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
        }
        fix_checksum(&mut bytes);
        if let Ok(pack) = Pack::parse(&bytes) {
            exercise(&pack);
            // What was accepted is a pack in every respect but the case of tags.
            match encode(pack.rows()) {
                Ok(again) => prop_assert_eq!(again, bytes),
                Err(error) => prop_assert_eq!(error, PackError::TagNotLowerCase),
            }
        }
    }

    #[test]
    fn replies_equal_those_of_the_slow_twin(
        rows in rows(),
        requests in vec((select(vec!["reply", "retweet", "both"]), any::<Index>(), any::<Index>(), 1_usize..5, word(), any::<bool>()), 1..8),
    ) {
        let bytes = pack_of(&rows);
        let pack = Pack::parse(&bytes).unwrap();
        let mut scratch = Scratch::default();
        for (contact_type, row, at, len, other, from_rows) in requests {
            // Mostly phrases and tags that occur.
            let row = &rows[row.index(rows.len())];
            let start = at.index(row.text.chars().count());
            let taken: String = row.text.chars().skip(start).take(len).collect();
            let tag = match row.tags.get(at.index(row.tags.len() + 1)) {
                Some(tag) if from_rows => tag.to_uppercase(),
                _ => other.clone(),
            };
            let phrase = if from_rows { taken } else { other };
            let query = query(contact_type, &phrase, &tag);
            let mut reply = Vec::new();
            respond(&query, &pack, b"TEAM,ACCOUNT", &mut reply, &mut scratch);
            let slow = twin::reply(b"TEAM,ACCOUNT", &query, &rows);
            prop_assert_eq!(reply.escape_ascii().to_string(), slow.escape_ascii().to_string());
        }
    }

    #[test]
    fn ties_go_to_the_higher_id(ids in proptest::collection::btree_set(any::<u64>(), 1..30)) {
        let tweets: Vec<Tweet> = ids
            .iter()
            .map(|id| Tweet {
                contact_id: *id,
                tweet_id: 1,
                created_at: 0,
                kind: 0,
                text: "same".to_owned(),
                tags: Vec::new(),
            })
            .collect();
        let rows = twin::rows(USER, &tweets, |_| (String::new(), String::new(), 0));
        let bytes = pack_of(&rows);
        let pack = Pack::parse(&bytes).unwrap();
        let ids: Vec<u64> = ids.into_iter().collect();
        let mut scratch = Scratch::default();
        let ranked = rank(&query("both", "same", "x"), &pack, &mut scratch);
        let order: Vec<u64> = ranked.iter().map(|entry| ids[entry.contact()]).collect();
        prop_assert!(order.iter().rev().eq(ids.iter()));
        prop_assert!(ranked.iter().all(|entry| entry.key() == ranked[0].key()));
    }

    #[test]
    fn lower_casing_is_that_of_the_standard_library(tag in prop_oneof![any::<String>(), word()]) {
        prop_assert_eq!(lower_tag(&tag), tag.to_lowercase());
        // A tag in the table is its own lower-casing.
        let once = tag.to_lowercase();
        prop_assert_eq!(lower_tag(&once), once.clone());
    }

    #[test]
    fn queries_take_what_the_rules_take(
        user_id in prop_oneof!["[0-9]{0,22}", any::<String>()],
        contact_type in prop_oneof!["reply|retweet|both", any::<String>()],
        phrase in vec(any::<u8>(), 0..6),
        hashtag in any::<String>(),
    ) {
        let raw = RawQuery {
            user_id: Some(user_id.as_bytes()),
            contact_type: Some(contact_type.as_bytes()),
            phrase: Some(&phrase),
            hashtag: Some(hashtag.as_bytes()),
        };
        let is_id = (1..=20).contains(&user_id.len())
            && user_id.chars().all(|char| char.is_ascii_digit())
            && user_id.parse::<u64>().is_ok();
        let is_type = ["reply", "retweet", "both"].contains(&contact_type.as_str());
        let is_phrase = !phrase.is_empty() && str::from_utf8(&phrase).is_ok();
        let is_valid = is_id && is_type && is_phrase && !hashtag.is_empty();
        prop_assert_eq!(Query::parse(raw).is_ok(), is_valid);
        if let Ok(query) = Query::parse(raw) {
            prop_assert_eq!(query.user_id().to_string(), user_id.trim_start_matches('0').parse().unwrap_or(0_u64).to_string());
            prop_assert_eq!(query.phrase().as_bytes(), &phrase);
            prop_assert_eq!(query.hashtag_lower(), hashtag.to_lowercase());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn parts_join_to_what_was_cut(texts in vec((1_usize..700_000, any::<char>()), 1..6), at in any::<Index>()) {
        let tweets: Vec<Tweet> = (1..)
            .zip(texts)
            .map(|(tweet_id, (len, char))| Tweet {
                contact_id: 1,
                tweet_id,
                created_at: 0,
                kind: 1,
                text: char.to_string().repeat(len),
                tags: Vec::new(),
            })
            .collect();
        let rows = twin::rows(USER, &tweets, |_| (String::new(), String::new(), 0));
        let bytes = pack_of(&rows);
        let cut: Vec<(u16, &[u8])> = parts(&bytes).unwrap().collect();
        prop_assert!(cut.iter().all(|(_, part)| (1..=1 << 20).contains(&part.len())));
        prop_assert_eq!(join(cut.iter().copied()).unwrap(), &bytes[..]);

        let damaged = at.index(cut.len());
        let mut without = cut.clone();
        without.remove(damaged);
        prop_assert!(join(without).is_err());
        let mut doubled = cut.clone();
        doubled.insert(damaged, cut[damaged]);
        prop_assert!(join(doubled).is_err());
        let mut longer = cut.clone();
        longer.push((u16::try_from(cut.len()).unwrap(), b"x"));
        prop_assert_eq!(join(longer), Err(PackError::PartLength));
        let mut shorter = cut.clone();
        shorter[damaged].1 = &cut[damaged].1[1..];
        prop_assert!(join(shorter).is_err());
        if cut.len() > 1 {
            let mut turned = cut.clone();
            turned.swap(damaged, (damaged + 1) % cut.len());
            prop_assert!(join(turned).is_err());
        }
    }
}
