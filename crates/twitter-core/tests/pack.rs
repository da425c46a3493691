//! What a pack refuses, one rule a test.

use twitter_core::error::PackError;
use twitter_core::record::{Hashtags, Joiner, Kind, Latest, Pack, PackWriter, Row, encode, join};
use twitter_core::score::base_score;

fn row(contact_id: u64, tweet_id: u64) -> Row<'static> {
    Row {
        user_id: 1,
        contact_id,
        tweet_id,
        created_at: 100,
        kind: Kind::REPLY,
        tweet_text: "text",
        hashtags: Hashtags::from(&["tag", "tag"]),
        contact_screen_name: "name",
        contact_description: "description",
        reply_count: 1,
        retweet_count: 0,
        same_tag_count: 0,
        base_score: base_score(1, 0, 0),
        latest: Latest::REPLY.with(Latest::ANY),
    }
}

/// Two replies of one contact; the later one has the higher tweet id.
fn two_replies() -> [Row<'static>; 2] {
    let both = |tweet_id| Row {
        reply_count: 2,
        base_score: base_score(2, 0, 0),
        ..row(2, tweet_id)
    };
    [
        Row {
            latest: Latest::NONE,
            ..both(1)
        },
        both(2),
    ]
}

#[test]
fn takes_good_rows() {
    let rows = two_replies();
    let bytes = encode(rows).unwrap();
    let pack = Pack::parse(&bytes).unwrap();
    assert_eq!((pack.contact_count(), pack.row_count()), (1, 2));
    assert!(pack.rows().eq(rows));
}

#[test]
fn refuses_no_rows() {
    assert_eq!(encode([]), Err(PackError::Empty));
}

#[test]
fn refuses_rows_out_of_order() {
    assert_eq!(encode([row(3, 1), row(2, 1)]), Err(PackError::NotSorted));
    assert_eq!(encode([row(2, 1), row(2, 1)]), Err(PackError::NotSorted));
    assert_eq!(encode([row(2, 2), row(2, 1)]), Err(PackError::NotSorted));
}

#[test]
fn refuses_rows_of_two_users() {
    let stray = Row {
        user_id: 2,
        ..row(3, 1)
    };
    let refused = PackError::WrongUser {
        expected: 1,
        found: 2,
    };
    assert_eq!(encode([row(2, 1), stray]), Err(refused));
    let bytes = encode([row(2, 1)]).unwrap();
    let refused = PackError::WrongUser {
        expected: 9,
        found: 1,
    };
    assert_eq!(Pack::parse_for(9, &bytes).err(), Some(refused));
}

#[test]
fn refuses_rows_that_disagree_about_their_contact() {
    let [first, second] = two_replies();
    let others = [
        Row {
            contact_screen_name: "nam",
            ..second
        },
        Row {
            contact_description: "",
            ..second
        },
        Row {
            same_tag_count: 1,
            ..second
        },
        Row {
            base_score: 2.0,
            ..second
        },
    ];
    for other in others {
        let refused = PackError::ContactDiffers { contact_id: 2 };
        assert_eq!(encode([first, other]), Err(refused));
    }
}

#[test]
fn refuses_counts_that_are_not_those_of_the_rows() {
    let refused = Err(PackError::CountMismatch { contact_id: 2 });
    let more = Row {
        reply_count: 2,
        ..row(2, 1)
    };
    assert_eq!(encode([more]), refused);
    assert_eq!(encode([more, row(3, 1)]), refused);
    let retweet = Row {
        kind: Kind::BOTH,
        ..row(2, 1)
    };
    assert_eq!(encode([retweet]), refused);
}

#[test]
fn refuses_marks_that_are_missing_doubled_or_misplaced() {
    let [first, second] = two_replies();
    let marked = |first_latest, second_latest| {
        encode([
            Row {
                latest: first_latest,
                ..first
            },
            Row {
                latest: second_latest,
                ..second
            },
        ])
    };
    let full = Latest::REPLY.with(Latest::ANY);
    let refused = Err(PackError::LatestMismatch { contact_id: 2 });
    assert_eq!(marked(full, full), refused);
    assert_eq!(marked(full, Latest::NONE), refused);
    assert_eq!(marked(Latest::REPLY, Latest::ANY), refused);
    assert_eq!(marked(Latest::NONE, Latest::REPLY), refused);
    assert_eq!(marked(Latest::NONE, full.with(Latest::RETWEET)), refused);
    assert!(marked(Latest::NONE, full).is_ok());
}

#[test]
fn refuses_scores_that_no_pair_can_have() {
    for score in [f64::NAN, f64::INFINITY, -1.0, 0.0, 0.69, 1e9] {
        let odd = Row {
            base_score: score,
            ..row(2, 1)
        };
        let refused = PackError::ScoreRange { contact_id: 2 };
        assert_eq!(encode([odd]), Err(refused), "{score}");
    }
}

#[test]
fn refuses_empty_texts_and_bad_tags() {
    let empty = Row {
        tweet_text: "",
        ..row(2, 1)
    };
    assert_eq!(encode([empty]), Err(PackError::EmptyText));
    let tagged = |hashtags| Row {
        hashtags,
        ..row(2, 1)
    };
    let empty_tag = tagged(Hashtags::from(&["a", ""]));
    assert_eq!(encode([empty_tag]), Err(PackError::EmptyTag));
    let upper = tagged(Hashtags::from(&["É"]));
    assert_eq!(encode([upper]), Err(PackError::TagNotLowerCase));
}

#[test]
fn a_writer_serves_one_user_after_another() {
    let mut writer = PackWriter::default();
    let mut pack = Vec::new();
    writer.push(&row(2, 1)).unwrap();
    writer.finish(&mut pack).unwrap();
    let other = Row {
        user_id: 5,
        ..row(4, 4)
    };
    writer.push(&other).unwrap();
    writer.finish(&mut pack).unwrap();
    assert_eq!(pack, encode([other]).unwrap());

    assert!(writer.push(&row(2, 1)).is_ok());
    assert!(writer.push(&row(1, 1)).is_err());
    writer.clear();
    assert_eq!(writer.finish(&mut pack), Err(PackError::Empty));
    writer.push(&other).unwrap();
    writer.finish(&mut pack).unwrap();
    assert_eq!(pack, encode([other]).unwrap());
}

#[test]
fn refuses_other_versions_and_reserved_bytes() {
    let bytes = encode([row(2, 1)]).unwrap();
    let changed = |at: usize, value: u8| {
        let mut changed = bytes.clone();
        changed[at] = value;
        Pack::parse(&changed).err()
    };
    assert_eq!(changed(0, 2), Some(PackError::Version { found: 2 }));
    assert_eq!(changed(2, 1), Some(PackError::Reserved));
    assert_eq!(changed(8, 0), Some(PackError::Length));
    assert_eq!(changed(4, !bytes[4]), Some(PackError::Checksum));
    assert_eq!(Pack::parse(b"").err(), Some(PackError::Truncated));
}

#[test]
fn says_which_part_is_missing() {
    let bytes = encode([row(2, 1)]).unwrap();
    let refused = PackError::PartOrder {
        expected: 0,
        found: 1,
    };
    assert_eq!(join([(1, &bytes)]), Err(refused));
    assert_eq!(join([(0, &bytes), (1, &bytes)]), Err(PackError::PartLength));
    assert_eq!(join([(0, b"")]), Err(PackError::Truncated));
    assert_eq!(Joiner::default().finish(), Err(PackError::Truncated));
    assert_eq!(join([(0, &bytes)]).as_ref(), Ok(&bytes));
}
