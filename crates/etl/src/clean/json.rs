//! A strict scanner of JSON text that builds nothing.
//!
//! It walks a line once, checks every byte of it against RFC 8259, and hands
//! out the spans of strings and numbers that somebody asks for. Strings are
//! decoded later and only where used, so an escape that stands for half a
//! character does no harm in a field that nobody reads, and a number too large
//! for a float is still a number. serde_json's visitors give neither.
//!
//! Values nobody asks for are skipped in a loop with one byte of memory a
//! level, so no depth of nesting overflows the stack or is refused.

use std::borrow::Cow;

use wide::u8x16;

/// The text is not JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The inside of a string literal, its escapes checked but still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RawStr<'a> {
    body: &'a str,
    is_escaped: bool,
}

/// A value, as far as it can be of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Scalar<'a> {
    /// Null, a boolean, an array or an object; also what is not there.
    #[default]
    Other,
    /// A string.
    Text(RawStr<'a>),
    /// A number, as written.
    Number(&'a str),
}

impl<'a> RawStr<'a> {
    /// The string meant.
    ///
    /// # Errors
    ///
    /// An escape is half of a surrogate pair without the other half.
    #[inline]
    pub(crate) fn decode(self) -> Result<Cow<'a, str>, Malformed> {
        if self.is_escaped {
            self.unescape().map(Cow::Owned)
        } else {
            Ok(Cow::Borrowed(self.body))
        }
    }

    /// The string as a key to compare; one that is no text equals no name.
    #[inline]
    pub(crate) fn name(self) -> Cow<'a, str> {
        self.decode().unwrap_or_default()
    }

    #[inline(never)]
    fn unescape(self) -> Result<String, Malformed> {
        let mut decoded = String::with_capacity(self.body.len());
        let mut rest = self.body;
        while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
            let (plain, escapes) = rest.split_at_checked(at).ok_or(Malformed)?;
            decoded.push_str(plain);
            rest = escapes;
            // Text of other scripts is one escape after the other.
            while rest.as_bytes().first() == Some(&b'\\') {
                rest = decode_escape(rest, &mut decoded)?;
            }
        }
        decoded.push_str(rest);
        Ok(decoded)
    }
}

/// Decodes the escape at the start of `text` and returns what follows it.
fn decode_escape<'a>(text: &'a str, out: &mut String) -> Result<&'a str, Malformed> {
    let letter = *text.as_bytes().get(1).ok_or(Malformed)?;
    let simple = match letter {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        _ => {
            let (first, rest) = hex_escape(text).ok_or(Malformed)?;
            if let Some(char) = char::from_u32(u32::from(first)) {
                out.push(char);
                return Ok(rest);
            }
            // Not a character, so half of a pair; the other half must follow.
            let (second, rest) = hex_escape(rest).ok_or(Malformed)?;
            let mut chars = char::decode_utf16([first, second]);
            let char = chars.next().and_then(Result::ok).ok_or(Malformed)?;
            out.push(char);
            return Ok(rest);
        }
    };
    out.push(simple);
    text.get(2..).ok_or(Malformed)
}

/// The code unit of `\uXXXX` at the start of `text`, and what follows.
fn hex_escape(text: &str) -> Option<(u16, &str)> {
    let [b'\\', b'u', digits @ ..] = text.as_bytes().first_chunk::<6>()? else {
        return None;
    };
    Some((code_unit(*digits)?, text.get(6..)?))
}

/// Four hexadecimal digits.
fn code_unit(digits: [u8; 4]) -> Option<u16> {
    let [a, b, c, d] = digits.map(|digit| HEX.get(usize::from(digit)).copied().unwrap_or(NO_HEX));
    // One look at all four: only what is no digit has a bit above the lowest four.
    if (a | b | c | d) > 0x0f {
        return None;
    }
    Some(u16::from_be_bytes([(a << 4) | b, (c << 4) | d]))
}

/// Stands in [`HEX`] for a byte that is no hexadecimal digit.
const NO_HEX: u8 = 0xff;

/// What each byte is worth as a hexadecimal digit.
const HEX: [u8; 256] = {
    let mut table = [NO_HEX; 256];
    let mut value = 0u8;
    while value < 16 {
        let digit = b"0123456789abcdef".as_slice().split_at(value as usize).1;
        if let [digit, ..] = digit {
            let (_, rest) = table.split_at_mut(*digit as usize);
            if let [place, ..] = rest {
                *place = value;
            }
            let (_, rest) = table.split_at_mut(digit.to_ascii_uppercase() as usize);
            if let [place, ..] = rest {
                *place = value;
            }
        }
        value = value.wrapping_add(1);
    }
    table
};

