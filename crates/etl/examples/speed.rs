//! How fast lines are cleaned on one core, next to only checking that they are
//! JSON, and how fast a whole run is.
//!
//! `cargo run --release -p etl --example speed -- LINES.jsonl EXCLUDED.txt [JOBS]`

use std::env;
use std::fs;
use std::hint::black_box;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context as _;
use etl::clean::Cleaner;
use etl::steps::temporary::Temporary;
use serde::de::IgnoredAny;

const ROUNDS: u32 = 20;

fn main() -> anyhow::Result<()> {
    let mut args = env::args_os().skip(1).map(PathBuf::from);
    let file = args.next().context("no file of lines")?;
    let excluded = args.next().context("no list of excluded tags")?;
    let jobs = args.next().and_then(|jobs| jobs.to_str()?.parse().ok());
    let bytes = fs::read(&file)?;
    let mega = |seconds: f64| {
        let millions = u32::try_from(bytes.len() / 1000).unwrap_or(u32::MAX);
        f64::from(millions) / 1000.0 / seconds
    };
    let each_line = |look: &mut dyn FnMut(&[u8])| {
        let mut best = f64::MAX;
        for _ in 0..ROUNDS {
            let start = Instant::now();
            bytes.split(|byte| *byte == b'\n').for_each(&mut *look);
            best = best.min(start.elapsed().as_secs_f64());
        }
        best
    };
    let mut cleaner = Cleaner::default();
    let clean = each_line(&mut |line| {
        let _ = black_box(cleaner.clean(line));
    });
    let ignore = each_line(&mut |line| {
        let _ = black_box(serde_json::from_slice::<IgnoredAny>(line));
    });
    let start = Instant::now();
    let zones = Temporary::create()?;
    let outcome = zones.run(&[file], &excluded, jobs.unwrap_or(1)).run(&())?;
    let built = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let mut pack_bytes = 0;
    for packed in outcome.packs() {
        pack_bytes += packed?.pack.len();
    }
    let packed = start.elapsed().as_secs_f64();
    println!("clean      {:8.0} MB/s", mega(clean));
    println!("IgnoredAny {:8.0} MB/s", mega(ignore));
    println!(
        "run        {:8.0} MB/s (cleaned, scored, checked)",
        mega(built)
    );
    println!(
        "pack       {:8.0} ms for {} rows, {pack_bytes} bytes",
        packed * 1000.0,
        outcome.stats.tally.table_rows
    );
    Ok(())
}
