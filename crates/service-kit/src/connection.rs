//! What a worker knows of a connection beside hyper: whether a request is in hand, and since when
//! not. Tells a connection that owes nothing from one that must not be cut.

mod watched;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

pub(crate) use self::watched::Watched;
use crate::held::{Held, HeldLimits};
use crate::turnstile::Seat;

/// How long the rest of a head may take when everything else is over.
const HALF_HEAD: Duration = Duration::from_secs(1);

/// How long a client may let a reply wait when others are refused for want of room.
const LET_WAIT: Duration = Duration::from_secs(1);

/// Requests that one client is answered, when it has sent them at once, before others are looked at. hyper
/// comes back to it as often, but its task would go first some sixty times before anybody looks at sockets.
const BURST: u32 = 8;

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// No head is complete: it idles, or a head is on its way.
    Awaiting,
    /// A request is in hand.
    Working,
    /// Its reply is made and on its way into the socket.
    Writing,
}

/// Why a connection is told to end. It holds as long as nothing has happened since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Notice {
    /// It owed nothing. Its last head was complete then, and some of the next was there or not.
    Idle(Instant, bool),
    /// Replies wait for its client; the socket had taken all of them so often.
    Stuck(u32),
    /// A fault on purpose.
    #[cfg(feature = "fault-injection")]
    Cut,
}

/// One connection's state, shared by its task and its socket.
#[derive(Debug)]
pub(crate) struct Activity {
    stage: Cell<Stage>,
    /// When it was accepted, or its last head was complete.
    last: Cell<Instant>,
    /// Whether bytes have come since, which are no whole head yet.
    is_reading: Cell<bool>,
    /// Requests that came with the one that was last read.
    burst: Cell<u32>,
    /// Whether a request had a body, of which nothing was read.
    has_body: Cell<bool>,
    /// What its read buffer takes, if that is more than usual.
    buffer: Cell<usize>,
    /// What is kept because the socket did not take all of it, and since when.
    unsent: Cell<usize>,
    unsent_since: Cell<Instant>,
    held: Rc<Held>,
    /// How often the socket took all there was of replies.
    flushes: Cell<u32>,
    /// Only the sweep's: replies wait for the socket since then, which had flushed so often.
    waiting: Cell<Option<(u32, Instant)>>,
    notice: Cell<Option<Notice>>,
    told: Notify,
    seat: Rc<Seat>,
}

impl Activity {
    fn new(held: Rc<Held>) -> Self {
        Self {
            stage: Cell::new(Stage::Awaiting),
            last: Cell::new(Instant::now()),
            is_reading: Cell::new(false),
            burst: Cell::new(0),
            has_body: Cell::new(false),
            buffer: Cell::new(0),
            unsent: Cell::new(0),
            unsent_since: Cell::new(Instant::now()),
            held,
            flushes: Cell::new(0),
            waiting: Cell::new(None),
            notice: Cell::new(None),
            told: Notify::new(),
            seat: Rc::default(),
        }
    }

    /// A head is complete.
    pub(crate) fn begin(&self, now: Instant) {
        self.stage.set(Stage::Working);
        self.last.set(now);
        // It came alone, or as the first of several.
        if self.is_reading.replace(false) {
            self.burst.set(0);
        }
    }

    /// Whether others are to go first: the client has sent many requests at once.
    pub(crate) fn is_long_burst(&self) -> bool {
        let burst = self.burst.get() + 1;
        let is_long = burst > BURST;
        self.burst.set(if is_long { 0 } else { burst });
        is_long
    }

    /// The request in hand has a body.
    pub(crate) fn has_body(&self) {
        self.has_body.set(true);
    }

    /// Whether the client is not through with what it began to send.
    fn has_more_to_say(&self) -> bool {
        self.has_body.get() || self.is_reading.get()
    }

    /// The read buffer is larger than usual: this much of it was free. It takes no more than twice as
    /// much, because a vector at least doubles when it grows.
    #[cold]
    fn grew(&self, room: usize) {
        let now = room.saturating_mul(2);
        let heads = &self.held.heads;
        heads.change(self.buffer.replace(now), now);
        if heads.surplus() > 0 {
            self.held.complain();
        }
    }

