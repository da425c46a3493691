//! The steps from zone to zone.
//!
//! * [`clean`]: landing to working.

pub mod clean;
