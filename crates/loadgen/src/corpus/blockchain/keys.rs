//! Signing for any account: textbook RSA whose factors are known.

use blockchain_core::ShortHash;
use blockchain_core::signature::N;

use crate::random::Random;

/// The order that private exponents are inverted in: the least common multiple of p - 1 and q - 1.
const ORDER: i128 = {
    let (p, q): (i128, i128) = (1_231_697 - 1, 1_268_093 - 1);
    let (mut a, mut b) = (p, q);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    p / a * q
};

/// An account and what signs for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    pub(super) account: u64,
    exponent: u64,
}

impl Key {
    /// The key of an account, if its number has one.
    pub(super) fn new(account: u64) -> Option<Self> {
        let (mut r, mut next_r) = (ORDER, i128::from(account) % ORDER);
        let (mut t, mut next_t) = (0_i128, 1_i128);
        while next_r != 0 {
            let quotient = r / next_r;
            (r, next_r) = (next_r, r - quotient * next_r);
            (t, next_t) = (next_t, t - quotient * next_t);
        }
        let exponent = u64::try_from(t.rem_euclid(ORDER)).ok()?;
        (r == 1).then_some(Self { account, exponent })
    }

    /// An account drawn from those that have a key.
    pub(super) fn random(random: &mut Random) -> Self {
        loop {
            if let Some(key) = Self::new(random.below(N) | 1) {
                return key;
            }
        }
    }

    /// The signature of a hash.
    pub(super) fn sign(&self, hash: ShortHash) -> u64 {
        let modulus = u128::from(N);
        let mut square = u128::from(hash.0) % modulus;
        let mut result = 1;
        let mut rest = self.exponent;
        while rest > 0 {
            if rest & 1 == 1 {
                result = result * square % modulus;
            }
            square = square * square % modulus;
            rest >>= 1;
        }
        u64::try_from(result).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use blockchain_core::ShortHash;
    use blockchain_core::signature::{ACCOUNT, sign, verify};

    use super::Key;
    use crate::random::Random;

    #[test]
    fn signs_as_the_core_verifies() {
        let mut random = Random::new(1);
        for round in 0..200 {
            let key = Key::random(&mut random);
            let hash = ShortHash(u32::try_from(random.word() >> 32).unwrap());
            assert!(verify(key.sign(hash), key.account, hash), "round {round}");
        }
        let ours = Key::new(ACCOUNT).unwrap();
        assert_eq!(ours.sign(ShortHash(77)), sign(ShortHash(77)));
        assert!(Key::new(2).is_none());
    }
}
