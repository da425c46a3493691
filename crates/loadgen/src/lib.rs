//! The load harness: requests with known answers, sent on a schedule, every reply checked.
//!
//! * [`corpus`]: what is asked, and what the answer must be.
//! * [`check`]: is a reply right, not only 200.
//! * [`schedule`]: when each request is due, fixed before the run.
//! * [`client`]: one connection.
//! * [`record`]: what happened.
//! * [`plan`], [`run`]: all of them together.
//! * [`live`], [`screen`]: how it goes meanwhile.
//! * [`report`], [`threshold`]: the figures, and limits on them.
//! * [`smoke`]: golden requests for every path.
//! * [`find_max`], [`live_test`]: several runs, to find a rate or to fill a scoreboard.
//! * [`compare`]: what figures mean against others; in dollars, the crate `cost-model` knows.

pub mod check;
pub mod client;
pub mod compare;
pub mod corpus;
pub mod failure;
pub mod find_max;
pub mod live;
pub mod live_test;
pub mod plan;
pub mod random;
pub mod record;
pub mod report;
pub mod run;
pub mod schedule;
pub mod screen;
pub mod smoke;
pub mod target;
pub mod threshold;
pub mod units;
