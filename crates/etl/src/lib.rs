//! From raw tweets to the one table that the twitter service reads.

pub mod checks;
pub mod clean;
pub mod denormalise;
pub mod extract;
pub mod failure;
pub mod generate;
pub mod load;
pub mod pipeline;
pub mod read;
pub mod report;
pub mod rows;
pub mod score;
