//! Recorded requests: one target a line, then perhaps a tab and the expected body.
//!
//! In the body `\\ \t \n \r \0` stand for a backslash, a tab, a line feed, a return and a zero byte.
//! A body whose first line is `TEAMID,AWSACCOUNT` stands for one with the team line of the target.
//! Empty lines and lines that begin with `#` are skipped.

use std::path::Path;

use anyhow::{Context as _, Result, bail};

use super::escape::unescape;
use super::{Expect, Item};

/// The first line of recorded bodies that stands for any team line.
const PLACEHOLDER: &str = "TEAMID,AWSACCOUNT";
/// Largest corpus file, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// Reads a corpus. What has no body is checked as `unrecorded` says.
///
/// # Errors
///
/// When the file cannot be read, is too large, is empty or has a broken line.
pub fn read(path: &Path, unrecorded: &Expect) -> Result<Vec<Item>> {
    let shown = path.display();
    let size = std::fs::metadata(path)
        .with_context(|| format!("cannot read {shown}"))?
        .len();
    if size > MAX_FILE_BYTES {
        bail!("{shown} has {size} bytes, and {MAX_FILE_BYTES} are allowed");
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
    let mut items = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if !line.is_empty() && !line.starts_with('#') {
            let item = parse_line(line, unrecorded);
            items.push(item.with_context(|| format!("{shown}, line {}", number + 1))?);
        }
    }
    if items.is_empty() {
        bail!("{shown} holds no request");
    }
    Ok(items)
}

fn parse_line(line: &str, unrecorded: &Expect) -> Result<Item> {
    let (target, body) = match line.split_once('\t') {
        Some((target, body)) => (target, Some(body)),
        None => (line, None),
    };
    let is_legal = |byte: u8| byte.is_ascii_graphic();
    if !target.starts_with('/') || !target.bytes().all(is_legal) {
        bail!("a target begins with / and has neither blanks nor other than ASCII characters");
    }
    let expect = match body {
        None => unrecorded.clone(),
        Some(body) => {
            let body = unescape(body)?;
            match body.strip_prefix(PLACEHOLDER) {
                Some(rest) if rest.is_empty() || rest.starts_with('\n') => {
                    Expect::Rest(rest.as_bytes().to_vec())
                }
                _ => Expect::Body(body.into_bytes()),
            }
        }
    };
    Ok(Item {
        target: target.to_owned(),
        expect,
    })
}

#[cfg(test)]
mod tests {
    use super::{Expect, parse_line};

    fn expect(line: &str) -> Option<Expect> {
        parse_line(line, &Expect::Any).ok().map(|item| item.expect)
    }

    #[test]
    fn reads_targets_and_bodies() {
        assert_eq!(expect("/a?b=c"), Some(Expect::Any));
        assert_eq!(expect("/a\tok"), Some(Expect::Body(b"ok".to_vec())));
        assert_eq!(expect("/a\t"), Some(Expect::Body(Vec::new())));
        assert_eq!(
            expect("/a\tTEAMID,AWSACCOUNT\\n1\\t\\\\\\r"),
            Some(Expect::Rest(b"\n1\t\\\r".to_vec()))
        );
        assert_eq!(
            expect("/a\tTEAMID,AWSACCOUNT"),
            Some(Expect::Rest(Vec::new()))
        );
    }

    #[test]
    fn refuses_what_would_not_be_one_request() {
        for line in ["a", "/a b", "/\u{e9}", "/a\t\\x", "/a\t\\"] {
            assert_eq!(expect(line), None, "{line}");
        }
    }
}
