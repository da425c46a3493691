//! Requests for `/blockchain`: chains signed for accounts of our own choice.
//!
//! The modulus is the product of two known primes, so any account can be signed for.

mod keys;
mod text;

use blockchain_core::block::scheduled_reward;
use blockchain_core::hash::{NO_PREVIOUS_HASH, Seed, payment_hash, reward_hash};
use blockchain_core::mine::mine;
use blockchain_core::signature::ACCOUNT;
use blockchain_core::target::good_hashes;
use blockchain_core::validate::REWARD_INTERVAL_NANOS;
use blockchain_core::{NewTransaction, Payment, Reward, Scratch, ShortHash, Time, Unsigned};

use super::{Chain, Expect, INVALID, Item, Recipe};
use crate::random::Random;
use keys::Key;

/// The new targets of the published mix; 16 to 37 tries.
const NEW_TARGETS: [&str; 9] = ["1", "07", "08", "09", "0a", "0b", "0c", "0d", "0e"];
/// Targets of the blocks that are already there.
const OLD_TARGETS: [&str; 4] = ["1", "0e", "2", "0a"];
/// When chains begin.
const FIRST_NANOS: u64 = 1_582_520_400_000_000_000;
/// Accounts in one chain, ours among them.
const ACCOUNTS: usize = 4;

/// One block as it is written.
#[derive(Clone, Debug)]
struct Block {
    payments: Vec<Payment>,
    reward: Reward,
    pow: u32,
    hash: ShortHash,
    target: &'static str,
}

/// One request as it is written.
#[derive(Clone, Debug)]
struct Draft {
    chain: Vec<Block>,
    new_target: &'static str,
    new_tx: Vec<NewTransaction>,
}

/// Makes a corpus.
pub fn generate(recipe: Recipe) -> Vec<Item> {
    let mut random = Random::with_stream(recipe.seed, 3);
    let mut scratch = Scratch::default();
    (0..recipe.size)
        .map(|_| {
            let is_broken = random.chance(recipe.invalid);
            loop {
                let draft = valid(&mut random);
                let packed = if is_broken {
                    broken(draft, &mut random)
                } else {
                    text::pack(&text::json(&draft))
                };
                let expect = expected(packed.as_bytes(), &mut scratch);
                // A damage that hits nothing leaves a valid request; then another is drawn.
                if matches!(expect, Expect::Chain(_)) != is_broken {
                    let target = format!("/blockchain?cc={packed}");
                    return Item { target, expect };
                }
            }
        })
        .collect()
}

/// The right answer to a packed request, by our core.
pub fn expected(packed: &[u8], scratch: &mut Scratch) -> Expect {
    let Scratch { unpacker, packer } = scratch;
    let mut chain = Chain {
        packed: b"\n".to_vec(),
        json: String::new(),
    };
    let answered = unpacker.unpack(packed).and_then(|text| {
        let plan = blockchain_core::Request::parse(text)?.validate()?;
        plan.reply(packer, &mut chain.packed)?;
        let mut json = Vec::new();
        plan.reply_json(&mut json)?;
        chain.json = String::from_utf8(json).map_err(|_| blockchain_core::Reason::Utf8)?;
        Ok(())
    });
    match answered {
        Ok(()) => Expect::Chain(Box::new(chain)),
        Err(_) => Expect::Rest(INVALID.to_vec()),
    }
}

/// The state of a chain while it is written.
struct Ledger {
    /// Our account comes first; the keys of the others are known.
    keys: Vec<Key>,
    balances: Vec<i64>,
    nanos: u64,
}

impl Ledger {
    fn time(&mut self, random: &mut Random) -> Time {
        self.nanos += 1 + random.below(REWARD_INTERVAL_NANOS / 20);
        Time::from_nanos(self.nanos).expect("19 digits last until the year 2286")
    }

