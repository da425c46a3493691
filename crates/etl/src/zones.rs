//! The four zones that data passes: landing, working, processed, served.
//!
//! | zone | holds | written by | read by |
//! | --- | --- | --- | --- |
//! | landing | raw files, `*.gz`, `*.json`, `*.jsonl` | the operator | `etl clean` |
//! | [`working`] | narrow facts as Parquet, one set for each raw file | `etl clean` | `etl score` |
//! | [`processed`] | the denormalised rows as Parquet, in the order of the key | `etl score` | `etl load` |
//! | served | the table | `etl load` | the twitter service |
//!
//! Every file is written under a temporary name and renamed, and a manifest in JSON is written last:
//! what has no manifest was not finished and is redone. Parquet keeps to what DataFusion and Spark
//! read alike: signed integers, `DECIMAL(38, 0)`, UTF-8 strings, Snappy.

pub mod facts;
pub mod figures;
pub mod key;
pub mod lock;
pub mod place;
pub mod processed;
pub mod rows;
pub mod working;
