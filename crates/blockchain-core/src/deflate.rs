//! Deflate for replies: one pass, one block, Huffman codes that are known beforehand.
//!
//! A general compressor spends most of its time on a text of 1 KB on what that text is too small
//! to pay for: clearing large tables, counting symbols, building and describing codes. Replies all
//! look alike, so the codes here are constants made from sample replies ([`tables`], checked by a
//! test that makes them again), the block's header is constant too, and the match table is never
//! cleared: its entries say by their number which text they belong to. Every byte has a code, so any
//! text can be written; one that does not look like a reply is only packed less well.

#![expect(
    clippy::cast_possible_truncation,
    reason = "positions are below a text's length, which is checked to fit 32 bits"
)]

mod tables;

use tables::{DISTANCE_LENGTHS, HEADER, HEADER_BITS, LITERAL_LENGTHS};

/// Shortest and longest copy that deflate can say; shorter ones than four bytes do not pay.
const MIN_COPY: usize = 4;
const MAX_COPY: usize = 258;
/// Farthest a copy may reach back.
const WINDOW: usize = 1 << 15;
/// What zlib itself writes at its default level.
const ZLIB_HEADER: [u8; 2] = [0x78, 0x9c];
/// Entries of the match table: 16 KiB, half of a usual first-level cache.
const SLOTS: usize = 1 << 12;

/// Symbols of literals, the end of the block, and lengths of copies.
const LITERALS: usize = 286;
const END: usize = 256;
const DISTANCES: usize = 30;

/// Least length of each length symbol from 257, RFC 1951 section 3.2.5.
const LENGTH_BASES: [u16; 29] = [
    3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131,
    163, 195, 227, 258,
];
/// Bits behind each length symbol.
const LENGTH_EXTRA: [u8; 29] = [
    0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0,
];
/// Least distance of each distance symbol.
const DISTANCE_BASES: [u16; DISTANCES] = [
    1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537,
    2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577,
];
/// Bits behind each distance symbol.
const DISTANCE_EXTRA: [u8; DISTANCES] = [
    0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13,
    13,
];

/// Bits to write, the first one lowest, and their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Code {
    bits: u32,
    count: u8,
}

const NO_CODE: Code = Code { bits: 0, count: 0 };

static LITERAL_CODES: [Code; LITERALS] = codes(&LITERAL_LENGTHS);
static DISTANCE_CODES: [Code; DISTANCES] = codes(&DISTANCE_LENGTHS);
/// Symbol and extra bits of each length of a copy.
static COPY_CODES: [Code; MAX_COPY + 1] = copy_codes();
/// Symbol of a distance: of `distance - 1` below 256, and of its higher bits from 256 on.
static DISTANCE_SYMBOLS: [u8; 512] = distance_symbols();

/// Canonical codes of these lengths, RFC 1951 section 3.2.2, turned so that the first bit is lowest.
const fn codes<const N: usize>(lengths: &[u8; N]) -> [Code; N] {
    let mut codes = [NO_CODE; N];
    let mut next = 0_u32;
    let mut length = 1_u8;
    while length <= 15 {
        let mut symbol = 0;
        while symbol < N {
            if lengths[symbol] == length {
                codes[symbol] = Code {
                    bits: next.reverse_bits() >> (32 - length as u32),
                    count: length,
                };
                next += 1;
            }
            symbol += 1;
        }
        next <<= 1;
        length += 1;
    }
    codes
}

const fn copy_codes() -> [Code; MAX_COPY + 1] {
    let symbols: [Code; LITERALS] = codes(&LITERAL_LENGTHS);
    let mut copies = [NO_CODE; MAX_COPY + 1];
    let mut length = 3;
    while length <= MAX_COPY {
        let mut index = LENGTH_BASES.len() - 1;
        while LENGTH_BASES[index] as usize > length {
            index -= 1;
        }
        let symbol = symbols[END + 1 + index];
        let rest = (length - LENGTH_BASES[index] as usize) as u32;
        copies[length] = Code {
            bits: symbol.bits | rest << symbol.count,
            count: symbol.count + LENGTH_EXTRA[index],
        };
        length += 1;
    }
    copies
}

const fn distance_symbols() -> [u8; 512] {
    let mut symbols = [0; 512];
    let mut index = 0;
    while index < 512 {
        let distance = 1 + if index < 256 {
            index
        } else {
            (index - 256) << 7
        };
        let mut symbol = DISTANCES - 1;
        while DISTANCE_BASES[symbol] as usize > distance {
            symbol -= 1;
        }
        let symbol = symbol as u8;
        symbols[index] = symbol;
        index += 1;
    }
    symbols
}

fn distance_symbol(distance: usize) -> usize {
    let index = distance - 1;
    let index = if index < 256 {
        index
    } else {
        256 + (index >> 7)
    };
    usize::from(DISTANCE_SYMBOLS[index & 511])
}

/// Takes what the search for repetitions finds.
trait Sink {
    fn literal(&mut self, byte: u8);
    fn copy(&mut self, length: usize, distance: usize);
}

/// Compresses texts, one after the other.
pub(crate) struct Encoder {
    /// Where four bytes of this hash stood last, counted from the first text on.
    table: Box<[u32; SLOTS]>,
    /// The number of the next text's first byte; smaller entries belong to earlier texts.
    base: u32,
}

impl Encoder {
    pub(crate) fn new() -> Self {
        Self {
            table: Box::new([0; SLOTS]),
            base: 1,
        }
    }

