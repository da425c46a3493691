//! Builds requests for tests: random valid ones, and ones that break one rule.
//!
//! Hashes, signatures and mining are written down a second time here, as literally as
//! the rules are stated and with no regard to speed, so that the crate is checked
//! against something that is not itself.

#![allow(dead_code, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use serde::Serialize;
use sha2::{Digest, Sha256};

/// Modulus, our account and the order that private exponents are inverted in.
pub(crate) const N: u64 = 1_561_906_343_821;
pub(crate) const OURS: i64 = 1_097_844_002_039;
const P: i128 = 1_231_697;
const Q: i128 = 1_268_093;

/// Nanoseconds between rewards.
pub(crate) const INTERVAL: u64 = 600_000_000_000;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Tx {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sig: Option<i64>,
    pub recv: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fee: Option<i64>,
    pub amt: i64,
    pub time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Block {
    pub all_tx: Vec<Tx>,
    pub pow: String,
    pub id: i64,
    pub hash: String,
    pub target: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Request {
    pub chain: Vec<Block>,
    pub new_target: String,
    pub new_tx: Vec<Tx>,
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// All 64 hex digits of a text's digest.
pub(crate) fn long_hash(text: &str) -> String {
    hex(&Sha256::digest(text))
}

pub(crate) fn short_hash(text: &str) -> String {
    long_hash(text)[..8].to_owned()
}

pub(crate) fn power(base: u64, mut exponent: u64) -> u64 {
    let modulus = u128::from(N);
    let mut square = u128::from(base) % modulus;
    let mut result = 1;
    while exponent > 0 {
        if exponent % 2 == 1 {
            result = result * square % modulus;
        }
        square = square * square % modulus;
        exponent /= 2;
    }
    u64::try_from(result).unwrap()
}

/// The private exponent of an account, if its number has one.
pub(crate) fn private_exponent(account: i64) -> Option<u64> {
    let order = (P - 1) * (Q - 1) / gcd(P - 1, Q - 1);
    let (mut r, mut next_r) = (order, i128::from(account).rem_euclid(order));
    let (mut t, mut next_t) = (0_i128, 1_i128);
    while next_r != 0 {
        let quotient = r / next_r;
        (r, next_r) = (next_r, r - quotient * next_r);
        (t, next_t) = (next_t, t - quotient * next_t);
    }
    (r == 1).then(|| u64::try_from(t.rem_euclid(order)).unwrap())
}

fn gcd(a: i128, b: i128) -> i128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

pub(crate) fn scheduled_reward(id: usize) -> i64 {
    (0..id / 2).fold(500_000_000, |amt, _| amt / 2)
}

impl Tx {
    pub(crate) fn payment(send: i64, recv: i64, amt: i64, fee: i64, time: String) -> Self {
        let mut tx = Self {
            sig: Some(0),
            recv,
            fee: Some(fee),
            amt,
            time,
            send: Some(send),
            hash: Some(String::new()),
        };
        tx.seal();
        tx
    }

    pub(crate) fn unsigned(recv: i64, amt: i64, time: String) -> Self {
        Self {
            sig: None,
            recv,
            fee: None,
            amt,
            time,
            send: None,
            hash: None,
        }
    }

    pub(crate) fn reward(recv: i64, amt: i64, time: String) -> Self {
        let mut tx = Self::unsigned(recv, amt, time);
        tx.hash = Some(String::new());
        tx.seal();
        tx
    }

    pub(crate) fn is_reward(&self) -> bool {
        self.send.is_none() && self.hash.is_some()
    }

    /// Makes hash and signature fit, if this kind has them.
    pub(crate) fn seal(&mut self) {
        if self.hash.is_some() {
            let or_empty = |value: Option<i64>| value.map(|v| v.to_string()).unwrap_or_default();
            let text = format!(
                "{}|{}|{}|{}|{}",
                self.time,
                or_empty(self.send),
                self.recv,
                self.amt,
                or_empty(self.fee)
            );
            self.hash = Some(short_hash(&text));
        }
        self.sign();
    }

    /// Makes the signature fit the hash as it stands.
    pub(crate) fn sign(&mut self) {
        if let (Some(send), Some(hash)) = (self.send, &self.hash)
            && let Ok(value) = u64::from_str_radix(hash, 16)
        {
            let exponent = private_exponent(send).expect("test accounts can sign");
            self.sig = Some(i64::try_from(power(value, exponent)).unwrap());
        }
    }
}

impl Block {
    pub(crate) fn seed(&self, previous: &str) -> String {
        let mut text = format!("{}|{previous}", self.id);
        for tx in &self.all_tx {
            text.push('|');
            text.push_str(tx.hash.as_deref().unwrap_or_default());
        }
        long_hash(&text)
    }

    /// Mines with proofs of work that start with `prefix`.
    pub(crate) fn seal(&mut self, previous: &str, prefix: &str) {
        let seed = self.seed(previous);
        for number in 0_u32.. {
            let pow = format!("{prefix}{number}");
            let hash = short_hash(&format!("{seed}{pow}"));
            if hash < self.target {
                self.pow = pow;
                self.hash = hash;
                return;
            }
        }
    }
}

impl Request {
    /// Makes the hashes of the blocks from `first` on fit.
    pub(crate) fn seal_blocks(&mut self, first: usize) {
        for place in first..self.chain.len() {
            let previous = match place.checked_sub(1) {
                Some(place) => self.chain[place].hash.clone(),
                None => "00000000".to_owned(),
            };
            self.chain[place].seal(&previous, "");
        }
    }

    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap()
    }

    /// Places of the signed transactions: block (`None` for new ones) and index.
    pub(crate) fn payments(&self) -> Vec<(Option<usize>, usize)> {
        let mut places = Vec::new();
        for (block, content) in self.chain.iter().enumerate() {
            for index in 0..content.all_tx.len().saturating_sub(1) {
                places.push((Some(block), index));
            }
        }
        for (index, tx) in self.new_tx.iter().enumerate() {
            if tx.send.is_some() {
                places.push((None, index));
            }
        }
        places
    }

    pub(crate) fn tx(&mut self, (block, index): (Option<usize>, usize)) -> &mut Tx {
        match block {
            Some(block) => &mut self.chain[block].all_tx[index],
            None => &mut self.new_tx[index],
        }
    }

    /// Changes one transaction, then makes its hash and signature and all blocks fit.
    pub(crate) fn change(&mut self, place: (Option<usize>, usize), change: impl FnOnce(&mut Tx)) {
        let tx = self.tx(place);
        change(tx);
        tx.seal();
        if let Some(block) = place.0 {
            self.seal_blocks(block);
        }
    }
}

/// Where choices come from: a number below the bound, which is positive.
pub(crate) type Choose<'a> = &'a mut dyn FnMut(u64) -> u64;

/// Choices from a seed.
pub(crate) fn seeded(mut state: u64) -> impl FnMut(u64) -> u64 {
    move |bound| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)) % bound
    }
}

