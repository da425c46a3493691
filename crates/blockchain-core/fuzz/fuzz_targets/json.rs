//! JSON text: the parser against its oracle, then the whole way.

#![no_main]

use libfuzzer_sys::fuzz_target;

mod answer;
#[path = "../../tests/support/oracle.rs"]
mod oracle;
#[path = "../../tests/support/packing.rs"]
mod packing;

fuzz_target!(|text: &str| {
    oracle::compare(text);
    let _ = answer::answer(packing::pack(text).as_bytes());
});