    /// The socket has taken what it can of replies, and so much is kept for it.
    #[cold]
    fn left(&self, unsent: usize) {
        let before = self.unsent.replace(unsent);
        if before == 0 {
            self.unsent_since.set(Instant::now());
        }
        let replies = &self.held.replies;
        replies.change(before, unsent);
        if unsent > before && replies.surplus() > 0 {
            self.held.complain();
        }
    }

    /// The reply is made.
    pub(crate) fn replied(&self) {
        self.stage.set(Stage::Writing);
    }

    fn flushed(&self) {
        if self.stage.get() == Stage::Writing {
            self.stage.set(Stage::Awaiting);
            self.flushes.set(self.flushes.get().wrapping_add(1));
        }
    }

    /// Whether replies wait, and have done so since `limit` ago without one moment in which none did.
    fn is_stuck(&self, now: Instant, limit: Duration) -> bool {
        if self.stage.get() != Stage::Writing {
            self.waiting.set(None);
            return false;
        }
        let flushes = self.flushes.get();
        match self.waiting.get() {
            Some((seen, since)) if seen == flushes => now.duration_since(since) >= limit,
            _ => {
                self.waiting.set(Some((flushes, now)));
                false
            }
        }
    }

    /// Its place when the worker is saturated.
    pub(crate) fn seat(&self) -> &Seat {
        &self.seat
    }

    /// Whether it owes nothing: no request is in hand, and none waits to be read.
    fn idles(&self) -> bool {
        self.stage.get() == Stage::Awaiting && !self.seat.is_waiting()
    }

    /// Ends the connection as it is.
    #[cfg(feature = "fault-injection")]
    pub(crate) fn cut(&self) {
        self.tell(Notice::Cut);
    }

    fn idle(&self) -> Notice {
        Notice::Idle(self.last.get(), self.is_reading.get())
    }

    fn tell(&self, notice: Notice) {
        self.notice.set(Some(notice));
        self.told.notify_one();
    }

    /// Whether what it was told holds still.
    fn is_due(&self) -> bool {
        match self.notice.get() {
            None => false,
            Some(notice @ Notice::Idle(..)) => self.idles() && notice == self.idle(),
            Some(Notice::Stuck(flushes)) => {
                self.stage.get() == Stage::Writing && self.flushes.get() == flushes
            }
            #[cfg(feature = "fault-injection")]
            Some(Notice::Cut) => true,
        }
    }

    /// Waits until the connection is to make room for others. Between the moment that it is told so
    /// and the moment that its task runs, a request may have come: who has one in hand stays.
    pub(crate) async fn evicted(&self) {
        loop {
            self.told.notified().await;
            if self.is_due() {
                return;
            }
        }
    }

    /// Waits, once the connection is to end with its next reply, until there is none to wait for:
    /// what is there of a head does not become one.
    pub(crate) async fn abandoned(&self) {
        loop {
            tokio::time::sleep(HALF_HEAD).await;
            if self.stage.get() == Stage::Awaiting {
                return;
            }
        }
    }
}

impl Drop for Activity {
    fn drop(&mut self) {
        self.held.heads.change(self.buffer.get(), 0);
        self.held.replies.change(self.unsent.get(), 0);
    }
}

/// The connections of one worker.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    held: Rc<Held>,
    next: Cell<u64>,
    open: RefCell<HashMap<u64, Rc<Activity>>>,
}

impl Connections {
    /// None yet.
    pub(crate) fn new(limits: HeldLimits) -> Self {
        Self {
            held: Rc::new(Held::new(limits)),
            ..Self::default()
        }
    }

    /// Notes a new one.
    pub(crate) fn enter(&self) -> (u64, Rc<Activity>) {
        let number = self.next.get();
        self.next.set(number.wrapping_add(1));
        let activity = Rc::new(Activity::new(Rc::clone(&self.held)));
        self.open.borrow_mut().insert(number, Rc::clone(&activity));
        (number, activity)
    }

