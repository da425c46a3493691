//! A tweet's hashtags, from whichever form the caller keeps them in.

use std::fmt;

/// Follows every tag in packed form; never part of UTF-8.
pub(crate) const SEPARATOR: u8 = 0xFF;

/// The hashtags of a row: a borrowed list of strings.
///
/// Two lists are equal when they hold the same strings in the same order,
/// whatever they borrow from.
#[derive(Clone, Copy)]
pub struct Hashtags<'a>(Form<'a>);

#[derive(Clone, Copy)]
enum Form<'a> {
    /// Each tag followed by [`SEPARATOR`].
    Packed(&'a [u8]),
    Borrowed(&'a [&'a str]),
    Owned(&'a [String]),
}

impl<'a> Hashtags<'a> {
    /// No tags.
    pub const EMPTY: Self = Self(Form::Packed(&[]));

    pub(crate) const fn packed(bytes: &'a [u8]) -> Self {
        Self(Form::Packed(bytes))
    }

    /// The tags in order.
    pub fn iter(self) -> impl Iterator<Item = &'a str> + Clone {
        let (mut packed, borrowed, owned): (&'a [u8], &'a [&'a str], &'a [String]) = match self.0 {
            Form::Packed(bytes) => (bytes, &[], &[]),
            Form::Borrowed(tags) => (&[], tags, &[]),
            Form::Owned(tags) => (&[], &[], tags),
        };
        let packed = std::iter::from_fn(move || {
            let end = memchr::memchr(SEPARATOR, packed)?;
            let (tag, rest) = packed.split_at_checked(end)?;
            packed = rest.split_first()?.1;
            // Checked when the pack was parsed.
            Some(str::from_utf8(tag).unwrap_or_default())
        });
        packed
            .chain(borrowed.iter().copied())
            .chain(owned.iter().map(String::as_str))
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        match self.0 {
            Form::Packed(bytes) => bytes.is_empty(),
            Form::Borrowed(tags) => tags.is_empty(),
            Form::Owned(tags) => tags.is_empty(),
        }
    }
}

impl Default for Hashtags<'_> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<'a> From<&'a [&'a str]> for Hashtags<'a> {
    fn from(tags: &'a [&'a str]) -> Self {
        Self(Form::Borrowed(tags))
    }
}

impl<'a, const N: usize> From<&'a [&'a str; N]> for Hashtags<'a> {
    fn from(tags: &'a [&'a str; N]) -> Self {
        Self(Form::Borrowed(tags))
    }
}

impl<'a> From<&'a [String]> for Hashtags<'a> {
    fn from(tags: &'a [String]) -> Self {
        Self(Form::Owned(tags))
    }
}

impl PartialEq for Hashtags<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Hashtags<'_> {}

impl fmt::Debug for Hashtags<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
