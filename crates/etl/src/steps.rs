//! The steps from zone to zone.
//!
//! * [`clean`]: landing to working.
//! * [`score`]: working to processed.
//! * [`run`]: these, one after the other.
//! * [`temporary`]: zones for one run only.
//! * [`progress`]: how far they are.

pub mod clean;
pub mod progress;
pub mod run;
pub mod score;
pub mod temporary;
