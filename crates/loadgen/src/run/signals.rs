//! Ctrl-C and its like: they end what goes on with a report.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that end a command. One for all runs of a command: a signal between two of them
/// ends the next one.
#[derive(Debug, Default)]
pub struct Signals(Option<(Signal, Signal)>);

impl Signals {
    /// From here on a signal is heard; before, it ends the program.
    pub(super) fn listen(&mut self) -> io::Result<()> {
        if self.0.is_none() {
            let interrupted = signal(SignalKind::interrupt())?;
            self.0 = Some((interrupted, signal(SignalKind::terminate())?));
        }
        Ok(())
    }

    /// Waits for the next signal; forever if nobody listens.
    pub(super) async fn wait(&mut self) {
        if let Some((interrupted, terminated)) = &mut self.0 {
            tokio::select! {
                _ = interrupted.recv() => {}
                _ = terminated.recv() => {}
            }
        } else {
            std::future::pending::<()>().await;
        }
    }
}
