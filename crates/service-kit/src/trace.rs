//! Traces, as an option: one span for each sampled request, sent to a collector as OTLP over HTTP.
//!
//! Off unless `OTLP_ENDPOINT` is set; then a request costs one branch. On, the decision of whoever
//! called us is honoured (`traceparent`, or the load balancer's `X-Amzn-Trace-Id`), and requests
//! without one are sampled by `TRACE_SAMPLE`. Only sampled requests make a span. Spans go through a
//! bounded queue to one task beside the admin port; when it is full they are dropped and counted,
//! and no request ever waits for the collector.

mod context;
mod export;
mod otlp;

use std::borrow::Cow;
use std::cell::Cell;
use std::hash::{BuildHasher as _, RandomState};
use std::num::NonZeroU64;
use std::time::{Duration, Instant, SystemTime};

use http::Method;
use http::request::Parts;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use self::context::Context;
use self::export::Collector;
use self::otlp::{Attribute, Finished, Kind};
use crate::config::{Reader, Setting};
use crate::metrics::{Counters, Label as _, Metrics, WorkerCounters};

pub(crate) const OTLP_ENDPOINT: Setting = Setting::optional(
    "OTLP_ENDPOINT",
    "Collector of traces, http://HOST[:PORT][/PATH], to which /v1/traces is added; without it nothing is traced.",
)
.url_with_password();
pub(crate) const TRACE_SAMPLE: Setting = Setting::with_default(
    "TRACE_SAMPLE",
    "0.01",
    "Share of the requests that are traced, 0 to 1, among those whose caller has not decided.",
);

/// Spans that may wait for the collector.
const QUEUE: usize = 2048;
/// How long what is left may take to be sent at the end of a stop. With the two seconds that cutting
/// the last connections may take it fits into the 5 s that charts add to settling and draining.
const LAST_SPANS: Duration = Duration::from_secs(3);
/// Longest path that a span carries, in bytes.
const MAX_PATH_BYTES: usize = 256;
/// A sampled share of 1, in billionths.
const BILLION: u64 = 1_000_000_000;
/// Random bits in a trace id that the choice goes by.
const CHOICE_BITS: u32 = 56;

crate::labels! {
    /// What became of a span.
    enum Fate {
        /// The collector took it.
        Exported => "exported",
        /// The collector refused it.
        Refused => "refused",
        /// The collector could not be reached in time.
        Failed => "failed",
        /// The queue was full.
        Dropped => "dropped",
    }
}

/// Where spans go and how many requests are sampled.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    collector: Option<Collector>,
    share: Share,
}

impl Settings {
    /// `None` when the reader noted a mistake.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let collector = reader.optional(&OTLP_ENDPOINT, Collector::parse);
        let share = reader.value(&TRACE_SAMPLE, Share::parse);
        Some(Self {
            collector: collector?,
            share: share?,
        })
    }
}

/// A share of all requests, in billionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Share(u64);

impl Share {
    fn parse(text: &str) -> Result<Self, String> {
        let refusal = || "expected a share from 0 to 1, such as 0.01".to_owned();
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let is_digits = |part: &str| {
            (1..=9).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
        };
        if !is_digits(whole) || !is_digits(fraction) {
            return Err(refusal());
        }
        let whole: u64 = whole.parse().map_err(|_| refusal())?;
        let billionths: u64 = format!("{fraction:0<9}").parse().map_err(|_| refusal())?;
        let share = whole.saturating_mul(BILLION).saturating_add(billionths);
        (share <= BILLION)
            .then_some(Self(share))
            .ok_or_else(refusal)
    }

    /// The same for the same trace everywhere, so that services that are asked for one page
    /// decide alike.
    fn holds(self, trace_id: u128) -> bool {
        let drawn = trace_id & ((1 << CHOICE_BITS) - 1);
        drawn < (u128::from(self.0) << CHOICE_BITS) / u128::from(BILLION)
    }
}

/// Traces of the process, to be taken apart into one handle for each worker.
pub(crate) struct Tracing {
    spans: mpsc::Sender<Finished>,
    share: Share,
    fates: Counters,
    exporter: JoinHandle<()>,
}

impl Tracing {
    /// Starts the task that sends spans; `None` when tracing is off.
    pub(crate) fn start(
        settings: &Settings,
        service: &'static str,
        metrics: &Metrics,
    ) -> Option<Self> {
        let collector = settings.collector.clone()?;
        let fates = metrics.counters(
            "trace_spans_total",
            "Spans by what became of them.",
            "result",
            Fate::ALL,
        );
        let (spans, queue) = mpsc::channel(QUEUE);
        tracing::info!(collector = %collector, "traces are sent");
        // The workers count what is dropped, the exporter all else: each cell has one writer.
        let sent = fates.worker(0);
        let exporter = tokio::spawn(export::run(queue, collector, service, sent));
        Some(Self {
            spans,
            share: settings.share,
            fates,
            exporter,
        })
    }

