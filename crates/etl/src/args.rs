//! What the user typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// From raw tweets to the one table that the twitter service reads.
#[derive(Debug, Parser)]
#[command(name = "etl", version, about, long_about = None)]
pub(crate) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// One sub-command for each job.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Clean, score, check and load: all that is new since the last run
    ///
    /// The table is replaced as a whole, atomically, after every check held; else nothing is published.
    /// Killed at any moment, the same command line goes on where it was.
    Run(Run),
    /// Clean raw files into the working zone; a file that is done is not done again
    Clean(Clean),
    /// Make the rows of the processed zone from the facts of the working zone
    Score(Score),
    /// The same as run, over a temporary folder and in memory
    ///
    /// Holds its working set in memory: about as many bytes as the valid tweets have text. The facts and
    /// rows on the way lie in the folder for temporary files (TMPDIR).
    Build(Build),
    /// Put the rows of a processed zone into the table, after every check held
    ///
    /// Only packs that have changed are written, where that is little; else everything goes into a table
    /// of its own, which then takes the old one's place at once. Nothing is published if a check fails.
    Load(Load),
    /// Write all rows of the table as TSV, in the order of the key
    Rows(Rows),
    /// Print what the table holds of one user
    Show(Show),
    /// Write synthetic raw tweets, the same for the same options
    Generate(Generate),
}

/// Where the table is.
#[derive(Clone, Debug, Args)]
pub(crate) struct Database {
    /// mysql://USER[:PASSWORD]@HOST:PORT/DATABASE or sqlite://PATH
    #[arg(
        long = "database",
        value_name = "URL",
        env = "DATABASE_URL",
        hide_env_values = true
    )]
    pub(crate) url: String,
    /// File with the password in its first line
    #[arg(
        id = "database_password_file",
        long = "database-password-file",
        value_name = "FILE",
        env = "DATABASE_PASSWORD_FILE"
    )]
    pub(crate) password_file: Option<PathBuf>,
    /// PEM file of certificate authorities; with it the certificate is verified
    #[arg(
        id = "database_ca_file",
        long = "database-ca-file",
        value_name = "FILE",
        env = "DATABASE_CA_FILE"
    )]
    pub(crate) ca_file: Option<PathBuf>,
}

/// Options of `clean`.
#[derive(Debug, Args)]
pub(crate) struct Clean {
    /// Folder or s3:// prefix with raw files: *.gz, *.json, *.jsonl, one JSON object a line
    #[arg(long, value_name = "PLACE")]
    pub(crate) landing: String,
    /// Folder or s3:// prefix for facts
    #[arg(long, value_name = "PLACE")]
    pub(crate) working: String,
    /// Inputs whose raw file is gone from the landing zone: stop, or keep or drop their facts
    #[arg(long, value_enum, default_value = "refuse", value_name = "WHAT")]
    pub(crate) gone: Gone,
    /// Bytes that may be used, as 4G; fewer files at a time where it is short
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) memory: Option<u64>,
    /// Files that are cleaned at a time [default: one for each CPU]
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<std::num::NonZeroUsize>,
}

/// Options of `score`.
#[derive(Debug, Args)]
pub(crate) struct Score {
    /// Folder or s3:// prefix with facts
    #[arg(long, value_name = "PLACE")]
    pub(crate) working: String,
    /// Folder or s3:// prefix for rows
    #[arg(long, value_name = "PLACE")]
    pub(crate) processed: String,
    /// Excluded hashtags, one a line
    #[arg(long, value_name = "FILE")]
    pub(crate) popular: PathBuf,
    /// What makes the rows
    #[arg(long, value_enum, default_value = "datafusion", value_name = "ENGINE")]
    pub(crate) engine: Engine,
    /// Bytes that may be used, as 4G [default: the engine's own]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) memory: Option<u64>,
    /// Threads of the engine [default: one for each CPU]
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<std::num::NonZeroUsize>,
}

/// Options of `run`.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Folder or s3:// prefix with raw files: *.gz, *.json, *.jsonl, one JSON object a line
    #[arg(long, value_name = "PLACE")]
    pub(crate) landing: String,
    /// Folder or s3:// prefix for facts
    #[arg(long, value_name = "PLACE")]
    pub(crate) working: String,
    /// Folder or s3:// prefix for rows
    #[arg(long, value_name = "PLACE")]
    pub(crate) processed: String,
    /// Excluded hashtags, one a line
    #[arg(long, value_name = "FILE")]
    pub(crate) popular: PathBuf,
    /// Where the table is
    #[command(flatten)]
    pub(crate) database: Database,
    /// What makes the rows
    #[arg(long, value_enum, default_value = "datafusion", value_name = "ENGINE")]
    pub(crate) engine: Engine,
    /// Bytes that may be used, as 4G [default: the engine's own]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) memory: Option<u64>,
    /// Files at a time, and threads of the engine [default: one for each CPU]
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<std::num::NonZeroUsize>,
    /// Inputs whose raw file is gone from the landing zone: stop, or keep or drop their facts
    #[arg(long, value_enum, default_value = "refuse", value_name = "WHAT")]
    pub(crate) gone: Gone,
    /// Say what would be done, and do nothing
    #[arg(long = "dry-run")]
    pub(crate) is_dry: bool,
    /// Also write the counts as JSON to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) stats: Option<PathBuf>,
    /// How to load and what to report
    #[command(flatten)]
    pub(crate) loading: Loading,
}

