//! Who waits at a [`Turnstile`](super::Turnstile), and who is next.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Waker;
use std::time::{Duration, Instant};

/// Who waits longer steps back: half of what most clients wait.
pub(super) const TOO_LONG: Duration = Duration::from_millis(500);

/// One of so many calls goes to those who stepped back, while there are others. They are called in their order, at the
/// end of most clients' patience, so every second reply to them is in vain; but who is patient must get one.
const LATE_SHARE: usize = 8;

/// Both in the order of coming, and with no more than there are connections, but for some that ended.
#[derive(Debug, Default)]
pub(super) struct Queues {
    pub(super) usual: VecDeque<Waiting>,
    /// Of those who stepped back.
    pub(super) late: VecDeque<Waiting>,
    /// What the late ones have to their credit, in parts of a call.
    credit: usize,
}

impl Queues {
    /// Has those who wait too long step back.
    pub(super) fn step_back(&mut self, now: Instant) {
        while let Some(first) = self.usual.front()
            && now.saturating_duration_since(first.since) > TOO_LONG
            && let Some(first) = self.usual.pop_front()
        {
            self.late.push_back(first);
        }
    }

    /// Who is next.
    pub(super) fn next(&mut self) -> Option<Waiting> {
        if self.late.is_empty() || (self.credit < LATE_SHARE - 1 && !self.usual.is_empty()) {
            self.credit += 1;
            self.usual.pop_front()
        } else {
            self.credit = 0;
            self.late.pop_front()
        }
    }

    /// Forgets connections that ended, when they are the most.
    pub(super) fn tidy(&mut self, waiting: u64) {
        let len = self.usual.len() + self.late.len();
        if len >= 1024 && len as u64 >= 2 * waiting {
            for queue in [&mut self.usual, &mut self.late] {
                queue.retain(|waiting| waiting.seat.is_waiting());
            }
        }
    }
}

#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) seat: Rc<Seat>,
    pub(super) since: Instant,
}

/// One connection's place.
#[derive(Debug, Default)]
pub(crate) struct Seat {
    pub(super) stage: Cell<Stage>,
    pub(super) waker: RefCell<Option<Waker>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stage {
    /// Reads when something comes.
    #[default]
    Free,
    /// Something came and is not read.
    Waiting,
    /// May read.
    Called,
    /// Was just accepted: goes before the others once.
    New,
    /// The connection has ended.
    Gone,
}

impl Seat {
    /// Whether something came that is not read.
    pub(crate) fn is_waiting(&self) -> bool {
        self.stage.get() == Stage::Waiting
    }

    pub(super) fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}
