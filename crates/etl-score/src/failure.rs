//! What the engine met, as one line and an exit code.

use std::error::Error;
use std::io::{self, ErrorKind};

use datafusion::error::DataFusionError;
use etl::failure::{Failure, FailureKind};

use crate::memory::MemorySize;
use crate::parts::WriteError;

/// Where a query ran, for the messages.
pub(crate) struct Place<'a> {
    pub(crate) query: &'a str,
    pub(crate) working: &'a str,
    pub(crate) scratch: &'a str,
    pub(crate) memory: MemorySize,
}

impl Place<'_> {
    pub(crate) fn of_write(&self, error: &WriteError) -> Failure {
        match error {
            WriteError::Disk { path, source } => {
                Failure::of_output(&path.display().to_string(), source)
            }
            WriteError::Query(error) => self.of_query(error),
            WriteError::Order { .. } => self.failure(FailureKind::Check, error),
            WriteError::Parquet(_) => self.failure(FailureKind::Software, error),
        }
    }

    pub(crate) fn of_query(&self, error: &DataFusionError) -> Failure {
        if let Some(error) = cause::<io::Error>(error) {
            return match error.kind() {
                ErrorKind::NotFound | ErrorKind::UnexpectedEof | ErrorKind::InvalidData => {
                    self.unreadable(error)
                }
                _ => Failure::of_output(self.scratch, error),
            };
        }
        match error.find_root() {
            DataFusionError::ResourcesExhausted(text) => {
                let line = format!(
                    "query `{}` does not get by with {} of memory, give more with --memory: {}",
                    self.query,
                    self.memory,
                    text.lines().next().unwrap_or_default(),
                );
                Failure::new(FailureKind::Usage, line)
            }
            DataFusionError::ParquetError(error) => self.unreadable(error),
            DataFusionError::ArrowError(error, _) => self.unreadable(error),
            DataFusionError::ObjectStore(error) => self.unreadable(error),
            error => self.failure(FailureKind::Software, error),
        }
    }

    fn unreadable(&self, error: &dyn std::fmt::Display) -> Failure {
        let line = format!(
            "cannot read the facts in {}: {error}; remove the manifests and clean again",
            self.working
        );
        Failure::new(FailureKind::Input, line)
    }

    fn failure(&self, kind: FailureKind, error: &dyn std::fmt::Display) -> Failure {
        Failure::new(kind, format!("query `{}`: {error}", self.query))
    }
}

/// The first cause of a type, however deep.
fn cause<'e, E: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place<'_> = Place {
        query: "users",
        working: "W",
        scratch: "S",
        memory: MemorySize::of_bytes(1 << 30),
    };

    #[test]
    fn a_full_disk_is_told_from_damaged_input() {
        let full = DataFusionError::IoError(ErrorKind::StorageFull.into());
        let full = PLACE.of_query(&full.context("while spilling"));
        assert_eq!(full.kind, FailureKind::Disk);
        assert!(full.line.starts_with("cannot write S: "), "{full}");
        let cut = DataFusionError::IoError(ErrorKind::UnexpectedEof.into());
        assert_eq!(PLACE.of_query(&cut).kind, FailureKind::Input);
    }

    #[test]
    fn too_little_memory_is_a_matter_of_settings() {
        let error = DataFusionError::ResourcesExhausted("many\nlines".to_owned());
        let failure = PLACE.of_query(&error.context("sorting"));
        assert_eq!(failure.kind, FailureKind::Usage);
        assert!(failure.line.contains("--memory") && failure.line.contains("1024 MiB"));
    }
}
