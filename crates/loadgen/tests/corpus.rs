//! The corpora are what the core crates say they are.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::path::Path;

use blockchain_core::Scratch;
use loadgen::check::{Checker, TeamLine, Wrong};
use loadgen::corpus::{Depth, Expect, INVALID, Item, Recipe, blockchain, qrcode, rows, twitter};

const RECIPE: Recipe = Recipe {
    seed: 15_619,
    size: 400,
    invalid: 0.2,
};

fn value<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    let (_, query) = item.target.split_once('?')?;
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

fn unescape(value: &str) -> Vec<u8> {
    let mut bytes = value.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
            let digits = std::str::from_utf8(&digits).unwrap();
            out.push(u8::from_str_radix(digits, 16).unwrap());
        } else {
            out.push(byte);
        }
    }
    out
}

fn broken(items: &[Item]) -> usize {
    let is_broken = |item: &&Item| item.expect == Expect::Rest(INVALID.to_vec());
    items.iter().filter(is_broken).count()
}

#[test]
fn qrcode_requests_have_the_answers_of_the_core() {
    let items = qrcode::generate(RECIPE);
    assert_eq!(items.len(), RECIPE.size);
    for item in &items {
        let data = unescape(value(item, "data").unwrap());
        let answer = match value(item, "type").unwrap() {
            "encode" => qrcode_core::Message::try_from(data.as_slice())
                .ok()
                .map(|message| {
                    let mut out = Vec::new();
                    qrcode_core::encode(&message, &mut out);
                    out
                }),
            "decode" => qrcode_core::decode(&data)
                .ok()
                .map(|message| message.as_bytes().to_vec()),
            _ => None,
        };
        let rest = [
            b"\n",
            answer.unwrap_or_else(|| b"INVALID".to_vec()).as_slice(),
        ]
        .concat();
        assert_eq!(item.expect, Expect::Rest(rest), "{}", item.target);
    }
    assert!((40..120).contains(&broken(&items)), "{}", broken(&items));
}

#[test]
fn blockchain_requests_are_valid_or_broken_as_said() {
    let items = blockchain::generate(RECIPE);
    let mut scratch = Scratch::default();
    let mut bytes = 0;
    for item in &items {
        let packed = value(item, "cc").unwrap();
        bytes += packed.len();
        let mut out = b"\n".to_vec();
        let answer = blockchain_core::respond(packed.as_bytes(), &mut scratch, &mut out);
        match &item.expect {
            Expect::Chain(chain) => {
                answer.unwrap();
                assert_eq!(chain.packed, out);
            }
            expect => {
                answer.unwrap_err();
                assert_eq!(*expect, Expect::Rest(INVALID.to_vec()));
            }
        }
    }
    assert!((40..120).contains(&broken(&items)), "{}", broken(&items));
    let mean = bytes / items.len();
    assert!((500..1500).contains(&mean), "{mean} characters");
}

/// What `etl rows` writes of the hand-made tweets.
fn tiny_rows() -> &'static Path {
    Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../twitter-core/tests/data/tiny_rows.tsv"
    ))
}

#[test]
fn twitter_requests_from_rows_have_exact_answers() {
    let items = rows::generate(RECIPE, tiny_rows()).unwrap();
    assert_eq!(items.len(), RECIPE.size);
    assert!(items.iter().all(|item| item.expect.depth() == Depth::Exact));
    assert!((40..120).contains(&broken(&items)), "{}", broken(&items));
    let of = |item: &Item| value(item, "user_id").unwrap().to_owned();
    let empty = Expect::Rest(Vec::new());
    let with_contacts = items.iter().filter(|item| item.expect != empty).count() - broken(&items);
    assert!(with_contacts > RECIPE.size / 3, "{with_contacts}");
    // Some ask for a user who is not there; the team line alone is the answer.
    let text = std::fs::read_to_string(tiny_rows()).unwrap();
    let is_known = |user: &str| text.contains(&format!("\n{user}\t"));
    let unknown = items
        .iter()
        .filter(|item| item.expect == empty && !is_known(&of(item)));
    assert!(unknown.count() > 3);
}

#[test]
fn the_same_seed_gives_the_same_corpus() {
    let recipe = Recipe { size: 20, ..RECIPE };
    let makers: [fn(Recipe) -> Vec<Item>; 4] = [
        blockchain::generate,
        qrcode::generate,
        |recipe| twitter::generate(recipe, &[1, 2, 3]),
        |recipe| rows::generate(recipe, tiny_rows()).unwrap(),
    ];
    for make in makers {
        let targets = |seed| -> Vec<String> {
            let items = make(Recipe { seed, ..recipe });
            items.into_iter().map(|item| item.target).collect()
        };
        assert_eq!(targets(1), targets(1));
        assert_ne!(targets(1), targets(2));
    }
}

fn chain() -> (String, String) {
    let recipe = Recipe {
        size: 1,
        invalid: 0.0,
        ..RECIPE
    };
    let item = blockchain::generate(recipe).remove(0);
    let Expect::Chain(chain) = item.expect else {
        panic!("a valid request");
    };
    (chain.json, String::from_utf8(chain.packed).unwrap())
}

