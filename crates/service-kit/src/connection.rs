//! What a worker knows of a connection beside hyper: whether a request is in hand, and since when
//! not. Tells a connection that owes nothing from one that must not be cut.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Sleep;

use crate::held::{Held, HeldLimits};
use crate::turnstile::{Seat, Turn, Turnstile};

/// How long the rest of a head may take when everything else is over.
const HALF_HEAD: Duration = Duration::from_secs(1);

/// How long a client may go on sending after the last reply.
const FAREWELL: Duration = Duration::from_secs(1);

/// How much of that is read. What comes then waits in the kernel until the time is over.
const FAREWELL_BYTES: usize = 1 << 20;

/// How long a client may let a reply wait when others are refused for want of room.
const LET_WAIT: Duration = Duration::from_secs(1);

/// Requests that one client is answered, when it has sent them at once, before others are looked at. hyper
/// comes back to it as often, but its task would go first some sixty times before anybody looks at sockets.
const BURST: u32 = 16;

/// Room that the read buffer of any connection may have: most heads take less. hyper begins with
/// 8 KiB and doubles it.
const USUAL_ROOM: usize = 16 * 1024;

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

/// A socket that notes when a reply has gone out, and waits for its turn to read when the worker is
/// saturated.
#[derive(Debug)]
pub(crate) struct Watched {
    stream: TcpStream,
    activity: Rc<Activity>,
    turnstile: Rc<Turnstile>,
    /// Whether the client was seen to have hung up.
    has_hung_up: bool,
    /// Whether the client has said all it will say.
    is_at_end: bool,
    farewell: Option<Farewell>,
    /// The most room that the read buffer had.
    room: usize,
    /// What is kept because the socket did not take all of it.
    unsent: usize,
}

impl Watched {
    pub(crate) fn new(stream: TcpStream, activity: Rc<Activity>, turnstile: Rc<Turnstile>) -> Self {
        Self {
            stream,
            activity,
            turnstile,
            has_hung_up: false,
            is_at_end: false,
            farewell: None,
            room: USUAL_ROOM,
            unsent: 0,
        }
    }

    /// Notes whether the socket took so many bytes. hyper offers all that it has, and keeps all of it
    /// until the last byte is taken.
    fn offered(&mut self, bytes: usize, written: &Poll<io::Result<usize>>) {
        let took_all = matches!(written, Poll::Ready(Ok(taken)) if *taken == bytes);
        if !took_all || self.unsent > 0 {
            self.unsent = if took_all { 0 } else { bytes.max(self.unsent) };
            self.activity.left(self.unsent);
        }
    }
}

/// A client is heard out, so that it gets the last reply.
#[derive(Debug)]
struct Farewell {
    until: Pin<Box<Sleep>>,
    /// Bytes that are read yet.
    bytes: usize,
}

impl Watched {
    /// Reads on, to no purpose but one: the kernel resets a connection that is closed with something
    /// unread, and the client may then lose the reply that tells it why. Ready when the client is through,
    /// or its time is over. Most are through before this.
    fn poll_farewell(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut discarded = [MaybeUninit::uninit(); 16 * 1024];
        while self.farewell.as_ref().is_none_or(|one| one.bytes > 0) {
            let mut buffer = ReadBuf::uninit(&mut discarded);
            match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    let farewell = self.farewell.get_or_insert_with(Farewell::new);
                    farewell.bytes = farewell.bytes.saturating_sub(buffer.filled().len());
                }
                Poll::Pending if self.farewell.is_some() || self.activity.has_more_to_say() => {
                    break;
                }
                Poll::Ready(_) | Poll::Pending => return Poll::Ready(()),
            }
        }
        let farewell = self.farewell.get_or_insert_with(Farewell::new);
        farewell.until.as_mut().poll(context)
    }
}

