//! The load harness: requests with known answers, sent on a schedule, every reply checked.
//!
//! * [`corpus`]: what is asked, and what the answer must be.
//! * [`check`]: is a reply right, not only 200.

pub mod check;
pub mod corpus;
pub mod random;
