//! The typed request.
//!
//! Splitting a query string and percent-decoding its values is the caller's
//! job; [`Query::parse`] takes the four decoded values as bytes.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::borrow::Cow;

use crate::error::QueryError;
use crate::record::{Kind, Latest};

/// Digits of the greatest 64-bit number.
const MAX_ID_DIGITS: usize = 20;

/// Which contact tweets are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ContactType {
    /// Replies only.
    Reply,
    /// Retweets only.
    Retweet,
    /// Either.
    Both,
}

impl ContactType {
    /// The kinds of tweet that count.
    pub const fn kinds(self) -> Kind {
        match self {
            Self::Reply => Kind::REPLY,
            Self::Retweet => Kind::RETWEET,
            Self::Both => Kind::BOTH,
        }
    }

    /// The mark of the tweet whose text is shown.
    pub const fn latest(self) -> Latest {
        match self {
            Self::Reply => Latest::REPLY,
            Self::Retweet => Latest::RETWEET,
            Self::Both => Latest::ANY,
        }
    }
}

/// The four values of a request after percent-decoding; `None` where the
/// parameter is absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RawQuery<'a> {
    /// Value of `user_id`.
    pub user_id: Option<&'a [u8]>,
    /// Value of `type`.
    pub contact_type: Option<&'a [u8]>,
    /// Value of `phrase`.
    pub phrase: Option<&'a [u8]>,
    /// Value of `hashtag`.
    pub hashtag: Option<&'a [u8]>,
}

/// A valid request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Query<'a> {
    user_id: u64,
    contact_type: ContactType,
    phrase: Cow<'a, str>,
    hashtag_lower: Cow<'a, str>,
}

impl<'a> Query<'a> {
    /// Reads the four values.
    ///
    /// The phrase is borrowed, and so is a hashtag that is lower-case ASCII.
    ///
    /// # Errors
    ///
    /// The first reason in the order user id, type, phrase, hashtag.
    pub fn parse(raw: RawQuery<'a>) -> Result<Self, QueryError> {
        let user_id = present(raw.user_id).ok_or(QueryError::MissingUserId)?;
        let user_id = parse_id(user_id).ok_or(QueryError::BadUserId)?;
        let contact_type = match present(raw.contact_type).ok_or(QueryError::MissingType)? {
            b"reply" => ContactType::Reply,
            b"retweet" => ContactType::Retweet,
            b"both" => ContactType::Both,
            _ => return Err(QueryError::BadType),
        };
        let phrase = present(raw.phrase).ok_or(QueryError::MissingPhrase)?;
        let phrase = str::from_utf8(phrase).map_err(|_| QueryError::PhraseNotUtf8)?;
        let hashtag = present(raw.hashtag).ok_or(QueryError::MissingHashtag)?;
        let hashtag = str::from_utf8(hashtag).map_err(|_| QueryError::HashtagNotUtf8)?;
        Ok(Self {
            user_id,
            contact_type,
            phrase: Cow::Borrowed(phrase),
            hashtag_lower: lower_tag(hashtag),
        })
    }

    /// The same request, owning its strings.
    pub fn into_owned(self) -> Query<'static> {
        Query {
            user_id: self.user_id,
            contact_type: self.contact_type,
            phrase: Cow::Owned(self.phrase.into_owned()),
            hashtag_lower: Cow::Owned(self.hashtag_lower.into_owned()),
        }
    }

    /// The user who is asked for.
    pub const fn user_id(&self) -> u64 {
        self.user_id
    }

    /// Which contact tweets count.
    pub const fn contact_type(&self) -> ContactType {
        self.contact_type
    }

    /// The phrase as it came; never empty.
    pub fn phrase(&self) -> &str {
        &self.phrase
    }

    /// The hashtag in lower case; never empty.
    pub fn hashtag_lower(&self) -> &str {
        &self.hashtag_lower
    }
}

