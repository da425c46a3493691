//! A block, and the request that carries a chain of them.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::borrow::Cow;

use crate::transaction::{NewTransaction, Payment, Reward, ShortHash};

/// A block with the shape rules already enforced: payments, then one reward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block<'a> {
    /// Signed transactions, all but the last place.
    pub payments: Vec<Payment>,
    /// The last place.
    pub reward: Reward,
    /// Proof of work: any text that makes the hash good.
    pub pow: Cow<'a, str>,
    /// Position in the chain, from 0. Below 2^63.
    pub id: u64,
    /// Hash over id, previous hash, transaction hashes and proof of work.
    pub hash: ShortHash,
    /// The text the hash must sort before.
    pub target: Cow<'a, str>,
}

/// A parsed request. Its shape is right; the rules of the chain are not yet checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request<'a> {
    pub(crate) chain: Vec<Block<'a>>,
    pub(crate) new_target: Cow<'a, str>,
    pub(crate) new_tx: Vec<NewTransaction>,
    /// The chain array as written, if it is written exactly as a reply would write it.
    /// Replies copy it, so it must not part from `chain`.
    pub(crate) canonical_chain: Option<&'a str>,
}

impl<'a> Request<'a> {
    /// The blocks so far.
    pub fn chain(&self) -> &[Block<'a>] {
        &self.chain
    }

    /// Target of the block to mine.
    pub fn new_target(&self) -> &str {
        &self.new_target
    }

    /// Transactions of the block to mine, without its reward.
    pub fn new_tx(&self) -> &[NewTransaction] {
        &self.new_tx
    }
}

/// Scheduled reward of block `id`: halved every second block, 0 from block 58 on.
pub fn scheduled_reward(id: u64) -> i64 {
    let halvings = u32::try_from(id >> 1).unwrap_or(u32::MAX);
    500_000_000_i64.checked_shr(halvings).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::scheduled_reward;

    #[test]
    fn reward_halves_every_second_block_and_never_overflows() {
        for (id, amt) in [
            (0, 500_000_000),
            (1, 500_000_000),
            (2, 250_000_000),
            (5, 125_000_000),
            (18, 976_562),
            (56, 1),
            (57, 1),
            (58, 0),
            (127, 0),
            (128, 0),
            (u64::MAX, 0),
        ] {
            assert_eq!(scheduled_reward(id), amt, "block {id}");
        }
    }
}
