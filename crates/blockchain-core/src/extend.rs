//! The next block: sign, reward, mine.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::borrow::Cow;

use crate::block::{Block, scheduled_reward};
use crate::error::Reason;
use crate::hash::{Seed, payment_hash, reward_hash};
use crate::mine::mine;
use crate::render;
use crate::signature::{ACCOUNT, sign};
use crate::transaction::{NewTransaction, Payment, Reward, ShortHash, Unsigned};
use crate::validate::Plan;
use crate::wire::Packer;

impl Plan<'_> {
    /// Tries that mining takes on average, from 1 to about a million.
    ///
    /// A try costs some 50 ns, so a caller can tell a reply that is quick from one that
    /// is better computed away from its IO threads.
    pub const fn expected_tries(&self) -> u64 {
        // A plan has at least MIN_GOOD_HASHES of them, so never zero.
        (1_u64 << 32).div_ceil(self.good_hashes)
    }

    /// Completes the new transactions, adds our reward and mines the next block.
    ///
    /// # Errors
    ///
    /// [`Reason::Exhausted`] if no proof of work is found within
    /// [`MAX_TRIES`](crate::mine::MAX_TRIES), which is all but impossible.
    pub fn extend(&self) -> Result<Block<'_>, Reason> {
        let chain = &self.request.chain;
        let id = chain.len() as u64;
        let previous = chain
            .last()
            .map_or(crate::hash::NO_PREVIOUS_HASH, |block| block.hash);
        let payments: Vec<Payment> = self.request.new_tx.iter().map(complete).collect();
        let reward = {
            let mut reward = Reward {
                recv: ACCOUNT,
                amt: scheduled_reward(id),
                time: self.reward_time,
                hash: ShortHash(0),
            };
            reward.hash = reward_hash(&reward);
            reward
        };
        let hashes = payments
            .iter()
            .map(|payment| payment.hash)
            .chain([reward.hash]);
        let seed = Seed::new(id, previous, hashes);
        let mined = mine(&seed, self.good_hashes).ok_or(Reason::Exhausted)?;
        Ok(Block {
            payments,
            reward,
            pow: Cow::Owned(mined.pow.to_string()),
            id,
            hash: mined.hash,
            target: Cow::Borrowed(&self.request.new_target),
        })
    }

    /// Mines the next block and appends the packed reply to `out`.
    ///
    /// # Errors
    ///
    /// As [`extend`](Plan::extend); `out` is then unchanged.
    pub fn reply(&self, packer: &mut Packer, out: &mut Vec<u8>) -> Result<(), Reason> {
        let block = self.extend()?;
        packer.pack(|json| render::reply(&self.request, &block, json), out);
        Ok(())
    }

    /// Mines the next block and appends the reply's JSON text to `out`.
    ///
    /// # Errors
    ///
    /// As [`extend`](Plan::extend); `out` is then unchanged.
    pub fn reply_json(&self, out: &mut Vec<u8>) -> Result<(), Reason> {
        let block = self.extend()?;
        render::reply(&self.request, &block, out);
        Ok(())
    }
}

fn complete(transaction: &NewTransaction) -> Payment {
    match transaction {
        NewTransaction::Signed(payment) => *payment,
        NewTransaction::Unsigned(Unsigned { recv, amt, time }) => {
            let mut payment = Payment {
                sig: 0,
                recv: *recv,
                fee: 0,
                amt: *amt,
                time: *time,
                send: ACCOUNT,
                hash: ShortHash(0),
            };
            payment.hash = payment_hash(&payment);
            payment.sig = sign(payment.hash);
            payment
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::error::Reason;
    use crate::wire::{Packer, Unpacker};

    #[test]
    fn a_budget_that_is_used_up_is_not_taken_for_a_broken_rule() {
        let vectors = include_str!("../tests/data/generated_valid.jsonl");
        let (_, rest) = vectors.split_once("\"cc\"").expect("a request");
        let packed = rest.split('"').nth(1).expect("its text");
        let mut unpacker = Unpacker::default();
        let text = unpacker.unpack(packed.as_bytes()).expect("packed");
        let request = crate::Request::parse(text).expect("JSON");
        let mut plan = request.validate().expect("valid");
        // No hash is good, which validation does not let through.
        plan.good_hashes = 0;
        let mut out = Vec::new();
        let refused = plan.reply(&mut Packer::default(), &mut out);
        assert_eq!((refused, out.len()), (Err(Reason::Exhausted), 0));
    }
}
