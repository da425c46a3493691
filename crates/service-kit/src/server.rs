//! One worker: from accept to close, and what happens to each request in between.

use std::convert::Infallible;
use std::net::TcpListener as StdListener;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderValue, Method, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::Instrument as _;

use crate::Service;
use crate::access::AccessLog;
use crate::connection::{Activity, Connections, Watched};
use crate::drain::{Phase, Watch};
use crate::health::Health;
use crate::lag;
use crate::limits::{self, Adaptive, HEADER_BYTES, InFlight, WorkerLimits};
use crate::listener;
use crate::metrics::{
    Counters, Durations, Gauges, Label, Metrics, WorkerCounters, WorkerDurations, WorkerGauge,
};
use crate::request::Request;
use crate::respond::{KitOutcome, Outcome, Reply};
use crate::spread::Spread;
use crate::trace::{self, Tracer};
use crate::turnstile::{PauseMetrics, Turnstile};

/// How long a new connection waits for a place before others are looked at.
const CROWDED_LOOK: Duration = Duration::from_millis(250);

/// Parts of the time that replies may wait, after each of which is looked who lets them wait.
const SWEEPS: u32 = 4;

/// How long an idle connection stays open when the closing begins.
const LAST_CALL: Duration = Duration::from_millis(500);

/// The families that every service has.
#[derive(Clone, Debug)]
pub(crate) struct RequestMetrics {
    requests: Counters,
    durations: Durations,
    in_flight: Gauges,
    in_flight_limit: Gauges,
    pauses: PauseMetrics,
    lag: Durations,
    connections: Gauges,
    accepted: Counters,
    log_dropped: Counters,
}

