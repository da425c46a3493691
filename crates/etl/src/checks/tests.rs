use twitter_core::record::{Hashtags, Kind, Latest, Row};
use twitter_core::score::base_score;

use super::*;

const NOW: i64 = 1_400_000_000;

fn row(user_id: u64, contact_id: u64) -> Row<'static> {
    Row {
        user_id,
        contact_id,
        tweet_id: 1,
        created_at: 1_396_589_411,
        kind: Kind::REPLY,
        tweet_text: "t",
        hashtags: Hashtags::from(&["a"]),
        contact_screen_name: "n",
        contact_description: "d",
        reply_count: 1,
        retweet_count: 0,
        same_tag_count: 12,
        base_score: base_score(1, 0, 12),
        latest: Latest::REPLY.with(Latest::ANY),
    }
}

type Change = fn(&mut Row<'static>);

/// What fails after `change` was made to the row of user 1.
fn failures(change: Change) -> Vec<String> {
    let mut rows = vec![row(1, 2), row(2, 1)];
    change(&mut rows[0]);
    let terms = Terms::new(NOW, Excluded::default(), std::env::temp_dir());
    let mut checks = RowChecks::new(&terms);
    for user in rows.chunk_by(|a, b| a.user_id == b.user_id) {
        checks.user(user).unwrap();
    }
    let expected = Expected {
        rows: 2,
        contact_tweets: 1,
        from_relations: (2, 0),
    };
    let checked = finish(vec![checks], &expected, 1).unwrap();
    checked.failures.lines()
}

#[test]
fn a_right_table_passes() {
    assert_eq!(failures(|_| ()), Vec::<String>::new());
}

#[test]
fn every_single_change_is_found() {
    let changes: [(&str, Change); 14] = [
        ("user", |row| row.user_id = 3),
        ("contact", |row| row.contact_id = 3),
        ("self", |row| row.contact_id = 1),
        ("tweet", |row| row.tweet_id = 2),
        ("early", |row| row.created_at = FIRST_TWEET - 1),
        ("late", |row| row.created_at = NOW + 1),
        ("kind", |row| row.kind = Kind::BOTH),
        ("text", |row| row.tweet_text = ""),
        ("other text", |row| row.tweet_text = "u"),
        ("upper", |row| row.hashtags = Hashtags::from(&["A"])),
        ("count", |row| row.reply_count = 2),
        ("tags", |row| row.same_tag_count = 11),
        ("score", |row| row.base_score *= 1.0 + 1e-11),
        ("latest", |row| row.latest = Latest::ANY),
    ];
    for (name, change) in changes {
        assert!(!failures(change).is_empty(), "{name}");
    }
}
