//! Signatures against the arithmetic of the `rsa` crate.

#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use blockchain_core::ShortHash;
use blockchain_core::signature::{ACCOUNT, N, sign, verify};
use proptest::prelude::*;
use rsa::BigUint;

const P: u64 = 1_231_697;
const Q: u64 = 1_268_093;
const PRIVATE_EXPONENT: u64 = 343_710_770_439;

fn power(base: u64, exponent: u64) -> BigUint {
    BigUint::from(base).modpow(&BigUint::from(exponent), &BigUint::from(N))
}

fn agrees(sig: u64, account: u64) {
    let opened = power(sig, account);
    let candidates = [0, 1, 0xffff_ffff, 1_231_697, 1_268_093];
    let own = opened.to_string().parse::<u32>().ok();
    for hash in candidates.into_iter().chain(own) {
        assert_eq!(
            verify(sig, account, ShortHash(hash)),
            opened == BigUint::from(hash),
            "{sig} ^ {account} against {hash}"
        );
    }
}

#[test]
fn edges_agree() {
    let order = (P - 1) * (Q - 1);
    let bases = [
        0,
        1,
        2,
        P,
        Q,
        P * 5,
        Q * 7,
        N - 1,
        N,
        N + 1,
        2 * N,
        i64::MAX.unsigned_abs(),
    ];
    let accounts = [
        0,
        1,
        2,
        P - 1,
        Q - 1,
        P,
        Q,
        order,
        order / 4,
        order + 1,
        N,
        i64::MAX.unsigned_abs(),
    ];
    for sig in bases {
        for account in accounts {
            agrees(sig, account);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn powers_agree(sig in 0..=i64::MAX.unsigned_abs(), account in 0..=i64::MAX.unsigned_abs()) {
        agrees(sig, account);
        agrees(sig % N, account % N);
    }

    #[test]
    fn our_signatures_are_the_private_power(hash: u32) {
        let sig = sign(ShortHash(hash));
        prop_assert_eq!(BigUint::from(sig), power(u64::from(hash), PRIVATE_EXPONENT));
        prop_assert_eq!(power(sig, ACCOUNT), BigUint::from(hash));
        prop_assert!(verify(sig, ACCOUNT, ShortHash(hash)));
        prop_assert!(!verify(sig, ACCOUNT, ShortHash(hash ^ 1)));
    }
}
