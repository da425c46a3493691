//! Where the reading stops when a worker is saturated.
//!
//! Whatever is read costs a reply, be it a refusal. So a worker that comes late to its own timer
//! ([`crate::lag`]) stops accepting and reading: what clients send stays in the kernel's queues,
//! which are bounded, and the sockets that have something wait here in turn. Each time that
//! everything at hand has run, as many of them are called as keep the worker busy for some
//! milliseconds. It never rests while one waits, so this costs no throughput, and while the worker
//! is on time it costs a look at a flag for each read.
//!
//! Those that have waited longest are called first, but whoever waits too long for most clients'
//! patience steps back behind all others, or the queue would serve nobody in time. A part of each
//! turn is theirs. Clients that have given up cost little: once the worker has been saturated for long,
//! and for a while after, whose client has hung up is closed unread, in the kernel's queue
//! ([`crate::listener::admit`]), at the turnstile or behind it.

mod queues;

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use tokio::io::Interest;
use tokio::net::TcpStream;

pub(crate) use queues::Seat;
use queues::{Queues, Stage, TOO_LONG, Waiting};

use crate::metrics::{Counters, Gauges, Label as _, Metrics, WorkerCounters, WorkerGauge};

/// How long a turn should take: long against what calling costs, short against what clients notice.
const TURN: Duration = Duration::from_millis(10);

/// Sockets called in the first turn.
const FIRST_TURN: usize = 32;

/// And in any turn. Fewer would be lost in what a turn itself costs.
const TURNS: std::ops::RangeInclusive<usize> = 8..=4096;

/// A connection is accepted for so many sockets that are called. Clients that give up connect anew, and
/// what is accepted costs as much as a request; what is not waits in the kernel and costs nothing.
const CALLS_FOR_ACCEPT: usize = 16;

/// For so many, one whose client hung up in the kernel's queue is taken out of it. Few of them, and the queue
/// takes longer than anybody waits: then all who come out of it have gone.
const CALLS_FOR_GONE: usize = 4;

/// For how long after it was saturated a worker looks for clients that have gone. Those that gave up
/// in that time come out of the kernel's queue now, and the next pause may begin any moment.
const WARY: Duration = Duration::from_secs(2);

/// What sockets do that have something to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// They read.
    Open,
    /// They read, unless the client has gone: the worker was saturated a moment ago.
    Wary,
    /// They wait for their turn.
    Shut,
}

crate::labels! {
    /// How a pause ended.
    enum Pause {
        /// The socket was read.
        Read => "read",
        /// The client had hung up, or the connection ended otherwise.
        HungUp => "hung_up",
    }
}

/// What all workers count in.
#[derive(Clone, Debug)]
pub(crate) struct PauseMetrics {
    paused: Gauges,
    ended: Counters,
}

impl PauseMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            paused: metrics.gauge(
                "reads_paused",
                "Connections that are not read although something has come, because the worker is saturated.",
            ),
            ended: metrics.counters(
                "read_pauses_total",
                "Pauses of connections that were not read at once, by how they ended.",
                "end",
                Pause::ALL,
            ),
        }
    }
}

/// One worker's.
#[derive(Debug)]
pub(crate) struct Turnstile {
    state: Cell<State>,
    /// Whether it never shuts again, because the process ends.
    is_over: Cell<bool>,
    queues: RefCell<Queues>,
    waiting: Cell<u64>,
    /// Since when it is shut, or was before it became wary.
    since: Cell<Option<Instant>>,
    /// Whether that is so long that who has hung up is taken for one who gave up.
    is_standing: Cell<bool>,
    /// Until when it is wary.
    wary_until: Cell<Option<Instant>>,
    turn: Cell<usize>,
    /// Sockets called, as far as no connection was accepted for them.
    calls: Cell<usize>,
    acceptor: RefCell<Option<Waker>>,
    /// How late the worker was at last.
    late: Cell<Duration>,
    paused: WorkerGauge,
    ended: WorkerCounters,
}

/// What a socket may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Read.
    Read,
    /// Take it for closed: nobody waits for the reply.
    HungUp,
}