    /// The handle of one worker.
    pub(crate) fn worker(&self, worker: usize) -> Tracer {
        Tracer {
            spans: self.spans.clone(),
            share: self.share,
            fates: self.fates.worker(worker),
            random: Cell::new(RandomState::new().hash_one(worker)),
        }
    }

    /// Sends what is left, once all workers have ended, and gives up after three seconds.
    pub(crate) async fn finish(self) {
        drop(self.spans);
        let _ = tokio::time::timeout(LAST_SPANS, self.exporter).await;
    }
}

/// Makes the spans of one worker.
pub(crate) struct Tracer {
    spans: mpsc::Sender<Finished>,
    share: Share,
    fates: WorkerCounters,
    random: Cell<u64>,
}

impl Tracer {
    /// The span of a request, if it is sampled. Probes never are.
    pub(crate) fn start(&self, head: &Parts) -> Option<Box<Span>> {
        if head.uri.path() == "/readyz" {
            return None;
        }
        let (context, amazon) = context::upstream(&head.headers);
        let trace_id = context.map_or_else(|| self.trace_id(), |context| context.trace_id);
        let decision = context.and_then(|context| context.sampled);
        if !decision.unwrap_or_else(|| self.share.holds(trace_id)) {
            return None;
        }
        Some(Box::new(self.span(head, trace_id, context, amazon)))
    }

    fn span(
        &self,
        head: &Parts,
        trace_id: u128,
        context: Option<Context>,
        amazon: Option<u128>,
    ) -> Span {
        let method = known_method(&head.method);
        let mut attributes = vec![
            ("http.request.method", Attribute::Text(method.into())),
            ("url.scheme", Attribute::Text("http".into())),
            ("url.path", Attribute::Text(shortened(head.uri.path()))),
            ("network.protocol.name", Attribute::Text("http".into())),
        ];
        // What the load balancer's own log calls the request, where the trace has another name.
        if let Some(root) = amazon.filter(|root| *root != trace_id) {
            let shown = context::amazon_root(root);
            attributes.push(("aws.alb.trace_id", Attribute::Text(shown.into())));
        }
        let started = Started::now();
        let log = tracing::error_span!("request", trace_id = %format_args!("{trace_id:032x}"));
        Span {
            log,
            part: Part {
                trace_id,
                span_id: self.span_id(),
                parent: context.and_then(|context| context.parent),
                started,
                spans: self.spans.clone(),
                fates: self.fates.clone(),
            },
            random: self.next(),
            children: Cell::new(0),
            method,
            route: None,
            status: None,
            outcome: "",
            attributes,
        }
    }

    fn trace_id(&self) -> u128 {
        let id = u128::from(self.next()) << 64 | u128::from(self.next());
        // All zeros is no id; the generator does not give two of them in a row.
        id.max(1)
    }

    fn span_id(&self) -> NonZeroU64 {
        NonZeroU64::new(self.next()).unwrap_or(NonZeroU64::MIN)
    }

    fn next(&self) -> u64 {
        let (state, drawn) = split_mix(self.random.get());
        self.random.set(state);
        drawn
    }
}

/// SplitMix64: ids must differ, they need not be secret.
fn split_mix(state: u64) -> (u64, u64) {
    let state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (state, mixed ^ (mixed >> 31))
}

/// The methods that a client may make up are one.
fn known_method(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        "PATCH" => "PATCH",
        _ => "_OTHER",
    }
}

fn shortened(path: &str) -> Cow<'static, str> {
    path.get(..path.floor_char_boundary(MAX_PATH_BYTES))
        .unwrap_or_default()
        .to_owned()
        .into()
}

/// When something began, by both clocks: the one tells when, the other how long.
#[derive(Clone, Copy, Debug)]
struct Started {
    at: SystemTime,
    instant: Instant,
}

impl Started {
    fn now() -> Self {
        Self {
            at: SystemTime::now(),
            instant: Instant::now(),
        }
    }
}

/// What every span has, and the way to the exporter.
struct Part {
    trace_id: u128,
    span_id: NonZeroU64,
    parent: Option<NonZeroU64>,
    started: Started,
    spans: mpsc::Sender<Finished>,
    fates: WorkerCounters,
}

impl Part {
    fn send(
        &self,
        name: String,
        kind: Kind,
        failed: bool,
        attributes: Vec<(&'static str, Attribute)>,
    ) {
        let finished = Finished {
            trace_id: self.trace_id,
            span_id: self.span_id,
            parent: self.parent,
            name,
            kind,
            began: self.started.at,
            took: self.started.instant.elapsed(),
            failed,
            attributes,
        };
        if self.spans.try_send(finished).is_err() {
            self.fates.add_one(Fate::Dropped.index());
        }
    }
}

/// The span of one sampled request; ends, and is sent, when it is dropped.
pub struct Span {
    log: tracing::Span,
    part: Part,
    /// Where the ids of its children begin.
    random: u64,
    children: Cell<u64>,
    method: &'static str,
    route: Option<String>,
    status: Option<u16>,
    outcome: &'static str,
    attributes: Vec<(&'static str, Attribute)>,
}

impl std::fmt::Debug for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Span").field(&self.traceparent()).finish()
    }
}

