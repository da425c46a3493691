//! Packed text to JSON text and back, within hard limits.
//!
//! Packing is URL-safe base64 of a zlib stream of JSON. Both directions work in
//! buffers that their owner keeps between requests, so that a usual request allocates
//! nothing here; what a large one made them grow to is given back by the next.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::fmt;

use base64_simd::{Out, URL_SAFE, URL_SAFE_NO_PAD};
use libdeflater::{CompressionLvl, Compressor, DecompressionError, Decompressor};

use crate::deflate::Encoder;
use crate::error::Reason;

/// Longest packed request, in characters.
pub const MAX_PACKED_LEN: usize = 60_000;
/// Largest inflated request, in bytes.
pub const MAX_INFLATED_LEN: usize = 1 << 20;

/// Size a buffer starts from, in bytes; enough for a usual request.
const USUAL_LEN: usize = 8 << 10;
/// Largest size a buffer keeps for the next request, in bytes.
const KEPT_LEN: usize = 64 << 10;

/// Unpacks requests; owns the buffers for it.
pub struct Unpacker {
    decompressor: Decompressor,
    stream: Vec<u8>,
    text: Vec<u8>,
}

impl Unpacker {
    /// An unpacker with buffers for usual requests.
    pub fn new() -> Self {
        Self {
            decompressor: Decompressor::new(),
            stream: Vec::new(),
            text: vec![0; USUAL_LEN],
        }
    }

    /// Decodes and inflates a request to its JSON text.
    ///
    /// Padding may be complete or absent. The bits that the last character has too many
    /// may have any value. Bytes after the zlib stream are ignored.
    ///
    /// # Errors
    ///
    /// [`Reason::Missing`], [`Reason::Base64`], [`Reason::Zlib`], [`Reason::Utf8`], and
    /// [`Reason::Limit`] beyond [`MAX_PACKED_LEN`] or [`MAX_INFLATED_LEN`]; inflating
    /// stops there.
    pub fn unpack(&mut self, packed: &[u8]) -> Result<&str, Reason> {
        self.give_back();
        if packed.is_empty() {
            return Err(Reason::Missing);
        }
        if packed.len() > MAX_PACKED_LEN {
            return Err(Reason::Limit);
        }
        self.decode(packed)?;
        let len = self.inflate()?;
        let text = self.text.get(..len).unwrap_or_default();
        std::str::from_utf8(text).map_err(|_| Reason::Utf8)
    }

    fn give_back(&mut self) {
        self.stream.clear();
        self.stream.shrink_to(KEPT_LEN);
        if self.text.len() > KEPT_LEN {
            self.text.truncate(USUAL_LEN);
            self.text.shrink_to_fit();
        }
    }

    fn decode(&mut self, packed: &[u8]) -> Result<(), Reason> {
        let digits = without_padding(packed)?;
        let (whole, rest) = digits.split_at(digits.len() & !3);
        URL_SAFE_NO_PAD
            .decode_append(whole, &mut self.stream)
            .map_err(|_| Reason::Base64)?;
        // The decoder refuses bits beyond the last byte; filled up to a whole group
        // they fall into bytes that are not taken over.
        let mut group = *b"AAAA";
        let mut bytes = [0; 3];
        let used = match rest.len() {
            0 => return Ok(()),
            1 => return Err(Reason::Base64),
            len => len.wrapping_sub(1),
        };
        for (place, digit) in group.iter_mut().zip(rest) {
            *place = *digit;
        }
        URL_SAFE_NO_PAD
            .decode(&group, Out::from_slice(&mut bytes))
            .map_err(|_| Reason::Base64)?;
        self.stream.extend(bytes.iter().take(used));
        Ok(())
    }

