//! Seeded fuzzing on any compiler: packs whose cells are changed under a right checksum, packs with
//! damaged bytes, rows and parts that break a rule, and requests. No panic; what is accepted writes
//! back to the same bytes, and every reply is that of the slow twin. Every reason is reached that can
//! be. How long, and what else is watched: crate `storm`.

#![expect(clippy::unwrap_used, reason = "a panic is a failed test")]

use storm::{Choices, damage};
use twitter_core::error::{PackError, QueryError};
use twitter_core::query::{ContactType, Query, RawQuery};
use twitter_core::rank::Scratch;
use twitter_core::record::{Kind, Latest, OwnedPack, Pack, encode, join, parts};
use twitter_core::render::respond;
use twitter_core::score::base_score;
use twitter_core::table::MAX_PART_BYTES;

#[path = "support/twin.rs"]
mod twin;

use twin::{OwnedRow, Tweet};

const USER: u64 = 7;

const HEADER_BYTES: usize = 40;

/// Few letters, so that phrases overlap themselves and tags meet.
const LETTERS: [&str; 12] = [
    "a", "b", "a", "A", "é", "Σ", "İ", " ", "\n", "\t", "ｂ", "😀",
];

fn word(choices: &mut Choices, least: u64, most: u64) -> String {
    let letters = least + choices.below(most - least + 1);
    let few = if choices.once_in(2) { 3 } else { LETTERS.len() };
    (0..letters)
        .map(|_| *choices.pick(&LETTERS[..few]))
        .collect()
}

/// Rows as the ETL writes them.
fn rows(choices: &mut Choices) -> Vec<OwnedRow> {
    let any = |choices: &mut Choices, bound: u64| match choices.below(10) {
        0 => choices.word(),
        _ => choices.below(bound),
    };
    let tweets: Vec<Tweet> = (0..=choices.below(14))
        .map(|_| Tweet {
            contact_id: any(choices, 6),
            tweet_id: any(choices, 30),
            created_at: any(choices, 3).cast_signed(),
            kind: choices.byte(),
            text: word(choices, 1, 12),
            tags: (0..choices.below(4)).map(|_| word(choices, 1, 3)).collect(),
        })
        .collect();
    let contacts: [(String, String, u32); 3] = std::array::from_fn(|_| {
        let same_tags = u32::try_from(choices.below(40)).unwrap();
        (word(choices, 0, 6), word(choices, 0, 8), same_tags)
    });
    twin::rows(USER, &tweets, |contact_id| {
        contacts[usize::try_from(contact_id % 3).unwrap()].clone()
    })
}

fn pack_of(rows: &[OwnedRow]) -> Vec<u8> {
    encode(rows.iter().map(OwnedRow::row)).unwrap()
}

fn u32_at(pack: &[u8], at: usize) -> usize {
    let bytes = pack[at..at + 4].try_into().unwrap();
    u32::from_le_bytes(bytes) as usize
}

/// Where each column begins, how wide a cell is, and how many there are, as the documentation says it.
fn columns(pack: &[u8]) -> Vec<(usize, usize, usize)> {
    let (contacts, rows) = (u32_at(pack, 12), u32_at(pack, 16));
    let mut at = HEADER_BYTES;
    let mut columns = vec![(8, 4, 6), (32, 8, 1)];
    let widths = [(8, contacts), (8, contacts)]
        .into_iter()
        .chain([(4, contacts); 6])
        .chain([(8, rows), (8, rows), (4, rows), (4, rows), (1, rows)])
        .chain([20, 24, 28].map(|length| (1, u32_at(pack, length))));
    for (width, count) in widths {
        columns.push((at, width, count));
        at += width * count;
    }
    assert_eq!(at, pack.len(), "the columns are all there is");
    columns.retain(|(_, _, count)| *count > 0);
    columns
}

