//! One worker: from accept to close. What happens to each request in between is in `exchange`.

mod exchange;
mod families;

use std::net::TcpListener as StdListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::exchange::respond;
pub(crate) use self::families::RequestMetrics;
use self::families::WorkerMetrics;
use crate::Service;
use crate::access::AccessLog;
use crate::connection::{Activity, Connections, Watched};
use crate::drain::{Phase, Watch};
use crate::health::Health;
use crate::lag;
use crate::limits::{Adaptive, HEADER_BYTES, InFlight, WorkerLimits};
use crate::listener;
use crate::metrics::Label as _;
use crate::respond::KitOutcome;
use crate::spread::Spread;
use crate::trace::Tracer;
use crate::turnstile::Turnstile;

/// How long a new connection waits for a place before others are looked at.
const CROWDED_LOOK: Duration = Duration::from_millis(250);

/// Parts of the time that replies may wait, after each of which is looked who lets them wait.
const SWEEPS: u32 = 4;

/// How long an idle connection stays open when the closing begins.
const LAST_CALL: Duration = Duration::from_millis(500);

/// What a worker thread needs to run.
pub(crate) struct WorkerParts {
    pub(crate) index: usize,
    pub(crate) listener: StdListener,
    pub(crate) spread: Spread,
    pub(crate) limits: WorkerLimits,
    pub(crate) drain: Watch,
    pub(crate) health: Health,
    pub(crate) metrics: RequestMetrics,
    pub(crate) tracer: Option<Tracer>,
    #[cfg(feature = "fault-injection")]
    pub(crate) faults: Option<crate::faults::WorkerFaults>,
}

struct Worker<S> {
    app: S,
    limits: WorkerLimits,
    in_flight: InFlight,
    waiting: Adaptive,
    turnstile: Rc<Turnstile>,
    open: Connections,
    drain: Watch,
    health: Health,
    metrics: WorkerMetrics,
    access: AccessLog,
    tracer: Option<Tracer>,
    #[cfg(feature = "fault-injection")]
    faults: Option<crate::faults::WorkerFaults>,
}

/// Serves until the drain says so, then finishes what is in hand.
pub(crate) async fn run<S: Service>(app: S, parts: WorkerParts) -> std::io::Result<()> {
    let listener = TcpListener::from_std(parts.listener)?;
    let limits = parts.limits;
    let mut drain = parts.drain;
    let turnstile = Rc::new(Turnstile::new(&parts.metrics.pauses, parts.index));
    tokio::task::spawn_local(lag::measure(
        parts.metrics.lag.worker(parts.index),
        Rc::clone(&turnstile),
        limits.pause_reads,
    ));
    let worker = Rc::new(Worker {
        app,
        limits,
        waiting: Adaptive::new(
            limits.least_in_flight,
            limits.in_flight,
            Instant::now(),
            parts.metrics.in_flight_limit.worker(parts.index),
        ),
        turnstile,
        in_flight: InFlight::new(
            limits.in_flight,
            parts.metrics.in_flight.worker(parts.index),
        ),
        open: Connections::new(limits.held),
        drain: drain.clone(),
        health: parts.health,
        metrics: parts.metrics.worker(parts.index),
        access: AccessLog::new(limits.access, parts.metrics.log_dropped.worker(parts.index)),
        tracer: parts.tracer,
        #[cfg(feature = "fault-injection")]
        faults: parts.faults,
    });
    let mut spread = parts.spread;
    let slots = Arc::clone(spread.slots());
    let sweeper = tokio::task::spawn_local(Rc::clone(&worker).end_slow_readers());
    let reliever = tokio::task::spawn_local(Rc::clone(&worker).hold_no_more_than_allowed());
    loop {
        let accepted = async {
            let slot = worker.place(&slots).await?;
            let stream = listener::admit(&listener, &worker.turnstile).await;
            Some((stream, slot))
        };
        let mine = tokio::select! {
            biased;
            () = drain.reached(Phase::Closing) => break,
            Some(placed) = spread.inbox.recv() => placed.settle(),
            Some((stream, slot)) = accepted => spread.place(stream, slot),
            else => break,
        };
        if let Some((stream, slot)) = mine {
            spawn_connection(&worker, stream, slot, drain.clone());
        }
    }

    worker.turnstile.open_for_good();

    // What the others handed over before they knew.
    spread.inbox.close();
    while let Some(placed) = spread.inbox.recv().await {
        if let Some((stream, slot)) = placed.settle() {
            spawn_connection(&worker, stream, slot, drain.clone());
        }
    }
    // Connections that the kernel completed before the listener closes have done nothing wrong.
    let listener = listener.into_std()?;
    while let Ok(slot) = Arc::clone(&slots).try_acquire_owned() {
        let Some(stream) = listener::accept_waiting(&listener) else {
            break;
        };
        if let Some(stream) = listener::settle(stream) {
            spawn_connection(&worker, stream, slot, drain.clone());
        }
    }
    drop(listener);

    let all = u32::try_from(limits.connections).unwrap_or(u32::MAX);
    tokio::select! {
        _ = slots.acquire_many(all) => {}
        () = drain.reached(Phase::Closed) => {
            tracing::warn!(worker = parts.index, connections = worker.open.count(), "connections cut at the drain deadline");
        }
    }
    sweeper.abort();
    reliever.abort();
    Ok(())
}

