//! Any bytes as a query, against a plain second reading of the rules.

#![no_main]

use libfuzzer_sys::fuzz_target;
use service_kit::request::Query;
use storm::queries::first;

fuzz_target!(|query: &[u8]| {
    let names = ["type", "data", "cc", "a"];
    for (name, found) in names.iter().zip(Query(query).first(names)) {
        let found = found.map(|value| value.decode().ok().map(|value| value.into_owned()));
        assert_eq!(found, first(query, name), "{name}");
    }
});
