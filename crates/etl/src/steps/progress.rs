//! How far a step is.

/// Follows a run. Called from several threads.
pub trait Progress: Sync {
    /// A step begins that has so much to do.
    fn begin(&self, step: Step, total: u64) {
        let _ = (step, total);
    }

    /// So much more of the step is done; lines, where it reads some.
    fn advance(&self, done: u64, lines: u64) {
        let _ = (done, lines);
    }
}

/// Follows nothing.
impl Progress for () {}

/// What is being done, and what is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Raw files are cleaned: bytes as they lie there.
    Clean,
    /// Facts are read: facts.
    Score,
    /// Rows are written: rows.
    Write,
    /// Packs are made and loaded: rows.
    Load,
}