/// Lower-cases a hashtag by the full, locale-independent Unicode mapping, which
/// is `str::to_lowercase`. Borrows what is lower-case ASCII already.
///
/// ```
/// assert_eq!(twitter_core::query::lower_tag("CMU"), "cmu");
/// ```
pub fn lower_tag(tag: &str) -> Cow<'_, str> {
    let is_plain = |byte: &u8| byte.is_ascii() && !byte.is_ascii_uppercase();
    if tag.as_bytes().iter().all(is_plain) {
        Cow::Borrowed(tag)
    } else {
        Cow::Owned(tag.to_lowercase())
    }
}

/// An empty value is as good as none.
fn present(value: Option<&[u8]>) -> Option<&[u8]> {
    value.filter(|bytes| !bytes.is_empty())
}

fn parse_id(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > MAX_ID_DIGITS {
        return None;
    }
    digits.iter().try_fold(0u64, |id, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        id.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn raw<'a>(user_id: &'a str, contact_type: &'a str) -> RawQuery<'a> {
        RawQuery {
            user_id: Some(user_id.as_bytes()),
            contact_type: Some(contact_type.as_bytes()),
            phrase: Some(b"hello"),
            hashtag: Some(b"CMU"),
        }
    }

    #[test]
    fn reads_a_valid_request() {
        let query = Query::parse(raw("0015213", "both")).unwrap();
        assert_eq!(query.user_id(), 15213);
        assert_eq!(query.contact_type(), ContactType::Both);
        assert_eq!(query.phrase(), "hello");
        assert_eq!(query.hashtag_lower(), "cmu");
        assert_eq!(query.clone().into_owned(), query);
    }

    #[test]
    fn takes_ids_up_to_64_bits_and_20_digits() {
        for (text, id) in [
            ("0", 0),
            ("18446744073709551615", u64::MAX),
            ("00000000000000000007", 7),
        ] {
            assert_eq!(Query::parse(raw(text, "reply")).unwrap().user_id(), id);
        }
        for text in [
            "18446744073709551616",
            "99999999999999999999",
            "000000000000000000007",
            "abc",
            "12.0",
            "-1",
            "+1",
            " 1",
            "1 ",
            "١٢",
        ] {
            let refused = Query::parse(raw(text, "reply"));
            assert_eq!(refused, Err(QueryError::BadUserId), "{text}");
        }
    }

    #[test]
    fn takes_the_three_types_exactly() {
        for text in ["Both", "like", "both ", "retweets", "REPLY"] {
            assert_eq!(Query::parse(raw("1", text)), Err(QueryError::BadType));
        }
    }

    #[test]
    fn names_what_is_missing_or_not_text() {
        let full = raw("1", "both");
        let cases = [
            (
                RawQuery {
                    user_id: None,
                    ..full
                },
                QueryError::MissingUserId,
            ),
            (
                RawQuery {
                    contact_type: Some(b""),
                    ..full
                },
                QueryError::MissingType,
            ),
            (
                RawQuery {
                    phrase: Some(b""),
                    ..full
                },
                QueryError::MissingPhrase,
            ),
            (
                RawQuery {
                    phrase: Some(b"\xff"),
                    ..full
                },
                QueryError::PhraseNotUtf8,
            ),
            (
                RawQuery {
                    hashtag: None,
                    ..full
                },
                QueryError::MissingHashtag,
            ),
            (
                RawQuery {
                    hashtag: Some(b"\xed\xa0\x80"),
                    ..full
                },
                QueryError::HashtagNotUtf8,
            ),
        ];
        for (raw, expected) in cases {
            assert_eq!(Query::parse(raw), Err(expected));
        }
    }

    #[test]
    fn lower_cases_by_the_full_mapping() {
        for (tag, lower) in [
            ("İ", "i\u{307}"),
            ("I", "i"),
            ("ΑΣ", "ας"),
            ("ΑΣΑ", "ασα"),
            ("CMU", "cmu"),
            ("STRAßE", "straße"),
            ("日本", "日本"),
        ] {
            assert_eq!(lower_tag(tag), lower);
        }
        assert!(matches!(lower_tag("plain_1"), Cow::Borrowed(_)));
    }

    #[test]
    fn codes_are_distinct() {
        let codes: BTreeSet<_> = QueryError::ALL.map(QueryError::code).into();
        assert_eq!(codes.len(), QueryError::ALL.len());
    }
}