fn pack(text: &str) -> Vec<u8> {
    let mut compressor = libdeflater::Compressor::new(libdeflater::CompressionLvl::fastest());
    let mut stream = vec![0; compressor.zlib_compress_bound(text.len())];
    let len = compressor
        .zlib_compress(text.as_bytes(), &mut stream)
        .unwrap();
    let packed = base64_simd::URL_SAFE.encode_to_string(&stream[..len]);
    format!("T,1\n{packed}").into_bytes()
}

#[test]
fn any_way_to_write_the_right_chain_is_right_and_no_other_chain_is() {
    let (json, packed) = chain();
    let expect = Expect::Chain(Box::new(loadgen::corpus::Chain {
        packed: packed.clone().into_bytes(),
        json: json.clone(),
    }));
    let team = TeamLine::new(Some("T,1"));
    let mut checker = Checker::default();
    let mut check = |body: &[u8]| checker.check(&expect, &team, body);
    assert_eq!(check(format!("T,1{packed}").as_bytes()), Ok(()));
    assert_eq!(check(&pack(&json)), Ok(()), "other compression");
    assert_eq!(check(&pack(&format!("{json} \n"))), Ok(()), "white space");
    let spaced = json.replace("\"pow\":", "\"pow\" : ");
    assert_eq!(check(&pack(&spaced)), Ok(()), "white space");

    assert_eq!(
        check(format!("T,2{packed}").as_bytes()),
        Err(Wrong::TeamLine)
    );
    assert_eq!(check(b"T,1\nINVALID"), Err(Wrong::Unpack));
    assert_eq!(check(b"T,1"), Err(Wrong::Unpack));
    // The last block left out: valid, but nothing was added.
    let last = json.rfind(",{\"all_tx\"").unwrap();
    let shorter = format!("{}]}}", &json[..last]);
    assert_eq!(check(&pack(&shorter)), Err(Wrong::OtherChain));
    let pow = json.rfind("\"pow\":\"").unwrap() + 7;
    let other = format!("{}x{}", &json[..pow], &json[pow..]);
    assert_eq!(check(&pack(&other)), Err(Wrong::Chain));
    assert_eq!(check(&pack("{}")), Err(Wrong::Chain));
}

#[test]
fn another_proof_of_work_is_right_if_its_hash_fits() {
    let (json, packed) = chain();
    let request = format!(
        "{},\"new_target\":\"1\",\"new_tx\":[]}}",
        &json[..json.len() - 1]
    );
    let request = blockchain_core::Request::parse(&request).unwrap();
    let blocks = request.chain();
    let (last, before) = blocks.split_last().unwrap();
    let hashes = last.payments.iter().map(|payment| payment.hash);
    let previous = before.last().unwrap().hash;
    let seed =
        blockchain_core::hash::Seed::new(last.id, previous, hashes.chain([last.reward.hash]));
    let (pow, hash) = (0..100_000)
        .map(|number| format!("other {number}"))
        .map(|pow| (seed.hash(&pow).to_string(), pow))
        .find(|(hash, _)| hash.as_str() < &*last.target)
        .map(|(hash, pow)| (pow, hash))
        .unwrap();
    let at = json.rfind("\"pow\"").unwrap();
    let other = format!(
        "{}\"pow\":\"{pow}\",\"id\":{},\"hash\":\"{hash}\",\"target\":\"{}\"}}]}}",
        &json[..at],
        last.id,
        last.target
    );
    let expect = Expect::Chain(Box::new(loadgen::corpus::Chain {
        packed: packed.into_bytes(),
        json: json.clone(),
    }));
    let mut checker = Checker::default();
    let right = checker.check(&expect, &TeamLine::new(None), &pack(&other));
    assert_eq!(right, Ok(()));
}

#[test]
fn the_first_team_line_is_the_measure_of_the_others() {
    let team = TeamLine::new(None);
    let mut checker = Checker::default();
    let expect = Expect::Rest(b"\nx".to_vec());
    assert_eq!(checker.check(&expect, &team, b"\nx"), Err(Wrong::TeamLine));
    assert_eq!(checker.check(&expect, &team, b"A,1\nx"), Ok(()));
    assert_eq!(
        checker.check(&expect, &team, b"B,1\nx"),
        Err(Wrong::TeamLine)
    );
    assert_eq!(checker.check(&expect, &team, b"A,1\ny"), Err(Wrong::Bytes));
    assert_eq!(team.get(), Some(b"A,1".as_slice()));
}

#[test]
fn contacts_have_a_shape() {
    let team = TeamLine::new(Some("T,1"));
    let mut checker = Checker::default();
    for (body, right) in [
        ("T,1", true),
        ("T,1\nINVALID", false),
        ("T,1\n15\tname\t\ttext", true),
        ("T,1\n15\tname\t\ttext\nof two lines", true),
        ("T,1\n", false),
        ("T,1\n15\tname\ttext", false),
        ("T,1\nerror\t\t\t", false),
    ] {
        let found = checker.check(&Expect::Contacts, &team, body.as_bytes());
        assert_eq!(found.is_ok(), right, "{body:?}");
    }
}
