//! One request, from its head to its reply.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderValue, Method, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use tracing::Instrument as _;

use super::Worker;
use crate::Service;
use crate::connection::Activity;
use crate::held::LARGE_REPLY;
use crate::limits;
use crate::metrics::Label;
use crate::request::Request;
use crate::respond::{KitOutcome, Outcome, Reply};
use crate::trace;

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
            metrics.durations.exemplify(took, span.trace_id());
            span.ended(label());
        }
    }
}

/// Answers a request and tells metrics, log and trace.
pub(super) async fn respond<S: Service>(
    worker: Rc<Worker<S>>,
    activity: Rc<Activity>,
    request: http::Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    // No route reads a body. Where one begins and ends is what request smuggling is about, so
    // nothing behind one is taken for anything: the reply closes the connection.
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
    if has_body {
        activity.has_body();
    }
    if activity.is_long_burst() {
        // Until sockets have been looked at.
        tokio::task::yield_now().await;
    }
    let mut reply = worker.reply(&head, &mut record).await;
    if reply.length() > LARGE_REPLY && !worker.open.has_room_for(reply.length()) {
        reply = Reply::shed(KitOutcome::Shed, "too many replies wait to be taken\n");
    }
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
        waiting.answered(reply.status(), took.saturating_sub(late), now);
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
