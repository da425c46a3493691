//! For programs, and for this one to read again: the whole report, histograms included.

use std::path::Path;

use anyhow::{Context as _, Result, bail};

use super::{FORMAT, Report};

/// Largest report that is read, in bytes; four hours of several scenarios are below.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// The report as JSON, with a line feed at the end.
///
/// # Errors
///
/// Never in practice: nothing in it can fail to be written.
pub fn write(report: &Report) -> serde_json::Result<String> {
    let mut text = serde_json::to_string_pretty(report)?;
    text.push('\n');
    Ok(text)
}

/// Reads a report.
///
/// # Errors
///
/// When it is not one, or of another version of the format.
pub fn parse(text: &str) -> Result<Report> {
    #[derive(serde::Deserialize)]
    struct Head {
        format: String,
    }
    let head: Head = serde_json::from_str(text).context("no report of loadgen")?;
    if head.format != FORMAT {
        bail!(
            "the format is {}, and this program reads {FORMAT}",
            head.format
        );
    }
    serde_json::from_str(text).context("a damaged report")
}

/// Reads a report from a file.
///
/// # Errors
///
/// When the file cannot be read, is too large, or [`parse`] refuses it.
pub fn read(path: &Path) -> Result<Report> {
    let shown = path.display();
    let size = std::fs::metadata(path)
        .with_context(|| format!("cannot read {shown}"))?
        .len();
    if size > MAX_FILE_BYTES {
        bail!("{shown} has {size} bytes, and {MAX_FILE_BYTES} are allowed");
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
    parse(&text).with_context(|| shown.to_string())
}
