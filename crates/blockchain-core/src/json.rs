//! Tokens and values of JSON, read in place.
//!
//! Only what a request needs: objects with known keys, arrays, integers and strings.
//! Text is borrowed; only strings with `\` escapes are copied. Along the way the reader
//! notes whether the text is spelt as a reply spells it: usual key order, no white
//! space, no escapes.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::borrow::Cow;

use crate::error::Reason;

/// The keys of one object with quotes and colon, in the order a reply writes them.
pub(crate) struct Keys<const COUNT: usize>(pub(crate) [&'static str; COUNT]);

impl<const COUNT: usize> Keys<COUNT> {
    /// The place of the key that `rest` begins with, and its length with quotes and
    /// colon, if it is written plainly and none of the first `after` keys.
    fn plain(&self, rest: &[u8], after: usize) -> Option<(usize, usize)> {
        let mut keys = self.0.iter().enumerate().skip(after);
        let (place, key) = keys.find(|(_, key)| rest.starts_with(key.as_bytes()))?;
        Some((place, key.len()))
    }

    /// The place of a key in any spelling.
    fn place(&self, key: &str) -> Option<usize> {
        let mut names = self
            .0
            .iter()
            .map(|known| known.get(1..known.len().wrapping_sub(2)));
        names.position(|known| known == Some(key))
    }
}

/// A position in a JSON text.
pub(crate) struct Reader<'a> {
    text: &'a str,
    position: usize,
    /// Whether everything since this was last set is spelt as a reply spells it.
    pub(crate) canonical: bool,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(text: &'a str) -> Self {
        Self {
            text,
            position: 0,
            canonical: true,
        }
    }

    /// Where the next token begins, in bytes.
    pub(crate) fn token_start(&mut self) -> usize {
        self.next_token();
        self.position
    }

    /// The text from `start` up to here.
    pub(crate) fn since(&self, start: usize) -> Option<&'a str> {
        self.text.get(start..self.position)
    }

    /// Whether nothing but white space is left.
    pub(crate) fn at_end(&mut self) -> bool {
        self.next_token().is_none()
    }

    /// Reads an object and calls `member` with each key's place before its value.
    pub(crate) fn object<const COUNT: usize>(
        &mut self,
        keys: &Keys<COUNT>,
        mut member: impl FnMut(&mut Self, usize) -> Result<(), Reason>,
    ) -> Result<(), Reason> {
        self.open(b'{')?;
        if self.close(b'}') {
            return Ok(());
        }
        let mut seen = 0_u8;
        let mut expected = 0;
        loop {
            if self.next_token() != Some(b'"') {
                return Err(Reason::Json);
            }
            let place = self.key(keys, expected)?;
            let bit = 1_u8.wrapping_shl(u32::try_from(place).unwrap_or(0));
            if seen & bit != 0 {
                return Err(Reason::Json);
            }
            if seen > bit {
                self.canonical = false;
            }
            seen |= bit;
            expected = place.wrapping_add(1);
            member(self, place)?;
            if self.close(b'}') {
                return Ok(());
            }
            if !self.close(b',') {
                return Err(Reason::Json);
            }
        }
    }

    /// Reads a key and its colon; the key's place is likely `expected` or a later one.
    fn key<const COUNT: usize>(
        &mut self,
        keys: &Keys<COUNT>,
        expected: usize,
    ) -> Result<usize, Reason> {
        if let Some((place, len)) = keys.plain(self.rest(), expected) {
            self.position = self.position.wrapping_add(len);
            return Ok(place);
        }
        let place = keys.place(&self.string()?).ok_or(Reason::Fields)?;
        if self.close(b':') {
            Ok(place)
        } else {
            Err(Reason::Json)
        }
    }

    /// Reads an array and calls `element` at each element.
    pub(crate) fn array(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<(), Reason>,
    ) -> Result<(), Reason> {
        self.open(b'[')?;
        if self.close(b']') {
            return Ok(());
        }
        loop {
            element(self)?;
            if self.close(b']') {
                return Ok(());
            }
            if !self.close(b',') {
                return Err(Reason::Json);
            }
        }
    }

    /// An integer that is not negative.
    pub(crate) fn natural(&mut self) -> Result<u64, Reason> {
        u64::try_from(self.integer()?).map_err(|_| Reason::Type)
    }

    /// An integer within signed 64 bits, in JSON's only spelling of it.
    pub(crate) fn integer(&mut self) -> Result<i64, Reason> {
        let mut next = self.next_token();
        let negative = next == Some(b'-');
        if negative {
            self.step();
            next = self.peek();
        }
        let mut value = 0_u64;
        let mut digits = 0_usize;
        for byte in self.rest() {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
            digits = digits.wrapping_add(1);
        }
        self.position = self.position.wrapping_add(digits);
        match digits {
            0 if negative => return Err(Reason::Json),
            0 => return Err(self.mismatch()),
            1 => {}
            _ if next == Some(b'0') => return Err(Reason::Json),
            // Up to 19 digits nothing has wrapped.
            2..=19 => {}
            _ => return Err(Reason::Type),
        }
        if matches!(self.peek(), Some(b'.' | b'e' | b'E')) {
            return Err(Reason::Type);
        }
        if negative {
            // Minus zero is a number, but not an integer.
            if value == 0 {
                return Err(Reason::Type);
            }
            0_i64.checked_sub_unsigned(value).ok_or(Reason::Type)
        } else {
            i64::try_from(value).map_err(|_| Reason::Type)
        }
    }

    pub(crate) fn string(&mut self) -> Result<Cow<'a, str>, Reason> {
        if self.next_token() != Some(b'"') {
            return Err(self.mismatch());
        }
        self.step();
        let start = self.position;
        match self.run()? {
            b'"' => {
                let text = self.text.get(start..self.position).ok_or(Reason::Json)?;
                self.step();
                Ok(Cow::Borrowed(text))
            }
            _ => self.escaped_string(start).map(Cow::Owned),
        }
    }

    /// Continues a string at its first `\`.
    fn escaped_string(&mut self, start: usize) -> Result<String, Reason> {
        self.canonical = false;
        let mut text = String::new();
        let mut start = start;
        loop {
            let end = self.run()?;
            text.push_str(self.text.get(start..self.position).ok_or(Reason::Json)?);
            self.step();
            if end == b'"' {
                return Ok(text);
            }
            text.push(self.escape()?);
            start = self.position;
        }
    }

    /// Skips plain characters up to a quote or `\`, which is returned but not skipped.
    fn run(&mut self) -> Result<u8, Reason> {
        let rest = self.rest();
        let len = rest
            .iter()
            .position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
        // The text ends inside the string, or a control character is not escaped.
        let len = len.ok_or(Reason::Json)?;
        self.position = self.position.wrapping_add(len);
        match rest.get(len) {
            Some(end @ (b'"' | b'\\')) => Ok(*end),
            _ => Err(Reason::Json),
        }
    }

    /// The character of an escape, after its `\`.
    fn escape(&mut self) -> Result<char, Reason> {
        let kind = self.peek().ok_or(Reason::Json)?;
        self.step();
        Ok(match kind {
            b'"' | b'\\' | b'/' => char::from(kind),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.code_unit()?;
                let mut units = [first, 0];
                let mut used = 1;
                if (0xd800..0xdc00).contains(&first) {
                    for expected in *b"\\u" {
                        if self.peek() != Some(expected) {
                            return Err(Reason::Json);
                        }
                        self.step();
                    }
                    units = [first, self.code_unit()?];
                    used = 2;
                }
                let mut decoded = char::decode_utf16(units.into_iter().take(used));
                match (decoded.next(), decoded.next()) {
                    (Some(Ok(character)), None) => character,
                    // Half of a pair alone is not a character.
                    _ => return Err(Reason::Json),
                }
            }
            _ => return Err(Reason::Json),
        })
    }

    /// Four hex digits.
    fn code_unit(&mut self) -> Result<u16, Reason> {
        let mut value = 0_u16;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            let digit = digit
                .and_then(|digit| u16::try_from(digit).ok())
                .ok_or(Reason::Json)?;
            value = value.wrapping_shl(4) | digit;
            self.step();
        }
        Ok(value)
    }

    /// Skips the opening bracket, or says what is wrong with what stands there.
    fn open(&mut self, bracket: u8) -> Result<(), Reason> {
        if self.close(bracket) {
            Ok(())
        } else {
            Err(self.mismatch())
        }
    }

    /// Skips `byte` if it is the next token.
    fn close(&mut self, byte: u8) -> bool {
        let found = self.next_token() == Some(byte);
        if found {
            self.step();
        }
        found
    }

    /// Why the value at this place is refused: another type, or not a value at all.
    fn mismatch(&self) -> Reason {
        let rest = self.text.get(self.position..).unwrap_or_default();
        let is_value = rest.starts_with(['"', '{', '[', '-'])
            || rest.starts_with(|first: char| first.is_ascii_digit())
            || ["true", "false", "null"]
                .iter()
                .any(|word| rest.starts_with(word));
        if is_value { Reason::Type } else { Reason::Json }
    }

    /// Skips white space and looks at what follows.
    fn next_token(&mut self) -> Option<u8> {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\n' | b'\r') => {
                    self.canonical = false;
                    self.step();
                }
                other => return other,
            }
        }
    }

    fn rest(&self) -> &'a [u8] {
        self.text
            .as_bytes()
            .get(self.position..)
            .unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.position).copied()
    }

    /// Moves past a byte that was just seen, so never beyond the end.
    fn step(&mut self) {
        self.position = self.position.wrapping_add(1);
    }
}
