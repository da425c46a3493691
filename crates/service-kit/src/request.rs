//! What a service sees of a request: the query, split without copies.
//!
//! Rules, the same for all three paths: items are separated by `&`, empty items are skipped, an
//! item is split at its first `=`, the first occurrence of a name counts, unknown names are
//! ignored even when broken. `%XX` is a byte and `+` is a space, in names and values alike.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::borrow::Cow;

use http::{HeaderMap, Method};

use crate::trace::Span;

/// A request that passed the kit's limits and belongs to one of the service's routes.
#[derive(Debug)]
pub struct Request<'a> {
    head: &'a http::request::Parts,
    span: Option<&'a Span>,
}

impl<'a> Request<'a> {
    pub(crate) fn new(head: &'a http::request::Parts, span: Option<&'a Span>) -> Self {
        Self { head, span }
    }

    /// The request's span, when it is traced.
    pub fn span(&self) -> Option<&'a Span> {
        self.span
    }

    /// The path, starting with `/`, not decoded.
    pub fn path(&self) -> &'a str {
        self.head.uri.path()
    }

    /// The query; empty when there is none.
    pub fn query(&self) -> Query<'a> {
        Query(self.head.uri.query().unwrap_or_default().as_bytes())
    }

    /// The method: GET or HEAD, as the kit refuses all others.
    pub fn method(&self) -> &'a Method {
        &self.head.method
    }

    /// The header fields.
    pub fn headers(&self) -> &'a HeaderMap {
        &self.head.headers
    }
}

/// A query string, not decoded.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a>(pub &'a [u8]);

impl<'a> Query<'a> {
    /// The first occurrence of each of the names, in one pass, without copying.
    ///
    /// ```
    /// use service_kit::request::Query;
    ///
    /// let [data, kind] = Query(b"type=encode&data=CC%20Team&data=no").first(["data", "type"]);
    /// assert_eq!(data.unwrap().decode().unwrap().as_ref(), b"CC Team");
    /// assert_eq!(kind.unwrap().decode().unwrap().as_ref(), b"encode");
    /// ```
    pub fn first<const N: usize>(self, names: [&str; N]) -> [Option<Value<'a>>; N] {
        let mut found = [None; N];
        let mut rest = self.0;
        while !rest.is_empty() {
            let item;
            (item, rest) = split_at_byte(rest, b'&');
            if item.is_empty() {
                continue;
            }
            let (raw_name, raw_value) = split_at_byte(item, b'=');
            let Ok(name) = decode(raw_name) else {
                continue;
            };
            for (slot, wanted) in found.iter_mut().zip(names) {
                if slot.is_none() && *name == *wanted.as_bytes() {
                    *slot = Some(Value(raw_value));
                }
            }
        }
        found
    }
}

/// Everything before the first such byte, and everything behind it.
fn split_at_byte(text: &[u8], separator: u8) -> (&[u8], &[u8]) {
    match memchr::memchr(separator, text) {
        Some(at) => {
            let (before, behind) = text.split_at(at);
            (before, behind.get(1..).unwrap_or_default())
        }
        None => (text, &[]),
    }
}

/// One parameter's value, not decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value<'a>(&'a [u8]);

impl<'a> Value<'a> {
    /// The value's bytes, percent-decoded once; borrowed when nothing was escaped.
    ///
    /// # Errors
    ///
    /// [`BrokenEscape`] when a `%` is not followed by two hex digits.
    pub fn decode(self) -> Result<Cow<'a, [u8]>, BrokenEscape> {
        decode(self.0)
    }

    /// The value as it was sent.
    pub fn raw(self) -> &'a [u8] {
        self.0
    }
}

/// A `%` without two hex digits behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a percent sign is not followed by two hex digits")]
pub struct BrokenEscape;

fn decode(raw: &[u8]) -> Result<Cow<'_, [u8]>, BrokenEscape> {
    let Some(first) = memchr::memchr2(b'%', b'+', raw) else {
        return Ok(Cow::Borrowed(raw));
    };
    let (plain, mut rest) = raw.split_at(first);
    let mut decoded = Vec::with_capacity(raw.len());
    decoded.extend_from_slice(plain);
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let Some((&[high, low], behind)) = rest.split_first_chunk::<2>() else {
                    return Err(BrokenEscape);
                };
                rest = behind;
                let digits = (hex_digit(high), hex_digit(low));
                let (Some(high), Some(low)) = digits else {
                    return Err(BrokenEscape);
                };
                (high << 4) | low
            }
            other => other,
        });
    }
    Ok(Cow::Owned(decoded))
}

fn hex_digit(byte: u8) -> Option<u8> {
    // `to_digit` gives 0 to 15 for radix 16.
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(query: &str, name: &str) -> Option<Result<Vec<u8>, BrokenEscape>> {
        let [found] = Query(query.as_bytes()).first([name]);
        found.map(|value| value.decode().map(Cow::into_owned))
    }

    #[test]
    fn the_first_occurrence_of_a_name_counts() {
        assert_eq!(value("a=1&a=2", "a"), Some(Ok(b"1".to_vec())));
        assert_eq!(value("a&a=2", "a"), Some(Ok(b"".to_vec())));
    }

    #[test]
    fn splits_at_the_first_equals_sign_and_skips_empty_items() {
        assert_eq!(value("&&a=b=c&&", "a"), Some(Ok(b"b=c".to_vec())));
        assert_eq!(value("", "a"), None);
        assert_eq!(value("&", ""), None);
    }

    #[test]
    fn decodes_names_and_values_once() {
        assert_eq!(value("%61=%2562+c%2Bd", "a"), Some(Ok(b"%62 c+d".to_vec())));
        assert_eq!(value("a=%fF%00", "a"), Some(Ok(vec![255, 0])));
    }

    #[test]
    fn a_broken_escape_matters_in_a_wanted_value_only() {
        for query in ["a=%", "a=%4", "a=%zz", "a=x%4&b=1"] {
            assert_eq!(value(query, "a"), Some(Err(BrokenEscape)), "{query}");
        }
        assert_eq!(value("%zz=1&b=%&a=1", "a"), Some(Ok(b"1".to_vec())));
    }
}