/// Gives a cell another value: near, another cell's, an end of the range, or any.
fn change_a_cell(pack: &mut [u8], choices: &mut Choices) {
    let columns = columns(pack);
    // Header fields less often, or hardly anything else would be reached.
    let first = if choices.once_in(10) { 0 } else { 2 };
    let (start, width, count) = columns[first + choices.index(columns.len() - first)];
    let at = start + width * choices.index(count);
    let other = start + width * choices.index(count);
    let value = |pack: &[u8], at: usize| {
        let mut bytes = [0; 8];
        bytes[..width].copy_from_slice(&pack[at..at + width]);
        u64::from_le_bytes(bytes)
    };
    let old = value(pack, at);
    let new = match choices.below(8) {
        0 => old.wrapping_add(1),
        1 => old.wrapping_sub(1),
        2 => old ^ 1 << choices.below(8 * width as u64),
        3 => choices.below(40),
        4 => u64::MAX >> choices.below(3),
        5 => choices.word(),
        _ => value(pack, other),
    };
    pack[at..at + width].copy_from_slice(&new.to_le_bytes()[..width]);
}

/// Makes the checksum right again.
fn fix_checksum(pack: &mut [u8]) {
    if pack.len() >= 8 {
        let checksum = crc32fast::hash(&pack[8..]);
        pack[4..8].copy_from_slice(&checksum.to_le_bytes());
    }
}

/// Reads bytes as a pack, and holds what is accepted against the rules.
fn judge(bytes: &[u8], choices: &mut Choices) -> Result<(), PackError> {
    let pack = Pack::parse_for(USER, bytes)?;
    let rows: Vec<OwnedRow> = pack
        .rows()
        .map(|row| OwnedRow {
            user_id: row.user_id,
            contact_id: row.contact_id,
            tweet_id: row.tweet_id,
            created_at: row.created_at,
            kind: row.kind,
            text: row.tweet_text.to_owned(),
            tags: row.hashtags.iter().map(str::to_owned).collect(),
            name: row.contact_screen_name.to_owned(),
            description: row.contact_description.to_owned(),
            reply_count: row.reply_count,
            retweet_count: row.retweet_count,
            same_tag_count: row.same_tag_count,
            base_score: row.base_score,
            latest: row.latest,
        })
        .collect();
    assert_eq!(pack.row_count(), rows.len());
    match encode(pack.rows()) {
        Ok(again) => assert_eq!(again, bytes),
        Err(error) => assert_eq!(error, PackError::TagNotLowerCase),
    }
    let owned = OwnedPack::parse_for(USER, bytes.to_vec()).unwrap();
    assert!(owned.as_pack().rows().eq(rows.iter().map(OwnedRow::row)));
    // A changed score is a pack's own business; the twin works it out.
    let has_own_scores = rows.iter().any(|row| {
        let score = base_score(row.reply_count, row.retweet_count, row.same_tag_count);
        score.to_bits() != row.base_score.to_bits()
    });
    let mut scratch = Scratch::default();
    for contact_type in [&b"reply"[..], b"retweet", b"both"] {
        let row = choices.pick(&rows);
        let letters: Vec<char> = row.text.chars().collect();
        let start = choices.index(letters.len());
        let end = start + 1 + choices.index(letters.len() - start);
        let taken: String = letters[start..end].iter().collect();
        let phrase = if choices.once_in(4) {
            word(choices, 1, 3)
        } else {
            taken
        };
        let tag = match row.tags.first() {
            Some(tag) if !choices.once_in(3) => tag.to_uppercase(),
            _ => word(choices, 1, 2),
        };
        let query = Query::parse(RawQuery {
            user_id: Some(b"7"),
            contact_type: Some(contact_type),
            phrase: Some(phrase.as_bytes()),
            hashtag: Some(tag.as_bytes()),
        })
        .unwrap();
        let mut reply = Vec::new();
        respond(&query, &pack, b"T,A", &mut reply, &mut scratch);
        if !has_own_scores {
            let slow = twin::reply(b"T,A", &query, &rows);
            assert_eq!(
                reply.escape_ascii().to_string(),
                slow.escape_ascii().to_string()
            );
        }
    }
    Ok(())
}