    fn payment(&mut self, random: &mut Random) -> Payment {
        let from = random.index(ACCOUNTS);
        let to = random.index(ACCOUNTS);
        let amt = part(random, self.balances[from]);
        let fee = part(random, (self.balances[from] - amt) / 100);
        self.balances[from] -= amt + fee;
        self.balances[to] += amt;
        let mut payment = Payment {
            sig: 0,
            recv: self.keys[to].account,
            fee,
            amt,
            time: self.time(random),
            send: self.keys[from].account,
            hash: ShortHash(0),
        };
        payment.hash = payment_hash(&payment);
        payment.sig = self.keys[from].sign(payment.hash);
        payment
    }

    fn unsigned(&mut self, random: &mut Random) -> Unsigned {
        let to = random.index(ACCOUNTS);
        let amt = part(random, self.balances[0]);
        self.balances[0] -= amt;
        self.balances[to] += amt;
        Unsigned {
            recv: self.keys[to].account,
            amt,
            time: self.time(random),
        }
    }
}

fn part(random: &mut Random, balance: i64) -> i64 {
    let bound = u64::try_from(balance).unwrap_or(0) + 1;
    i64::try_from(random.below(bound)).unwrap_or(0)
}

fn valid(random: &mut Random) -> Draft {
    let ours = Key::new(ACCOUNT).expect("our account can sign");
    let keys = std::iter::once(ours)
        .chain((1..ACCOUNTS).map(|_| Key::random(random)))
        .collect();
    let mut ledger = Ledger {
        keys,
        balances: vec![0; ACCOUNTS],
        nanos: FIRST_NANOS + random.below(1 << 50),
    };
    let mut chain: Vec<Block> = Vec::new();
    for id in 0..2 + random.below(3) {
        let payments: Vec<Payment> = match id {
            0 => Vec::new(),
            _ => (0..=random.below(3))
                .map(|_| ledger.payment(random))
                .collect(),
        };
        let earner = random.index(ACCOUNTS);
        let mut reward = Reward {
            recv: ledger.keys[earner].account,
            amt: scheduled_reward(id),
            time: ledger.time(random),
            hash: ShortHash(0),
        };
        reward.hash = reward_hash(&reward);
        let fees: i64 = payments.iter().map(|payment| payment.fee).sum();
        ledger.balances[earner] += reward.amt + fees;
        let previous = chain.last().map_or(NO_PREVIOUS_HASH, |block| block.hash);
        let target = random.pick(&OLD_TARGETS);
        let hashes = payments.iter().map(|payment| payment.hash);
        let seed = Seed::new(id, previous, hashes.chain([reward.hash]));
        let mined = mine(&seed, good_hashes(target)).expect("some 20 tries");
        chain.push(Block {
            payments,
            reward,
            pow: mined.pow,
            hash: mined.hash,
            target,
        });
    }
    let new_tx = (0..=random.below(4))
        .map(|_| match random.below(2) {
            0 => NewTransaction::Signed(ledger.payment(random)),
            _ => NewTransaction::Unsigned(ledger.unsigned(random)),
        })
        .collect();
    Draft {
        chain,
        new_target: random.pick(&NEW_TARGETS),
        new_tx,
    }
}

/// Breaks one rule, as a rule, and packs the result.
fn broken(mut draft: Draft, random: &mut Random) -> String {
    let block = random.index(draft.chain.len());
    match random.below(7) {
        0 => draft.chain[block].pow += 1,
        1 => draft.chain[block].hash.0 ^= 1,
        2 => draft.chain[block].reward.amt += 1,
        3 => draft.new_target = "",
        4 => {
            if let Some(payment) = draft.chain[block].payments.first_mut() {
                payment.sig += 1;
            }
        }
        5 => draft.chain[block].target = "00000000",
        _ => {
            let mut packed = text::pack(&text::json(&draft));
            packed.truncate(packed.len() / 2);
            return packed;
        }
    }
    text::pack(&text::json(&draft))
}