impl Turnstile {
    pub(crate) fn new(metrics: &PauseMetrics, worker: usize) -> Self {
        Self {
            state: Cell::new(State::Open),
            is_over: Cell::new(false),
            queues: RefCell::default(),
            waiting: Cell::new(0),
            since: Cell::new(None),
            is_standing: Cell::new(false),
            wary_until: Cell::new(None),
            turn: Cell::new(FIRST_TURN),
            calls: Cell::new(0),
            acceptor: RefCell::default(),
            late: Cell::new(Duration::ZERO),
            paused: metrics.paused.worker(worker),
            ended: metrics.ended.worker(worker),
        }
    }

    /// Whether sockets may read without asking here.
    pub(crate) fn is_open(&self) -> bool {
        self.state.get() == State::Open
    }

    /// Whether sockets wait for their turn.
    pub(crate) fn is_shut(&self) -> bool {
        self.state.get() == State::Shut
    }

    /// Whether who has hung up is taken for one who gave up.
    pub(crate) fn is_standing(&self) -> bool {
        self.is_standing.get()
    }

    /// How late the worker came to what it should do, when that was last looked at.
    pub(crate) fn late(&self) -> Duration {
        self.late.get()
    }

    /// Notes how late the worker is.
    pub(crate) fn set_late(&self, late: Duration) {
        self.late.set(late);
    }

    /// From now on sockets wait.
    pub(crate) fn shut(&self) {
        if !self.is_over.get() {
            self.state.set(State::Shut);
            self.turn.set(FIRST_TURN);
        }
    }

    /// From now on sockets read.
    pub(crate) fn open(&self, now: Instant) {
        if self.is_standing.get() {
            self.state.set(State::Wary);
            self.wary_until.set(Some(now + WARY));
        } else {
            self.be_calm();
        }
        loop {
            let next = self.queues.borrow_mut().next();
            let Some(next) = next else { break };
            self.call(&next.seat);
        }
        self.wake_acceptor();
    }

    /// Has it wary no longer, when that is over.
    pub(crate) fn calm(&self, now: Instant) {
        if self.state.get() == State::Wary && self.wary_until.get().is_none_or(|end| now >= end) {
            self.be_calm();
        }
    }

    fn be_calm(&self) {
        self.state.set(State::Open);
        self.is_standing.set(false);
        self.since.set(None);
    }

    /// Opens it for good: a stop has begun, and what was sent is to be answered.
    pub(crate) fn open_for_good(&self) {
        self.is_over.set(true);
        self.is_standing.set(false);
        self.open(Instant::now());
    }

    /// Everything at hand has run, which took so long: calls the next ones. Gives their number.
    pub(crate) fn next_turn(&self, took: Duration, now: Instant) -> usize {
        let mut turn = self.turn.get();
        if took > TURN {
            turn = (turn / 2).max(*TURNS.start());
        } else if took < TURN / 2 {
            turn = (turn * 2).min(*TURNS.end());
        }
        self.turn.set(turn);
        let mut called = 0;
        let mut queues = self.queues.borrow_mut();
        queues.step_back(now);
        let since = self.since.get().unwrap_or(now);
        self.since.set(Some(since));
        self.is_standing
            .set(now.saturating_duration_since(since) > TOO_LONG);
        while called < turn {
            let Some(next) = queues.next() else { break };
            called += usize::from(self.call(&next.seat));
        }
        drop(queues);
        // With nobody to call there is room for a whole turn of new ones.
        let room = if called == 0 {
            FIRST_TURN * CALLS_FOR_ACCEPT
        } else {
            called
        };
        let calls = self.calls.get() + room;
        self.calls.set(calls.min(*TURNS.end()));
        self.wake_acceptor();
        called
    }

    /// Lets one read, if it waits.
    fn call(&self, seat: &Seat) -> bool {
        let waits = seat.is_waiting();
        if waits {
            seat.stage.set(Stage::Called);
            self.set_waiting(self.waiting.get().saturating_sub(1));
            seat.wake();
        }
        waits
    }

    fn set_waiting(&self, waiting: u64) {
        self.waiting.set(waiting);
        self.paused.set(waiting);
    }

