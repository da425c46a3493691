//! JSON text written straight into a buffer, in one of several spellings.

/// How a line spells what it says. All spellings mean the same.
#[derive(Clone, Copy, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "four independent choices, all combinations of which occur"
)]
pub(super) struct Spelling {
    /// `\uXXXX` for everything that is not ASCII.
    pub(super) ascii: bool,
    /// The hexadecimal digits of escapes in capitals.
    pub(super) capitals: bool,
    /// A blank after each colon and comma.
    pub(super) blanks: bool,
    /// `\/` for a slash.
    pub(super) slashes: bool,
}

/// The line in the making. The caller opens, closes and names in a sensible order.
#[derive(Default)]
pub(super) struct Json {
    pub(super) bytes: Vec<u8>,
    pub(super) spelling: Spelling,
}

impl Json {
    /// `{` or `[`, as a value.
    pub(super) fn open(&mut self, bracket: u8) {
        self.bytes.push(bracket);
    }

    pub(super) fn close(&mut self, bracket: u8) {
        self.bytes.push(bracket);
    }

    /// Separates elements and members: writes a comma unless the list has just been opened.
    pub(super) fn separate(&mut self) {
        if !matches!(self.bytes.last(), None | Some(b'{' | b'[')) {
            self.bytes.push(b',');
            if self.spelling.blanks {
                self.bytes.push(b' ');
            }
        }
    }

    /// The name of a member, which is plain ASCII; its value comes next.
    pub(super) fn name(&mut self, name: &str) -> &mut Self {
        self.separate();
        self.bytes.push(b'"');
        self.raw(name);
        self.raw(if self.spelling.blanks { "\": " } else { "\":" });
        self
    }

    /// Text that is JSON already.
    pub(super) fn raw(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
    }

    pub(super) fn number(&mut self, value: u64) {
        let mut digits = itoa::Buffer::new();
        self.raw(digits.format(value));
    }

    /// A number in quotes.
    pub(super) fn quoted(&mut self, value: u64) {
        self.bytes.push(b'"');
        self.number(value);
        self.bytes.push(b'"');
    }

    pub(super) fn string(&mut self, text: &str) {
        self.bytes.push(b'"');
        self.escaped(text);
        self.bytes.push(b'"');
    }

    /// A string with bytes after its text that are written as they come, right or wrong.
    pub(super) fn string_with_tail(&mut self, text: &str, tail: &[u8]) {
        self.string(text);
        self.bytes.pop();
        self.bytes.extend_from_slice(tail);
        self.bytes.push(b'"');
    }

    fn escaped(&mut self, text: &str) {
        // What needs no escape is copied in runs.
        let mut done = 0;
        for (at, character) in text.char_indices() {
            let short: &[u8] = match character {
                '"' => b"\\\"",
                '\\' => b"\\\\",
                '\n' => b"\\n",
                '\r' => b"\\r",
                '\t' => b"\\t",
                '\u{8}' => b"\\b",
                '\u{c}' => b"\\f",
                '/' if self.spelling.slashes => b"\\/",
                '\0'..='\u{1f}' => b"",
                '\u{80}'.. if self.spelling.ascii => b"",
                _ => continue,
            };
            self.raw(&text[done..at]);
            done = at + character.len_utf8();
            self.bytes.extend_from_slice(short);
            if short.is_empty() {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    self.unit(*unit);
                }
            }
        }
        self.raw(&text[done..]);
    }

    fn unit(&mut self, unit: u16) {
        let digits = if self.spelling.capitals {
            b"0123456789ABCDEF"
        } else {
            b"0123456789abcdef"
        };
        self.raw("\\u");
        for shift in [12, 8, 4, 0] {
            self.bytes.push(digits[usize::from((unit >> shift) & 0xF)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "a\"\\/\n\r\t\0\u{1f}\u{7f}é\u{2028}😀٣";

    fn write(spelling: Spelling) -> String {
        let mut json = Json {
            bytes: Vec::new(),
            spelling,
        };
        json.open(b'{');
        json.name("id").number(u64::MAX);
        json.name("list").open(b'[');
        json.separate();
        json.quoted(0);
        json.separate();
        json.string(TEXT);
        json.close(b']');
        json.close(b'}');
        String::from_utf8(json.bytes).unwrap()
    }

    #[test]
    fn every_spelling_means_the_same() {
        let expected = serde_json::json!({"id": u64::MAX, "list": ["0", TEXT]});
        for bits in 0..16 {
            let text = write(Spelling {
                ascii: bits & 1 != 0,
                capitals: bits & 2 != 0,
                blanks: bits & 4 != 0,
                slashes: bits & 8 != 0,
            });
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(value, expected, "{text}");
        }
    }

    #[test]
    fn writes_surrogate_pairs_in_the_digits_asked_for() {
        let text = write(Spelling {
            ascii: true,
            capitals: true,
            ..Spelling::default()
        });
        assert!(text.is_ascii() && text.contains(r"\uD83D\uDE00"), "{text}");
    }
}
