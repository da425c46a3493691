//! The spans of the fields used, before they are decoded.

use std::borrow::Cow;

use super::json::{Malformed, RawStr, Scalar, Scanner};
use super::{Fields, UserFields};

/// A line's fields as they stand in it. Of a repeated key the last value.
#[derive(Debug, Default)]
pub(super) struct RawTweet<'a> {
    id: RawId<'a>,
    created_at: Scalar<'a>,
    text: Scalar<'a>,
    lang: Scalar<'a>,
    hashtags: RawTags<'a>,
    reply_to: RawId<'a>,
    user: RawUser<'a>,
    retweeted: RawUser<'a>,
}

/// An id field and its string twin.
#[derive(Debug, Default)]
struct RawId<'a> {
    number: Scalar<'a>,
    twin: Scalar<'a>,
}

#[derive(Debug, Default)]
pub(super) struct RawUser<'a> {
    id: RawId<'a>,
    screen_name: Scalar<'a>,
    description: Scalar<'a>,
}

#[derive(Debug, Default)]
struct RawTags<'a> {
    /// Elements of any type.
    has_elements: bool,
    texts: Vec<RawStr<'a>>,
}

type Scanned<T> = Result<T, Malformed>;

impl<'a> RawTweet<'a> {
    /// Walks the whole line.
    pub(super) fn scan(line: &'a str, open: &mut Vec<u8>) -> Scanned<Self> {
        let mut scanner = Scanner::new(line, open);
        let mut tweet = Self::default();
        scanner.peek();
        scanner.object(|scanner, key| {
            match &*key.name() {
                "id" => tweet.id.number = scanner.scalar()?,
                "id_str" => tweet.id.twin = scanner.scalar()?,
                "created_at" => tweet.created_at = scanner.scalar()?,
                "text" => tweet.text = scanner.scalar()?,
                "lang" => tweet.lang = scanner.scalar()?,
                "in_reply_to_user_id" => tweet.reply_to.number = scanner.scalar()?,
                "in_reply_to_user_id_str" => tweet.reply_to.twin = scanner.scalar()?,
                "user" => tweet.user = RawUser::scan(scanner)?,
                "entities" => tweet.hashtags = within(scanner, "hashtags", RawTags::scan)?,
                "retweeted_status" => tweet.retweeted = within(scanner, "user", RawUser::scan)?,
                _ => scanner.skip()?,
            }
            Ok(())
        })?;
        scanner.end()?;
        Ok(tweet)
    }

    /// Decodes every string at a field used.
    pub(super) fn decode(self) -> Scanned<Fields<'a>> {
        let texts = self.hashtags.texts.into_iter().map(RawStr::decode);
        let mut hashtags: Vec<Cow<'a, str>> = texts.collect::<Scanned<_>>()?;
        hashtags.retain(|tag| !tag.is_empty());
        Ok(Fields {
            id: self.id.decode()?,
            user: self.user.decode()?,
            created_at: string(self.created_at)?,
            text: string(self.text)?,
            hashtags: self.hashtags.has_elements.then_some(hashtags),
            lang: string(self.lang)?,
            reply_to: self.reply_to.decode()?,
            retweeted: self.retweeted.decode()?,
        })
    }
}

impl<'a> RawUser<'a> {
    fn scan(scanner: &mut Scanner<'a, '_>) -> Scanned<Self> {
        let mut user = Self::default();
        if scanner.peek() != b'{' {
            scanner.skip()?;
            return Ok(user);
        }
        scanner.object(|scanner, key| {
            match &*key.name() {
                "id" => user.id.number = scanner.scalar()?,
                "id_str" => user.id.twin = scanner.scalar()?,
                "screen_name" => user.screen_name = scanner.scalar()?,
                "description" => user.description = scanner.scalar()?,
                _ => scanner.skip()?,
            }
            Ok(())
        })?;
        Ok(user)
    }

    fn decode(self) -> Scanned<UserFields<'a>> {
        Ok(UserFields {
            id: self.id.decode()?,
            screen_name: string(self.screen_name)?.unwrap_or_default(),
            description: string(self.description)?.unwrap_or_default(),
        })
    }
}

impl<'a> RawTags<'a> {
    fn scan(scanner: &mut Scanner<'a, '_>) -> Scanned<Self> {
        let mut tags = Self::default();
        if scanner.peek() != b'[' {
            scanner.skip()?;
            return Ok(tags);
        }
        scanner.array(|scanner| {
            tags.has_elements = true;
            if let Scalar::Text(text) = within(scanner, "text", Scanner::scalar)? {
                tags.texts.push(text);
            }
            Ok(())
        })?;
        Ok(tags)
    }
}

impl RawId<'_> {
    /// The number if it is an integer in range, else the twin if it is one.
    fn decode(self) -> Scanned<Option<u64>> {
        let twin = string(self.twin)?;
        // A number of the wrong type may be a string with half a character.
        string(self.number)?;
        let number = match self.number {
            // `-0` is the only integer in range with a sign.
            Scalar::Number("-0") => Some(0),
            // Fraction, exponent and sign do not parse, and nothing is rounded.
            Scalar::Number(number) => number.parse().ok(),
            _ => None,
        };
        Ok(number.or_else(|| parse_digits(&twin?)))
    }
}

/// 1 to 20 ASCII digits in range; a sign is not a digit.
fn parse_digits(text: &str) -> Option<u64> {
    let is_plain = text.len() <= 20 && text.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| text.parse().ok())?
}

/// What `scan` finds at `name` in the object that starts here; the default if
/// it is none, or has no such key.
fn within<'a, 's, T: Default>(
    scanner: &mut Scanner<'a, 's>,
    name: &str,
    mut scan: impl FnMut(&mut Scanner<'a, 's>) -> Scanned<T>,
) -> Scanned<T> {
    let mut found = T::default();
    if scanner.peek() != b'{' {
        scanner.skip()?;
        return Ok(found);
    }
    scanner.object(|scanner, key| {
        if key.name() == name {
            found = scan(scanner)?;
            Ok(())
        } else {
            scanner.skip()
        }
    })?;
    Ok(found)
}

fn string(value: Scalar<'_>) -> Scanned<Option<Cow<'_, str>>> {
    match value {
        Scalar::Text(text) => text.decode().map(Some),
        Scalar::Other | Scalar::Number(_) => Ok(None),
    }
}
