//! Texts in lines: control characters behind a backslash.

use anyhow::{Result, bail};

/// `\\ \t \n \r \0` stand for backslash, tab, newline, return and NUL.
pub(super) fn unescape(text: &str) -> Result<String> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        out.push(match char {
            '\\' => match chars.next() {
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some('0') => '\0',
                Some('\\') => '\\',
                _ => bail!("a backslash stands before n, r, t, 0 or another backslash"),
            },
            char => char,
        });
    }
    Ok(out)
}