    /// Inflates into `text`, which grows until the content fits or the limit is reached.
    ///
    /// An attempt that does not fit is repeated from the start: with steps of four the
    /// repeats cost a third of the final attempt.
    fn inflate(&mut self) -> Result<usize, Reason> {
        loop {
            match self
                .decompressor
                .zlib_decompress(&self.stream, &mut self.text)
            {
                Ok(len) => return Ok(len),
                Err(DecompressionError::BadData) => return Err(Reason::Zlib),
                Err(DecompressionError::InsufficientSpace) => {
                    if self.text.len() >= MAX_INFLATED_LEN {
                        return Err(Reason::Limit);
                    }
                    let len = self.text.len().saturating_mul(4).min(MAX_INFLATED_LEN);
                    self.text.clear();
                    self.text.resize(len, 0);
                }
            }
        }
    }
}

/// The base64 digits of a text with complete padding or none.
fn without_padding(packed: &[u8]) -> Result<&[u8], Reason> {
    let padding = packed
        .iter()
        .rev()
        .take_while(|byte| **byte == b'=')
        .count();
    if padding == 0 {
        return Ok(packed);
    }
    if padding > 2 || !packed.len().is_multiple_of(4) {
        return Err(Reason::Base64);
    }
    Ok(packed.split_at(packed.len().saturating_sub(padding)).0)
}

impl Default for Unpacker {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unpacker").finish_non_exhaustive()
    }
}

/// How replies are compressed; all of it is legal on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compression(Method);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Fast,
    Level(CompressionLvl),
}

impl Compression {
    /// Codes made for replies beforehand: least CPU, about a tenth more bytes than level 1.
    pub const FAST: Self = Self(Method::Fast);

    /// Level `level` of 0 (stored) to 12 of a general compressor; `None` for others.
    ///
    /// On replies of 2 KB, level 6 is about 6 % smaller than 1 and takes 1.6 times as long.
    pub fn level(level: u8) -> Option<Self> {
        let level = CompressionLvl::new(i32::from(level)).ok()?;
        Some(Self(Method::Level(level)))
    }
}

impl Default for Compression {
    fn default() -> Self {
        Self::FAST
    }
}

enum Deflate {
    Fast(Encoder),
    Level(Compressor),
}

impl Deflate {
    fn bound(&mut self, len: usize) -> usize {
        match self {
            Self::Fast(_) => Encoder::bound(len),
            Self::Level(compressor) => compressor.zlib_compress_bound(len),
        }
    }

    /// `out` has the bytes that [`Self::bound`] asks for.
    fn zlib(&mut self, text: &[u8], out: &mut [u8]) -> usize {
        match self {
            Self::Fast(encoder) => encoder.zlib(text, out),
            Self::Level(compressor) => compressor
                .zlib_compress(text, out)
                .expect("the buffer has the size that libdeflate states as enough"),
        }
    }
}

/// Packs replies; owns the buffers for it.
pub struct Packer {
    deflate: Deflate,
    json: Vec<u8>,
    stream: Vec<u8>,
}

impl Packer {
    /// A packer with buffers for usual replies.
    pub fn new(compression: Compression) -> Self {
        Self {
            deflate: match compression.0 {
                Method::Fast => Deflate::Fast(Encoder::new()),
                Method::Level(level) => Deflate::Level(Compressor::new(level)),
            },
            json: Vec::with_capacity(USUAL_LEN),
            stream: Vec::with_capacity(USUAL_LEN),
        }
    }

    /// Packs the JSON text that `write` produces and appends it to `out`, with padding.
    pub(crate) fn pack(&mut self, write: impl FnOnce(&mut Vec<u8>), out: &mut Vec<u8>) {
        self.json.clear();
        self.json.shrink_to(KEPT_LEN);
        write(&mut self.json);
        let bound = self.deflate.bound(self.json.len());
        // Grown buffers keep their length, so that a usual reply clears nothing.
        if self.stream.len() < bound || self.stream.len() > bound.max(KEPT_LEN) {
            self.stream.resize(bound, 0);
            self.stream.shrink_to(KEPT_LEN);
        }
        let len = self.deflate.zlib(&self.json, &mut self.stream);
        URL_SAFE.encode_append(self.stream.get(..len).unwrap_or_default(), out);
    }
}

impl Default for Packer {
    fn default() -> Self {
        Self::new(Compression::default())
    }
}

impl fmt::Debug for Packer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packer").finish_non_exhaustive()
    }
}
