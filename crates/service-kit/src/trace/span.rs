//! Spans: what is noted of one request, and of what it asks of others.

use std::borrow::Cow;
use std::cell::Cell;
use std::num::NonZeroU64;
use std::time::{Instant, SystemTime};

use tokio::sync::mpsc;

use super::otlp::{Attribute, Finished, Kind};
use super::{Fate, context, split_mix};
use crate::metrics::{Label as _, WorkerCounters};

/// When something began, by both clocks: the one tells when, the other how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Started {
    at: SystemTime,
    instant: Instant,
}

impl Started {
    pub(super) fn now() -> Self {
        Self {
            at: SystemTime::now(),
            instant: Instant::now(),
        }
    }
}

/// What every span has, and the way to the exporter.
pub(super) struct Part {
    pub(super) trace_id: u128,
    pub(super) span_id: NonZeroU64,
    pub(super) parent: Option<NonZeroU64>,
    pub(super) started: Started,
    pub(super) spans: mpsc::Sender<Finished>,
    pub(super) fates: WorkerCounters,
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
    pub(super) log: tracing::Span,
    pub(super) part: Part,
    /// Where the ids of its children begin.
    pub(super) random: u64,
    pub(super) children: Cell<u64>,
    pub(super) method: &'static str,
    pub(super) route: Option<String>,
    pub(super) status: Option<u16>,
    pub(super) outcome: &'static str,
    pub(super) attributes: Vec<(&'static str, Attribute)>,
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

    pub(crate) const fn trace_id(&self) -> u128 {
        self.part.trace_id
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
