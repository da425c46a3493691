//! What clients make a worker hold for them, beyond what every connection has.
//!
//! The contract's sizes bound the part of one connection; thousands of them together are bound here.
//! What is counted is the room that a read buffer has: it grows with a head that is on its way, and
//! does not shrink again while the connection lives. Over the limit, connections that owe nothing
//! make room, first whoever has been at half a head for longest. And replies that the socket
//! did not take all of: large ones that there is no room for are refused, and those who let theirs
//! wait for longest make room. Heads and replies as small as most pay for a look at a number.

use std::cell::Cell;

use tokio::sync::Notify;

use crate::limits::ContractLimits;

/// The whole process's limit on the read buffers of connections with large heads.
const HEADS_BYTES: usize = 24 << 20;

/// A worker's share is not less: room for some of the largest heads.
const LEAST_HEADS_BYTES: usize = 1 << 20;

/// The whole process's limit on replies that wait for their clients.
const REPLIES_BYTES: usize = 64 << 20;

/// The same, where replies are small: 16 KB for each of a thousand clients that do not read.
const SMALL_REPLIES_BYTES: usize = 16 << 20;

/// A worker's share is not less: room for some large replies.
const LEAST_REPLIES_BYTES: usize = 4 << 20;

/// A reply that is larger is made only if there is room for it.
pub(crate) const LARGE_REPLY: usize = 64 * 1024;

/// How much one worker may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeldLimits {
    heads: usize,
    replies: usize,
}

impl HeldLimits {
    /// One of so many workers' share.
    pub(crate) fn share(contract: ContractLimits, workers: usize) -> Self {
        let workers = workers.max(1);
        let replies = if contract.small_replies {
            SMALL_REPLIES_BYTES
        } else {
            REPLIES_BYTES
        };
        Self {
            heads: (HEADS_BYTES / workers).max(LEAST_HEADS_BYTES),
            replies: (replies / workers).max(LEAST_REPLIES_BYTES),
        }
    }
}

/// One worker's sums.
#[derive(Debug)]
pub(crate) struct Held {
    /// Read buffers of connections with large heads.
    pub(crate) heads: Sum,
    /// Replies that sockets did not take all of.
    pub(crate) replies: Sum,
    crowded: Notify,
}

impl Held {
    pub(crate) fn new(limits: HeldLimits) -> Self {
        Self {
            heads: Sum::new(limits.heads),
            replies: Sum::new(limits.replies),
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
    /// That of the only worker, whose replies are small.
    fn default() -> Self {
        let contract = ContractLimits {
            target_bytes: 0,
            small_replies: true,
        };
        Self::new(HeldLimits::share(contract, 1))
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

    /// Whether there is room for more. For a part that is too large by itself there is, if it is the
    /// only one.
    pub(crate) fn has_room_for(&self, more: usize) -> bool {
        let bytes = self.bytes.get();
        bytes == 0 || bytes.saturating_add(more) <= self.limit
    }

    /// Bytes over half the limit.
    pub(crate) fn upper_half(&self) -> usize {
        self.bytes.get().saturating_sub(self.limit / 2)
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
        let share = |small_replies, workers| {
            let contract = ContractLimits {
                target_bytes: 1024,
                small_replies,
            };
            let HeldLimits { heads, replies } = HeldLimits::share(contract, workers);
            (heads >> 20, replies >> 20)
        };
        assert_eq!(share(true, 1), (24, 16));
        assert_eq!(share(false, 4), (6, 16));
        assert_eq!(share(false, 1024), (1, 4));
    }

    #[test]
    fn a_surplus_is_what_makes_some_room_again() {
        let sum = Sum::new(800);
        sum.change(0, 500);
        sum.change(0, 300);
        assert_eq!(sum.surplus(), 0);
        sum.change(300, 400);
        assert_eq!(sum.surplus(), 200);
        assert!(!sum.has_room_for(1));
        sum.change(500, 0);
        assert_eq!((sum.surplus(), sum.upper_half()), (0, 0));
        assert!(sum.has_room_for(400) && !sum.has_room_for(401));
        sum.change(400, 0);
        assert!(sum.has_room_for(900), "it is the only one");
    }
}