/// Where the scan of a line stands.
#[derive(Debug)]
pub(crate) struct Scanner<'a, 's> {
    text: &'a str,
    at: usize,
    /// One closing bracket for each open array or object that is skipped.
    open: &'s mut Vec<u8>,
}

impl<'a, 's> Scanner<'a, 's> {
    /// Starts at the beginning of `text`; `open` is scratch memory.
    pub(crate) fn new(text: &'a str, open: &'s mut Vec<u8>) -> Self {
        Self { text, at: 0, open }
    }

    /// The next byte that is no white space, left where it is; 0 at the end.
    pub(crate) fn peek(&mut self) -> u8 {
        self.at = space_end(self.bytes(), self.at);
        byte(self.bytes(), self.at)
    }

    /// Nothing but white space may follow.
    pub(crate) fn end(&mut self) -> Result<(), Malformed> {
        self.peek();
        if self.at == self.text.len() {
            Ok(())
        } else {
            Err(Malformed)
        }
    }

    /// Walks the object that starts here. `member` gets each key with the
    /// scanner in front of the value, which it must consume.
    pub(crate) fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, RawStr<'a>) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        self.expect(b'{')?;
        if self.peek() == b'}' {
            self.at = after(self.at, 1);
            return Ok(());
        }
        loop {
            let key = self.string()?;
            self.at = colon_end(self.bytes(), self.at)?;
            member(self, key)?;
            if self.comma_or(b'}')? {
                return Ok(());
            }
        }
    }

    /// Walks the array that starts here. `element` is called in front of each
    /// element, which it must consume.
    pub(crate) fn array(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        self.expect(b'[')?;
        if self.peek() == b']' {
            self.at = after(self.at, 1);
            return Ok(());
        }
        loop {
            element(self)?;
            if self.comma_or(b']')? {
                return Ok(());
            }
        }
    }

    /// Consumes the value that starts here.
    pub(crate) fn scalar(&mut self) -> Result<Scalar<'a>, Malformed> {
        match self.peek() {
            b'"' => self.string().map(Scalar::Text),
            b'-' | b'0'..=b'9' => {
                let start = self.at;
                self.at = number_end(self.bytes(), start)?;
                let number = self.text.get(start..self.at).ok_or(Malformed)?;
                Ok(Scalar::Number(number))
            }
            _ => self.skip().map(|()| Scalar::Other),
        }
    }

    /// Consumes the value that starts here, of any depth.
    pub(crate) fn skip(&mut self) -> Result<(), Malformed> {
        let text = self.bytes();
        // Positions in locals stay in registers: most of a line goes through this loop.
        let mut at = space_end(text, self.at);
        self.open.clear();
        // What closes the innermost array or object, and is 0 outside of all; `open` has the outer ones.
        let mut close = 0;
        loop {
            // In front of a value.
            at = match byte(text, at) {
                b'"' => string_end(text, after(at, 1))?.0,
                b'{' => {
                    at = space_end(text, after(at, 1));
                    if byte(text, at) != b'}' {
                        self.open.push(close);
                        close = b'}';
                        at = key_end(text, at)?;
                        continue;
                    }
                    after(at, 1)
                }
                b'[' => {
                    at = space_end(text, after(at, 1));
                    if byte(text, at) != b']' {
                        self.open.push(close);
                        close = b']';
                        continue;
                    }
                    after(at, 1)
                }
                b't' => word_end(text, at, b"true")?,
                b'f' => word_end(text, at, b"false")?,
                b'n' => word_end(text, at, b"null")?,
                _ => number_end(text, at)?,
            };
            // Behind a value.
            loop {
                if close == 0 {
                    self.at = at;
                    return Ok(());
                }
                at = space_end(text, at);
                let found = byte(text, at);
                at = after(at, 1);
                if found == b',' {
                    at = space_end(text, at);
                    if close == b'}' {
                        at = key_end(text, at)?;
                    }
                    break;
                }
                if found != close {
                    return Err(Malformed);
                }
                close = self.open.pop().unwrap_or(0);
            }
        }
    }

    /// Consumes a comma and white space, which gives false, or `close`, which gives true.
    fn comma_or(&mut self, close: u8) -> Result<bool, Malformed> {
        let found = self.peek();
        self.at = after(self.at, 1);
        match found {
            b',' => {
                self.peek();
                Ok(false)
            }
            _ if found == close => Ok(true),
            _ => Err(Malformed),
        }
    }

    fn string(&mut self) -> Result<RawStr<'a>, Malformed> {
        self.expect(b'"')?;
        let start = self.at;
        let (end, is_escaped) = string_end(self.bytes(), start)?;
        self.at = end;
        let body = self.text.get(start..end.wrapping_sub(1));
        let body = body.ok_or(Malformed)?;
        Ok(RawStr { body, is_escaped })
    }

    fn expect(&mut self, wanted: u8) -> Result<(), Malformed> {
        if byte(self.bytes(), self.at) != wanted {
            return Err(Malformed);
        }
        self.at = after(self.at, 1);
        Ok(())
    }

    fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }
}