    /// Waits until there is room for a connection: at once unless the turnstile is shut. One of them for so
    /// many calls must get in: a load balancer's health check comes on a new connection.
    pub(crate) fn poll_room(&self, context: &Context<'_>) -> Poll<()> {
        if self.is_shut() && self.calls.get() < CALLS_FOR_ACCEPT {
            self.wait_for_room(context);
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// Has the acceptor come back with the next turn, or when the turnstile opens.
    pub(crate) fn wait_for_room(&self, context: &Context<'_>) {
        *self.acceptor.borrow_mut() = Some(context.waker().clone());
    }

    /// A connection was accepted.
    pub(crate) fn admitted(&self) {
        self.spend(CALLS_FOR_ACCEPT);
    }

    /// A connection was closed unread, because its client had hung up before it was accepted.
    pub(crate) fn gone(&self) {
        self.ended.add_one(Pause::HungUp.index());
        self.spend(CALLS_FOR_GONE);
    }

    fn spend(&self, calls: usize) {
        self.calls.set(self.calls.get().saturating_sub(calls));
    }

    /// A connection was accepted; so few are while the turnstile is shut that they go before the rest.
    pub(crate) fn welcome(&self, seat: &Seat) {
        if self.is_shut() {
            seat.stage.set(Stage::New);
        }
    }

    fn wake_acceptor(&self) {
        if let Some(waker) = self.acceptor.take() {
            waker.wake();
        }
    }

    /// Waits, while the turnstile is shut, until a socket that has something is called.
    pub(crate) fn poll_turn(
        &self,
        seat: &Rc<Seat>,
        stream: &TcpStream,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<Turn>> {
        match seat.stage.get() {
            Stage::Free | Stage::New => {
                ready!(stream.poll_read_ready(context))?;
                if self.is_shut() {
                    // One that was just accepted waits too, among the next: by then the kernel has told whether the
                    // client is still there.
                    self.wait(seat, context, Instant::now());
                    return Poll::Pending;
                }
            }
            Stage::Waiting if self.has_given_up(stream, context) => {
                self.set_waiting(self.waiting.get().saturating_sub(1));
            }
            Stage::Waiting => {
                *seat.waker.borrow_mut() = Some(context.waker().clone());
                return Poll::Pending;
            }
            Stage::Called | Stage::Gone => {}
        }
        let paused = seat.stage.replace(Stage::Free);
        if self.has_given_up(stream, context) {
            self.ended.add_one(Pause::HungUp.index());
            return Poll::Ready(Ok(Turn::HungUp));
        }
        if paused == Stage::Called {
            self.ended.add_one(Pause::Read.index());
        }
        Poll::Ready(Ok(Turn::Read))
    }

    /// Whether the client has hung up, and that means that it gave up.
    fn has_given_up(&self, stream: &TcpStream, context: &mut Context<'_>) -> bool {
        self.is_standing.get() && has_hung_up(stream, context)
    }

    fn wait(&self, seat: &Rc<Seat>, context: &Context<'_>, since: Instant) {
        let is_new = seat.stage.replace(Stage::Waiting) == Stage::New;
        *seat.waker.borrow_mut() = Some(context.waker().clone());
        let mut queues = self.queues.borrow_mut();
        queues.tidy(self.waiting.get());
        let waiting = Waiting {
            seat: Rc::clone(seat),
            since,
        };
        if is_new {
            queues.usual.push_front(waiting);
        } else {
            queues.usual.push_back(waiting);
        }
        self.set_waiting(self.waiting.get() + 1);
    }

    /// The connection has ended.
    pub(crate) fn leave(&self, seat: &Seat) {
        if seat.is_waiting() {
            self.set_waiting(self.waiting.get().saturating_sub(1));
            self.ended.add_one(Pause::HungUp.index());
        }
        seat.stage.set(Stage::Gone);
    }
}

/// Whether the client has closed, or shut its writing side, as far as the kernel has told.
fn has_hung_up(stream: &TcpStream, context: &mut Context<'_>) -> bool {
    let ready = pin!(stream.ready(Interest::READABLE)).poll(context);
    matches!(ready, Poll::Ready(Ok(ready)) if ready.is_read_closed())
}

#[cfg(test)]
mod tests;
