//! The phases of a stop.
//!
//! A load balancer goes on sending for some seconds after it was told to stop, so a service first
//! says that it is unready, keeps serving while that news settles (closing each connection after
//! its reply), and only then closes: idle connections at once, busy ones after the reply in hand.
//! A deadline ends what remains.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

crate::labels! {
    /// Where in its life the process is.
    #[derive(PartialOrd, Ord)]
    pub enum Phase {
        /// Ready as soon as every latch is open.
        Serving => "serving",
        /// Unready but still answering; each reply closes its connection.
        Settling => "settling",
        /// No new connections; requests in hand are finished.
        Closing => "closing",
        /// The deadline passed or the second signal came: connections are cut.
        Closed => "closed",
    }
}

/// Tells everybody which phase the process is in.
#[derive(Clone, Debug)]
pub struct Drain {
    changes: watch::Sender<Phase>,
    /// Whether the phase is [`Phase::Serving`], for those who ask with every request: reading the
    /// channel takes a lock that all cores would write.
    is_serving: Arc<AtomicBool>,
}

impl Drain {
    pub(crate) fn new() -> Self {
        Self {
            changes: watch::Sender::new(Phase::Serving),
            is_serving: Arc::new(AtomicBool::new(true)),
        }
    }

    /// The phase now.
    pub fn phase(&self) -> Phase {
        *self.changes.borrow()
    }

    pub(crate) fn watch(&self) -> Watch {
        Watch {
            changes: self.changes.subscribe(),
            is_serving: Arc::clone(&self.is_serving),
        }
    }

    /// Moves on to a later phase; going back is not possible.
    pub(crate) fn advance(&self, phase: Phase) {
        let moved = self.changes.send_if_modified(|now| {
            let later = phase > *now;
            if later {
                *now = phase;
                self.is_serving.store(false, Ordering::Relaxed);
            }
            later
        });
        if moved {
            tracing::info!(phase = ?phase, "stopping");
        }
    }
}

/// One listener to the phases.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    changes: watch::Receiver<Phase>,
    is_serving: Arc<AtomicBool>,
}

impl Watch {
    /// Whether no stop has begun.
    pub(crate) fn is_serving(&self) -> bool {
        self.is_serving.load(Ordering::Relaxed)
    }

    /// Waits for this phase or a later one. May be dropped and asked again.
    pub(crate) async fn reached(&mut self, phase: Phase) {
        // The sender lives as long as the process; were it gone, stopping would be right.
        let _ = self.changes.wait_for(|now| *now >= phase).await;
    }
}

/// The signals that stop the process.
pub(crate) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    pub(crate) fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Which stop was asked for: SIGTERM settles first, SIGINT does not.
    pub(crate) async fn next(&mut self) -> Stop {
        tokio::select! {
            _ = self.terminate.recv() => Stop::Settle,
            _ = self.interrupt.recv() => Stop::AtOnce,
        }
    }
}

/// How a stop begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// With the settling phase.
    Settle,
    /// Without it.
    AtOnce,
}

/// Walks through the phases up to [`Phase::Closing`]; a further stop cuts the settling short.
pub(crate) async fn settle<F: Future<Output = Stop>>(
    drain: &Drain,
    stop: Stop,
    settle_time: Duration,
    again: impl FnOnce() -> F,
) {
    if stop == Stop::Settle && !settle_time.is_zero() {
        drain.advance(Phase::Settling);
        tokio::select! {
            () = tokio::time::sleep(settle_time) => {}
            _ = again() => {}
        }
    }
    drain.advance(Phase::Closing);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_termination_settles_first() {
        let drain = Drain::new();
        let settle_time = Duration::from_secs(20);
        let walk = settle(&drain, Stop::Settle, settle_time, std::future::pending);
        let started = tokio::time::Instant::now();
        tokio::pin!(walk);
        assert!(
            tokio::time::timeout(Duration::from_secs(19), &mut walk)
                .await
                .is_err()
        );
        assert_eq!(drain.phase(), Phase::Settling);
        walk.await;
        assert_eq!(drain.phase(), Phase::Closing);
        assert_eq!(started.elapsed(), settle_time);
    }

    #[tokio::test(start_paused = true)]
    async fn an_interrupt_skips_settling_and_a_second_signal_ends_it() {
        let drain = Drain::new();
        let settle_time = Duration::from_secs(20);
        settle(&drain, Stop::AtOnce, settle_time, std::future::pending).await;
        assert_eq!(drain.phase(), Phase::Closing);

        let drain = Drain::new();
        let started = tokio::time::Instant::now();
        settle(&drain, Stop::Settle, settle_time, || async { Stop::Settle }).await;
        assert_eq!(drain.phase(), Phase::Closing);
        assert!(started.elapsed() < Duration::from_secs(1));
    }

    #[tokio::test]
    async fn phases_never_go_back() {
        let drain = Drain::new();
        drain.advance(Phase::Closing);
        drain.advance(Phase::Settling);
        assert_eq!(drain.phase(), Phase::Closing);
    }
}
