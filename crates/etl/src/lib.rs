//! From raw tweets to the one table.