fn spawn_connection<S: Service>(
    worker: &Rc<Worker<S>>,
    stream: TcpStream,
    slot: OwnedSemaphorePermit,
    drain: Watch,
) {
    let open = OpenConnection::new(Rc::clone(worker), slot);
    // The task ends with the connection; a panic in a handler ends just this task.
    tokio::task::spawn_local(serve_connection(open, stream, drain));
}

/// Counts a connection while it is open.
struct OpenConnection<S> {
    worker: Rc<Worker<S>>,
    number: u64,
    activity: Rc<Activity>,
    _slot: OwnedSemaphorePermit,
}

impl<S> OpenConnection<S> {
    fn new(worker: Rc<Worker<S>>, slot: OwnedSemaphorePermit) -> Self {
        let (number, activity) = worker.open.enter();
        worker.turnstile.welcome(activity.seat());
        worker.metrics.connections.set(worker.open.count());
        worker.metrics.accepted.add_one(0);
        Self {
            worker,
            number,
            activity,
            _slot: slot,
        }
    }
}

impl<S> Drop for OpenConnection<S> {
    fn drop(&mut self) {
        let worker = &self.worker;
        worker.open.leave(self.number);
        worker.turnstile.leave(self.activity.seat());
        worker.metrics.connections.set(worker.open.count());
    }
}

async fn serve_connection<S: Service>(
    open: OpenConnection<S>,
    stream: TcpStream,
    mut drain: Watch,
) {
    let worker = &open.worker;
    let activity = &open.activity;
    let turnstile = Rc::clone(&worker.turnstile);
    let stream = Watched::new(stream, Rc::clone(activity), turnstile);
    let service = service_fn(|request| respond(Rc::clone(worker), Rc::clone(activity), request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // Time for the next head, so also how long a connection may idle: longer than the load
        // balancer's own limit, or it would send requests into connections that just closed.
        .header_read_timeout(worker.limits.keep_alive)
        // A client that has said all it will say still gets its reply. The price: one that went away
        // looks the same until the reply is written, so its request is worked off.
        .half_close(true)
        .max_buf_size(S::LIMITS.target_bytes + HEADER_BYTES)
        .max_header_size(S::LIMITS.target_bytes + HEADER_BYTES)
        // Not `pipeline_flush`: with bytes left in the read buffer it holds back replies, among
        // them hyper's own 400 and 414, and the reply before half a pipelined request.
        .writev(!S::LIMITS.small_replies)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = drain.reached(Phase::Closing) => {
            // A request may be on its way, or in the socket and not read yet. It is answered, and
            // the reply closes the connection.
            let last_call = tokio::time::timeout(LAST_CALL, connection.as_mut()).await;
            if let Ok(ended) = last_call {
                ended
            } else {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection => ended,
                    // A stop must not wait for a client that sent half a head.
                    () = activity.abandoned() => Ok(()),
                }
            }
        }
        // Others wait for its place, and it has nothing to do.
        () = activity.evicted() => Ok(()),
    };
    if let Err(error) = ended {
        if error.is_parse() {
            // Answered by hyper itself: 400, 414 or 431.
            worker.metrics.requests.add_one(KitOutcome::BadHead.index());
        }
        // The client's doing: a broken head, a time-out, a reset.
        tracing::debug!(%error, "connection ended early");
    }
}

impl<S: Service> Worker<S> {
    /// A place for one more connection. Over the cap nothing is accepted: what comes waits in the
    /// kernel's queue, and connections that idle are closed for it.
    async fn place(&self, slots: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
        loop {
            let slot = Arc::clone(slots).acquire_owned();
            if let Ok(slot) = tokio::time::timeout(CROWDED_LOOK, slot).await {
                return slot.ok();
            }
            let evicted = self.open.evict(self.limits.crowded_idle);
            if evicted > 0 {
                tracing::debug!(evicted, "too many connections: idle ones make room");
            }
        }
    }

    /// Closes connections for which too much is held, as soon as that is so.
    async fn hold_no_more_than_allowed(self: Rc<Self>) {
        loop {
            self.open.crowded().await;
            let ended = self.open.relieve();
            if ended > 0 {
                tracing::debug!(ended, "too much is held for clients: some make room");
            }
        }
    }

    /// Closes connections whose clients take their replies too slowly. Looks at all of them now and
    /// then, so that requests pay for no timer.
    async fn end_slow_readers(self: Rc<Self>) {
        let limit = self.limits.send_deadline;
        loop {
            tokio::time::sleep(limit / SWEEPS).await;
            let ended = self.open.sweep(limit);
            if ended > 0 {
                tracing::debug!(ended, "clients left their replies waiting");
            }
        }
    }
}
