//! The rules of the chain, in one pass over all transactions.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::collections::BTreeMap;

use crate::block::{Block, Request, scheduled_reward};
use crate::error::Reason;
use crate::hash::{NO_PREVIOUS_HASH, Seed, payment_hash, reward_hash};
use crate::signature::{self, ACCOUNT};
use crate::target::{MIN_GOOD_HASHES, good_hashes};
use crate::transaction::{NewTransaction, Payment, Reward, Time};

/// Nanoseconds from the last block's reward to the next block's.
pub const REWARD_INTERVAL_NANOS: u64 = 600_000_000_000;

/// A valid request, ready to be extended by a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan<'a> {
    pub(crate) request: Request<'a>,
    pub(crate) good_hashes: u64,
    pub(crate) reward_time: Time,
}

impl<'a> Request<'a> {
    /// Checks every rule of the chain.
    ///
    /// The cost is linear in the number of transactions (with a logarithm of the number
    /// of accounts): two small modular powers and two digests each.
    ///
    /// # Errors
    ///
    /// The first rule found broken.
    pub fn validate(self) -> Result<Plan<'a>, Reason> {
        let good_hashes = good_hashes(&self.new_target);
        if good_hashes < MIN_GOOD_HASHES {
            return Err(Reason::NewTarget);
        }
        let mut ledger = Ledger::default();
        let mut previous = NO_PREVIOUS_HASH;
        for (position, block) in (0_u64..).zip(&self.chain) {
            if block.id != position {
                return Err(Reason::BlockId);
            }
            ledger.block(block)?;
            check_block_hash(block, previous)?;
            previous = block.hash;
        }
        let last = self.chain.last().ok_or(Reason::EmptyChain)?;
        let reward_time = next_reward_time(&last.reward.time).ok_or(Reason::RewardTime)?;
        for transaction in &self.new_tx {
            match transaction {
                NewTransaction::Signed(payment) => ledger.payment(payment)?,
                NewTransaction::Unsigned(payment) => {
                    ledger.tick(&payment.time)?;
                    let amt = amount(payment.amt)?;
                    ledger.transfer(ACCOUNT, payment.recv, amt, 0)?;
                }
            }
        }
        if ledger.clock >= reward_time.nanos() {
            return Err(Reason::RewardTime);
        }
        Ok(Plan {
            request: self,
            good_hashes,
            reward_time,
        })
    }
}

fn check_block_hash(block: &Block<'_>, previous: crate::ShortHash) -> Result<(), Reason> {
    let transactions = block.payments.iter().map(|payment| payment.hash);
    let seed = Seed::new(block.id, previous, transactions.chain([block.reward.hash]));
    if seed.hash(&block.pow) != block.hash {
        return Err(Reason::BlockHash);
    }
    if u64::from(block.hash.0) >= good_hashes(&block.target) {
        return Err(Reason::Target);
    }
    Ok(())
}

/// `None` if the sum needs more than the 19 digits a time has.
fn next_reward_time(last: &Time) -> Option<Time> {
    Time::from_nanos(last.nanos().checked_add(REWARD_INTERVAL_NANOS)?)
}

fn amount(amt: i64) -> Result<u64, Reason> {
    u64::try_from(amt).map_err(|_| Reason::NegativeAmount)
}

/// The clock and the balances while transactions pass by.
#[derive(Default)]
struct Ledger {
    clock: u64,
    /// An ordered map: no hashing that a request could be built against, and a single
    /// allocation for the handful of accounts of a usual request.
    balances: BTreeMap<u64, u64>,
}

impl Ledger {
    fn block(&mut self, block: &Block<'_>) -> Result<(), Reason> {
        let mut fees = 0_u64;
        for payment in &block.payments {
            self.payment(payment)?;
            // Not negative, and covered by existing coins: see `receive`.
            fees = fees.saturating_add(payment.fee.unsigned_abs());
        }
        self.reward(&block.reward, block.id, fees)
    }

    fn payment(&mut self, payment: &Payment) -> Result<(), Reason> {
        self.tick(&payment.time)?;
        let amt = amount(payment.amt)?;
        let fee = u64::try_from(payment.fee).map_err(|_| Reason::NegativeFee)?;
        if payment_hash(payment) != payment.hash {
            return Err(Reason::TransactionHash);
        }
        if !signature::verify(payment.sig, payment.send, payment.hash) {
            return Err(Reason::Signature);
        }
        self.transfer(payment.send, payment.recv, amt, fee)
    }

    fn reward(&mut self, reward: &Reward, id: u64, fees: u64) -> Result<(), Reason> {
        self.tick(&reward.time)?;
        let amt = amount(reward.amt)?;
        if reward_hash(reward) != reward.hash {
            return Err(Reason::TransactionHash);
        }
        if reward.amt != scheduled_reward(id) {
            return Err(Reason::Reward);
        }
        self.receive(reward.recv, amt.saturating_add(fees));
        Ok(())
    }

    fn tick(&mut self, time: &Time) -> Result<(), Reason> {
        if time.nanos() <= self.clock {
            return Err(Reason::Time);
        }
        self.clock = time.nanos();
        Ok(())
    }

    fn transfer(&mut self, send: u64, recv: u64, amt: u64, fee: u64) -> Result<(), Reason> {
        let cost = amt.checked_add(fee).ok_or(Reason::Balance)?;
        match self.balances.get_mut(&send) {
            Some(balance) => *balance = balance.checked_sub(cost).ok_or(Reason::Balance)?,
            None if cost == 0 => {}
            None => return Err(Reason::Balance),
        }
        self.receive(recv, amt);
        Ok(())
    }

    /// Coins come from rewards alone, about 2 * 10^9 in all, so no balance overflows.
    fn receive(&mut self, account: u64, amt: u64) {
        let balance = self.balances.entry(account).or_default();
        *balance = balance.saturating_add(amt);
    }
}
