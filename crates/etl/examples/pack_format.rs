//! What compressing packs would save and cost: bytes a row, and the time from the bytes of the
//! database to a checked pack, for codecs and thresholds above which a pack is compressed.
//!
//! `cargo run --release -p etl --example pack_format -- sqlite://TABLE.db`
//!
//! The packs of the table are those that `etl build` or `etl load` made, which compress nothing.
//! A pack that does not get smaller stays as it is. Two mixes of requests: "any user" draws all
//! users alike, "by rows" each in proportion to its rows.

use std::env;
use std::hint::black_box;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use database_address::Address;
use etl::read::for_each_pack;
use twitter_core::record::Pack;
use zstd::bulk::{Compressor, Decompressor};

/// Rows of the real table that instances are sized for.
const REAL_ROWS: f64 = 41e6;
const THRESHOLDS: [usize; 5] = [0, 1 << 10, 4 << 10, 16 << 10, 64 << 10];
/// Decoded packs of one mix, and rounds of which the best counts.
const DECODED: usize = 20_000;
const ROUNDS: usize = 5;
/// The library's own default.
const ZSTD_LEVEL: i32 = 3;
/// What `zstd --train` makes by default, and how many packs it learns from.
const DICTIONARY_BYTES: usize = 112_640;
const LEARNED_FROM: usize = 10_000;

struct Table {
    packs: Vec<Vec<u8>>,
    rows: Vec<usize>,
}

/// A way to write and read the bytes of a pack. `read` fills the buffer.
trait Codec {
    fn name(&self) -> &'static str;
    fn write(&mut self, pack: &[u8]) -> Result<Vec<u8>>;
    fn read(&mut self, stored: &[u8], length: usize, buffer: &mut Vec<u8>) -> Result<()>;
}

struct Lz4;

impl Codec for Lz4 {
    fn name(&self) -> &'static str {
        "lz4"
    }

    fn write(&mut self, pack: &[u8]) -> Result<Vec<u8>> {
        Ok(lz4_flex::block::compress(pack))
    }

    fn read(&mut self, stored: &[u8], length: usize, buffer: &mut Vec<u8>) -> Result<()> {
        buffer.resize(length, 0);
        lz4_flex::block::decompress_into(stored, buffer)?;
        Ok(())
    }
}

struct Zstd {
    name: &'static str,
    compressor: Compressor<'static>,
    decompressor: Decompressor<'static>,
}

impl Zstd {
    fn new(name: &'static str, dictionary: &[u8]) -> Result<Self> {
        Ok(Self {
            name,
            compressor: Compressor::with_dictionary(ZSTD_LEVEL, dictionary)?,
            decompressor: Decompressor::with_dictionary(dictionary)?,
        })
    }
}

impl Codec for Zstd {
    fn name(&self) -> &'static str {
        self.name
    }

    fn write(&mut self, pack: &[u8]) -> Result<Vec<u8>> {
        Ok(self.compressor.compress(pack)?)
    }

    fn read(&mut self, stored: &[u8], length: usize, buffer: &mut Vec<u8>) -> Result<()> {
        buffer.clear();
        buffer.reserve(length);
        self.decompressor.decompress_to_buffer(stored, buffer)?;
        Ok(())
    }
}

