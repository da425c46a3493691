//! Whom has a user been in contact with, best first: the rules of the twitter
//! service, from a user's packed rows and a request to the reply text.
//!
//! Pure: bytes and values in, bytes and values out. What is left to the caller
//! is splitting and percent-decoding a request, and fetching a pack.
//!
//! * [`query`]: the typed request.
//! * [`record`]: rows, and the pack that holds all rows of one user.
//! * [`score`], [`rank`]: the scores, and the order.
//! * [`render`]: the reply.
//! * [`table`]: what the job that fills the table and its readers share.
//!
//! ```
//! use twitter_core::query::{Query, RawQuery};
//! use twitter_core::rank::Scratch;
//! use twitter_core::record::{Hashtags, Kind, Latest, OwnedPack, Row, encode};
//! use twitter_core::render::respond;
//! use twitter_core::score::base_score;
//!
//! // User 25618 replied once to user 25213.
//! let pack = encode([Row {
//!     user_id: 25213,
//!     contact_id: 25618,
//!     tweet_id: 1,
//!     created_at: 1_396_589_411,
//!     kind: Kind::REPLY,
//!     tweet_text: "hello cc!!",
//!     hashtags: Hashtags::from(&["cmu"]),
//!     contact_screen_name: "n25618",
//!     contact_description: "d25618",
//!     reply_count: 1,
//!     retweet_count: 0,
//!     same_tag_count: 0,
//!     base_score: base_score(1, 0, 0),
//!     latest: Latest::REPLY.with(Latest::ANY),
//! }])?;
//! let pack = OwnedPack::parse_for(25213, pack)?;
//!
//! let query = Query::parse(RawQuery {
//!     user_id: Some(b"25213"),
//!     contact_type: Some(b"reply"),
//!     phrase: Some(b"hello cc"),
//!     hashtag: Some(b"CMU"),
//! })?;
//! let mut reply = Vec::new();
//! let mut scratch = Scratch::default();
//! respond(&query, &pack.as_pack(), b"TEAM,ACCOUNT", &mut reply, &mut scratch);
//! assert_eq!(reply, b"TEAM,ACCOUNT\n25618\tn25618\td25618\thello cc!!");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Fuzzing
//!
//! `fuzz/` is a package of its own for `cargo fuzz` and a nightly compiler. In
//! this crate's folder:
//!
//! ```text
//! cargo +nightly fuzz run pack      # any bytes, also with a right checksum
//! cargo +nightly fuzz run query     # any four values
//! cargo +nightly fuzz run respond   # rows and a request, against a slow twin
//! ```

pub mod error;
mod matching;
pub mod query;
pub mod rank;
pub mod record;
pub mod render;
pub mod score;
pub mod table;
