//! From raw tweets to the one table that the twitter service reads.
//!
//! * [`extract`]: a file, plain or gzip, to lines.
//! * [`clean`]: a raw line to a valid tweet, or the reason why it is none.
//! * [`score`]: facts to the denormalised rows; the engine that a larger one can replace.
//! * [`denormalise`]: rows to packs.
//! * [`checks`]: what must hold before they are published.
//! * [`load`], [`read`]: packs into the table and back.
//! * [`rows`], [`show`], [`report`]: rows, users and figures as text.
//! * [`generate`]: synthetic raw tweets.
//! * [`zones`], [`steps`]: where data lies between the steps, and the steps.
//! * [`failure`]: what ends a run, and its exit code.
//!
//! # Fuzzing
//!
//! `fuzz/` is a package of its own for `cargo fuzz` and a nightly compiler. In
//! this crate's folder: `cargo +nightly fuzz run line`.

pub mod checks;
pub mod clean;
pub mod denormalise;
pub mod extract;
pub mod failure;
pub mod generate;
pub mod load;
pub mod read;
pub mod report;
pub mod rows;
pub mod score;
pub mod show;
pub mod steps;
pub mod zones;
