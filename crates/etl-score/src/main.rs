//! The score step of the ETL on an embedded query engine.

fn main() {}
