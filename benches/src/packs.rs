//! Packs of a stated size, alike in everything else.

use twitter_core::record::{Hashtags, Kind, Latest, OwnedPack, Row, encode};
use twitter_core::score::base_score;

/// Rows of a user whom the benches call typical: the median of the generated table.
pub const TYPICAL_ROWS: usize = 12;
/// Tweets with each contact.
const ROWS_PER_CONTACT: usize = 2;
const WORDS: [&str; 16] = [
    "cloud",
    "computing",
    "is",
    "all",
    "about",
    "hello",
    "cc",
    "good",
    "morning",
    "the",
    "team",
    "music",
    "and",
    "love",
    "zzz",
    "again",
];

/// The pack of a user with this many rows, two of them for each contact.
///
/// # Panics
///
/// Never, unless a pack cannot hold that many rows.
pub fn pack(user_id: u64, rows: usize) -> OwnedPack {
    let texts: Vec<Texts> = (0..rows).map(Texts::new).collect();
    let rows = texts.iter().enumerate().map(|(index, texts)| {
        let contact = index / ROWS_PER_CONTACT;
        let of_contact = ROWS_PER_CONTACT.min(rows - contact * ROWS_PER_CONTACT);
        let is_reply = index % ROWS_PER_CONTACT == 0;
        let (replies, retweets) = (1, u32::from(of_contact > 1));
        let mut latest = if is_reply {
            Latest::REPLY
        } else {
            Latest::RETWEET
        };
        if index % ROWS_PER_CONTACT + 1 == of_contact {
            latest = latest.with(Latest::ANY);
        }
        Row {
            user_id,
            contact_id: 1_000_000 + contact as u64,
            tweet_id: 1_000_000_000 + index as u64,
            created_at: 1_400_000_000 + i64::try_from(index).unwrap_or(0),
            kind: if is_reply { Kind::REPLY } else { Kind::RETWEET },
            tweet_text: &texts.tweet,
            hashtags: Hashtags::from(texts.tags.as_slice()),
            contact_screen_name: &texts.name,
            contact_description: &texts.description,
            reply_count: replies,
            retweet_count: retweets,
            same_tag_count: 3,
            base_score: base_score(replies, retweets, 3),
            latest,
        }
    });
    let bytes = encode(rows).expect("rows in order, with right counts and marks");
    OwnedPack::parse(bytes).expect("what was just written")
}

/// What a row is made of.
struct Texts {
    tweet: String,
    tags: [String; 2],
    name: String,
    description: String,
}

impl Texts {
    fn new(row: usize) -> Self {
        let word = |step: usize| WORDS[(row * 7 + step * 5) % WORDS.len()];
        let contact = row / ROWS_PER_CONTACT;
        let words: Vec<&str> = (0..14).map(|step| word(step * step)).collect();
        Self {
            tweet: words.join(" "),
            tags: [word(1).to_owned(), format!("tag{}", row % 97)],
            name: format!("contact_{contact}"),
            description: format!("computing and music in the cloud since {contact}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packs_have_the_rows_that_were_asked_for() {
        for rows in [1, 2, TYPICAL_ROWS, 1001] {
            let pack = pack(7, rows);
            assert_eq!(pack.as_pack().row_count(), rows);
            assert_eq!(pack.as_pack().contact_count(), rows.div_ceil(2));
        }
    }
}
