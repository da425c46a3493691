//! The command line.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Parser;
use etl_score::memory::MemorySize;

/// The score step: working zone to processed zone on an embedded query engine
#[derive(Debug, Parser)]
#[command(name = "etl-score", version)]
pub(crate) struct Arguments {
    /// The working zone, made by `etl clean`
    #[arg(long, value_name = "DIR|s3://BUCKET/PREFIX")]
    pub(crate) working: String,
    /// The processed zone, which gets the rows
    #[arg(long, value_name = "DIR|s3://BUCKET/PREFIX")]
    pub(crate) processed: String,
    /// Excluded hashtags, one a line
    #[arg(long, value_name = "FILE")]
    pub(crate) popular: PathBuf,
    /// Memory that the process may hold, like 512M or 8G [default: half of the machine's or container's]
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory: Option<MemorySize>,
    /// Threads [default: one for each CPU]
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// Folder for spilled data, emptied first [default: .scratch in the processed zone]
    #[arg(long, value_name = "DIR")]
    pub(crate) scratch: Option<PathBuf>,
    /// Let every join sort, as joins do whose tables outgrow the memory
    #[arg(long)]
    pub(crate) sort_merge: bool,
    /// Also write times, rows and peak memory as JSON to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}
