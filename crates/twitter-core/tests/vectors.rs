//! Known answers: the table's rows become packs, the packs answer requests, and
//! every reply is compared to the byte.

#![expect(clippy::unwrap_used, reason = "a test whose data is wrong must fail")]

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use twitter_core::error::QueryError;
use twitter_core::query::{Query, RawQuery};
use twitter_core::rank::Scratch;
use twitter_core::record::{Hashtags, Kind, Latest, OwnedPack, Row, encode, join, parts};
use twitter_core::render::{respond, respond_invalid, respond_unknown};
use twitter_core::score::base_score;

const HEAD: &[u8] = b"TEAMID,AWSACCOUNT";

#[test]
fn tiny_requests_are_answered_to_the_byte() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let rows = fs::read_to_string(data.join("tiny_rows.tsv")).unwrap();
    let requests = fs::read_to_string(data.join("tiny_requests.jsonl")).unwrap();
    check("tiny", &rows, &requests);
}

#[test]
fn generated_requests_are_answered_to_the_byte() {
    let Some(data) = generated_vectors() else {
        return;
    };
    let packed = fs::File::open(data.join("generated_rows.tsv.gz")).unwrap();
    let mut rows = String::new();
    MultiGzDecoder::new(packed)
        .take(64 << 20)
        .read_to_string(&mut rows)
        .unwrap();
    let requests = fs::read_to_string(data.join("requests.jsonl")).unwrap();
    check("generated", &rows, &requests);
}

/// The folder with the larger set, or `None` after saying that it is absent.
fn generated_vectors() -> Option<PathBuf> {
    let root = env::var_os("TRIPOD_VECTORS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors"),
        PathBuf::from,
    );
    let data = root.join("twitter");
    if data.join("generated_rows.tsv.gz").is_file() {
        return Some(data);
    }
    assert!(
        env::var("CI").as_deref() != Ok("true"),
        "the generated vectors must be there in CI; set TRIPOD_VECTORS"
    );
    println!("SKIPPED: no generated vectors; set TRIPOD_VECTORS to their folder");
    None
}

#[derive(Deserialize)]
struct Request {
    id: String,
    dataset: String,
    query: String,
    rows: i64,
    reply: String,
}

fn check(dataset: &str, rows: &str, requests: &str) {
    let packs = packs_of(rows);
    let mut scratch = Scratch::default();
    let mut reply = Vec::new();
    let mut answered = 0;
    for line in requests.lines() {
        let request: Request = serde_json::from_str(line).unwrap();
        if request.dataset != dataset {
            continue;
        }
        reply.clear();
        match answer(&request.query, &packs, &mut scratch, &mut reply) {
            Ok(()) => assert!(request.rows >= 0, "{} is invalid", request.id),
            Err(_) => assert_eq!(request.rows, -1, "{} is valid", request.id),
        }
        assert_eq!(
            reply.escape_ascii().to_string(),
            request.reply.as_bytes().escape_ascii().to_string(),
            "{}: {}",
            request.id,
            request.query
        );
        answered += 1;
    }
    assert!(answered > 100, "only {answered} requests of {dataset}");
    println!(
        "{answered} requests of {dataset} over {} packs",
        packs.len()
    );
}

fn answer(
    query: &str,
    packs: &BTreeMap<u64, OwnedPack>,
    scratch: &mut Scratch,
    reply: &mut Vec<u8>,
) -> Result<(), QueryError> {
    let values = decode_query(query);
    let parsed = values.as_ref().map_err(|error| *error).and_then(|values| {
        let [user_id, contact_type, phrase, hashtag] = values.each_ref().map(Option::as_deref);
        Query::parse(RawQuery {
            user_id,
            contact_type,
            phrase,
            hashtag,
        })
    });
    match parsed {
        Ok(query) => {
            match packs.get(&query.user_id()) {
                Some(pack) => respond(&query, &pack.as_pack(), HEAD, reply, scratch),
                None => respond_unknown(HEAD, reply),
            }
            Ok(())
        }
        Err(error) => {
            respond_invalid(HEAD, reply);
            Err(error)
        }
    }
}

