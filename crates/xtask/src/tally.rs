//! Summing up what `cargo test` prints.

use std::process::ExitCode;

/// The word a test prints first on a line when it could not run for lack of
/// something outside, such as a database.
pub(crate) const SKIPPED: &str = "SKIPPED:";

/// Counts over many test binaries.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Tests that passed.
    pub(crate) passed: u64,
    /// Tests that failed.
    pub(crate) failed: u64,
    /// What the tests said they left out, each line once.
    pub(crate) skipped: Vec<String>,
    /// Inside the captured output of passed tests, which nobody needs to see.
    muted: bool,
}

impl Tally {
    /// Takes one line of output in. Says whether the line is worth showing:
    /// the tests run with `--show-output`, since a passed test's `SKIPPED:`
    /// line would stay hidden otherwise, and the rest of that output is noise.
    pub(crate) fn take(&mut self, line: &str) -> bool {
        if let Some(what) = skip_notice(line) {
            if !self.skipped.iter().any(|known| known == what) {
                self.skipped.push(what.to_owned());
            }
            return true;
        }
        if let Some((passed, failed)) = test_result(line) {
            self.passed += passed;
            self.failed += failed;
            self.muted = false;
        } else if line == "successes:" {
            self.muted = true;
        } else if line == "failures:" {
            self.muted = false;
        }
        !self.muted
    }

    /// Adds another count to this one.
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped.extend(other.skipped);
    }

    /// Prints the closing line and gives what the process ends with: nothing tried is no success.
    pub(crate) fn conclude(&self) -> ExitCode {
        println!("\n{}", self.closing_line());
        if self.failed == 0 && self.passed > 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }

    /// The closing line, which scripts read.
    pub(crate) fn closing_line(&self) -> String {
        format!("{} passed, {} failed", self.passed, self.failed)
    }
}

/// The rest of a `SKIPPED:` line.
fn skip_notice(line: &str) -> Option<&str> {
    line.trim_start().strip_prefix(SKIPPED).map(str::trim)
}

/// Passed and failed of a line `test result: ok. 3 passed; 0 failed; ...`.
fn test_result(line: &str) -> Option<(u64, u64)> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let count = |word: &str| {
        counts.split("; ").find_map(|part| {
            let (number, name) = part.split_once(' ')?;
            (name == word).then(|| number.parse().ok()).flatten()
        })
    };
    Some((count("passed")?, count("failed")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(output: &str) -> (Tally, Vec<&str>) {
        let mut tally = Tally::default();
        let shown = output.lines().filter(|line| tally.take(line)).collect();
        (tally, shown)
    }

    const OUTPUT: &str = "\
running 3 tests
test store::reads ... ok
test store::writes ... ok
test store::fails ... FAILED

successes:

---- store::reads stdout ----
chatter
SKIPPED: store::reads: TRIPOD_TEST_MYSQL_URL is not set

successes:
    store::reads

failures:

---- store::fails stdout ----
thread panicked

test result: FAILED. 2 passed; 1 failed; 4 ignored; 0 measured; 0 filtered out; finished in 0.01s
test result: ok. 40 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.25s
";

    #[test]
    fn sums_the_result_lines() {
        let (tally, _) = tally(OUTPUT);
        assert_eq!((tally.passed, tally.failed), (42, 1));
        assert_eq!(tally.closing_line(), "42 passed, 1 failed");
    }

    #[test]
    fn keeps_what_was_skipped_and_hides_other_output_of_passed_tests() {
        let (tally, shown) = tally(OUTPUT);
        assert_eq!(
            tally.skipped,
            ["store::reads: TRIPOD_TEST_MYSQL_URL is not set"]
        );
        assert!(shown.iter().any(|line| line.starts_with("SKIPPED:")));
        assert!(!shown.contains(&"chatter"));
        assert!(shown.contains(&"thread panicked"));
    }

    #[test]
    fn shows_later_test_binaries_again() {
        let (_, shown) =
            tally("successes:\nx\ntest result: ok. 1 passed; 0 failed; 0 ignored\nnext");
        assert_eq!(shown.len(), 2);
        assert_eq!(shown[1], "next");
    }

    #[test]
    fn a_line_that_only_looks_like_a_result_counts_nothing() {
        let (tally, _) = tally("test result: perhaps\ntest result: ok. many passed; 0 failed");
        assert_eq!((tally.passed, tally.failed), (0, 0));
    }
}
