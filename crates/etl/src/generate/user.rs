//! Synthetic users: who they are, whom they know, and what their profiles say at some time.

use super::json::Json;
use super::random::{Random, Stream};
use super::words;

/// Fields of a profile that nobody reads, as JSON. Real lines are full of them.
const UNREAD: &[(&str, &str)] = &[
    ("utc_offset", "-18000"),
    ("time_zone", r#""Eastern Time (US & Canada)""#),
    ("geo_enabled", "true"),
    ("lang", r#""en""#),
    ("contributors_enabled", "false"),
    ("is_translator", "false"),
    ("profile_background_color", r#""C0DEED""#),
    (
        "profile_background_image_url",
        r#""http://abs.twimg.com/images/themes/theme1/bg.png""#,
    ),
    (
        "profile_background_image_url_https",
        r#""https://abs.twimg.com/images/themes/theme1/bg.png""#,
    ),
    ("profile_background_tile", "false"),
    (
        "profile_image_url",
        r#""http://pbs.twimg.com/profile_images/4467983/a_normal.jpeg""#,
    ),
    (
        "profile_image_url_https",
        r#""https://pbs.twimg.com/profile_images/4467983/a_normal.jpeg""#,
    ),
    (
        "profile_banner_url",
        r#""https://pbs.twimg.com/profile_banners/44679/1395360000""#,
    ),
    ("profile_link_color", r#""0084B4""#),
    ("profile_sidebar_border_color", r#""FFFFFF""#),
    ("profile_sidebar_fill_color", r#""DDEEF6""#),
    ("profile_text_color", r#""333333""#),
    ("profile_use_background_image", "true"),
    ("default_profile", "false"),
    ("default_profile_image", "false"),
    ("following", "null"),
    ("follow_request_sent", "null"),
    ("notifications", "null"),
];

/// Ids of users who never post nor get retweeted start here.
const UNSEEN: u64 = 5_000_000_000;

/// The id of a user: short ones, ten digits, many above 2^53, and the greatest there is.
pub(super) fn id(rank: u64) -> u64 {
    match rank % 8 {
        _ if rank == 15 => u64::MAX,
        0 if rank < 90_000_000 => 12 + rank,
        5..=7 => 700_000_000_000_000_000 + rank * 1_000_003,
        _ => 100_000_000 + rank,
    }
}

/// The id of somebody whose profile is in no tweet.
pub(super) fn unseen_id(users: u64, random: &mut Random) -> u64 {
    UNSEEN + random.zipf(users, 100)
}

/// Users come in circles of eight, who mostly talk to each other.
pub(super) fn circle(rank: u64) -> u64 {
    rank >> 3
}

/// Somebody: three in four by popularity, one in four anybody.
pub(super) fn anybody(users: u64, random: &mut Random) -> u64 {
    if random.one_in(4) {
        random.below(users)
    } else {
        random.zipf(users, 9)
    }
}

/// Whom a user contacts: the circle, a few steady friends, anybody, or themself.
pub(super) fn contact(seed: u64, users: u64, rank: u64, random: &mut Random) -> u64 {
    let found = match random.below(100) {
        0..45 => rank ^ (1 + random.below(7)),
        45..75 => {
            let place = rank * 16 + random.zipf(16, 0);
            anybody(users, &mut Random::new(seed, Stream::Friend, place))
        }
        75..97 => anybody(users, random),
        _ => rank,
    };
    found.min(users - 1)
}

/// The name to write behind an `@`; profiles mostly show the same.
pub(super) fn handle(rank: u64, out: &mut String) {
    out.push_str(["u", "Bob_", "NekO", "x_", "Sam"][(rank % 5) as usize]);
    words::letters(rank, out);
}

/// Writes a profile as it stands at some time, without the enclosing braces and ids.
///
/// A profile keeps for about a year; one in fifty sightings shows another, so that the sightings of one
/// second can disagree. `tail` goes behind the description.
pub(super) fn write_profile(
    seed: u64,
    rank: u64,
    ms: u64,
    random: &mut Random,
    tail: &[u8],
    json: &mut Json,
) {
    let odd = u64::from(random.one_in(50));
    let year = (ms + rank * 0x1234_5678) >> 35;
    let place = rank * 256 + (year & 127) * 2 + odd;
    let mut profile = Random::new(seed, Stream::Profile, place);

    let mut text = String::new();
    handle(rank, &mut text);
    if profile.one_in(6) {
        words::letters(place, &mut text);
    }
    json.name("name").string(profile.pick(&[
        "Ada",
        "Böb",
        "さくら",
        "محمد",
        "\"Q\" \\ Q",
        "a\tb",
        "😀",
        "",
    ]));
    match profile.below(100) {
        0 | 1 => json.name("screen_name").raw("null"),
        2 | 3 => {}
        4 => json.name("screen_name").raw("\"\""),
        5 => json.name("screen_name").raw("12345"),
        _ => json.name("screen_name").string(&text),
    }
    json.name("location").raw(if random.one_in(300) {
        // Half of a surrogate pair, where nobody looks: the line is fine.
        r#""\ud83d (cut)""#
    } else {
        profile.pick(&["\"\"", "null", "\"New York\"", "\"Pittsburgh, PA\""])
    });
    json.name("url").raw("null");

    text.clear();
    let (_, list) = words::LANGUAGES[profile.index(words::LANGUAGES.len())];
    words::sentence(list, 1, 14, &mut profile, &mut text);
    match profile.below(100) {
        _ if !tail.is_empty() => json.name("description").string_with_tail(&text, tail),
        0..8 => json.name("description").raw("null"),
        8..11 => {}
        11..19 => json.name("description").raw("\"\""),
        19 => json.name("description").raw("[\"no\",\"text\"]"),
        20 => {
            let longer = text.repeat(8);
            json.name("description").string(&longer);
        }
        _ => json.name("description").string(&text),
    }

    json.name("protected").raw("false");
    json.name("verified").raw("false");
    for name in [
        "followers_count",
        "friends_count",
        "listed_count",
        "favourites_count",
        "statuses_count",
    ] {
        json.name(name).number(random.below(1 << 14));
    }
    json.name("created_at")
        .raw("\"Tue Mar 24 12:00:00 +0000 2009\"");
    for (name, value) in UNREAD {
        json.name(name).raw(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_different_users_differ_from_each_other_and_from_unseen_ones() {
        let ids: std::collections::HashSet<u64> = (0..10_000).map(id).collect();
        assert_eq!(ids.len(), 10_000);
        assert!(ids.iter().any(|&id| id < 1_000) && ids.contains(&u64::MAX));
        assert!(ids.iter().filter(|&&id| id > 1 << 53).count() > 3_000);
        let mut random = Random::new(1, Stream::Content, 0);
        assert!((0..1_000).all(|_| !ids.contains(&unseen_id(10_000, &mut random))));
    }

    #[test]
    fn contacts_exist_even_in_the_smallest_world() {
        let mut random = Random::new(1, Stream::Content, 0);
        for users in [1, 2, 9] {
            for rank in 0..users {
                assert!((0..100).all(|_| contact(5, users, rank, &mut random) < users));
            }
        }
    }
}