impl RequestMetrics {
    pub(crate) fn new(metrics: &Metrics, outcomes: &[&'static str]) -> Self {
        let labels: Vec<_> = KitOutcome::ALL.iter().chain(outcomes).copied().collect();
        Self {
            requests: metrics.counters(
                "requests_total",
                "Requests by outcome.",
                "outcome",
                &labels,
            ),
            durations: metrics.durations(
                "request_duration_seconds",
                "Time from a request's head to its reply, in seconds.",
            ),
            in_flight: metrics.gauge("requests_in_flight", "Requests in hand."),
            in_flight_limit: metrics.gauge(
                "requests_waiting_limit",
                "Requests that may wait for what they need at a time, by their latency.",
            ),
            pauses: PauseMetrics::new(metrics),
            lag: lag::family(metrics),
            connections: metrics.gauge("connections", "Open connections."),
            accepted: metrics.counters(
                "connections_accepted_total",
                "Connections accepted.",
                "listener",
                &["traffic"],
            ),
            log_dropped: metrics.counters(
                "log_lines_dropped_total",
                "Lines that were left out, because there were too many in one second.",
                "log",
                &["access"],
            ),
        }
    }

    fn worker(&self, worker: usize) -> WorkerMetrics {
        WorkerMetrics {
            requests: self.requests.worker(worker),
            durations: self.durations.worker(worker),
            connections: self.connections.worker(worker),
            accepted: self.accepted.worker(worker),
        }
    }
}

struct WorkerMetrics {
    requests: WorkerCounters,
    durations: WorkerDurations,
    connections: WorkerGauge,
    accepted: WorkerCounters,
}

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
        open: Connections::default(),
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
    loop {
        let accepted = async {
            let slot = worker.place(&slots).await?;
            let stream = worker.turnstile.admit(listener::accept(&listener)).await;
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
        spawn_connection(&worker, stream, slot, drain.clone());
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

/// Counts a request when it is dropped, so that cancelled and panicked ones count too.
struct Record<'a, S: Service> {
    worker: &'a Worker<S>,
    started: Instant,
    outcome: Outcome,
    /// None until there is a reply.
    status: Option<StatusCode>,
    /// Only of a request that is traced. Ends after all else was told about the request.
    span: Option<Box<trace::Span>>,
    #[cfg(feature = "fault-injection")]
    activity: &'a Activity,
}

impl<S: Service> Drop for Record<'_, S> {
    fn drop(&mut self) {
        let outcome = if std::thread::panicking() {
            Outcome::Kit(KitOutcome::Panic)
        } else {
            self.outcome
        };
        let index = match outcome {
            Outcome::Kit(outcome) => outcome.index(),
            Outcome::Service(index) => KitOutcome::ALL.len() + index,
        };
        let metrics = &self.worker.metrics;
        metrics.requests.add_one(index);
        let took = self.started.elapsed();
        metrics.durations.observe(took);
        let label = || {
            let mut labels = KitOutcome::ALL.iter().chain(<S::Outcome as Label>::ALL);
            labels.nth(index).copied().unwrap_or_default()
        };
        if self.worker.access.takes(self.status, took) {
            let tell = || {
                tracing::info!(
                    outcome = label(),
                    status = self.status.map(|status| status.as_u16()),
                    took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
                    "request"
                );
            };
            // Within its span the line names the trace.
            match &self.span {
                Some(span) => span.log().in_scope(tell),
                None => tell(),
            }
        }
        if let Some(span) = &mut self.span {
            span.ended(label());
        }
    }
}

async fn respond<S: Service>(
    worker: Rc<Worker<S>>,
    activity: Rc<Activity>,
    request: http::Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    // No route reads a body. Where one begins and ends is what request smuggling is about, so
    // nothing behind one is read: the reply closes the connection.
    let (head, body) = request.into_parts();
    let has_body = !body.is_end_stream();
    let mut record = Record {
        worker: &worker,
        started: Instant::now(),
        outcome: Outcome::Kit(KitOutcome::Cancelled),
        status: None,
        span: worker
            .tracer
            .as_ref()
            .and_then(|tracer| tracer.start(&head)),
        #[cfg(feature = "fault-injection")]
        activity: &activity,
    };
    activity.begin(record.started);
    let reply = worker.reply(&head, &mut record).await;
    record.outcome = reply.outcome;
    activity.replied();
    let mut response = reply.into_response();
    record.status = Some(response.status());
    if let Some(span) = &mut record.span {
        span.answered(response.status());
    }
    if has_body || !worker.drain.is_serving() {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    Ok(response)
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

    async fn reply(&self, head: &http::request::Parts, record: &mut Record<'_, S>) -> Reply {
        if target_bytes(&head.uri) > S::LIMITS.target_bytes {
            return Reply::target_too_long();
        }
        let path = head.uri.path();
        let Some(route) = S::route(path) else {
            return if path == "/readyz" {
                self.readiness(&head.method)
            } else {
                Reply::not_found()
            };
        };
        if !is_read(&head.method) {
            return Reply::method_not_allowed();
        }
        let patience = limits::patience(&head.headers, self.limits.request_deadline);
        if patience.is_zero() {
            return Reply::shed(KitOutcome::Deadline, "no time for an answer\n");
        }
        let Some(place) = self.in_flight.enter() else {
            return Reply::shed(KitOutcome::Shed, "too many requests in hand\n");
        };
        if let Some(span) = &mut record.span {
            span.matched(path);
        }
        #[cfg(feature = "fault-injection")]
        if let Some(faults) = &self.faults
            && let Some(reply) = faults.inject(record.activity).await
        {
            return reply;
        }
        let span = record.span.as_deref();
        let call = self.app.call(route, Request::new(head, span));
        let reply = match span {
            None => self.answer(pin!(call), record.started, patience).await,
            // Boxed, so that only the few that are traced pay for the room.
            Some(span) => {
                let mut call = Box::pin(call.instrument(span.log().clone()));
                self.answer(call.as_mut(), record.started, patience).await
            }
        };
        drop(place);
        reply
    }

    /// The reply of a handler, if it is there at once or there is room for one more that waits.
    async fn answer(
        &self,
        mut call: Pin<&mut impl Future<Output = Reply>>,
        started: Instant,
        patience: Duration,
    ) -> Reply {
        // Most replies are: those take no place, no timer and no second look at the clock.
        let at_once = std::future::poll_fn(|context| {
            Poll::Ready(match call.as_mut().poll(context) {
                Poll::Ready(reply) => Some(reply),
                Poll::Pending => None,
            })
        });
        if let Some(reply) = at_once.await {
            return reply;
        }
        let Some(waiting) = self.waiting.enter() else {
            return Reply::shed(KitOutcome::Shed, "too many requests wait\n");
        };
        let deadline = (started + patience).into();
        let Ok(reply) = tokio::time::timeout_at(deadline, call).await else {
            return Reply::shed(KitOutcome::Deadline, "no answer in time\n");
        };
        let now = Instant::now();
        // It came to the worker at least twice: with its head and with what it waited for.
        let late = self.turnstile.late() * 2;
        let took = now.saturating_duration_since(started);
        waiting.answered(took.saturating_sub(late), now);
        reply
    }

    fn readiness(&self, method: &Method) -> Reply {
        if !is_read(method) {
            return Reply::method_not_allowed();
        }
        if self.drain.is_serving() && self.health.is_ready() {
            Reply::kit(KitOutcome::Probe, StatusCode::OK, "ready\n")
        } else {
            Reply::shed(KitOutcome::Probe, "not ready\n")
        }
    }
}

/// Length of the request target, also of one in absolute form.
fn target_bytes(uri: &Uri) -> usize {
    let scheme = uri
        .scheme_str()
        .map_or(0, |scheme| scheme.len() + "://".len());
    let authority = uri
        .authority()
        .map_or(0, |authority| authority.as_str().len());
    let path = uri.path_and_query().map_or(0, |path| path.as_str().len());
    scheme + authority + path
}

fn is_read(method: &Method) -> bool {
    method == Method::GET || method == Method::HEAD
}
