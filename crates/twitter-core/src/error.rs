//! Why a request, a pack or a table description was refused.
//!
//! One enum for each input. All are exhaustive and carry no strings, so making
//! one costs nothing and every kind can be a metric label.

use thiserror::Error;

/// Why a request is invalid. The reply is the same for all of them; the kinds
/// exist for metrics and tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum QueryError {
    /// `user_id` is absent or empty.
    #[error("user_id is missing or empty")]
    MissingUserId,
    /// `user_id` is not 1 to 20 ASCII digits, or is over 64 bits.
    #[error("user_id is not an unsigned 64-bit decimal number")]
    BadUserId,
    /// `type` is absent or empty.
    #[error("type is missing or empty")]
    MissingType,
    /// `type` is not exactly `reply`, `retweet` or `both`.
    #[error("type is none of reply, retweet and both")]
    BadType,
    /// `phrase` is absent or empty.
    #[error("phrase is missing or empty")]
    MissingPhrase,
    /// The bytes of `phrase` are not UTF-8.
    #[error("phrase is not UTF-8")]
    PhraseNotUtf8,
    /// `hashtag` is absent or empty.
    #[error("hashtag is missing or empty")]
    MissingHashtag,
    /// The bytes of `hashtag` are not UTF-8.
    #[error("hashtag is not UTF-8")]
    HashtagNotUtf8,
    /// One of the four values has a broken percent escape. This crate sees
    /// decoded values only and never makes this one; whoever decodes does.
    #[error("a value has a broken percent escape")]
    BrokenEscape,
}

impl QueryError {
    /// Every kind, for registering metrics.
    pub const ALL: [Self; 9] = [
        Self::MissingUserId,
        Self::BadUserId,
        Self::MissingType,
        Self::BadType,
        Self::MissingPhrase,
        Self::PhraseNotUtf8,
        Self::MissingHashtag,
        Self::HashtagNotUtf8,
        Self::BrokenEscape,
    ];

    /// A stable metric label.
    pub const fn code(self) -> &'static str {
        match self {
            Self::MissingUserId => "missing_user_id",
            Self::BadUserId => "bad_user_id",
            Self::MissingType => "missing_type",
            Self::BadType => "bad_type",
            Self::MissingPhrase => "missing_phrase",
            Self::PhraseNotUtf8 => "phrase_not_utf8",
            Self::MissingHashtag => "missing_hashtag",
            Self::HashtagNotUtf8 => "hashtag_not_utf8",
            Self::BrokenEscape => "broken_escape",
        }
    }
}

/// Why rows could not be packed, or bytes are not a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum PackError {
    /// There is no row; users without rows have no pack.
    #[error("a pack without rows")]
    Empty,
    /// A row, or a pack, belongs to another user than expected.
    #[error("user {found} where {expected} was expected")]
    WrongUser {
        /// The user of the first row, or the one asked for.
        expected: u64,
        /// The user met instead.
        found: u64,
    },
    /// Rows are not strictly ascending by (contact, tweet).
    #[error("rows are not strictly ascending by (contact id, tweet id)")]
    NotSorted,
    /// The rows of a contact differ in a column that belongs to the pair.
    #[error("rows of contact {contact_id} disagree about the contact")]
    ContactDiffers {
        /// The contact.
        contact_id: u64,
    },
    /// The reply or retweet count of a contact is not that of its rows.
    #[error("counts of contact {contact_id} are not those of its rows")]
    CountMismatch {
        /// The contact.
        contact_id: u64,
    },
    /// A latest bit is missing, doubled, or on a row that is not the latest.
    #[error("latest bits of contact {contact_id} are wrong")]
    LatestMismatch {
        /// The contact.
        contact_id: u64,
    },
    /// A base score outside what the formula can give.
    #[error("base score of contact {contact_id} is out of range")]
    ScoreRange {
        /// The contact.
        contact_id: u64,
    },
    /// A tweet without text.
    #[error("an empty tweet text")]
    EmptyText,
    /// A hashtag without a character.
    #[error("an empty hashtag")]
    EmptyTag,
    /// A hashtag that differs from its lower-casing.
    #[error("a hashtag that is not lower case")]
    TagNotLowerCase,
    /// The rows need more bytes than a pack can address, or there are more
    /// bytes than a pack can have.
    #[error("a pack over 4 GiB")]
    TooLarge,
    /// The bytes end before the header does.
    #[error("too short for a pack header")]
    Truncated,
    /// The version byte is not the one known here.
    #[error("pack version {found} is not known")]
    Version {
        /// The version byte.
        found: u8,
    },
    /// Reserved bytes are not zero.
    #[error("reserved bytes are not zero")]
    Reserved,
    /// The length in the header, the one that follows from the counts, and the
    /// number of bytes are not all equal.
    #[error("length does not agree with the header")]
    Length,
    /// The checksum is not that of the bytes.
    #[error("checksum does not match")]
    Checksum,
    /// An end offset runs backwards or out of its region.
    #[error("an offset is out of order or out of range")]
    Offset,
    /// A kind or latest bit that means nothing.
    #[error("undefined kind or latest bits")]
    Flags,
    /// A stored string is not UTF-8, or a separator is missing.
    #[error("a stored string is not UTF-8 or not delimited")]
    Text,
    /// The parts of a pack are not numbered 0, 1, 2 and so on.
    #[error("part {found} where part {expected} was expected")]
    PartOrder {
        /// The number that should come next.
        expected: u16,
        /// The number that came.
        found: u16,
    },
    /// A part is missing at the end, or has bytes too many.
    #[error("the parts do not add up to the length in the header")]
    PartLength,
}

/// Why the table's description cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum MetaError {
    /// Not UTF-8, or a line that is not `key=value`.
    #[error("not a list of key=value lines")]
    Syntax,
    /// A key that is not known.
    #[error("an unknown key")]
    UnknownKey,
    /// A key that comes twice.
    #[error("{0} is given twice")]
    Repeated(&'static str),
    /// A key that does not come.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A value that its key does not allow.
    #[error("the value of {0} is not allowed")]
    Value(&'static str),
}
