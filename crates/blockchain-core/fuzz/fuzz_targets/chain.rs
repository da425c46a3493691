//! Chains that are hashed and signed, with at most one rule broken.

#![no_main]

use libfuzzer_sys::fuzz_target;

mod answer;
#[path = "../../tests/support/chain.rs"]
mod chain;
#[path = "../../tests/support/packing.rs"]
mod packing;

fuzz_target!(|choices: &[u8]| {
    let mut words = choices.chunks(4);
    let mut choose = |bound: u64| {
        let word = words.next().unwrap_or_default();
        word.iter()
            .fold(0, |word, byte| word << 8 | u64::from(*byte))
            % bound
    };
    let damage = choose(2 * chain::DAMAGES);
    let mut request = chain::valid(&mut choose);
    let broken = if damage < chain::DAMAGES {
        chain::damage(&mut request, damage, &mut choose)
    } else {
        None
    };
    let text = request.to_json();
    let answer = answer::answer(packing::pack(&text).as_bytes());
    assert_eq!(answer.err().map(|reason| reason.code()), broken, "{text}");
});