/// Breaks rows in one way.
fn break_rows(rows: &mut Vec<OwnedRow>, choices: &mut Choices) {
    let at = choices.index(rows.len());
    let last = rows.len() - 1;
    let row = &mut rows[at];
    match choices.below(14) {
        0 => row.user_id += 1,
        1 => rows.swap(at, last),
        2 => row.name.push('x'),
        3 => row.description.push('x'),
        4 => row.reply_count += 1,
        5 => row.retweet_count = row.retweet_count.wrapping_sub(1),
        6 => row.same_tag_count ^= 1,
        7 => row.base_score = *choices.pick(&[f64::NAN, f64::INFINITY, -1.0, 0.0, 1e300, 0.7]),
        8 => row.latest = Latest::from_bits(u8::try_from(choices.below(8)).unwrap()).unwrap(),
        9 => row.kind = Kind::from_bits(u8::try_from(1 + choices.below(3)).unwrap()).unwrap(),
        10 => row.text.clear(),
        11 => row.tags.push(String::new()),
        12 => row.tags.push("É".to_owned()),
        _ => rows.clear(),
    }
}

/// Takes a pack apart, breaks the parts in one way or not at all, and joins them.
fn break_parts(choices: &mut Choices) -> Result<(), PackError> {
    let mut rows = rows(choices);
    if choices.once_in(50) {
        // Several parts; a long text is the cheapest way.
        rows[0].text = "x".repeat(MAX_PART_BYTES + choices.index(2 * MAX_PART_BYTES));
    }
    let pack = pack_of(&rows);
    let mut cut: Vec<(u16, Vec<u8>)> = parts(&pack)
        .unwrap()
        .map(|(number, bytes)| (number, bytes.to_vec()))
        .collect();
    let at = choices.index(cut.len());
    let is_broken = !choices.once_in(4);
    if is_broken {
        match choices.below(6) {
            0 => cut[at].0 += 1,
            1 => drop(cut.remove(at)),
            2 => cut.push(cut[at].clone()),
            3 => drop(cut[at].1.pop()),
            4 => cut[at].1.push(0),
            _ => cut[at].1.truncate(choices.index(HEADER_BYTES)),
        }
    }
    let joined = join(cut)?;
    assert!(!is_broken, "what is broken does not join");
    assert_eq!(joined, pack);
    Ok(())
}

/// One execution.
fn execute(seed: u64) -> Result<(), PackError> {
    let mut choices = Choices::new(seed);
    let layer = choices.below(12);
    if layer == 0 {
        return break_parts(&mut choices);
    }
    let mut rows = rows(&mut choices);
    let pack = pack_of(&rows);
    let mut changed = pack.clone();
    match layer {
        1 => return judge(&pack, &mut choices),
        2 => {
            break_rows(&mut rows, &mut choices);
            let pack = encode(rows.iter().map(OwnedRow::row))?;
            return judge(&pack, &mut choices);
        }
        3 => {
            damage(&mut changed, &mut choices);
            if changed != pack {
                let refused = Pack::parse(&changed).err();
                assert!(refused.is_some(), "seed {seed}: damage is not noticed");
            }
        }
        4 => {
            damage(&mut changed, &mut choices);
            if let Ok(total) = u32::try_from(changed.len())
                && total >= 12
            {
                changed[8..12].copy_from_slice(&total.to_le_bytes());
            }
            fix_checksum(&mut changed);
        }
        5 if choices.once_in(10) => {
            // A header and nothing else.
            changed.truncate(HEADER_BYTES);
            changed[8..32].fill(0);
            changed[8] = 40;
            fix_checksum(&mut changed);
        }
        _ => {
            for _ in 0..=choices.below(3) {
                change_a_cell(&mut changed, &mut choices);
                // Columns are found by the counts, which may be what was changed.
                if changed[12..32] != pack[12..32] {
                    break;
                }
            }
            fix_checksum(&mut changed);
        }
    }
    judge(&changed, &mut choices)
}

