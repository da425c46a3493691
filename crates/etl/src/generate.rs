//! Synthetic raw tweets, for tests and measurements.
//!
//! The lines look like those of the real stream: most of their bytes are in fields that nobody reads, few
//! users and tags make up most of the traffic, and a share of the lines is broken, of no use or there
//! twice. They hold every case the rules know, far more often than real data does. Line k is made from
//! the seed and k alone: a duplicate is made anew rather than kept, so the memory needed is that of one
//! line, however many there are.

use std::io::{self, Write};

use damage::Flaw;
use json::Json;
use random::{Random, Stream};
use tweet::Tweet;

mod damage;
mod json;
mod random;
mod time;
mod tweet;
mod user;
mod words;

/// What to write. The same options give the same bytes, on any machine.
///
/// Where the three shares sum up to more than 1, those named first go first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// How many users post; 1 to 2^32, other numbers are taken for the nearest.
    pub users: u64,
    /// How many lines to write, valid, filtered, broken and duplicate ones alike.
    pub tweets: u64,
    /// How many hashtags there are apart from their spellings; 1 to 2^32 as above.
    pub hashtags: u64,
    /// Another seed gives other tweets.
    pub seed: u64,
    /// The share of lines, from 0 to 1, that are not one well-formed JSON object.
    pub malformed_share: f64,
    /// The share of lines that lack something a valid tweet has: id, user, time, text, hashtag, language.
    pub filtered_share: f64,
    /// The share of lines that repeat the tweet of an earlier line, one in four with changes. A copy of a
    /// filtered line is a valid tweet.
    pub duplicate_share: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            users: 10_000,
            tweets: 20_000,
            hashtags: 10_000,
            seed: 1,
            malformed_share: 0.06,
            filtered_share: 0.2,
            duplicate_share: 0.03,
        }
    }
}

/// What has been written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Lines, each ended by a line feed.
    pub lines: u64,
    /// Bytes, line feeds included.
    pub bytes: u64,
}

/// The hashtags among the generated ones that the usual list excludes, lower-cased.
pub fn excluded_hashtags() -> &'static [&'static str] {
    words::EXCLUDED
}

/// Writes all lines, in pieces of some 64 KiB.
///
/// # Errors
///
/// The first error of `out`; part of the lines may have been written.
pub fn write(options: &Options, out: &mut dyn Write) -> io::Result<Summary> {
    const PIECE_BYTES: usize = 1 << 16;
    let plan = Plan::new(options);
    let mut line = Json::default();
    let mut piece = Vec::with_capacity(2 * PIECE_BYTES);
    let mut summary = Summary::default();
    for index in 0..options.tweets {
        line.bytes.clear();
        plan.write_line(index, &mut line);
        piece.extend_from_slice(&line.bytes);
        piece.push(b'\n');
        summary.lines += 1;
        summary.bytes += line.bytes.len() as u64 + 1;
        if piece.len() >= PIECE_BYTES {
            out.write_all(&piece)?;
            piece.clear();
        }
    }
    out.write_all(&piece)?;
    out.flush()?;
    Ok(summary)
}

/// What all lines have in common.
#[derive(Clone, Copy)]
struct World {
    seed: u64,
    users: u64,
    hashtags: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Malformed,
    Filtered,
    Duplicate,
    Valid,
}

struct Plan {
    world: World,
    /// The shares summed up, in parts of 2^32.
    malformed_to: u64,
    filtered_to: u64,
    duplicate_to: u64,
}

impl Plan {
    fn new(options: &Options) -> Self {
        let malformed_to = parts(options.malformed_share);
        let filtered_to = malformed_to + parts(options.filtered_share);
        Self {
            world: World {
                seed: options.seed,
                users: options.users.clamp(1, 1 << 32),
                hashtags: options.hashtags.clamp(1, 1 << 32),
            },
            malformed_to,
            filtered_to,
            duplicate_to: filtered_to + parts(options.duplicate_share),
        }
    }

    /// What a line is to be, and the numbers that decide the rest.
    fn kind(&self, index: u64) -> (Kind, Random) {
        let mut random = Random::new(self.world.seed, Stream::Line, index);
        let part = random.below(1 << 32);
        let kind = if part < self.malformed_to {
            Kind::Malformed
        } else if part < self.filtered_to {
            Kind::Filtered
        } else if part < self.duplicate_to && index > 0 {
            Kind::Duplicate
        } else {
            Kind::Valid
        };
        (kind, random)
    }

    fn write_line(&self, index: u64, json: &mut Json) {
        let (kind, mut random) = self.kind(index);
        let random = &mut random;
        match kind {
            Kind::Malformed => {
                let (flaw, break_up) = damage::malformed(random);
                Tweet::new(self.world, index, 0).write(flaw, random, json);
                break_up(random, &mut json.bytes);
            }
            Kind::Filtered => {
                // Some share their id with a tweet before, which they must not hide.
                let index = if index > 0 && random.one_in(10) {
                    self.earlier(index, random)
                } else {
                    index
                };
                let flaw = damage::filter(random);
                if matches!(flaw, Flaw::Id) && random.one_in(2) {
                    json.spelling = json::Spelling::default();
                    let id = random.next() >> 6;
                    damage::notice(random, id, json);
                } else {
                    Tweet::new(self.world, index, 0).write(flaw, random, json);
                }
            }
            Kind::Duplicate => {
                let earlier = self.earlier(index, random);
                let variant = if random.one_in(4) {
                    1 + random.below(6)
                } else {
                    0
                };
                Tweet::new(self.world, earlier, variant).write(Flaw::None, random, json);
            }
            Kind::Valid => Tweet::new(self.world, index, 0).write(Flaw::None, random, json),
        }
        // Blanks around an object are allowed.
        if kind == Kind::Valid && random.one_in(200) {
            json.bytes.insert(0, b' ');
            json.bytes.extend_from_slice(b" \t\r");
        }
    }

    /// An earlier line, half of the time a close one, where possible not a duplicate itself.
    fn earlier(&self, index: u64, random: &mut Random) -> u64 {
        let mut earlier = index;
        for _ in 0..4 {
            if earlier == 0 {
                break;
            }
            earlier -= 1 + if random.one_in(2) {
                random.below(earlier.min(1_000))
            } else {
                random.below(earlier)
            };
            if self.kind(earlier).0 != Kind::Duplicate {
                break;
            }
        }
        earlier
    }
}

/// A share in parts of 2^32. What is not a number counts as nothing.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the product lies between 0 and 2^32"
)]
fn parts(share: f64) -> u64 {
    (share.clamp(0.0, 1.0) * 4_294_967_296.0) as u64
}
