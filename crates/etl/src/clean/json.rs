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
    pub(crate) fn decode(self) -> Result<Cow<'a, str>, Malformed> {
        if !self.is_escaped {
            return Ok(Cow::Borrowed(self.body));
        }
        let mut decoded = String::with_capacity(self.body.len());
        let mut rest = self.body;
        while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
            let (plain, escape) = rest.split_at_checked(at).ok_or(Malformed)?;
            decoded.push_str(plain);
            rest = decode_escape(escape, &mut decoded)?;
        }
        decoded.push_str(rest);
        Ok(Cow::Owned(decoded))
    }

    /// The string as a key to compare; one that is no text equals no name.
    pub(crate) fn name(self) -> Cow<'a, str> {
        self.decode().unwrap_or_default()
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
            if let Some(char) = char::from_u32(first) {
                out.push(char);
                return Ok(rest);
            }
            // Not a character, so half of a pair; the other half must follow.
            let (second, rest) = hex_escape(rest).ok_or(Malformed)?;
            let pair = [first, second].map(|unit| u16::try_from(unit).unwrap_or_default());
            let mut chars = char::decode_utf16(pair);
            let char = chars.next().and_then(Result::ok).ok_or(Malformed)?;
            out.push(char);
            return Ok(rest);
        }
    };
    out.push(simple);
    text.get(2..).ok_or(Malformed)
}

/// The code unit of `\uXXXX` at the start of `text`, and what follows.
fn hex_escape(text: &str) -> Option<(u32, &str)> {
    let digits = text.get(2..6).filter(|_| text.starts_with("\\u"))?;
    let all_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let unit = all_hex.then(|| u32::from_str_radix(digits, 16).ok())??;
    Some((unit, text.get(6..)?))
}

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
        loop {
            match self.byte() {
                b' ' | b'\t' | b'\n' | b'\r' => self.step(1),
                byte => return byte,
            }
        }
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
            self.step(1);
            return Ok(());
        }
        loop {
            let key = self.key()?;
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
            self.step(1);
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
            b'-' | b'0'..=b'9' => self.number().map(Scalar::Number),
            _ => self.skip().map(|()| Scalar::Other),
        }
    }

    /// Consumes the value that starts here, of any depth.
    pub(crate) fn skip(&mut self) -> Result<(), Malformed> {
        self.open.clear();
        loop {
            // In front of a value.
            match self.peek() {
                b'{' => {
                    self.step(1);
                    if self.peek() != b'}' {
                        self.open.push(b'}');
                        self.key()?;
                        continue;
                    }
                    self.step(1);
                }
                b'[' => {
                    self.step(1);
                    if self.peek() != b']' {
                        self.open.push(b']');
                        continue;
                    }
                    self.step(1);
                }
                b'"' => {
                    self.string()?;
                }
                b't' => self.word("true")?,
                b'f' => self.word("false")?,
                b'n' => self.word("null")?,
                _ => {
                    self.number()?;
                }
            }
            // Behind a value.
            loop {
                let Some(&close) = self.open.last() else {
                    return Ok(());
                };
                if self.comma_or(close)? {
                    self.open.pop();
                    continue;
                }
                if close == b'}' {
                    self.key()?;
                }
                break;
            }
        }
    }

    /// A string and the colon behind it.
    fn key(&mut self) -> Result<RawStr<'a>, Malformed> {
        self.peek();
        let key = self.string()?;
        self.peek();
        self.expect(b':')?;
        Ok(key)
    }

    /// Consumes a comma, which gives false, or `close`, which gives true.
    fn comma_or(&mut self, close: u8) -> Result<bool, Malformed> {
        let byte = self.peek();
        self.step(1);
        match byte {
            b',' => Ok(false),
            _ if byte == close => Ok(true),
            _ => Err(Malformed),
        }
    }

    fn string(&mut self) -> Result<RawStr<'a>, Malformed> {
        self.expect(b'"')?;
        let start = self.at;
        let mut is_escaped = false;
        loop {
            self.step(plain_len(self.rest()));
            match self.byte() {
                b'"' => {
                    let body = self.text.get(start..self.at).ok_or(Malformed)?;
                    self.step(1);
                    return Ok(RawStr { body, is_escaped });
                }
                b'\\' => {
                    is_escaped = true;
                    let len = escape_len(self.rest())?;
                    self.step(len);
                }
                _ => return Err(Malformed),
            }
        }
    }

    fn number(&mut self) -> Result<&'a str, Malformed> {
        let start = self.at;
        if self.byte() == b'-' {
            self.step(1);
        }
        if self.byte() == b'0' {
            self.step(1);
        } else {
            self.digits()?;
        }
        if self.byte() == b'.' {
            self.step(1);
            self.digits()?;
        }
        if matches!(self.byte(), b'e' | b'E') {
            self.step(1);
            if matches!(self.byte(), b'+' | b'-') {
                self.step(1);
            }
            self.digits()?;
        }
        self.text.get(start..self.at).ok_or(Malformed)
    }

    /// At least one digit.
    fn digits(&mut self) -> Result<(), Malformed> {
        let rest = self.rest();
        let is_digit = |byte: &&u8| byte.is_ascii_digit();
        let len = rest.iter().take_while(is_digit).count();
        self.step(len);
        if len == 0 { Err(Malformed) } else { Ok(()) }
    }

    fn word(&mut self, word: &str) -> Result<(), Malformed> {
        if !self.rest().starts_with(word.as_bytes()) {
            return Err(Malformed);
        }
        self.step(word.len());
        Ok(())
    }

    fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.byte() != byte {
            return Err(Malformed);
        }
        self.step(1);
        Ok(())
    }

    /// The byte here; 0 at the end, which no rule accepts.
    fn byte(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    fn step(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes);
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
        [_, b'u', a, b, c, d, ..] if [a, b, c, d].iter().all(|byte| byte.is_ascii_hexdigit()) => {
            Ok(6)
        }
        _ => Err(Malformed),
    }
}

const ONES: u64 = u64::MAX / 255;
const HIGHS: u64 = ONES << 7;

/// Bytes in front of the first quote, backslash or control character; all if
/// there is none. Eight at a time: a byte of `word ^ pattern` is zero where the
/// byte sought stands, and `x - 1` borrows into the high bit of a zero byte.
fn plain_len(rest: &[u8]) -> usize {
    let mut len = 0usize;
    let mut chunks = rest.chunks_exact(8);
    for chunk in &mut chunks {
        let word = chunk
            .try_into()
            .map_or(0, |bytes: [u8; 8]| u64::from_le_bytes(bytes));
        let zero = |word: u64| word.wrapping_sub(ONES) & !word;
        let control = word.wrapping_sub(ONES.wrapping_mul(0x20)) & !word;
        let quote = zero(word ^ ONES.wrapping_mul(u64::from(b'"')));
        let escape = zero(word ^ ONES.wrapping_mul(u64::from(b'\\')));
        let found = (control | quote | escape) & HIGHS;
        if found != 0 {
            // A borrow can only falsify bytes above the lowest hit.
            return len.saturating_add((found.trailing_zeros() / 8) as usize);
        }
        len = len.saturating_add(8);
    }
    let is_plain = |byte: &&u8| **byte >= 0x20 && **byte != b'"' && **byte != b'\\';
    let tail = chunks.remainder().iter().take_while(is_plain).count();
    len.saturating_add(tail)
}
