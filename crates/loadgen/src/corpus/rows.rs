//! Requests for `/twitter` with exact answers, from the rows of the table as `etl rows` writes them.
//!
//! The file is read twice, a line at a time: once for the users in it, once for the rows of those who
//! are asked about. What is kept is the packs of these and one number for each other user.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use twitter_core::query::{Query, RawQuery};
use twitter_core::rank::Scratch;
use twitter_core::record::{Hashtags, Kind, Latest, OwnedPack, PackWriter, Row};
use twitter_core::render::{respond, respond_unknown};

use super::escape::unescape;
use super::twitter::{self, Words};
use super::{Expect, INVALID, Item, Recipe};
use crate::random::Random;

/// The first line.
const HEADER: &str = "user_id\tcontact_id\ttweet_id\tcreated_at\tkind\ttweet_text\thashtags\t\
contact_screen_name\tcontact_description\treply_count\tretweet_count\tsame_tag_count\tbase_score\t\
latest";
/// Longest line, in bytes.
const MAX_LINE_BYTES: u64 = 1 << 20;
/// Share of valid requests about a user who is not in the table.
const UNKNOWN: f64 = 0.05;
/// Share of valid requests whose phrase and hashtag come from the user's own rows.
const OWN_WORDS: f64 = 0.5;
/// Longest phrase that is taken from a text, in characters.
const MAX_PHRASE_CHARS: usize = 20;

/// Packs by their users.
type Packs = HashMap<u64, OwnedPack>;

/// A request before its answer is known.
struct Draft {
    user_id: u64,
    is_valid: bool,
    values: [String; 4],
}

/// Makes a corpus about the users of a file of rows.
///
/// # Errors
///
/// When the file cannot be read, is not sorted by user or not what `etl rows` writes.
pub fn generate(recipe: Recipe, path: &Path) -> Result<Vec<Item>> {
    let shown = path.display();
    let users = users(path).with_context(|| shown.to_string())?;
    if users.is_empty() {
        bail!("{shown} holds no row");
    }
    let mut random = Random::with_stream(recipe.seed, 4);
    let asked: Vec<u64> = (0..recipe.size)
        .map(|_| {
            if !random.chance(UNKNOWN) {
                return users[random.index(users.len())];
            }
            loop {
                let user_id = random.word();
                if users.binary_search(&user_id).is_err() {
                    return user_id;
                }
            }
        })
        .collect();
    drop(users);
    let packs = packs(path, &asked).with_context(|| shown.to_string())?;
    let mut scratch = Scratch::default();
    asked
        .into_iter()
        .map(|user_id| {
            let pack = packs.get(&user_id);
            let draft = draft(&mut random, recipe.invalid, user_id, pack);
            let expect = answer(&draft, pack, &mut scratch)?;
            let [user, contact_type, phrase, tag] = &draft.values;
            let target = twitter::target([user, contact_type, phrase, tag]);
            Ok(Item { target, expect })
        })
        .collect()
}

fn draft(random: &mut Random, invalid: f64, user_id: u64, pack: Option<&OwnedPack>) -> Draft {
    let Words {
        contact_type,
        phrase,
        tag,
    } = Words::draw(random);
    let (mut phrase, mut tag) = (phrase.to_owned(), tag.to_owned());
    if let Some(pack) = pack
        && random.chance(OWN_WORDS)
    {
        let pack = pack.as_pack();
        let place = random.index(pack.row_count());
        if let Some(row) = pack.rows().nth(place) {
            let words: Vec<&str> = row.tweet_text.split_whitespace().collect();
            if let Some(word) = words.get(random.index(words.len())) {
                phrase = word.chars().take(MAX_PHRASE_CHARS).collect();
            }
            if let Some(own) = row.hashtags.iter().next() {
                own.clone_into(&mut tag);
            }
        }
    }
    let mut values = [user_id.to_string(), contact_type.to_owned(), phrase, tag];
    let is_valid = !random.chance(invalid);
    if !is_valid {
        let (place, text) = twitter::broken(random);
        text.clone_into(&mut values[place]);
    }
    Draft {
        user_id,
        is_valid,
        values,
    }
}

