//! The chain and its rules.

pub mod error;
pub mod hash;
pub mod mine;
pub mod signature;
pub mod target;
pub mod transaction;

pub use error::Reason;
pub use transaction::{NewTransaction, Payment, Reward, ShortHash, Time, Unsigned};