fn main() -> Result<()> {
    let url = env::args().nth(1).context("no address of a table")?;
    let table = read(&Address::parse(&url, None, None)?)?;
    let bytes: usize = table.packs.iter().map(Vec::len).sum();
    let rows: usize = table.rows.iter().sum();
    let (any, by_rows) = (any_user(&table), by_rows(&table));
    println!(
        "{} packs, {rows} rows, {:.1} MB; median pack {} bytes, at a median row {}",
        table.packs.len(),
        number(bytes) / 1e6,
        median(&table, &any),
        median(&table, &by_rows),
    );
    println!();
    println!(
        "| codec | from | bytes a row | GB for 41 M rows | share | any user, ns | by rows, ns |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    let stored: Vec<_> = table.packs.iter().map(|_| None).collect();
    line(&table, &mut Lz4, &stored, "none", "", [&any, &by_rows])?;
    let dictionary = learn(&table)?;
    let codecs: [Box<dyn Codec>; 3] = [
        Box::new(Lz4),
        Box::new(Zstd::new("zstd", &[])?),
        Box::new(Zstd::new("zstd, dictionary", &dictionary)?),
    ];
    for mut codec in codecs {
        let name = codec.name();
        for threshold in THRESHOLDS {
            let stored = write(&table, codec.as_mut(), threshold)?;
            let from = threshold.to_string();
            let mixes = [&any[..], &by_rows];
            line(&table, codec.as_mut(), &stored, name, &from, mixes)?;
        }
    }
    Ok(())
}

fn read(address: &Address) -> Result<Table> {
    let (mut packs, mut rows) = (Vec::new(), Vec::new());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let read = for_each_pack(address, None, |pack| {
        packs.push(pack.as_bytes().to_vec());
        rows.push(pack.as_pack().rows().count());
        Ok(())
    });
    runtime.block_on(read)?;
    ensure!(!packs.is_empty(), "the table is empty");
    Ok(Table { packs, rows })
}

/// Learns from packs all over the table, as a load that sees them in the order of users would.
fn learn(table: &Table) -> Result<Vec<u8>> {
    let step = table.packs.len().div_ceil(LEARNED_FROM);
    let samples: Vec<&[u8]> = table
        .packs
        .iter()
        .step_by(step)
        .map(Vec::as_slice)
        .collect();
    Ok(zstd::dict::from_samples(&samples, DICTIONARY_BYTES)?)
}

/// What is stored of each pack; `None` is the pack itself.
fn write(table: &Table, codec: &mut dyn Codec, threshold: usize) -> Result<Vec<Option<Vec<u8>>>> {
    let mut stored = Vec::new();
    for pack in &table.packs {
        let smaller = if pack.len() < threshold {
            None
        } else {
            Some(codec.write(pack)?).filter(|written| written.len() < pack.len())
        };
        stored.push(smaller);
    }
    Ok(stored)
}

fn line(
    table: &Table,
    codec: &mut dyn Codec,
    stored: &[Option<Vec<u8>>],
    name: &str,
    from: &str,
    mixes: [&[usize]; 2],
) -> Result<()> {
    let sizes = table.packs.iter().zip(stored);
    let bytes: usize = sizes
        .map(|(pack, stored)| stored.as_ref().map_or(pack.len(), Vec::len))
        .sum();
    let all: usize = table.packs.iter().map(Vec::len).sum();
    let a_row = number(bytes) / number(table.rows.iter().sum());
    let mut times = [0.0; 2];
    for (time, mix) in times.iter_mut().zip(mixes) {
        *time = decode(table, codec, stored, mix)?;
    }
    println!(
        "| {name} | {from} | {a_row:.0} | {:.1} | {:.2} | {:.0} | {:.0} |",
        a_row * REAL_ROWS / 1e9,
        number(bytes) / number(all),
        times[0],
        times[1]
    );
    Ok(())
}

/// Nanoseconds a pack of the mix.
fn decode(
    table: &Table,
    codec: &mut dyn Codec,
    stored: &[Option<Vec<u8>>],
    mix: &[usize],
) -> Result<f64> {
    let mut buffer = Vec::new();
    let mut best = f64::MAX;
    for _ in 0..ROUNDS {
        let started = Instant::now();
        for &index in mix {
            let (pack, stored) = (&table.packs[index], &stored[index]);
            let bytes = match stored {
                None => pack,
                Some(stored) => {
                    codec.read(stored, pack.len(), &mut buffer)?;
                    &buffer
                }
            };
            black_box(Pack::parse(bytes)?);
        }
        best = best.min(started.elapsed().as_secs_f64());
    }
    Ok(best / number(mix.len()) * 1e9)
}

/// Indices of packs, all users alike, in no order of the memory.
fn any_user(table: &Table) -> Vec<usize> {
    spread(table.packs.len()).collect()
}

/// Indices of packs, in proportion to their rows.
fn by_rows(table: &Table) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut end = 0;
    for rows in &table.rows {
        end += rows;
        ends.push(end);
    }
    spread(end)
        .map(|row| ends.partition_point(|end| *end <= row))
        .collect()
}

/// So many numbers below a limit, evenly, shuffled by steps of the golden ratio.
fn spread(limit: usize) -> impl Iterator<Item = usize> {
    const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut at = 0_u64;
    (0..DECODED).map(move |_| {
        at = at.wrapping_add(STEP);
        let scaled = u128::from(at) * limit as u128;
        usize::try_from(scaled >> 64).unwrap_or_default()
    })
}

fn median(table: &Table, mix: &[usize]) -> usize {
    let mut sizes: Vec<_> = mix.iter().map(|&index| table.packs[index].len()).collect();
    sizes.sort_unstable();
    sizes[sizes.len() / 2]
}

fn number(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}