/// What follows the team line of the right reply.
fn answer(draft: &Draft, pack: Option<&OwnedPack>, scratch: &mut Scratch) -> Result<Expect> {
    let [user_id, contact_type, phrase, hashtag] = &draft.values;
    let query = Query::parse(RawQuery {
        user_id: Some(user_id.as_bytes()),
        contact_type: Some(contact_type.as_bytes()),
        phrase: Some(phrase.as_bytes()),
        hashtag: Some(hashtag.as_bytes()),
    });
    let mut rest = Vec::new();
    match (query, pack) {
        (Ok(query), Some(pack)) => respond(&query, &pack.as_pack(), b"", &mut rest, scratch),
        (Ok(_), None) => respond_unknown(b"", &mut rest),
        (Err(_), _) => rest.extend_from_slice(INVALID),
    }
    // Words of texts are not empty, and the others are ours.
    if draft.is_valid == (rest == INVALID) {
        bail!(
            "a request about {} is not what it was drawn as",
            draft.user_id
        );
    }
    Ok(Expect::Rest(rest))
}

/// All users, ascending.
fn users(path: &Path) -> Result<Vec<u64>> {
    let mut users = Vec::new();
    each_line(path, |user_id, _| {
        match users.last() {
            Some(last) if *last == user_id => {}
            Some(last) if *last > user_id => bail!("rows are not sorted by user_id"),
            _ => users.push(user_id),
        }
        Ok(())
    })?;
    Ok(users)
}

/// The packs of those who are asked about and in the file.
fn packs(path: &Path, asked: &[u64]) -> Result<Packs> {
    let asked: HashSet<u64> = asked.iter().copied().collect();
    let mut packs = Packs::new();
    let mut writer = PackWriter::default();
    // Whose rows the writer has.
    let mut of = None;
    each_line(path, |user_id, line| {
        if of != Some(user_id) {
            finish(of.take(), &mut writer, &mut packs)?;
        }
        if asked.contains(&user_id) {
            of = Some(user_id);
            writer.push(&Fields::parse(line)?.row()?)?;
        }
        Ok(())
    })?;
    finish(of, &mut writer, &mut packs)?;
    Ok(packs)
}

fn finish(of: Option<u64>, writer: &mut PackWriter, packs: &mut Packs) -> Result<()> {
    if let Some(user_id) = of {
        let mut bytes = Vec::new();
        writer.finish(&mut bytes)?;
        packs.insert(user_id, OwnedPack::parse_for(user_id, bytes)?);
    }
    Ok(())
}

/// Hears of each row: its user, and the line without its end.
fn each_line(path: &Path, mut hear: impl FnMut(u64, &str) -> Result<()>) -> Result<()> {
    let mut reader = BufReader::new(File::open(path).context("cannot be opened")?);
    let mut line = String::new();
    for number in 1_u64.. {
        line.clear();
        let read = reader.by_ref().take(MAX_LINE_BYTES).read_line(&mut line);
        let read = read.with_context(|| format!("line {number} cannot be read"))?;
        if read == 0 {
            break;
        }
        let text = line
            .strip_suffix('\n')
            .ok_or_else(|| anyhow!("line {number} has no end, or over {MAX_LINE_BYTES} bytes"))?;
        if number == 1 {
            if text != HEADER {
                bail!("the first line is not that of `etl rows`");
            }
            continue;
        }
        let (user_id, _) = text.split_once('\t').unwrap_or((text, ""));
        let heard = user_id.parse().context("user_id");
        heard
            .and_then(|user_id| hear(user_id, text))
            .with_context(|| format!("line {number}"))?;
    }
    Ok(())
}

/// The fields of a row, unescaped.
struct Fields {
    texts: Vec<String>,
    tags: Vec<String>,
}

impl Fields {
    fn parse(line: &str) -> Result<Self> {
        let texts = line.split('\t').map(unescape).collect::<Result<Vec<_>>>()?;
        if texts.len() != HEADER.split('\t').count() {
            bail!("{} fields", texts.len());
        }
        let tags = serde_json::from_str(&texts[6]).context("hashtags")?;
        Ok(Self { texts, tags })
    }

