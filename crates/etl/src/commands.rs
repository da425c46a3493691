//! One function for each sub-command.

mod load;
mod steps;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use database_address::Address;
use etl::failure::{Failure, FailureKind, complain};
use etl::{generate, read, rows, show};
use flate2::Compression;
use flate2::write::GzEncoder;

pub(crate) use self::load::load;
pub(crate) use self::steps::{build, clean, run, score};
use crate::args::{Database, Generate, Rows, Show};

/// All rows of the table as TSV.
pub(crate) fn rows(options: &Rows) -> Result<(), Failure> {
    let address = address(&options.database)?;
    let path = options.out.display().to_string();
    let failed = |error: &io::Error| Failure::of_output(&path, error);
    let with_header = || -> io::Result<Box<dyn Write>> {
        let mut out = open(&options.out)?;
        writeln!(out, "{}", rows::HEADER)?;
        Ok(out)
    };
    // With the first pack: an old file is not emptied for a database that is not there.
    let mut begun = None;
    let written = read::for_each_pack(&address, None, |pack| {
        let mut write = || {
            let out = match &mut begun {
                Some(out) => out,
                None => begun.insert(with_header()?),
            };
            let pack = pack.as_pack();
            let mut rows = pack.rows();
            rows.try_for_each(|row| rows::write_row(&row, out))
        };
        write().map_err(|error| failed(&error))
    });
    wait(written)??;
    let end = || begun.map_or_else(with_header, Ok)?.flush();
    end().map_err(|error| failed(&error))
}

/// What the table holds of one user.
pub(crate) fn show(options: &Show) -> Result<(), Failure> {
    let address = address(&options.database)?;
    let shown = read::for_each_pack(&address, Some(options.user_id), |pack| {
        say(&show::text(&pack.as_pack(), pack.as_bytes().len()))
    });
    if wait(shown)?? == 0 {
        say(&format!("user {}: no contacts\n", options.user_id))?;
    }
    Ok(())
}

/// Synthetic raw tweets.
pub(crate) fn generate(options: &Generate) -> Result<(), Failure> {
    let defaults = generate::Options::default();
    let wanted = generate::Options {
        users: options.users,
        tweets: options.tweets,
        seed: options.seed,
        malformed_share: options.malformed_share.unwrap_or(defaults.malformed_share),
        filtered_share: options.filtered_share.unwrap_or(defaults.filtered_share),
        duplicate_share: options.duplicate_share.unwrap_or(defaults.duplicate_share),
        ..defaults
    };
    let path = options.out.display().to_string();
    let write = || -> io::Result<generate::Summary> {
        let out = open(&options.out)?;
        if options.out.extension().is_some_and(|end| end == "gz") {
            let mut gzip = GzEncoder::new(out, Compression::fast());
            let summary = generate::write(&wanted, &mut gzip)?;
            gzip.finish()?.flush()?;
            Ok(summary)
        } else {
            let mut out = out;
            let summary = generate::write(&wanted, &mut out)?;
            out.flush()?;
            Ok(summary)
        }
    };
    let summary = write().map_err(|error| Failure::of_output(&path, &error))?;
    complain(&format!(
        "{} lines, {} bytes to {path}",
        summary.lines, summary.bytes
    ));
    Ok(())
}

/// Writes to standard output. A reader that has seen enough, as `head`, is no failure.
fn say(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::of_output("the standard output", &error)),
        Ok(()) => Ok(()),
    }
}

/// A file to write, or standard output for `-`.
fn open(path: &Path) -> io::Result<Box<dyn Write>> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(BufWriter::new(io::stdout().lock())));
    }
    Ok(Box::new(BufWriter::with_capacity(
        1 << 18,
        File::create(path)?,
    )))
}

fn address(database: &Database) -> Result<Address, Failure> {
    // Templates of deployment tools often leave empty variables behind.
    let set = |path: &Option<PathBuf>| path.clone().filter(|path| !path.as_os_str().is_empty());
    let password_file = set(&database.password_file);
    let ca_file = set(&database.ca_file);
    Address::parse(&database.url, password_file, ca_file)
        .map_err(|error| Failure::new(FailureKind::Usage, format!("--database: {error}")))
}

/// Runs a future to its end on this thread.
fn wait<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(FailureKind::Software, format!("no runtime: {error}")))?;
    Ok(runtime.block_on(future))
}
