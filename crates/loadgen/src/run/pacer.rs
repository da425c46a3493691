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

/// A timer.
#[derive(Debug)]
pub(super) struct Pacer {
    /// The runtime offers arbitrary files for waiting to unsafe code only. The reading end of a
    /// pipe, which it does not check to be one, reads a timer just as well.
    timer: Receiver,
}

impl Pacer {
    /// A timer of the runtime that this is called in.
    pub(super) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let timer = Receiver::from_owned_fd_unchecked(timer)?;
        Ok(Self { timer })
    }

    /// Waits until `due`; returns at once if that is over.
    pub(super) async fn wait_until(&mut self, due: Instant) -> io::Result<()> {
        loop {
            let wait = due.saturating_duration_since(Instant::now());
            if wait.is_zero() {
                return Ok(());
            }
            let zero = Timespec::default();
            let spec = Itimerspec {
                it_interval: zero,
                it_value: Timespec::try_from(wait).map_err(io::Error::other)?,
            };
            timerfd_settime(self.timer.as_fd(), TimerfdTimerFlags::empty(), &spec)?;
            // It reads as a count of 8 bytes. A read of less than there is room for tells the
            // runtime to wait for the next one.
            let read = self.timer.read(&mut [0; 16]).await?;
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
        let mut pacer = Pacer::new().unwrap();
        for _ in 0..5 {
            let due = Instant::now() + Duration::from_micros(1500);
            pacer.wait_until(due).await.unwrap();
            assert!(Instant::now() >= due);
        }
        pacer.wait_until(Instant::now()).await.unwrap();
    }
}