/// What makes the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    /// This program, with everything in memory
    Memory,
    /// The program etl-score, which spills to disk
    #[value(name = "datafusion")]
    DataFusion,
}

impl From<Engine> for etl::steps::score::Engine {
    fn from(engine: Engine) -> Self {
        match engine {
            Engine::Memory => Self::Memory,
            Engine::DataFusion => Self::DataFusion,
        }
    }
}

/// What to do about inputs whose raw file is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Gone {
    /// Stop before anything is done
    Refuse,
    /// Their facts stay and count
    Keep,
    /// Their facts are removed
    Drop,
}

impl From<Gone> for etl::steps::clean::Gone {
    fn from(gone: Gone) -> Self {
        match gone {
            Gone::Refuse => Self::Refuse,
            Gone::Keep => Self::Keep,
            Gone::Drop => Self::Drop,
        }
    }
}

/// Options of `build`.
#[derive(Debug, Args)]
pub(crate) struct Build {
    /// Raw tweets, one JSON object a line, plain or gzip
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    pub(crate) input: Vec<PathBuf>,
    /// Excluded hashtags, one a line
    #[arg(long, value_name = "FILE")]
    pub(crate) popular: PathBuf,
    /// Where the table is
    #[command(flatten)]
    pub(crate) database: Database,
    /// Threads that read files [default: one for each CPU]
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<std::num::NonZeroUsize>,
    /// Also write the counts as JSON to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) stats: Option<PathBuf>,
    /// How to load and what to report
    #[command(flatten)]
    pub(crate) loading: Loading,
}

/// Options of `load`.
#[derive(Debug, Args)]
pub(crate) struct Load {
    /// Folder or s3:// prefix with rows
    #[arg(long, value_name = "PLACE")]
    pub(crate) processed: String,
    /// Folder or s3:// prefix with the facts to check against [default: where score found them]
    #[arg(long, value_name = "PLACE")]
    pub(crate) working: Option<String>,
    /// Excluded hashtags, one a line, which must be those of the rows [default: those]
    #[arg(long, value_name = "FILE")]
    pub(crate) popular: Option<PathBuf>,
    /// Where the table is
    #[command(flatten)]
    pub(crate) database: Database,
    /// How to load and what to report
    #[command(flatten)]
    pub(crate) loading: Loading,
    /// Threads that pack, and connections [default: one for each CPU]
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<std::num::NonZeroUsize>,
}

/// How to load, and what to report.
#[derive(Debug, Args)]
pub(crate) struct Loading {
    /// Write everything anew, whatever has changed
    #[arg(long)]
    pub(crate) full: bool,
    /// Ask a running service afterwards, as http://HOST:PORT, what the rows say
    #[arg(long, value_name = "URL")]
    pub(crate) ask: Option<String>,
    /// Folder for what does not fit in memory [default: TMPDIR]
    #[arg(long, value_name = "DIR")]
    pub(crate) spill: Option<PathBuf>,
    /// Write the report as a page of HTML to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Write the report as JSON to this file; what is there before is the run to compare with
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// Options of `rows`.
#[derive(Debug, Args)]
pub(crate) struct Rows {
    /// Where the table is
    #[command(flatten)]
    pub(crate) database: Database,
    /// Where to write; - is standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

/// Options of `show`.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The user's id
    pub(crate) user_id: u64,
    /// Where the table is
    #[command(flatten)]
    pub(crate) database: Database,
}

/// Options of `generate`.
#[derive(Debug, Args)]
pub(crate) struct Generate {
    /// How many users post and are contacted
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    pub(crate) users: u64,
    /// How many lines, valid or not
    #[arg(long, default_value_t = 20_000, value_name = "N")]
    pub(crate) tweets: u64,
    /// Makes the difference between two runs
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
    /// Share of lines that are malformed or lack something
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub(crate) malformed_share: Option<f64>,
    /// Share of lines that the filter drops for their language, hashtags or text
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub(crate) filtered_share: Option<f64>,
    /// Share of lines that repeat an earlier tweet
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub(crate) duplicate_share: Option<f64>,
    /// Where to write; - is standard output, a name that ends in .gz is compressed
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err("expected a number from 0 to 1".to_owned()),
    }
}

/// Bytes, with `K`, `M`, `G` or `T` for powers of 1024.
fn size(text: &str) -> Result<u64, String> {
    let text = text.trim().to_ascii_uppercase();
    let text = text.strip_suffix('B').unwrap_or(&text);
    let text = text.strip_suffix('I').unwrap_or(text);
    let units = [('K', 10), ('M', 20), ('G', 30), ('T', 40)];
    let with_unit = |(unit, shift)| Some((text.strip_suffix(unit)?, shift));
    let (digits, shift) = units.into_iter().find_map(with_unit).unwrap_or((text, 0));
    let number: Option<u64> = digits.parse().ok().filter(|number| *number > 0);
    let bytes = number.and_then(|number| number.checked_mul(1 << shift));
    bytes.ok_or_else(|| "expected a size as 512M or 4G".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(size("4G"), Ok(4 << 30));
        assert_eq!(size("512MiB"), Ok(512 << 20));
        assert_eq!(size("100k"), Ok(100 << 10));
        assert_eq!(size("12"), Ok(12));
        for bad in ["", "G", "0", "-1", "1.5G", "4GG", "99999999999T"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }
}
