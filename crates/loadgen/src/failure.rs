//! Why the program ends early, and its exit codes.

use std::fmt;

/// What went wrong, as the exit code tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The command makes no sense here: 64.
    Usage,
    /// The target does not accept connections: 69.
    Unreachable,
    /// A report could not be written, or the system refused something: 74.
    Io,
}

impl FailureKind {
    /// The exit code, as in `sysexits.h`.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Usage => 64,
            Self::Unreachable => 69,
            Self::Io => 74,
        }
    }
}

/// An error and its kind.
#[derive(Debug)]
pub struct Failure {
    /// The kind.
    pub kind: FailureKind,
    error: anyhow::Error,
}

impl Failure {
    /// The command makes no sense here.
    pub fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self {
            kind: FailureKind::Usage,
            error: error.into(),
        }
    }

    /// The target does not accept connections.
    pub fn unreachable(error: impl Into<anyhow::Error>) -> Self {
        Self {
            kind: FailureKind::Unreachable,
            error: error.into(),
        }
    }

    /// The system refused something.
    pub fn io(error: impl Into<anyhow::Error>) -> Self {
        Self {
            kind: FailureKind::Io,
            error: error.into(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.error)
    }
}

impl std::error::Error for Failure {}
