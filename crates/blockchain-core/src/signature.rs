//! Signatures: textbook RSA with one small modulus for every account.
//!
//! The modulus is 41 bits and its factors are known, so a power splits into two
//! with 21-bit moduli and exponents, all within 64-bit arithmetic. This protects
//! nothing and is not meant to: it is the course's signature, bit for bit.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::transaction::ShortHash;

/// The modulus, shared by all accounts.
pub const N: u64 = P * Q;
/// Our account number, which is our public exponent.
pub const ACCOUNT: u64 = 1_097_844_002_039;
/// Our private exponent.
const D: u64 = 343_710_770_439;

const P: u64 = 1_231_697;
const Q: u64 = 1_268_093;
/// Inverse of `Q` modulo `P`, to put the two halves of a signature together.
const Q_INVERSE: u64 = power_mod::<P>(Q, P - 2);

/// `base ^ exponent` modulo the prime `M` below 2^21.
///
/// Squares and products do not wait for each other, which the processor overlaps.
#[expect(
    clippy::arithmetic_side_effects,
    reason = "factors are below M < 2^21, so products are below 2^42, and M is not zero"
)]
const fn power_mod<const M: u64>(base: u64, exponent: u64) -> u64 {
    // The exponent counts modulo M - 1, but a positive one must not become 0: then
    // a base divisible by M would give 1 instead of 0.
    let mut rest = exponent % (M - 1);
    if rest == 0 && exponent > 0 {
        rest = M - 1;
    }
    let mut square = base % M;
    let mut result = 1;
    while rest > 0 {
        if rest & 1 == 1 {
            result = result * square % M;
        }
        square = square * square % M;
        rest >>= 1;
    }
    result
}

/// Whether `sig ^ account` modulo [`N`] is the hash.
///
/// `sig` may be at or above the modulus. Costs two powers of 20-bit exponents.
pub fn verify(sig: u64, account: u64, hash: ShortHash) -> bool {
    // The hash is below N, so it is enough to compare modulo both factors.
    let hash = u64::from(hash.0);
    power_mod::<P>(sig, account) == hash % P && power_mod::<Q>(sig, account) == hash % Q
}

/// Our signature of a hash: `hash ^ D` modulo [`N`].
#[expect(
    clippy::arithmetic_side_effects,
    reason = "all values are below 2^21, the result is below N < 2^41"
)]
pub fn sign(hash: ShortHash) -> u64 {
    let hash = u64::from(hash.0);
    let by_p = power_mod::<P>(hash, D);
    let by_q = power_mod::<Q>(hash, D);
    let step = (by_p + P - by_q % P) * Q_INVERSE % P;
    by_q + step * Q
}

#[cfg(test)]
#[allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "test values"
)]
mod tests {
    use super::{ACCOUNT, N, P, Q, sign, verify};
    use crate::transaction::ShortHash;

    #[test]
    fn knows_the_worked_values() {
        assert_eq!(N, 1_561_906_343_821);
        assert!(verify(
            1_523_500_375_459,
            895_456_882_897,
            ShortHash(0xc047_3abd)
        ));
        assert_eq!(sign(ShortHash(2_723_880_905)), 1_240_206_310_211);
        assert!(verify(1_240_206_310_211, ACCOUNT, ShortHash(2_723_880_905)));
    }

    #[test]
    fn reduces_a_signature_above_the_modulus() {
        assert!(verify(
            1_240_206_310_211 + N,
            ACCOUNT,
            ShortHash(2_723_880_905)
        ));
    }

    #[test]
    fn account_zero_maps_every_signature_to_one() {
        for sig in [0, 1, P, N] {
            assert!(verify(sig, 0, ShortHash(1)));
            assert!(!verify(sig, 0, ShortHash(0)));
        }
    }

    #[test]
    fn zero_stays_zero_where_the_exponent_reduces_to_zero() {
        let account = (P - 1) * (Q - 1);
        assert!(verify(0, account, ShortHash(0)));
        assert!(verify(N, account, ShortHash(0)));
        assert!(!verify(0, account, ShortHash(1)));
        assert!(verify(5, account, ShortHash(1)));
        assert!(!verify(P, account, ShortHash(1)));
    }

    #[test]
    fn signs_hashes_divisible_by_a_factor() {
        for hash in [0, 1, 1_231_697, 1_268_093, 2 * 1_268_093, u32::MAX] {
            assert!(
                verify(sign(ShortHash(hash)), ACCOUNT, ShortHash(hash)),
                "{hash}"
            );
        }
    }
}
