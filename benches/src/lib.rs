//! What the services are measured with.
//!
//! * [`corpus`]: the requests that are sent, one target a line.
//! * [`cases`]: one unit of each core's work, for the timed and the counted benches.
//! * [`growth`]: time against the size of a request or a record.
//! * [`table`]: a table for the twitter service, and who in it is the median user.
//! * [`packs`]: packs of a stated size.
//!
//! The programs are `raw` and `hello` (yardsticks), `sqlx_pool` (what a cache miss costs without
//! further thought), `prepare` (writes corpora and tables), `growth` (prints those curves) and
//! `counted` (runs under valgrind).
//! `cargo xtask bench` drives them all.

pub mod cases;
pub mod corpus;
pub mod growth;
pub mod packs;
#[cfg(feature = "programs")]
pub mod table;