fn pick<'t, T: ?Sized>(choose: Choose<'_>, from: &[&'t T]) -> &'t T {
    from[usize::try_from(choose(from.len() as u64)).unwrap()]
}

struct Clock {
    nanos: u64,
}

impl Clock {
    fn next(&mut self, choose: Choose<'_>, at_most: u64) -> String {
        self.nanos += 1 + choose(at_most);
        if choose(20) == 0 {
            format!("{:019}", self.nanos)
        } else {
            self.nanos.to_string()
        }
    }
}

/// A random valid request with at least one signed transaction in the chain.
pub(crate) fn valid(choose: Choose<'_>) -> Request {
    let mut accounts = vec![(OURS, 0_i64)];
    while accounts.len() < 5 {
        let largest = if choose(8) == 0 {
            i64::MAX
        } else {
            i64::try_from(N).unwrap()
        };
        let account = i64::try_from(choose(u64::try_from(largest).unwrap()) | 1).unwrap();
        if private_exponent(account).is_some() {
            accounts.push((account, 0));
        } else {
            accounts.push((
                3 + 2 * i64::try_from(accounts.len()).unwrap() * 1_231_696,
                0,
            ));
            if private_exponent(accounts[accounts.len() - 1].0).is_none() {
                accounts.pop();
                accounts.push((65_537, 0));
            }
        }
    }
    let mut clock = Clock {
        nanos: if choose(4) == 0 {
            0
        } else {
            1_582_520_400_000_000_000
        },
    };
    let mut chain = Vec::new();
    let mut previous = "00000000".to_owned();
    for id in 0..2 + usize::try_from(choose(4)).unwrap() {
        let mut all_tx = Vec::new();
        let mut fees = 0;
        let payments = if id == 0 { 0 } else { 1 + choose(3) };
        for _ in 0..payments {
            let tx = payment(choose, &mut accounts, &mut clock, INTERVAL);
            fees += tx.fee.unwrap();
            all_tx.push(tx);
        }
        let miner = usize::try_from(choose(accounts.len() as u64)).unwrap();
        let amt = scheduled_reward(id);
        all_tx.push(Tx::reward(
            accounts[miner].0,
            amt,
            clock.next(choose, INTERVAL),
        ));
        accounts[miner].1 += amt + fees;
        let target = pick(
            choose,
            &["1", "8", "g", "0e", "3f", "zz", "a\u{e9}", "20000000aa"],
        );
        let mut block = Block {
            all_tx,
            pow: String::new(),
            id: i64::try_from(id).unwrap(),
            hash: String::new(),
            target: target.to_owned(),
        };
        let prefix = pick(choose, &["", "", "", "word ", "\"\\\n", "\u{1f600}"]);
        block.seal(&previous, prefix);
        previous.clone_from(&block.hash);
        chain.push(block);
    }
    let mut new_tx = Vec::new();
    for _ in 0..choose(5) {
        if choose(2) == 0 {
            let recv = accounts[usize::try_from(choose(5)).unwrap()].0;
            let amt = share(choose, accounts[0].1);
            accounts[0].1 -= amt;
            for account in &mut accounts {
                if account.0 == recv {
                    account.1 += amt;
                    break;
                }
            }
            new_tx.push(Tx::unsigned(recv, amt, clock.next(choose, 1_000_000_000)));
        } else {
            new_tx.push(payment(choose, &mut accounts, &mut clock, 1_000_000_000));
        }
    }
    let new_target = pick(choose, &["1", "g", "2", "0e", "0c", "8\u{e9}", "7fffffff0"]).to_owned();
    Request {
        chain,
        new_target,
        new_tx,
    }
}

fn payment(choose: Choose<'_>, accounts: &mut [(i64, i64)], clock: &mut Clock, wait: u64) -> Tx {
    let from = usize::try_from(choose(accounts.len() as u64)).unwrap();
    let to = usize::try_from(choose(accounts.len() as u64)).unwrap();
    // Equal account numbers share the first entry.
    let first = |account: i64| {
        accounts
            .iter()
            .position(|known| known.0 == account)
            .unwrap()
    };
    let (from, to) = (first(accounts[from].0), first(accounts[to].0));
    let amt = share(choose, accounts[from].1);
    let fee = share(choose, (accounts[from].1 - amt) / 100);
    accounts[from].1 -= amt + fee;
    accounts[to].1 += amt;
    Tx::payment(
        accounts[from].0,
        accounts[to].0,
        amt,
        fee,
        clock.next(choose, wait),
    )
}

/// All, nothing or a part.
fn share(choose: Choose<'_>, balance: i64) -> i64 {
    match choose(10) {
        0 => balance,
        1 => 0,
        _ => i64::try_from(choose(u64::try_from(balance).unwrap() + 1)).unwrap(),
    }
}

/// Number of ways that [`damage`] knows.
pub(crate) const DAMAGES: u64 = 34;

/// Breaks one rule and makes all else fit; the rule's code, or `None` if this request
/// offers no place for that damage.
#[allow(clippy::too_many_lines)]
pub(crate) fn damage(request: &mut Request, kind: u64, choose: Choose<'_>) -> Option<&'static str> {
    let blocks = request.chain.len();
    let block = usize::try_from(choose(blocks as u64)).unwrap();
    let payments = request.payments();
    let place = *payments.get(usize::try_from(choose(payments.len().max(1) as u64)).unwrap())?;
    let reward = (Some(block), request.chain[block].all_tx.len() - 1);
    let code = match kind {
        0 => {
            request.chain[block].id += 1;
            request.seal_blocks(block);
            "C1-id"
        }
        1 => {
            request.chain.clear();
            "C2-empty"
        }
        2 => {
            request.chain[block].all_tx.pop();
            "K1-kinds"
        }
        3 => {
            request.chain[block].all_tx.clear();
            request.seal_blocks(block);
            "K1-kinds"
        }
        4 => {
            let again = request.chain[block].all_tx.last()?.clone();
            request.chain[block].all_tx.push(again);
            request.seal_blocks(block);
            "K1-kinds"
        }
        5 => {
            request.chain[block].all_tx.rotate_right(1);
            if request.chain[block].all_tx.len() < 2 {
                return None;
            }
            request.seal_blocks(block);
            "K1-kinds"
        }
        6 => {
            request.chain[block]
                .all_tx
                .insert(0, Tx::unsigned(5, 0, "1".to_owned()));
            request.seal_blocks(block);
            "K1-kinds"
        }
        7 => {
            let tx = Tx::reward(OURS, 1, last_time(request, 1));
            request.new_tx.push(tx);
            "K2-new-kinds"
        }
        8 => {
            let before = time_before(request, place);
            request.change(place, |tx| tx.time = before);
            "T1-time"
        }
        9 => {
            let before = time_before(request, reward);
            request.change(reward, |tx| tx.time = before);
            "T1-time"
        }
        10 => {
            let tx = Tx::unsigned(5, 0, last_time(request, 0));
            request.new_tx.push(tx);
            "T1-time"
        }
        11 => {
            let last = request
                .chain
                .last()?
                .all_tx
                .last()?
                .time
                .parse::<u64>()
                .unwrap();
            let time = last + INTERVAL + choose(2);
            request.new_tx.push(Tx::unsigned(5, 0, time.to_string()));
            "T2-reward-time"
        }
        12 => {
            request.change(place, |tx| tx.amt = -1 - i64::from(tx.amt != 0));
            "V1-amt-negative"
        }
        13 => {
            request.change(reward, |tx| tx.amt = -1);
            "V1-amt-negative"
        }
        14 => {
            let tx = Tx::unsigned(5, -1, last_time(request, 1));
            request.new_tx.push(tx);
            "V1-amt-negative"
        }
        15 => {
            request.change(place, |tx| tx.fee = Some(-1));
            "V2-fee-negative"
        }
        16 => {
            let own = balance_before(request, place);
            request.change(place, |tx| tx.amt = own + 1 - tx.fee.unwrap());
            "B1-balance"
        }
        17 => {
            let own = balance_before(request, place);
            request.change(place, |tx| tx.fee = Some(own + 1 - tx.amt));
            "B1-balance"
        }
        18 => {
            request.change(place, |tx| (tx.amt, tx.fee) = (i64::MAX, Some(i64::MAX)));
            "B1-balance"
        }
        19 => {
            let tx = request.tx(place);
            if tx.amt + tx.fee? == 0 {
                return None;
            }
            request.change(place, |tx| tx.send = Some(65_539));
            "B1-balance"
        }
        20 => {
            let tx = Tx::unsigned(OURS, 3_000_000_000, last_time(request, 1));
            request.new_tx.push(tx);
            "B1-balance"
        }
        21 => {
            let tx = request.tx(place);
            let hash = flip(tx.hash.as_deref()?);
            tx.hash = Some(hash);
            tx.sign();
            request.seal_blocks(place.0.unwrap_or(blocks));
            "H1-tx-hash"
        }
        22 => {
            let tx = request.tx(reward);
            tx.hash = Some(flip(tx.hash.as_deref()?));
            request.seal_blocks(block);
            "H1-tx-hash"
        }
        23 => {
            let tx = request.tx(place);
            let hash = tx.hash.as_deref()?.to_uppercase();
            if tx.hash.as_deref() == Some(&hash) {
                return None;
            }
            tx.hash = Some(hash);
            request.seal_blocks(place.0.unwrap_or(blocks));
            "H1-tx-hash"
        }
        24 => {
            let tx = request.tx(place);
            tx.sig = tx.sig.map(|sig| sig + 1);
            "S1-signature"
        }
        25 => {
            let tx = request.tx(place);
            let send = tx.send;
            tx.send = Some(65_539);
            tx.sign();
            tx.send = send;
            "S1-signature"
        }
        26 => {
            request.change(reward, |tx| tx.amt += 1);
            "R1-reward"
        }
        27 => {
            request.change(reward, |tx| tx.amt *= 2);
            "R1-reward"
        }
        28 => {
            request.chain[block].hash = flip(&request.chain[block].hash);
            request.seal_blocks(block + 1);
            "H2-block-hash"
        }
        29 => {
            request.chain[block].pow.push('x');
            "H2-block-hash"
        }
        30 => {
            let wrong = if block == 0 { "00000001" } else { "00000000" };
            request.chain[block].seal(wrong, "");
            request.seal_blocks(block + 1);
            "H2-block-hash"
        }
        31 => {
            let block = &mut request.chain[block];
            block.target.clone_from(&block.hash);
            "P1-target"
        }
        32 => {
            request.chain[block].target = String::new();
            "P1-target"
        }
        _ => {
            let target = pick(
                choose,
                &[
                    "",
                    "0",
                    "00000000",
                    "000001",
                    "00000fff",
                    "/",
                    "00000ffe9",
                    " 1",
                ],
            );
            target.clone_into(&mut request.new_target);
            "P2-new-target"
        }
    };
    Some(code)
}

/// Another hash that sorts almost as the given one.
fn flip(hash: &str) -> String {
    let last = if hash.ends_with('0') { '1' } else { '0' };
    format!("{}{last}", &hash[..7])
}

/// The time of the last transaction of all, moved on.
fn last_time(request: &Request, later: u64) -> String {
    let last = request
        .new_tx
        .last()
        .or_else(|| request.chain.last()?.all_tx.last())
        .unwrap();
    (last.time.parse::<u64>().unwrap() + later).to_string()
}

/// The time of the transaction before, with its leading zeros.
fn time_before(request: &Request, (block, index): (Option<usize>, usize)) -> String {
    let mut all: Vec<&Tx> = Vec::new();
    for (place, content) in request.chain.iter().enumerate() {
        if Some(place) == block {
            all.extend(&content.all_tx[..index]);
            break;
        }
        all.extend(&content.all_tx);
    }
    if block.is_none() {
        all.extend(&request.new_tx[..index]);
    }
    all.last()
        .map_or_else(|| "0".to_owned(), |tx| tx.time.clone())
}

/// What the sender of a transaction owns just before it.
fn balance_before(request: &Request, (block, index): (Option<usize>, usize)) -> i64 {
    let target = match block {
        Some(block) => &request.chain[block].all_tx[index],
        None => &request.new_tx[index],
    };
    let account = target.send.unwrap();
    let mut balance = 0;
    let mut apply = |tx: &Tx| {
        if tx.send.unwrap_or(OURS) == account {
            balance -= tx.amt + tx.fee.unwrap_or(0);
        }
        if tx.recv == account {
            balance += tx.amt;
        }
    };
    let mut earned = 0;
    for (place, content) in request.chain.iter().enumerate() {
        let here = Some(place) == block;
        let end = if here {
            index
        } else {
            content.all_tx.len() - 1
        };
        content.all_tx[..end].iter().for_each(&mut apply);
        if here {
            return balance + earned;
        }
        let reward = &content.all_tx[end];
        if reward.recv == account {
            let fees: i64 = content.all_tx[..end].iter().filter_map(|tx| tx.fee).sum();
            earned += reward.amt + fees;
        }
    }
    request.new_tx[..index].iter().for_each(apply);
    balance + earned
}
