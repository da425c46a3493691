//! What can end a run, and the exit code that says so to scripts.

use std::fmt;
use std::io::{self, Write as _};
use std::time::Duration;

use sqlx::mysql::MySqlDatabaseError;

use crate::extract::ReadError;

/// Why a run ended without its result. The text is one line: what, where and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The kind, which decides the exit code.
    pub kind: FailureKind,
    /// For people; holds no password. Empty if another program has said it already.
    pub line: String,
}

/// Kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// A check of the result did not hold; nothing was published.
    Check,
    /// Bad settings or usage.
    Usage,
    /// Input that cannot be read or is not what it should be.
    Input,
    /// The database cannot be reached, refuses the login or fails.
    Unavailable,
    /// A fault of this program.
    Software,
    /// A disk that is full, read-only or broken.
    Disk,
    /// Another run is at work in the same zone.
    Busy,
}

impl FailureKind {
    /// The exit code, after `sysexits.h` where it has one.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Check => 1,
            Self::Usage => 64,
            Self::Input => 65,
            Self::Unavailable => 69,
            Self::Software => 70,
            Self::Disk => 74,
            Self::Busy => 75,
        }
    }

    /// The kind that has this exit code.
    pub const fn from_exit_code(code: i32) -> Option<Self> {
        Some(match code {
            1 => Self::Check,
            64 => Self::Usage,
            65 => Self::Input,
            69 => Self::Unavailable,
            70 => Self::Software,
            74 => Self::Disk,
            75 => Self::Busy,
            _ => return None,
        })
    }
}

impl Failure {
    /// A failure of a kind.
    pub fn new(kind: FailureKind, line: impl Into<String>) -> Self {
        let line = line.into().replace('\n', " ");
        Self { kind, line }
    }

    /// What writing to an output met.
    pub fn of_output(path: &str, error: &io::Error) -> Self {
        Self::new(FailureKind::Disk, format!("cannot write {path}: {error}"))
    }

    /// What the database met; `place` names it without its password.
    pub(crate) fn of_database(place: &dyn fmt::Display, error: &sqlx::Error) -> Self {
        let (kind, text) = match error {
            sqlx::Error::Database(error) => {
                let number = error.try_downcast_ref::<MySqlDatabaseError>();
                let disk = error.code().is_some_and(|code| is_disk_code(&code))
                    || number.is_some_and(|error| FULL.contains(&error.number()));
                let kind = if disk {
                    FailureKind::Disk
                } else {
                    FailureKind::Unavailable
                };
                (kind, error.message().to_owned())
            }
            sqlx::Error::Io(error) => (
                FailureKind::Unavailable,
                format!("the database cannot be reached: {error}"),
            ),
            other => (FailureKind::Unavailable, other.to_string()),
        };
        Self::new(kind, format!("{place}: {text}"))
    }
}

/// The numbers by which MySQL and MariaDB say that their disk or a table is full.
const FULL: [u16; 2] = [1021, 1114];

/// How long a database may take to accept a connection.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// Waits for a connection, but not for ever.
pub(crate) async fn connected<C>(
    place: &impl fmt::Display,
    connecting: impl Future<Output = Result<C, sqlx::Error>>,
) -> Result<C, Failure> {
    let connected = tokio::time::timeout(CONNECT_DEADLINE, connecting).await;
    let connected = connected.map_err(|_| {
        let seconds = CONNECT_DEADLINE.as_secs();
        let line = format!("{place}: the database does not answer within {seconds} s");
        Failure::new(FailureKind::Unavailable, line)
    })?;
    connected.map_err(|error| Failure::of_database(place, &error))
}

/// Writes a line to standard error. Where that is full or closed nothing can be said, and the exit
/// code still tells; `eprintln!` would panic.
pub fn complain(line: &str) {
    let _ = writeln!(io::stderr().lock(), "etl: {line}");
}

/// SQLite's primary result codes for a disk that fails: read-only, I/O error, full, cannot open.
/// Extended codes carry them in their low byte. MySQL's codes are five characters of SQLSTATE.
fn is_disk_code(code: &str) -> bool {
    let is_sqlstate = code.len() == 5;
    let primary = code.parse::<u32>().map(|code| code & 0xff);
    !is_sqlstate && matches!(primary, Ok(8 | 10 | 13 | 14))
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

impl std::error::Error for Failure {}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        Self::new(FailureKind::Input, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disk_codes_of_sqlite_are_told_from_states_of_mysql() {
        for code in ["13", "14", "8", "10", "778", "1032"] {
            assert!(is_disk_code(code), "{code}");
        }
        for code in ["5", "1", "42S02", "28000", "HY000"] {
            assert!(!is_disk_code(code), "{code}");
        }
    }

    #[test]
    fn a_failure_is_one_line() {
        let failure = Failure::new(FailureKind::Input, "a\nb");
        assert_eq!(failure.to_string(), "a b");
        assert_eq!(failure.kind.exit_code(), 65);
        for code in [1, 64, 65, 69, 70, 74, 75] {
            let kind = FailureKind::from_exit_code(code);
            assert_eq!(kind.map(|kind| i32::from(kind.exit_code())), Some(code));
        }
        assert_eq!(FailureKind::from_exit_code(0), None);
    }
}
