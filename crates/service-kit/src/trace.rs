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
mod share;
mod span;

use std::borrow::Cow;
use std::cell::Cell;
use std::hash::{BuildHasher as _, RandomState};
use std::num::NonZeroU64;
use std::time::Duration;

use http::Method;
use http::request::Parts;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use self::context::Context;
use self::export::Collector;
use self::otlp::{Attribute, Finished};
use self::share::Share;
pub use self::span::{Child, Span};
use self::span::{Part, Started};
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_path_is_cut_between_characters() {
        let path = "ä".repeat(200);
        assert_eq!(shortened(&path).len(), 256);
        assert_eq!(shortened("/a"), "/a");
        assert_eq!(shortened(&format!("a{path}")).len(), 255);
    }
}
