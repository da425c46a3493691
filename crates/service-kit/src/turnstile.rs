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
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    #[derive(Debug, Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn turnstile() -> (Metrics, Turnstile) {
        let metrics = Metrics::new("test", 1);
        let turnstile = Turnstile::new(&PauseMetrics::new(&metrics), 0);
        (metrics, turnstile)
    }

    /// Has so many connections wait, one a millisecond.
    fn waiting(turnstile: &Turnstile, count: u32, now: Instant) -> Vec<Rc<Seat>> {
        let context = Context::from_waker(Waker::noop());
        let seats = (0..count).map(|number| {
            let seat = Rc::new(Seat::default());
            turnstile.wait(&seat, &context, now + Duration::from_millis(1) * number);
            seat
        });
        seats.collect()
    }

    fn called(seats: &[Rc<Seat>]) -> Vec<usize> {
        let stages = seats.iter().enumerate();
        let called = stages.filter(|(_, seat)| seat.stage.get() == Stage::Called);
        called.map(|(place, _)| place).collect()
    }

    #[test]
    fn who_waits_longest_is_called_first_but_for_those_who_wait_too_long() {
        let now = Instant::now();
        // One came each millisecond.
        for (later, expected) in [
            (100, vec![0, 1, 2, 3, 4, 5, 6, 7]),
            (520, vec![0, 20, 21, 22, 23, 24, 25, 26]),
            (1000, vec![0, 1, 2, 3, 4, 5, 6, 7]),
        ] {
            let (_, turnstile) = turnstile();
            turnstile.shut();
            turnstile.turn.set(8);
            let seats = waiting(&turnstile, 50, now);
            let later = now + Duration::from_millis(later);
            assert_eq!(turnstile.next_turn(TURN, later), 8);
            assert_eq!(called(&seats), expected);
        }
    }

    #[test]
    fn turns_grow_and_shrink_with_the_time_they_take() {
        let now = Instant::now();
        let (_, turnstile) = turnstile();
        turnstile.shut();
        let _seats = waiting(&turnstile, 200, now);
        assert_eq!(turnstile.next_turn(Duration::ZERO, now), 64);
        assert_eq!(turnstile.next_turn(TURN * 2, now), 32);
        for _ in 0..20 {
            turnstile.next_turn(TURN * 2, now);
        }
        let _more = waiting(&turnstile, 10, now);
        assert_eq!(turnstile.next_turn(TURN * 2, now), 8, "never none");
    }

    #[test]
    fn whoever_left_is_not_waited_for() {
        let now = Instant::now();
        let (metrics, turnstile) = turnstile();
        turnstile.shut();
        let seats = waiting(&turnstile, 3000, now);
        for seat in &seats[1..] {
            turnstile.leave(seat);
        }
        let text = String::from_utf8(metrics.render()).unwrap();
        assert!(text.contains("test_reads_paused 1\n"), "{text}");
        let _more = waiting(&turnstile, 1, now);
        let queues = turnstile.queues.take();
        assert_eq!(queues.usual.len(), 2, "nothing piles up");
        turnstile.queues.replace(queues);
        turnstile.open_for_good();
        assert_eq!(called(&seats), [0]);
        turnstile.shut();
        assert!(!turnstile.is_shut(), "over");
    }

    #[test]
    fn there_is_no_room_while_it_is_shut_but_for_one_for_so_many_calls() {
        let now = Instant::now();
        let (_, turnstile) = turnstile();
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let context = Context::from_waker(&waker);
        assert!(turnstile.poll_room(&context).is_ready());
        turnstile.shut();
        assert!(turnstile.poll_room(&context).is_pending());
        let _seats = waiting(&turnstile, 100, now);
        turnstile.turn.set(CALLS_FOR_ACCEPT);
        turnstile.next_turn(TURN, now);
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert!(turnstile.poll_room(&context).is_ready());
        // To find that somebody has gone takes up less.
        turnstile.gone();
        assert!(turnstile.poll_room(&context).is_pending());
        turnstile.next_turn(TURN, now);
        assert!(turnstile.poll_room(&context).is_ready());
        turnstile.admitted();
        assert!(turnstile.poll_room(&context).is_pending());
        turnstile.open(now);
        assert_eq!(woken.0.load(Ordering::Relaxed), 3);
        assert!(turnstile.poll_room(&context).is_ready());
    }

    #[test]
    fn it_is_wary_for_a_while_after_it_was_shut_for_long() {
        let now = Instant::now();
        let (_, turnstile) = turnstile();
        turnstile.shut();
        turnstile.next_turn(TURN, now);
        turnstile.open(now);
        assert!(turnstile.is_open(), "shut for a moment only");
        turnstile.shut();
        turnstile.next_turn(TURN, now);
        let later = now + 2 * TOO_LONG;
        turnstile.next_turn(TURN, later);
        turnstile.open(later);
        assert!(!turnstile.is_open() && !turnstile.is_shut() && turnstile.is_standing());
        // What comes in that time goes on where it was left.
        turnstile.shut();
        turnstile.next_turn(TURN, later);
        assert!(turnstile.is_standing());
        turnstile.open(later);
        turnstile.calm(later + WARY / 2);
        assert!(!turnstile.is_open());
        turnstile.calm(later + WARY);
        assert!(turnstile.is_open() && !turnstile.is_standing());
    }

    #[tokio::test]
    async fn a_socket_without_bytes_is_no_trouble_and_one_with_bytes_waits() {
        let (_, turnstile) = turnstile();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let seat = Rc::new(Seat::default());
        turnstile.shut();
        let mut context = Context::from_waker(Waker::noop());
        // Of one that was just accepted the runtime supposes that there is something.
        assert!(stream.try_read(&mut [0]).is_err());
        assert!(
            turnstile
                .poll_turn(&seat, &stream, &mut context)
                .is_pending()
        );
        assert!(!seat.is_waiting());
        client.write_all(b"GET").await.unwrap();
        stream.readable().await.unwrap();
        assert!(
            turnstile
                .poll_turn(&seat, &stream, &mut context)
                .is_pending()
        );
        assert!(seat.is_waiting());
        client.shutdown().await.unwrap();
        let closed = async {
            loop {
                if stream
                    .ready(Interest::READABLE)
                    .await
                    .unwrap()
                    .is_read_closed()
                {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), closed)
            .await
            .unwrap();
        // In a queue that goes away, who has said all it will say gets its reply.
        turnstile.next_turn(TURN, Instant::now());
        let turn = turnstile.poll_turn(&seat, &stream, &mut context);
        assert!(matches!(turn, Poll::Ready(Ok(Turn::Read))));
        assert!(
            turnstile
                .poll_turn(&seat, &stream, &mut context)
                .is_pending()
        );
        // In one that has stood for long it is taken for gone: where it waits, when it is called, and for a
        // while after that.
        turnstile.is_standing.set(true);
        let turn = turnstile.poll_turn(&seat, &stream, &mut context);
        assert!(matches!(turn, Poll::Ready(Ok(Turn::HungUp))));
        turnstile.next_turn(TURN, Instant::now());
        seat.stage.set(Stage::Called);
        turnstile.is_standing.set(true);
        let turn = turnstile.poll_turn(&seat, &stream, &mut context);
        assert!(matches!(turn, Poll::Ready(Ok(Turn::HungUp))));
        turnstile.open(Instant::now());
        let turn = turnstile.poll_turn(&seat, &stream, &mut context);
        assert!(matches!(turn, Poll::Ready(Ok(Turn::HungUp))));
        turnstile.calm(Instant::now() + WARY);
        let turn = turnstile.poll_turn(&seat, &stream, &mut context);
        assert!(matches!(turn, Poll::Ready(Ok(Turn::Read))));
    }
}
