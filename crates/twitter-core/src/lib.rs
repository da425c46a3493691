//! Whom has a user been in contact with, best first.
//!
//! Pure: bytes and values in, bytes and values out.

pub mod error;
pub mod query;
pub mod record;
pub mod score;
pub mod table;