impl Span {
    /// A span within this one: something that the service asks of another. Ends when it is dropped.
    pub fn child(&self, name: &'static str) -> Child {
        self.children.set(self.children.get().wrapping_add(1));
        let (_, drawn) = split_mix(self.random.wrapping_add(self.children.get()));
        Child {
            part: Part {
                span_id: NonZeroU64::new(drawn).unwrap_or(NonZeroU64::MIN),
                parent: Some(self.part.span_id),
                started: Started::now(),
                trace_id: self.part.trace_id,
                spans: self.part.spans.clone(),
                fates: self.part.fates.clone(),
            },
            name,
            error: None,
            was_withdrawn: false,
            attributes: Vec::new(),
        }
    }

    /// The `traceparent` of this span.
    pub fn traceparent(&self) -> String {
        context::traceparent(self.part.trace_id, self.part.span_id)
    }

    /// What puts the trace's id into log lines.
    pub(crate) fn log(&self) -> &tracing::Span {
        &self.log
    }

    /// The path belongs to a route, so it is one of few.
    pub(crate) fn matched(&mut self, route: &str) {
        self.route = Some(route.to_owned());
    }

    pub(crate) fn answered(&mut self, status: http::StatusCode) {
        self.status = Some(status.as_u16());
    }

    pub(crate) fn ended(&mut self, outcome: &'static str) {
        self.outcome = outcome;
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        let method = match self.method {
            "_OTHER" => "HTTP",
            known => known,
        };
        let mut attributes = std::mem::take(&mut self.attributes);
        let name = match self.route.take() {
            Some(route) => {
                let name = format!("{method} {route}");
                attributes.push(("http.route", Attribute::Text(route.into())));
                name
            }
            None => method.to_owned(),
        };
        // No status means that nobody was answered: the client went, or the handler panicked.
        let failed = self
            .status
            .map_or(self.outcome == "panic", |status| status >= 500);
        if let Some(status) = self.status {
            let status = Attribute::Number(status.into());
            attributes.push(("http.response.status_code", status));
        }
        if failed {
            attributes.push(("error.type", Attribute::Text(self.outcome.into())));
        }
        attributes.push(("tripod.outcome", Attribute::Text(self.outcome.into())));
        self.part.send(name, Kind::Server, failed, attributes);
    }
}

/// A span within that of a request; ends, and is sent, when it is dropped.
pub struct Child {
    part: Part,
    name: &'static str,
    error: Option<&'static str>,
    was_withdrawn: bool,
    attributes: Vec<(&'static str, Attribute)>,
}

impl std::fmt::Debug for Child {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Child").field(&self.name).finish()
    }
}

impl Child {
    /// Adds a fact; names are those of OpenTelemetry's conventions.
    pub fn fact(&mut self, name: &'static str, value: impl Into<Cow<'static, str>>) {
        self.attributes.push((name, Attribute::Text(value.into())));
    }

    /// Says that it failed; `kind` is one of few words.
    pub fn failed(&mut self, kind: &'static str) {
        self.error = Some(kind);
    }

    /// Nobody was asked after all: nothing is sent.
    pub fn withdraw(mut self) {
        self.was_withdrawn = true;
    }

    /// The `traceparent` to pass on.
    pub fn traceparent(&self) -> String {
        context::traceparent(self.part.trace_id, self.part.span_id)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.was_withdrawn {
            return;
        }
        let mut attributes = std::mem::take(&mut self.attributes);
        if let Some(kind) = self.error {
            attributes.push(("error.type", Attribute::Text(kind.into())));
        }
        let failed = self.error.is_some();
        self.part
            .send(self.name.to_owned(), Kind::Client, failed, attributes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_decimal_number_from_0_to_1() {
        for (text, billionths) in [
            ("0", 0),
            ("1", BILLION),
            ("1.0", BILLION),
            ("0.01", 10_000_000),
            ("0.000000001", 1),
        ] {
            assert_eq!(Share::parse(text), Ok(Share(billionths)), "{text}");
        }
        for text in [
            "",
            ".5",
            "1.",
            "1.1",
            "2",
            "-0",
            "1e-2",
            "0.0000000001",
            "half",
        ] {
            assert!(Share::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_share_holds_for_that_part_of_the_ids() {
        let ids = || {
            let mut state = 7;
            std::iter::from_fn(move || {
                let (next, drawn) = split_mix(state);
                state = next;
                Some(u128::from(drawn))
            })
        };
        let held = |share: Share| ids().take(10_000).filter(|id| share.holds(*id)).count();
        assert_eq!(held(Share(0)), 0);
        assert_eq!(held(Share(BILLION)), 10_000);
        // Seven standard deviations of a fair draw of a quarter are 303.
        assert!(held(Share(BILLION / 4)).abs_diff(2500) < 303);
    }

    #[test]
    fn a_long_path_is_cut_between_characters() {
        let path = "ä".repeat(200);
        assert_eq!(shortened(&path).len(), 256);
        assert_eq!(shortened("/a"), "/a");
        assert_eq!(shortened(&format!("a{path}")).len(), 255);
    }
}
