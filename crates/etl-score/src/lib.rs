//! The score step of the ETL on an embedded query engine.
//!
//! [`score()`] reads the narrow facts of a working zone, runs the [`queries`] over them one after the
//! other and leaves the denormalised rows in a processed zone, sorted by key in files of bounded size,
//! with a manifest written last. The queries are SQL that Apache Spark runs too, unchanged.
//!
//! # Memory
//!
//! The engine is given a part of the limit ([`memory::MemoryPlan`]); sorts and groups that outgrow
//! it spill into the scratch folder. The result of each query is a table in that folder, so that at
//! any time one query holds memory. Hash joins cannot spill: those whose table would not fit become
//! sort-merge joins (the module `joins`).

mod failure;
mod joins;
pub mod memory;
mod parts;
mod pool;
pub mod queries;
mod run;
mod session;

pub use self::run::{Done, Options, Step, score};