const fn code(error: PackError) -> &'static str {
    match error {
        PackError::Empty => "empty",
        PackError::WrongUser { .. } => "wrong user",
        PackError::NotSorted => "not sorted",
        PackError::ContactDiffers { .. } => "contact differs",
        PackError::CountMismatch { .. } => "count mismatch",
        PackError::LatestMismatch { .. } => "latest mismatch",
        PackError::ScoreRange { .. } => "score range",
        PackError::EmptyText => "empty text",
        PackError::EmptyTag => "empty tag",
        PackError::TagNotLowerCase => "tag not lower case",
        PackError::TooLarge => "too large",
        PackError::Truncated => "truncated",
        PackError::Version { .. } => "version",
        PackError::Reserved => "reserved",
        PackError::Length => "length",
        PackError::Checksum => "checksum",
        PackError::Offset => "offset",
        PackError::Flags => "flags",
        PackError::Text => "text",
        PackError::PartOrder { .. } => "part order",
        PackError::PartLength => "part length",
    }
}

#[test]
fn a_storm_of_packs_reaches_every_reason_and_breaks_nothing() {
    let storm = storm::run("pack", 20_000, |seed| execute(seed).err().map(code));
    // All but the one that takes 4 GiB.
    storm.reached([
        "empty",
        "wrong user",
        "not sorted",
        "contact differs",
        "count mismatch",
        "latest mismatch",
        "score range",
        "empty text",
        "empty tag",
        "tag not lower case",
        "truncated",
        "version",
        "reserved",
        "length",
        "checksum",
        "offset",
        "flags",
        "text",
        "part order",
        "part length",
    ]);
}

/// One of the four values, mostly right.
fn value(choices: &mut Choices, right: &[&[u8]]) -> Option<Vec<u8>> {
    let mut value = choices.pick(right).to_vec();
    match choices.below(16) {
        0 => return None,
        1 => value.clear(),
        2 | 3 => damage(&mut value, choices),
        4 => value = choices.word().to_string().into_bytes(),
        5 => value.insert(0, b'0'),
        _ => {}
    }
    Some(value)
}

/// One execution: four values against a plain reading of the rules.
fn ask(seed: u64) -> Option<QueryError> {
    let mut choices = Choices::new(seed);
    let id = value(
        &mut choices,
        &[
            b"1",
            b"18446744073709551615",
            b"18446744073709551616",
            b"0000000000000000000",
        ],
    );
    let kind = value(&mut choices, &[b"reply", b"retweet", b"both"]);
    let phrase = value(&mut choices, &[b"a", "İ é".as_bytes(), b"\xed\xa0\x80"]);
    let tag = value(&mut choices, &[b"cmu", "CMÜ".as_bytes(), b"\xff"]);
    let parsed = Query::parse(RawQuery {
        user_id: id.as_deref(),
        contact_type: kind.as_deref(),
        phrase: phrase.as_deref(),
        hashtag: tag.as_deref(),
    });
    let text = |value: &Option<Vec<u8>>| {
        let text = String::from_utf8(value.clone()?).ok()?;
        (!text.is_empty()).then_some(text)
    };
    let is_id = |id: &String| id.len() <= 20 && id.chars().all(|c| c.is_ascii_digit());
    let number = text(&id).filter(is_id);
    let number = number.and_then(|id| u64::try_from(id.parse::<u128>().ok()?).ok());
    let kind = text(&kind).and_then(|kind| match kind.as_str() {
        "reply" => Some(ContactType::Reply),
        "retweet" => Some(ContactType::Retweet),
        "both" => Some(ContactType::Both),
        _ => None,
    });
    match (number, kind, text(&phrase), text(&tag)) {
        (Some(number), Some(kind), Some(phrase), Some(tag)) => {
            let query = parsed.as_ref().unwrap();
            assert_eq!((query.user_id(), query.contact_type()), (number, kind));
            assert_eq!(query.phrase(), phrase);
            assert_eq!(query.hashtag_lower(), tag.to_lowercase());
        }
        _ => assert!(parsed.is_err(), "seed {seed}"),
    }
    parsed.err()
}

#[test]
fn a_storm_of_values_reaches_every_reason_and_breaks_nothing() {
    let storm = storm::run("values", 40_000, |seed| ask(seed).map(QueryError::code));
    let reachable = QueryError::ALL
        .into_iter()
        .filter(|error| *error != QueryError::BrokenEscape);
    storm.reached(reachable.map(QueryError::code));
}
