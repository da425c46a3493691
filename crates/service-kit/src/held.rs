//! What clients make a worker hold for them, beyond what every connection has.
//!
//! The contract's sizes bound the part of one connection; thousands of them together are bound here.
//! What is counted is the room that a read buffer has: it grows with a head that is on its way, and
//! does not shrink again while the connection lives. Over the limit, connections that owe nothing
//! make room, first whoever has been at half a head for longest. Those whose heads are as small as
//! most pay for a look at a number with each read.

use std::cell::Cell;

use tokio::sync::Notify;

/// The whole process's limit on the read buffers of connections with large heads.
const HEADS_BYTES: usize = 24 << 20;

/// A worker's share is not less: room for some of the largest heads.
const LEAST_HEADS_BYTES: usize = 1 << 20;

/// How much one worker may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeldLimits {
    heads: usize,
}

impl HeldLimits {
    /// One of so many workers' share.
    pub(crate) fn share(workers: usize) -> Self {
        Self {
            heads: (HEADS_BYTES / workers.max(1)).max(LEAST_HEADS_BYTES),
        }
    }
}

/// One worker's sums.
#[derive(Debug)]
pub(crate) struct Held {
    /// Read buffers of connections with large heads.
    pub(crate) heads: Sum,
    crowded: Notify,
}

impl Held {
    pub(crate) fn new(limits: HeldLimits) -> Self {
        Self {
            heads: Sum::new(limits.heads),
            crowded: Notify::new(),
        }
    }

    /// Says that there is too much of something.
    pub(crate) fn complain(&self) {
        self.crowded.notify_one();
    }

    /// Waits until somebody says so.
    pub(crate) async fn crowded(&self) {
        self.crowded.notified().await;
    }
}

impl Default for Held {
    /// That of the only worker.
    fn default() -> Self {
        Self::new(HeldLimits::share(1))
    }
}

/// Bytes that are held for one reason.
#[derive(Debug)]
pub(crate) struct Sum {
    bytes: Cell<usize>,
    limit: usize,
}

impl Sum {
    fn new(limit: usize) -> Self {
        Self {
            bytes: Cell::new(0),
            limit,
        }
    }

    /// A connection's part was so much and is so much now.
    pub(crate) fn change(&self, before: usize, now: usize) {
        let others = self.bytes.get().saturating_sub(before);
        self.bytes.set(others.saturating_add(now));
    }

    /// Bytes that must go: to an eighth below the limit, so that not everything that comes now costs
    /// another look at all connections.
    pub(crate) fn surplus(&self) -> usize {
        let bytes = self.bytes.get();
        if bytes > self.limit {
            bytes - self.limit / 8 * 7
        } else {
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_has_its_share_and_room_for_some() {
        assert_eq!(HeldLimits::share(1).heads, 24 << 20);
        assert_eq!(HeldLimits::share(4).heads, 6 << 20);
        assert_eq!(HeldLimits::share(1024).heads, 1 << 20);
    }

    #[test]
    fn a_surplus_is_what_makes_some_room_again() {
        let sum = Sum::new(800);
        sum.change(0, 500);
        sum.change(0, 300);
        assert_eq!(sum.surplus(), 0);
        sum.change(300, 400);
        assert_eq!(sum.surplus(), 200);
        sum.change(500, 0);
        assert_eq!(sum.surplus(), 0);
    }
}
