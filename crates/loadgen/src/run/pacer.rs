//! Waiting for a point in time, to some microseconds.
//!
//! The runtime's own timers have a resolution of a millisecond, which is longer than most replies
//! take; the kernel's timers, read as a file, are exact.

use std::io;
use std::os::fd::AsFd as _;
use std::time::Instant;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;

/// A way to wait.
#[derive(Debug)]
pub(super) enum Pacer {
    /// The thread sleeps until a timer of the kernel's.
    ///
    /// The runtime offers arbitrary files for waiting to unsafe code only. The reading end of a
    /// pipe, which it does not check to be one, reads a timer just as well.
    Timer(Receiver),
    /// The thread looks at the clock and at its sockets in turn. Saves falling asleep and waking up,
    /// which at tens of thousands of requests a second costs more than the requests.
    Spin,
}

impl Pacer {
    /// One for the runtime that this is called in.
    pub(super) fn new(spin: bool) -> io::Result<Self> {
        if spin {
            return Ok(Self::Spin);
        }
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Receiver::from_owned_fd_unchecked(timer).map(Self::Timer)
    }

    /// Waits until `due`; returns at once if that is over.
    pub(super) async fn wait_until(&mut self, due: Instant) -> io::Result<()> {
        loop {
            let wait = due.saturating_duration_since(Instant::now());
            if wait.is_zero() {
                return Ok(());
            }
            let Self::Timer(timer) = self else {
                // Comes back after a look at the sockets.
                tokio::task::yield_now().await;
                continue;
            };
            let zero = Timespec::default();
            let spec = Itimerspec {
                it_interval: zero,
                it_value: Timespec::try_from(wait).map_err(io::Error::other)?,
            };
            timerfd_settime(timer.as_fd(), TimerfdTimerFlags::empty(), &spec)?;
            // It reads as a count of 8 bytes. A read of less than there is room for tells the
            // runtime to wait for the next one.
            let read = timer.read(&mut [0; 16]).await?;
            debug_assert_eq!(read, 8, "a count");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Pacer;

    #[tokio::test]
    async fn never_ends_early_and_can_be_used_again() {
        for spin in [false, true] {
            let mut pacer = Pacer::new(spin).unwrap();
            for _ in 0..5 {
                let due = Instant::now() + Duration::from_micros(1500);
                pacer.wait_until(due).await.unwrap();
                assert!(Instant::now() >= due);
            }
            pacer.wait_until(Instant::now()).await.unwrap();
        }
    }
}