    fn row(&self) -> Result<Row<'_>> {
        fn number<T: std::str::FromStr>(texts: &[String], place: usize) -> Result<T> {
            let name = HEADER.split('\t').nth(place).unwrap_or_default();
            let parsed = texts[place].parse().ok();
            parsed.with_context(|| format!("{name} is {:?}", texts[place]))
        }
        let texts = &self.texts;
        Ok(Row {
            user_id: number(texts, 0)?,
            contact_id: number(texts, 1)?,
            tweet_id: number(texts, 2)?,
            created_at: number(texts, 3)?,
            kind: Kind::from_bits(number(texts, 4)?).context("kind is 1, 2 or 3")?,
            tweet_text: &texts[5],
            hashtags: Hashtags::from(self.tags.as_slice()),
            contact_screen_name: &texts[7],
            contact_description: &texts[8],
            reply_count: number(texts, 9)?,
            retweet_count: number(texts, 10)?,
            same_tag_count: number(texts, 11)?,
            base_score: number(texts, 12)?,
            latest: Latest::from_bits(number(texts, 13)?).context("latest is 0 to 7")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use twitter_core::rank::Scratch;

    use super::{Draft, HEADER, answer, generate, packs};
    use crate::corpus::{Expect, Recipe};

    /// What `etl rows` writes of the hand-made tweets.
    fn tiny() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../twitter-core/tests/data/tiny_rows.tsv")
    }

    #[test]
    fn answers_are_those_of_the_known_requests() {
        let packs = packs(&tiny(), &[15213, 15513, 1]).unwrap();
        assert_eq!(packs.len(), 2);
        for (user_id, known) in [
            (
                15213,
                "\n15618\tn15618\td15618\tcloud\n15513\tn15513\td15513\tis",
            ),
            (
                15513,
                "\n15319\tn15319\td15319\thi 15513\n15213\t\t\tis\n\
                 15619\tn15619\td15619\tRT @n15513: hi",
            ),
            (1, ""),
        ] {
            let draft = Draft {
                user_id,
                is_valid: true,
                values: [
                    user_id.to_string(),
                    "both".into(),
                    "zzz".into(),
                    "zzz".into(),
                ],
            };
            let found = answer(&draft, packs.get(&user_id), &mut Scratch::default()).unwrap();
            assert_eq!(found, Expect::Rest(known.as_bytes().to_vec()));
        }
    }

    #[test]
    fn files_of_another_shape_are_refused_with_their_line() {
        let folder = std::env::temp_dir().join(format!("loadgen-rows-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("rows.tsv");
        let row = "9\t800\t76\t1397470143\t2\tRT nine\t[\"zipcode\"]\tn800\td800\t0\t1\t0\t0.6931471805599453\t6\n";
        let recipe = Recipe {
            seed: 1,
            size: 20,
            invalid: 0.0,
        };
        for (text, wrong) in [
            (format!("{HEADER}\n{row}"), ""),
            (format!("{HEADER}\n"), "holds no row"),
            (format!("user\n{row}"), "first line"),
            (format!("{HEADER}\n{row}{row}"), "line 3"),
            (
                format!("{HEADER}\n{row}{}", row.replacen('9', "8", 1)),
                "not sorted",
            ),
            (
                format!("{HEADER}\n{}", row.replace("\t6\n", "\t9\n")),
                "latest",
            ),
            (
                format!("{HEADER}\n{}", row.replace("RT", "\\x")),
                "backslash",
            ),
            (format!("{HEADER}\n{}", row.trim_end()), "no end"),
        ] {
            std::fs::write(&path, &text).unwrap();
            match generate(recipe, &path) {
                Ok(_) => assert_eq!(wrong, "", "{text}"),
                Err(error) => {
                    let error = format!("{error:#}");
                    assert!(!wrong.is_empty() && error.contains(wrong), "{error}");
                }
            }
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
