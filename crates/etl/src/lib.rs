//! From raw tweets to the one table that the twitter service reads.

pub mod failure;
pub mod generate;
pub mod load;
pub mod read;
