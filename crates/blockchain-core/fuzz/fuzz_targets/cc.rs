//! The packed text itself.

#![no_main]

use libfuzzer_sys::fuzz_target;

mod answer;
#[path = "../../tests/support/packing.rs"]
mod packing;

fuzz_target!(|packed: &[u8]| {
    let _ = answer::answer(packed);
    // Past the outer layers, which random input seldom is.
    let _ = answer::answer(packing::base64(packed, true).as_bytes());
});