impl Farewell {
    fn new() -> Self {
        Self {
            until: Box::pin(tokio::time::sleep(FAREWELL)),
            bytes: FAREWELL_BYTES,
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.turnstile.is_open() {
            let seat = &self.activity.seat;
            match ready!(self.turnstile.poll_turn(seat, &self.stream, context))? {
                Turn::Read => {}
                // Nothing read is the end.
                Turn::HungUp => {
                    self.has_hung_up = true;
                    return Poll::Ready(Ok(()));
                }
            }
        }
        let room = buffer.remaining();
        if room > self.room {
            self.room = room;
            self.activity.grew(room);
        }
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.remaining() < room {
            self.activity.is_reading.set(true);
        } else if read.is_ready() {
            self.is_at_end = true;
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.offered(bytes.len(), &written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.offered(slices.iter().map(|slice| slice.len()).sum(), &written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes when its own buffer is empty, so the reply is in the socket.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        if let Poll::Ready(Ok(())) = flushed {
            self.activity.flushed();
        }
        flushed
    }

    /// Nobody hears a farewell who has gone, and it costs as much as all else of an end.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.has_hung_up {
            return Poll::Ready(Ok(()));
        }
        if self.farewell.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
        }
        if self.is_at_end {
            return Poll::Ready(Ok(()));
        }
        self.poll_farewell(context).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::Waker;

    use super::*;

    #[test]
    fn makes_room_at_the_cost_of_those_that_idled_longest() {
        let connections = Connections::default();
        let (_, busy) = connections.enter();
        busy.begin(Instant::now());
        let idlers: Vec<_> = (0..20).map(|_| connections.enter().1).collect();
        assert_eq!(connections.evict(Duration::from_mins(1)), 0);
        assert_eq!(connections.evict(Duration::ZERO), 2, "an eighth of 21");
        busy.replied();
        busy.flushed();
        drop(idlers);
        assert_eq!(connections.count(), 21);
        for number in 0..20 {
            connections.leave(number);
        }
        assert_eq!(connections.evict(Duration::ZERO), 1, "one at least");
    }

    #[test]
    fn others_go_first_now_and_then_when_many_requests_come_at_once() {
        let (_, one) = Connections::default().enter();
        let come = || {
            one.is_reading.set(true);
            one.begin(Instant::now());
            one.is_long_burst()
        };
        let come_with_it = || {
            one.begin(Instant::now());
            one.is_long_burst()
        };
        assert!(!come());
        assert_eq!((0..40).filter(|_| come_with_it()).count(), 2);
        assert!(!come());
        assert!((0..15).all(|_| !come_with_it()), "most send fewer");
        assert!((0..40).all(|_| !come()), "one after the other");
    }

    #[test]
    fn large_heads_make_room_when_there_are_too_many_the_oldest_half_ones_first() {
        let connections = Connections::default();
        let limit = 24 << 20;
        let large = |room: usize| {
            let (_, one) = connections.enter();
            one.grew(room);
            one
        };
        let busy = large(limit / 16);
        busy.begin(Instant::now());
        let idle = large(limit / 16);
        let half: Vec<_> = (0..6).map(|_| large(limit / 16)).collect();
        for one in &half {
            one.is_reading.set(true);
        }
        let (_, small) = connections.enter();
        small.is_reading.set(true);
        assert_eq!(connections.relieve(), 0, "just what may be");
        half[0].last.set(Instant::now());
        half[5].grew(limit / 16 + 1);
        assert_eq!(connections.relieve(), 2);
        assert!(half[1].is_due() && half[2].is_due());
        assert_eq!(connections.relieve(), 0, "they are on their way out");
        for one in &half[1..] {
            one.begin(Instant::now());
        }
        assert_eq!(connections.relieve(), 2);
        assert!(half[0].is_due() && idle.is_due(), "work is not cut");
        assert!(!small.is_due() && !busy.is_due());
    }

    #[test]
    fn replies_that_wait_make_room_when_there_are_too_many_the_oldest_first() {
        let connections = Connections::default();
        let limit = 16 << 20;
        let waiting = |unsent: usize| {
            let (_, one) = connections.enter();
            one.begin(Instant::now());
            one.replied();
            one.left(unsent);
            one
        };
        let all: Vec<_> = (0..8).map(|_| waiting(limit / 8)).collect();
        assert_eq!(connections.relieve(), 0, "just what may be");
        assert!(!connections.has_room_for(1));
        all[0].left(limit / 16);
        assert!(connections.has_room_for(limit / 16));
        // As long as there is no more, only those make room that have waited for long.
        assert_eq!(connections.relieve_replies(Duration::ZERO), 4);
        assert!(all[..4].iter().all(|one| one.is_due()));
        assert_eq!(connections.relieve_replies(Duration::ZERO), 0);
        for one in &all[..4] {
            one.left(0);
            one.flushed();
            assert!(!one.is_due());
        }
        all[5].begin(Instant::now());
        all[7].left(limit * 5 / 8 + 1);
        assert_eq!(connections.relieve(), 2);
        assert!(all[4].is_due() && all[6].is_due());
        assert!(!all[7].is_due(), "no more than needed");
        drop(all);
        assert!(!connections.has_room_for(limit));
        for number in 0..8 {
            connections.leave(number);
        }
        assert!(connections.has_room_for(limit));
    }

    #[test]
    fn replies_that_wait_too_long_are_given_up_unless_all_went_out_in_between() {
        let connections = Connections::default();
        let (_, one) = connections.enter();
        let long = Duration::from_mins(1);
        one.begin(Instant::now());
        assert_eq!(connections.sweep(Duration::ZERO), 0, "work is not cut");
        assert_eq!(connections.sweep(Duration::ZERO), 0);
        one.replied();
        assert_eq!(connections.sweep(Duration::ZERO), 0, "seen first");
        assert_eq!(connections.sweep(long), 0);
        assert_eq!(connections.sweep(Duration::ZERO), 1);
        // Pipelined requests are answered into a socket that is never empty.
        one.begin(Instant::now());
        one.replied();
        assert_eq!(connections.sweep(Duration::ZERO), 1);
        one.flushed();
        one.begin(Instant::now());
        one.replied();
        assert_eq!(connections.sweep(Duration::ZERO), 0, "a new wait");
        one.flushed();
        assert_eq!(connections.sweep(Duration::ZERO), 0, "it idles");
    }

    #[test]
    fn who_was_told_to_make_room_and_has_begun_a_request_since_is_not_cut() {
        let connections = Connections::default();
        let (_, one) = connections.enter();
        let mut evicted = pin!(one.evicted());
        let mut is_cut = || {
            let mut context = Context::from_waker(Waker::noop());
            evicted.as_mut().poll(&mut context).is_ready()
        };
        let work = || {
            one.begin(Instant::now());
            one.replied();
        };
        assert!(!is_cut());
        assert_eq!(connections.evict(Duration::ZERO), 1);
        one.begin(Instant::now());
        assert!(!is_cut(), "a request is in hand");
        assert_eq!(connections.evict(Duration::ZERO), 0);
        one.replied();
        one.flushed();
        assert_eq!(connections.evict(Duration::ZERO), 1);
        work();
        one.flushed();
        assert!(!is_cut(), "it has answered one since");
        // The same of replies that went out after all.
        work();
        connections.sweep(Duration::ZERO);
        assert_eq!(connections.sweep(Duration::ZERO), 1);
        one.flushed();
        work();
        assert!(!is_cut());
        one.flushed();
        assert_eq!(connections.evict(Duration::ZERO), 1);
        assert!(is_cut());
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_head_is_not_waited_for_but_a_reply_is() {
        let activity = Activity::new(Rc::default());
        let started = tokio::time::Instant::now();
        activity.abandoned().await;
        assert_eq!(started.elapsed(), HALF_HEAD);
        for stage in [Activity::replied, |one: &Activity| {
            one.begin(Instant::now());
        }] {
            stage(&activity);
            let minute = Duration::from_mins(1);
            let abandoned = tokio::time::timeout(minute, activity.abandoned());
            assert!(abandoned.await.is_err());
        }
    }
}
