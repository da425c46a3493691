//! The texts that are hashed, and their digests.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use sha2::block_api::compress256;
use sha2::{Digest, Sha256};

use crate::transaction::{Payment, Reward, ShortHash, Time};

/// What block 0 has in place of a previous block's hash.
pub const NO_PREVIOUS_HASH: ShortHash = ShortHash(0);

/// SHA-256's initial state.
pub(crate) const INITIAL_STATE: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// Hash over a payment's time, sender, receiver, amount and fee.
pub fn payment_hash(payment: &Payment) -> ShortHash {
    let mut text = Text::new(&payment.time);
    text.integer(payment.send);
    text.integer(payment.recv);
    text.integer(payment.amt);
    text.integer(payment.fee);
    text.hash()
}

/// Hash over a reward's time, receiver and amount; sender and fee are empty.
pub fn reward_hash(reward: &Reward) -> ShortHash {
    let mut text = Text::new(&reward.time);
    text.push(b"|");
    text.integer(reward.recv);
    text.integer(reward.amt);
    text.push(b"|");
    text.hash()
}

/// The text of one transaction, padded in place to one or two SHA-256 blocks.
struct Text {
    bytes: [u8; 128],
    len: usize,
}

impl Text {
    fn new(time: &Time) -> Self {
        let mut text = Self {
            bytes: [0; 128],
            len: 0,
        };
        text.push(time.digits());
        text
    }

    fn integer(&mut self, value: impl itoa::Integer) {
        self.push(b"|");
        self.push(itoa::Buffer::new().format(value).as_bytes());
    }

    fn push(&mut self, part: &[u8]) {
        let end = self.len.wrapping_add(part.len());
        self.bytes
            .get_mut(self.len..end)
            .expect("19 digits, four integers of at most 20 and four bars are 103 bytes")
            .copy_from_slice(part);
        self.len = end;
    }

    fn hash(mut self) -> ShortHash {
        let bit_length = (self.len as u64).wrapping_mul(8).to_be_bytes();
        self.push(&[0x80]);
        let (blocks, _) = self.bytes.as_chunks_mut::<64>();
        // The last block of the two or one must have room for the length.
        let used = if self.len > 56 { 2 } else { 1 };
        let blocks = blocks.get_mut(..used).unwrap_or_default();
        if let Some(length) = blocks.last_mut().and_then(|last| last.last_chunk_mut()) {
            *length = bit_length;
        }
        let mut state = INITIAL_STATE;
        compress256(&mut state, blocks);
        let [first, ..] = state;
        ShortHash(first)
    }
}

/// A block's content as 64 hex digits, which its proof of work is appended to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed([u8; 64]);

impl Seed {
    /// Digests a block's id, the previous block's hash and all transaction hashes.
    pub fn new(
        id: u64,
        previous: ShortHash,
        transactions: impl IntoIterator<Item = ShortHash>,
    ) -> Self {
        let mut sha = Sha256::new();
        sha.update(itoa::Buffer::new().format(id));
        for hash in std::iter::once(previous).chain(transactions) {
            let mut part = [b'|'; 9];
            if let Some(digits) = part.last_chunk_mut() {
                *digits = hash.hex();
            }
            sha.update(part);
        }
        let mut digits = [0; 64];
        let (words, _) = digits.as_chunks_mut::<8>();
        let digest = sha.finalize();
        let (parts, _) = digest.as_slice().as_chunks::<4>();
        for (word, part) in words.iter_mut().zip(parts) {
            *word = ShortHash(u32::from_be_bytes(*part)).hex();
        }
        Self(digits)
    }

    /// The 64 hex digits.
    pub const fn digits(&self) -> &[u8; 64] {
        &self.0
    }

    /// The block's hash under a proof of work of any text.
    pub fn hash(&self, pow: &str) -> ShortHash {
        let digest = Sha256::new()
            .chain_update(self.0)
            .chain_update(pow)
            .finalize();
        let [a, b, c, d, ..] = digest.0;
        ShortHash(u32::from_be_bytes([a, b, c, d]))
    }
}

#[cfg(test)]
#[allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "test values"
)]
mod tests {
    use super::{NO_PREVIOUS_HASH, Seed, payment_hash, reward_hash};
    use crate::transaction::{Payment, Reward, ShortHash, Time};
    use sha2::{Digest, Sha256};

    #[test]
    fn knows_the_worked_values() {
        let payment = Payment {
            sig: 0,
            recv: 831_361_201_829,
            fee: 2408,
            amt: 126_848_946,
            time: Time::parse("1582520454597521976").unwrap(),
            send: 895_456_882_897,
            hash: ShortHash(0),
        };
        assert_eq!(payment_hash(&payment), ShortHash(0xc047_3abd));
        let reward = Reward {
            recv: 895_456_882_897,
            amt: 500_000_000,
            time: Time::parse("1582520400000000000").unwrap(),
            hash: ShortHash(0),
        };
        assert_eq!(reward_hash(&reward), ShortHash(0x4b27_7860));
        let seed = Seed::new(0, NO_PREVIOUS_HASH, [ShortHash(0x4b27_7860)]);
        assert_eq!(
            seed.digits(),
            b"0eb5e896667b531a8bf0f00451f59504eddcc3b0a7691ed5a616e816461130a8"
        );
        assert_eq!(seed.hash("0"), ShortHash(0x07c9_8747));
    }

    #[test]
    fn pads_transaction_texts_of_every_length() {
        for digits in 1..=19 {
            for recv in [0, 7, 123_456, 1_097_844_002_039, i64::MAX.unsigned_abs()] {
                for amt in [i64::MIN, -5, 0, i64::MAX] {
                    let time = "1".repeat(digits);
                    let payment = Payment {
                        sig: 0,
                        recv,
                        fee: amt,
                        amt,
                        time: Time::parse(&time).unwrap(),
                        send: recv,
                        hash: ShortHash(0),
                    };
                    let text = format!("{time}|{recv}|{recv}|{amt}|{amt}");
                    let digest = Sha256::digest(text);
                    let expected = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
                    assert_eq!(payment_hash(&payment).0, expected);
                }
            }
        }
    }
}
