//! Tests written in Python, run with the pinned tools on the PATH and counted.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::time::timeout;

use crate::tally::Tally;
use crate::tools::Tools;

/// How long one file may take, on a host that is busy with other things.
const DEADLINE: Duration = Duration::from_mins(20);

/// Runs one file of tests, showing its output.
pub(crate) async fn run(tools: &Tools, root: &Path, file: &str) -> Result<Tally> {
    timeout(DEADLINE, run_file(tools, root, file))
        .await
        .map_err(|_| anyhow!("{file} did not end within {} s", DEADLINE.as_secs()))?
}

async fn run_file(tools: &Tools, root: &Path, file: &str) -> Result<Tally> {
    let mut process = tools
        .command("python3")?
        // No files of compiled code beside the tests.
        .args(["-B", file])
        .current_dir(root)
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {file}"))?;
    let errors = process.stderr.take().context("python3 has no output")?;
    let mut lines = BufReader::new(errors).lines();
    let mut count = Count::default();
    while let Some(line) = lines.next_line().await? {
        count.take(&line);
        eprintln!("    {line}");
    }
    let status = process.wait().await?;
    Ok(count.tally(file, status.success()))
}

/// What unittest says at its end: `Ran 12 tests in 0.5s`, then `OK` or
/// `FAILED (failures=1, errors=2)`.
#[derive(Debug, Default)]
struct Count {
    ran: u64,
    failed: u64,
}

impl Count {
    fn take(&mut self, line: &str) {
        if let Some(rest) = line.strip_prefix("Ran ") {
            let number = rest.split(' ').next().and_then(|word| word.parse().ok());
            self.ran = number.unwrap_or(0);
        } else if let Some(rest) = line.strip_prefix("FAILED (") {
            let numbers = rest.trim_end_matches(')').split(", ");
            self.failed = numbers
                .filter_map(|part| part.split_once('='))
                .filter(|(kind, _)| matches!(*kind, "failures" | "errors"))
                .filter_map(|(_, number)| number.parse::<u64>().ok())
                .sum();
        }
    }

    fn tally(&self, file: &str, success: bool) -> Tally {
        let mut failed = self.failed;
        if (!success && failed == 0) || self.ran == 0 {
            eprintln!("xtask: {file} failed without naming a test; counted as one");
            failed = failed.max(1);
        }
        let mut tally = Tally::default();
        // Sub-tests fail on their own: there can be more failures than tests.
        tally.passed = self.ran.saturating_sub(failed);
        tally.failed = failed;
        tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(output: &str, success: bool) -> (u64, u64) {
        let mut count = Count::default();
        output.lines().for_each(|line| count.take(line));
        let tally = count.tally("test.py", success);
        (tally.passed, tally.failed)
    }

    #[test]
    fn reads_the_sum_of_unittest() {
        assert_eq!(counted("Ran 12 tests in 0.5s\n\nOK\n", true), (12, 0));
        assert_eq!(counted("Ran 1 test in 0.5s\n\nOK\n", true), (1, 0));
        let failed = "Ran 12 tests in 0.5s\n\nFAILED (failures=1, errors=2)\n";
        assert_eq!(counted(failed, false), (9, 3));
        assert_eq!(
            counted("Ran 3 tests in 1s\n\nFAILED (failures=7)\n", false),
            (0, 7)
        );
    }

    #[test]
    fn a_file_that_dies_or_has_no_tests_counts_as_failed() {
        assert_eq!(counted("ImportError: yaml\n", false), (0, 1));
        assert_eq!(counted("Ran 0 tests in 0s\n\nOK\n", true), (0, 1));
    }
}