    /// Most bytes that [`Self::zlib`] writes for a text of this many: 15 bits a byte, the header, the
    /// trailer, and room for the last store of eight bytes.
    pub(crate) const fn bound(len: usize) -> usize {
        len * 2 + HEADER.len() + 32
    }

    /// Writes a zlib stream of `text`; gives its length. `out` must have [`Self::bound`] bytes.
    pub(crate) fn zlib(&mut self, text: &[u8], out: &mut [u8]) -> usize {
        let whole = HEADER_BITS / 8;
        out[..2].copy_from_slice(&ZLIB_HEADER);
        out[2..2 + whole].copy_from_slice(&HEADER[..whole]);
        let mut writer = BitWriter {
            out,
            at: 2 + whole,
            bits: HEADER.get(whole).copied().map_or(0, u64::from),
            count: (HEADER_BITS % 8) as u32,
        };
        self.search(text, &mut writer);
        writer.code(LITERAL_CODES[END]);
        writer.finish();
        let sum = simd_adler32::adler32(&text).to_be_bytes();
        let at = writer.at;
        out[at..at + 4].copy_from_slice(&sum);
        at + 4
    }

    /// Greedy: takes the first repetition it meets, looking at the last place of a hash only.
    fn search(&mut self, text: &[u8], sink: &mut impl Sink) {
        let len = u32::try_from(text.len()).expect("replies are bounded by a few MiB");
        if self.base > u32::MAX - len {
            self.table.fill(0);
            self.base = 1;
        }
        let mut at = 0;
        while let Some(word) = word_at(text, at) {
            let slot = &mut self.table[slot_of(word)];
            let before = slot.checked_sub(self.base).map(|from| from as usize);
            *slot = self.base + at as u32;
            let found =
                before.filter(|&from| at - from <= WINDOW && word_at(text, from) == Some(word));
            if let Some(from) = found {
                let length = MIN_COPY + common(&text[from + MIN_COPY..], &text[at + MIN_COPY..]);
                sink.copy(length, at - from);
                // The end of a repetition is where the next one tends to begin.
                let end = at + length;
                if let Some(word) = word_at(text, end - 1) {
                    self.table[slot_of(word)] = self.base + (end - 1) as u32;
                }
                at = end;
            } else {
                sink.literal(text[at]);
                at += 1;
            }
        }
        for &byte in &text[at..] {
            sink.literal(byte);
        }
        self.base += len;
    }
}

fn word_at(text: &[u8], at: usize) -> Option<u32> {
    let bytes = text.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_le_bytes(*bytes))
}

fn slot_of(word: u32) -> usize {
    // Fibonacci hashing: the high bits of the product are well mixed.
    (word.wrapping_mul(0x9e37_79b1) >> (32 - SLOTS.ilog2())) as usize
}

/// How many bytes two texts have in common, as far as a copy may go on.
fn common(before: &[u8], here: &[u8]) -> usize {
    let here = &here[..here.len().min(MAX_COPY - MIN_COPY)];
    let mut length = 0;
    let mut befores = before.chunks_exact(8);
    let mut heres = here.chunks_exact(8);
    for (before, here) in (&mut befores).zip(&mut heres) {
        let before = u64::from_le_bytes(before.try_into().unwrap_or_default());
        let here = u64::from_le_bytes(here.try_into().unwrap_or_default());
        let differ = before ^ here;
        if differ != 0 {
            return length + (differ.trailing_zeros() / 8) as usize;
        }
        length += 8;
    }
    let rest = before[length..].iter().zip(&here[length..]);
    length + rest.take_while(|(before, here)| before == here).count()
}

/// Bits into bytes, eight at a time. Never holds more than 7 bits after a flush.
struct BitWriter<'a> {
    out: &'a mut [u8],
    at: usize,
    bits: u64,
    count: u32,
}

impl BitWriter<'_> {
    fn put(&mut self, bits: u64, count: u32) {
        self.bits |= bits << self.count;
        self.count += count;
    }

    fn code(&mut self, code: Code) {
        self.put(u64::from(code.bits), u32::from(code.count));
    }

    /// Writes whole bytes; the store goes past them, which the next one mends.
    fn flush(&mut self) {
        let bytes = self.bits.to_le_bytes();
        self.out[self.at..self.at + 8].copy_from_slice(&bytes);
        self.at += (self.count / 8) as usize;
        self.bits >>= self.count & !7;
        self.count &= 7;
    }

    fn finish(&mut self) {
        self.flush();
        if self.count > 0 {
            self.count = 8;
            self.flush();
        }
    }
}

impl Sink for BitWriter<'_> {
    fn literal(&mut self, byte: u8) {
        // 7 bits at most before, 15 more: room for another two before 64.
        self.code(LITERAL_CODES[usize::from(byte)]);
        if self.count >= 32 {
            self.flush();
        }
    }

    fn copy(&mut self, length: usize, distance: usize) {
        // 31 bits at most before and 20 more; then 7 and 28 more.
        self.code(COPY_CODES[length]);
        self.flush();
        let symbol = distance_symbol(distance);
        self.code(DISTANCE_CODES[symbol]);
        let rest = distance - usize::from(DISTANCE_BASES[symbol]);
        self.put(rest as u64, u32::from(DISTANCE_EXTRA[symbol]));
        if self.count >= 32 {
            self.flush();
        }
    }
}

#[cfg(test)]
mod tests;
