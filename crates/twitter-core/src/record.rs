//! The denormalised rows of one user, and the pack they travel in.
//!
//! A [`Row`] is one row of the table: one contact tweet seen from one side of a
//! pair. All rows of one `user_id` make one *pack*, a byte string written by
//! [`PackWriter`] and read by [`Pack`]. A request then needs one pack, which is
//! searched without building anything per row.
//!
//! # Layout, version 1
//!
//! Numbers are little-endian and unaligned. *C* is the number of contacts, *R*
//! that of rows. Columns follow each other without gaps, so every position
//! follows from the header.
//!
//! | bytes | field |
//! | --- | --- |
//! | 1 | version, 1 |
//! | 3 | zero |
//! | 4 | CRC-32 (IEEE) of all bytes after this field |
//! | 4 | length of the whole pack |
//! | 4 | *C*, at least 1 |
//! | 4 | *R*, at least *C* |
//! | 4 | length of the names region |
//! | 4 | length of the texts region |
//! | 4 | length of the tags region |
//! | 8 | `user_id` |
//! | | **contact table**, ascending by id |
//! | 8 *C* | contact ids |
//! | 8 *C* | base scores, IEEE 754 bits |
//! | 4 *C* | reply counts |
//! | 4 *C* | retweet counts |
//! | 4 *C* | same tag counts |
//! | 4 *C* | end of the screen name in the names region |
//! | 4 *C* | end of the description in the names region |
//! | 4 *C* | end of the contact's rows in the row table |
//! | | **row table**, by contact, then ascending by tweet id |
//! | 8 *R* | tweet ids |
//! | 8 *R* | creation times, signed |
//! | 4 *R* | end of the text in the texts region, its terminator included |
//! | 4 *R* | end of the tags in the tags region, the last terminator included |
//! | 1 *R* | bits 0 and 1 kind, bits 2 to 4 latest, others zero |
//! | | **regions** |
//! | | names: screen name and description of each contact, no separators |
//! | | texts: each text and a byte 0xFF |
//! | | tags: a byte 0xFF, then for each row each tag and a byte 0xFF |
//!
//! The byte 0xFF does not occur in UTF-8. So one search over the whole texts
//! region never finds a phrase across two rows, and a search for 0xFF, tag,
//! 0xFF over the tags region finds whole tags only; neighbours share a 0xFF.
//!
//! # Limits
//!
//! Every length and offset is a `u32`, so a pack is shorter than 4 GiB; the
//! writer refuses more. In the database a pack is cut in parts of at most
//! [`MAX_PART_BYTES`](crate::table::MAX_PART_BYTES), see [`parts`] and
//! [`Joiner`].

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod check;
mod layout;
mod pack;
mod parts;
mod tags;
mod writer;

pub use self::layout::PACK_VERSION;
pub use self::pack::{OwnedPack, Pack};
pub use self::parts::{Joiner, join, parts};
pub use self::tags::Hashtags;
pub(crate) use self::tags::SEPARATOR;
pub use self::writer::{PackWriter, encode};

/// What a tweet is to the pair: a reply, a retweet, or both at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind(u8);

impl Kind {
    /// A reply.
    pub const REPLY: Self = Self(1);
    /// A retweet.
    pub const RETWEET: Self = Self(2);
    /// Both, towards the same user.
    pub const BOTH: Self = Self(3);

    /// From the column: 1, 2 or 3.
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            1..=3 => Some(Self(bits)),
            _ => None,
        }
    }

    /// The column's value.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether the two have a bit in common.
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// Of which of its pair's tweets this one is the latest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Latest(u8);

impl Latest {
    /// Of none.
    pub const NONE: Self = Self(0);
    /// Of the replies.
    pub const REPLY: Self = Self(1);
    /// Of the retweets.
    pub const RETWEET: Self = Self(2);
    /// Of replies and retweets together.
    pub const ANY: Self = Self(4);

    /// From the column: 0 to 7.
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0..=7 => Some(Self(bits)),
            _ => None,
        }
    }

    /// The column's value.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Both marks.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether every mark of `other` is set here.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// One row of the table, borrowed: a contact tweet seen from one side.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row<'a> {
    /// The user who may be asked for.
    pub user_id: u64,
    /// The other one; may be the same.
    pub contact_id: u64,
    /// The tweet.
    pub tweet_id: u64,
    /// Seconds since 1970, UTC.
    pub created_at: i64,
    /// Reply, retweet or both.
    pub kind: Kind,
    /// As posted; never empty.
    pub tweet_text: &'a str,
    /// Lower-cased, in order, repeats kept.
    pub hashtags: Hashtags<'a>,
    /// Latest screen name of `contact_id`; empty when never seen.
    pub contact_screen_name: &'a str,
    /// Latest description of `contact_id`; empty when never seen.
    pub contact_description: &'a str,
    /// Replies between the two, both directions.
    pub reply_count: u32,
    /// Retweets between the two, both directions.
    pub retweet_count: u32,
    /// Uses of common hashtags; 0 for a pair with oneself.
    pub same_tag_count: u32,
    /// Interaction times hashtag factor, unrounded; see
    /// [`base_score`](crate::score::base_score).
    pub base_score: f64,
    /// Marks of the pair's latest tweets.
    pub latest: Latest,
}