// What follows takes the text and a position in it, and gives the position behind what it is named after.

/// A position further on. None is far behind the text's end, so nothing wraps.
fn after(at: usize, bytes: usize) -> usize {
    at.wrapping_add(bytes)
}

/// The byte at a position; 0 at the end, which no rule accepts.
fn byte(text: &[u8], at: usize) -> u8 {
    text.get(at).copied().unwrap_or(0)
}

fn space_end(text: &[u8], mut at: usize) -> usize {
    while matches!(byte(text, at), b' ' | b'\t' | b'\n' | b'\r') {
        at = after(at, 1);
    }
    at
}

/// A colon with white space around it.
fn colon_end(text: &[u8], at: usize) -> Result<usize, Malformed> {
    let at = space_end(text, at);
    if byte(text, at) != b':' {
        return Err(Malformed);
    }
    Ok(space_end(text, after(at, 1)))
}

/// A string and the colon behind it.
fn key_end(text: &[u8], at: usize) -> Result<usize, Malformed> {
    if byte(text, at) != b'"' {
        return Err(Malformed);
    }
    let (at, _) = string_end(text, after(at, 1))?;
    colon_end(text, at)
}

/// A string whose quote was read already. Whether it has escapes.
fn string_end(text: &[u8], mut at: usize) -> Result<(usize, bool), Malformed> {
    let mut is_escaped = false;
    loop {
        at = plain_end(text, at);
        match byte(text, at) {
            b'"' => return Ok((after(at, 1), is_escaped)),
            b'\\' => is_escaped = true,
            _ => return Err(Malformed),
        }
        // Text of other scripts is one escape after the other.
        while byte(text, at) == b'\\' {
            at = after(at, escape_len(text.get(at..).unwrap_or_default())?);
        }
    }
}

/// Length of the escape at the start of `rest`.
fn escape_len(rest: &[u8]) -> Result<usize, Malformed> {
    match rest {
        [
            _,
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't',
            ..,
        ] => Ok(2),
        [_, b'u', a, b, c, d, ..] if code_unit([*a, *b, *c, *d]).is_some() => Ok(6),
        _ => Err(Malformed),
    }
}

fn number_end(text: &[u8], mut at: usize) -> Result<usize, Malformed> {
    if byte(text, at) == b'-' {
        at = after(at, 1);
    }
    at = if byte(text, at) == b'0' {
        after(at, 1)
    } else {
        digits_end(text, at)?
    };
    if byte(text, at) == b'.' {
        at = digits_end(text, after(at, 1))?;
    }
    if matches!(byte(text, at), b'e' | b'E') {
        at = after(at, 1);
        if matches!(byte(text, at), b'+' | b'-') {
            at = after(at, 1);
        }
        at = digits_end(text, at)?;
    }
    Ok(at)
}

/// At least one digit.
fn digits_end(text: &[u8], start: usize) -> Result<usize, Malformed> {
    let mut at = start;
    while byte(text, at).is_ascii_digit() {
        at = after(at, 1);
    }
    if at == start { Err(Malformed) } else { Ok(at) }
}

fn word_end(text: &[u8], at: usize, word: &[u8]) -> Result<usize, Malformed> {
    let end = after(at, word.len());
    if text.get(at..end) == Some(word) {
        Ok(end)
    } else {
        Err(Malformed)
    }
}

/// Bytes that are looked at together.
const BLOCK_BYTES: usize = 16;

/// The first quote, backslash or control character from here on; the end of the text if there is none.
#[inline]
fn plain_end(text: &[u8], mut at: usize) -> usize {
    while let Some(block) = text.get(at..).and_then(|rest| rest.first_chunk()) {
        let marks = marks(*block);
        if marks != 0 {
            return after(at, marks.trailing_zeros() as usize);
        }
        at = after(at, BLOCK_BYTES);
    }
    let rest = text.get(at..).unwrap_or_default();
    let is_plain = |byte: &&u8| **byte >= 0x20 && **byte != b'"' && **byte != b'\\';
    after(at, rest.iter().take_while(is_plain).count())
}

/// A bit for each quote, backslash and control character, the first in the lowest bit.
#[inline]
fn marks(block: [u8; BLOCK_BYTES]) -> u32 {
    let block = u8x16::new(block);
    let quotes = block.simd_eq(u8x16::splat(b'"'));
    let escapes = block.simd_eq(u8x16::splat(b'\\'));
    let controls = block.simd_eq(block.min(u8x16::splat(0x1f)));
    (quotes | escapes | controls).to_bitmask()
}