/// Packs of all users, each sent through parts, parsed, and compared with the
/// rows it was made of.
fn packs_of(table: &str) -> BTreeMap<u64, OwnedPack> {
    let records: Vec<Record> = table.lines().skip(1).map(Record::parse).collect();
    let mut packs = BTreeMap::new();
    for user in records.chunk_by(|a, b| a.user_id == b.user_id) {
        let user_id = user[0].user_id;
        let written = encode(user.iter().map(Record::row)).unwrap();
        let joined = join(parts(&written).unwrap()).unwrap();
        assert_eq!(joined, written);
        let pack = OwnedPack::parse_for(user_id, joined).unwrap();
        assert!(pack.as_pack().rows().eq(user.iter().map(Record::row)));
        assert!(packs.insert(user_id, pack).is_none());
    }
    packs
}

/// One line of the interchange form.
struct Record {
    user_id: u64,
    contact_id: u64,
    tweet_id: u64,
    created_at: i64,
    kind: Kind,
    tweet_text: String,
    hashtags: Vec<String>,
    contact_screen_name: String,
    contact_description: String,
    reply_count: u32,
    retweet_count: u32,
    same_tag_count: u32,
    base_score: f64,
    latest: Latest,
}

impl Record {
    fn parse(line: &str) -> Self {
        let fields: Vec<String> = line.split('\t').map(unescape).collect();
        let [
            user_id,
            contact_id,
            tweet_id,
            created_at,
            kind,
            tweet_text,
            hashtags,
            contact_screen_name,
            contact_description,
            reply_count,
            retweet_count,
            same_tag_count,
            stored_score,
            latest,
        ] = <[String; 14]>::try_from(fields).unwrap();
        let record = Self {
            user_id: user_id.parse().unwrap(),
            contact_id: contact_id.parse().unwrap(),
            tweet_id: tweet_id.parse().unwrap(),
            created_at: created_at.parse().unwrap(),
            kind: Kind::from_bits(kind.parse().unwrap()).unwrap(),
            tweet_text,
            hashtags: serde_json::from_str(&hashtags).unwrap(),
            contact_screen_name,
            contact_description,
            reply_count: reply_count.parse().unwrap(),
            retweet_count: retweet_count.parse().unwrap(),
            same_tag_count: same_tag_count.parse().unwrap(),
            base_score: stored_score.parse().unwrap(),
            latest: Latest::from_bits(latest.parse().unwrap()).unwrap(),
        };
        let computed = base_score(
            record.reply_count,
            record.retweet_count,
            record.same_tag_count,
        );
        assert!((computed / record.base_score - 1.0).abs() < 1e-12, "{line}");
        record
    }

    fn row(&self) -> Row<'_> {
        Row {
            user_id: self.user_id,
            contact_id: self.contact_id,
            tweet_id: self.tweet_id,
            created_at: self.created_at,
            kind: self.kind,
            tweet_text: &self.tweet_text,
            hashtags: Hashtags::from(self.hashtags.as_slice()),
            contact_screen_name: &self.contact_screen_name,
            contact_description: &self.contact_description,
            reply_count: self.reply_count,
            retweet_count: self.retweet_count,
            same_tag_count: self.same_tag_count,
            base_score: self.base_score,
            latest: self.latest,
        }
    }
}

fn unescape(field: &str) -> String {
    let mut text = String::new();
    let mut chars = field.chars();
    while let Some(char) = chars.next() {
        text.push(match char {
            '\\' => match chars.next() {
                Some('\\') => '\\',
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('0') => '\0',
                other => panic!("escape {other:?}"),
            },
            char => char,
        });
    }
    text
}

/// A literal reading of the request rules: split, decode, first one counts.
/// Values of the four parameters in order, or a broken escape in one of them.
fn decode_query(query: &str) -> Result<[Option<Vec<u8>>; 4], QueryError> {
    let mut values = [const { None }; 4];
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = percent_decode(name);
        let known: [&[u8]; 4] = [b"user_id", b"type", b"phrase", b"hashtag"];
        let slot = known
            .iter()
            .position(|known| name.as_deref() == Some(*known));
        if let Some(empty @ None) = slot.and_then(|slot| values.get_mut(slot)) {
            *empty = Some(percent_decode(value));
        }
    }
    if values.contains(&Some(None)) {
        return Err(QueryError::BrokenEscape);
    }
    Ok(values.map(Option::flatten))
}

fn percent_decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::new();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                let (high, low) = (digit()?, digit()?);
                u8::try_from(high * 16 + low).ok()?
            }
            byte => byte,
        });
    }
    Some(decoded)
}