    /// Forgets one that ended.
    pub(crate) fn leave(&self, number: u64) {
        self.open.borrow_mut().remove(&number);
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.open.borrow().len() as u64
    }

    /// Tells those that have awaited a head for longest, and for no less than `idle`, to close: an
    /// eighth of all, one at least. Gives their number.
    pub(crate) fn evict(&self, idle: Duration) -> usize {
        let open = self.open.borrow();
        let mut idlers: Vec<_> = open
            .values()
            .filter(|one| one.idles() && one.last.get().elapsed() >= idle)
            .collect();
        idlers.sort_by_key(|one| one.last.get());
        idlers.truncate((open.len() / 8).max(1));
        for one in &idlers {
            one.tell(one.idle());
        }
        idlers.len()
    }

    /// Waits until more is held than may be.
    pub(crate) async fn crowded(&self) {
        self.held.crowded().await;
    }

    /// Whether a reply of this size may wait for its client. If not, those make room whose clients have
    /// let theirs wait for long.
    pub(crate) fn has_room_for(&self, reply: usize) -> bool {
        let has_room = self.held.replies.has_room_for(reply);
        if !has_room {
            self.held.complain();
        }
        has_room
    }

    /// Tells so many to close that no more is held than may be. Gives their number.
    pub(crate) fn relieve(&self) -> usize {
        self.relieve_heads() + self.relieve_replies(LET_WAIT)
    }

    /// Of those with replies that wait the oldest: those for over `long` as far as more than half the limit
    /// is taken, others as far as more than the limit is.
    fn relieve_replies(&self, long: Duration) -> usize {
        let replies = &self.held.replies;
        let (mut surplus, mut upper_half) = (replies.surplus(), replies.upper_half());
        if upper_half == 0 {
            return 0;
        }
        let open = self.open.borrow();
        let waiting = open.values();
        let waiting =
            waiting.filter(|one| one.unsent.get() > 0 && one.stage.get() == Stage::Writing);
        let mut waiting: Vec<_> = waiting.collect();
        waiting.sort_by_key(|one| (!one.is_due(), one.unsent_since.get()));
        let mut count = 0;
        for one in waiting {
            let is_old = one.unsent_since.get().elapsed() >= long;
            if surplus == 0 && (upper_half == 0 || !is_old) {
                break;
            }
            surplus = surplus.saturating_sub(one.unsent.get());
            upper_half = upper_half.saturating_sub(one.unsent.get());
            if !one.is_due() {
                one.tell(Notice::Stuck(one.flushes.get()));
                count += 1;
            }
        }
        count
    }

    /// Of those with large read buffers that owe nothing the ones that wait for the rest of a head, then
    /// those that idle, the oldest first.
    fn relieve_heads(&self) -> usize {
        let mut surplus = self.held.heads.surplus();
        if surplus == 0 {
            return 0;
        }
        let open = self.open.borrow();
        let large = open.values();
        let large = large.filter(|one| one.buffer.get() > 0 && one.idles());
        let mut large: Vec<_> = large.collect();
        // Those that were told and have not gone yet count before all others.
        large.sort_by_key(|one| (!one.is_due(), !one.is_reading.get(), one.last.get()));
        let mut count = 0;
        for one in large {
            if surplus == 0 {
                break;
            }
            surplus = surplus.saturating_sub(one.buffer.get());
            if !one.is_due() {
                one.tell(one.idle());
                count += 1;
            }
        }
        count
    }

    /// Tells those to close whose clients have left replies waiting for `limit`, however little they
    /// take now and then. Time is counted from the sweep that saw it first. Gives their number.
    pub(crate) fn sweep(&self, limit: Duration) -> usize {
        let now = Instant::now();
        let open = self.open.borrow();
        let stuck = open.values().filter(|one| one.is_stuck(now, limit));
        stuck
            .inspect(|one| one.tell(Notice::Stuck(one.flushes.get())))
            .count()
    }
}

#[cfg(test)]
mod tests;
