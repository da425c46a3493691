//! How fast raw lines become facts on one core, next to bare parses of the same lines into the same
//! fields by serde_json and simd-json, in the same run.
//!
//! `cargo run --release -p etl --example clean_speed -- LINES.jsonl [ROUNDS]`
//!
//! Time is this process' on the processors, kernel included, so that other programs count little;
//! every figure is the best of the rounds, which take turns. The bare parses check nothing and keep nothing: texts are borrowed from
//! the line where they stand in it as they are. The lines were found before, outside of the time, for all but the last figure, which
//! is the whole step: reading the file, its checksum, lines, cleaning, Parquet, syncing. simd-json writes into its input and gets a
//! fresh copy, whose making is not timed.

use std::borrow::Cow;
use std::hint::black_box;
use std::path::PathBuf;
use std::{env, fs};

use anyhow::Context as _;
use etl::clean::Cleaner;
use etl::steps::run::Landing;
use etl::steps::temporary::Temporary;
use serde::Deserialize;

/// The allocator of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A text that is borrowed where it can be: serde does that for no `Option<Cow<str>>` by itself.
#[derive(Deserialize)]
#[expect(dead_code, reason = "parsing them is what is measured")]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The fields that cleaning uses.
#[derive(Deserialize)]
#[expect(dead_code, reason = "parsing them is what is measured")]
struct Fields<'a> {
    id: Option<u64>,
    #[serde(borrow)]
    id_str: Option<Text<'a>>,
    #[serde(borrow)]
    created_at: Option<Text<'a>>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    lang: Option<Text<'a>>,
    #[serde(borrow)]
    entities: Option<Entities<'a>>,
    in_reply_to_user_id: Option<u64>,
    #[serde(borrow)]
    in_reply_to_user_id_str: Option<Text<'a>>,
    #[serde(borrow)]
    user: Option<User<'a>>,
    #[serde(borrow)]
    retweeted_status: Option<Retweeted<'a>>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "parsing them is what is measured")]
struct Entities<'a> {
    #[serde(borrow)]
    hashtags: Option<Vec<Hashtag<'a>>>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "parsing them is what is measured")]
struct Hashtag<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "parsing them is what is measured")]
struct User<'a> {
    id: Option<u64>,
    #[serde(borrow)]
    id_str: Option<Text<'a>>,
    #[serde(borrow)]
    screen_name: Option<Text<'a>>,
    #[serde(borrow)]
    description: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "parsing them is what is measured")]
struct Retweeted<'a> {
    #[serde(borrow)]
    user: Option<User<'a>>,
}

/// Seconds of the best round.
struct Best(f64);

impl Best {
    fn time(&mut self, work: impl FnOnce()) {
        let start = cpu_seconds();
        work();
        self.0 = self.0.min(cpu_seconds() - start);
    }
}

/// What all threads of this process, ended ones too, have had of the processors; in hundredths, as
/// Linux counts.
fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name in brackets may hold anything.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks
        .filter_map(|field| field.parse::<f64>().ok())
        .sum::<f64>()
        / 100.0
}

fn main() -> anyhow::Result<()> {
    let mut args = env::args_os().skip(1).map(PathBuf::from);
    let file = args.next().context("no file of lines")?;
    let rounds = args.next().and_then(|rounds| rounds.to_str()?.parse().ok());
    let bytes = fs::read(&file)?;
    let lines: Vec<&[u8]> = bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .collect();
    let [mut clean, mut serde, mut simd, mut step] = [f64::MAX; 4].map(Best);
    let (mut valid, mut parsed, mut simd_parsed) = (0u64, 0u64, 0u64);
    for _ in 0..rounds.unwrap_or(9) {
        (valid, parsed, simd_parsed) = (0, 0, 0);
        let mut cleaner = Cleaner::default();
        clean.time(|| {
            for line in &lines {
                valid += u64::from(black_box(cleaner.clean(line)).is_ok());
            }
        });
        serde.time(|| {
            for line in &lines {
                let fields = serde_json::from_slice::<Fields<'_>>(line);
                parsed += u64::from(black_box(fields).is_ok());
            }
        });
        let mut copy = bytes.clone();
        let copies: Vec<&mut [u8]> = copy
            .split_mut(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .collect();
        let mut buffers = simd_json::Buffers::default();
        simd.time(|| {
            for line in copies {
                let fields =
                    simd_json::serde::from_slice_with_buffers::<Fields<'_>>(line, &mut buffers);
                simd_parsed += u64::from(black_box(fields).is_ok());
            }
        });
        let zones = Temporary::create()?;
        let run = zones.run(std::slice::from_ref(&file), &file, 1);
        let mut outcome = Ok(None);
        step.time(|| outcome = run.clean.run(&()).map(Some));
        outcome?.context("no outcome")?;
    }
    let size = Landing::Files(vec![file]).raws()?;
    let size = size.first().map_or(0, |raw| raw.entry.size_bytes);
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let rate = |best: &Best| size as f64 / 1e6 / best.0;
    let bare = rate(&serde).max(rate(&simd));
    println!("lines parsed: serde_json {parsed}, simd-json {simd_parsed}; valid tweets {valid}");
    println!("serde_json       {:8.0} MB/s", rate(&serde));
    println!("simd-json        {:8.0} MB/s", rate(&simd));
    for (name, best) in [("clean, lines", &clean), ("clean, to facts", &step)] {
        println!(
            "{name:<16} {:8.0} MB/s, {:.2} of the faster bare parse",
            rate(best),
            rate(best) / bare
        );
    }
    Ok(())
}
