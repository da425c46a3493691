//! A table for the twitter service.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use database_address::Address;
use etl::generate::{self, Options};
use etl::load::{Load, Mode, Origin};
use etl::read;
use etl::report::Run;
use etl::steps::score::read_excluded;
use etl::steps::temporary::Temporary;

/// Enough users that the database has to look for each, few enough to be made in seconds.
const OPTIONS: Options = Options {
    users: 20_000,
    tweets: 300_000,
    hashtags: 10_000,
    seed: 15_619,
    malformed_share: 0.0,
    filtered_share: 0.0,
    duplicate_share: 0.0,
};
/// Threads that make and load it.
const JOBS: usize = 2;
/// Users that the requests for cache hits are about.
const HIT_USERS: usize = 500;
const WORDS: [&str; 8] = [
    "the",
    "hello%20cc",
    "love",
    "rt",
    "cloud",
    "you",
    "life%20is",
    "good",
];
const TAGS: [&str; 6] = ["cmu", "cloud", "music", "news", "love", "zzz"];

/// What the requests are about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Users {
    /// Every user of the table, by id.
    pub all: Vec<u64>,
    /// Those with as many rows as the median user.
    pub median: Vec<u64>,
    /// How many rows those have.
    pub median_rows: u64,
    /// Bytes of all packs.
    pub bytes: u64,
}

/// Generates tweets in `folder`, loads them at each address, and says who is in the table.
///
/// # Errors
///
/// When the folder cannot be written or a database not reached.
pub fn load(addresses: &[Address], folder: &Path) -> Result<Users> {
    let tweets = folder.join("tweets.jsonl");
    let mut out = BufWriter::new(File::create(&tweets)?);
    generate::write(&OPTIONS, &mut out)?;
    out.flush()?;
    let popular = folder.join("popular.txt");
    fs::write(&popular, generate::excluded_hashtags().join("\n"))?;

    let zones = Temporary::create()?;
    let run = zones.run(std::slice::from_ref(&tweets), &popular, JOBS);
    let cleaned = run.clean.run(&())?;
    run.score(&cleaned, &())?;
    let excluded = read_excluded(&popular)?;
    for address in addresses {
        let load = Load {
            processed: &run.processed,
            origin: Origin {
                working: &run.clean.working,
                excluded: &excluded,
            },
            address,
            jobs: JOBS,
            mode: Mode::Full,
            spill_folder: folder,
        };
        load.run(&mut Run::default(), &|_| ())?;
    }
    fs::remove_file(tweets)?;
    users(addresses.first().context("no address")?)
}

/// Who is in the table.
fn users(address: &Address) -> Result<Users> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut sizes = Vec::new();
    let mut bytes = 0;
    let read = read::for_each_pack(address, None, |pack| {
        bytes += pack.as_bytes().len() as u64;
        let mut rows = pack.as_pack().rows();
        if let Some(row) = rows.next() {
            sizes.push((1 + rows.count() as u64, row.user_id));
        }
        Ok(())
    });
    runtime.block_on(read)?;
    let all = sizes.iter().map(|(_, user)| *user).collect();
    sizes.sort_unstable();
    let (median_rows, _) = *sizes.get(sizes.len() / 2).context("an empty table")?;
    let median = sizes.iter().filter(|(rows, _)| *rows == median_rows);
    Ok(Users {
        all,
        median: median.map(|(_, user)| *user).take(HIT_USERS).collect(),
        median_rows,
        bytes,
    })
}

impl Users {
    /// Requests about median users, in turn.
    pub fn hits(&self) -> Vec<String> {
        targets(&self.median, 4 * HIT_USERS)
    }

    /// Requests about all users, each once, in no order.
    pub fn misses(&self) -> Vec<String> {
        let mut users = self.all.clone();
        let mut state = 15_619_u64;
        for place in (1..users.len()).rev() {
            // The upper half of an LCG with Knuth's factor; good enough to spread reads.
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let other = usize::try_from(state >> 33).unwrap_or(0) % (place + 1);
            users.swap(place, other);
        }
        targets(&users, users.len())
    }
}

fn targets(users: &[u64], count: usize) -> Vec<String> {
    let users = users.iter().cycle().take(count).enumerate();
    let targets = users.map(|(index, user)| {
        let contact_type = ["reply", "retweet", "both"][index % 3];
        let (phrase, tag) = (WORDS[index % WORDS.len()], TAGS[index % TAGS.len()]);
        format!("/twitter?user_id={user}&type={contact_type}&phrase={phrase}&hashtag={tag}")
    });
    targets.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misses_ask_for_every_user_once() {
        let users = Users {
            all: (1..=100).collect(),
            median: vec![5],
            median_rows: 1,
            bytes: 1,
        };
        let mut misses = users.misses();
        assert!(misses[0] != "/twitter?user_id=1" && misses.len() == 100);
        misses.sort();
        misses.dedup();
        assert_eq!(misses.len(), 100);
        assert!(
            users
                .hits()
                .iter()
                .all(|target| target.contains("user_id=5&"))
        );
    }
}
