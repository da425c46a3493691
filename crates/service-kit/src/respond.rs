//! The closed set of replies: the one place where status, content type and body meet.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::Full;

use crate::metrics::Label;

/// Tells how a cache took part in a reply.
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentType {
    /// `text/plain`
    Text,
    /// `text/plain; charset=utf-8`
    TextUtf8,
    /// `application/json`
    Json,
    /// `image/png`
    Png,
    /// `image/svg+xml`
    Svg,
    /// The Prometheus text format.
    Metrics,
    /// The `OpenMetrics` text format.
    OpenMetrics,
}

impl ContentType {
    fn header(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Text => "text/plain",
            Self::TextUtf8 => "text/plain; charset=utf-8",
            Self::Json => "application/json",
            Self::Png => "image/png",
            Self::Svg => "image/svg+xml",
            Self::Metrics => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        })
    }
}

/// One reply of a service, with the outcome that the metrics count it under.
#[derive(Debug)]
pub struct Reply {
    pub(crate) outcome: Outcome,
    status: StatusCode,
    content_type: ContentType,
    body: Bytes,
    extra: Option<(HeaderName, HeaderValue)>,
}

/// What the metrics count a request under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// One of the kit's own.
    Kit(KitOutcome),
    /// One of the service's, by its place in the list.
    Service(usize),
}

crate::labels! {
    /// Outcomes that the kit itself decides.
    pub(crate) enum KitOutcome {
        /// No such path.
        NotFound => "not_found",
        /// Neither GET nor HEAD.
        MethodNotAllowed => "method_not_allowed",
        /// The request target is over the service's limit.
        TargetTooLong => "target_too_long",
        /// Refused because too many requests are being worked on, or too many replies wait.
        Shed => "shed",
        /// Not a request that can be read: answered 400, 414 or 431 by the protocol layer.
        BadHead => "bad_head",
        /// Given up at the deadline.
        Deadline => "deadline",
        /// Cut before the reply: the connection broke, or the drain's deadline passed.
        Cancelled => "cancelled",
        /// The handler panicked.
        Panic => "panic",
        /// A readiness check on the traffic port.
        Probe => "probe",
    }
}

impl Reply {
    /// A reply with status 200.
    pub fn ok(outcome: impl Label, content_type: ContentType, body: impl Into<Bytes>) -> Self {
        Self::service(outcome, StatusCode::OK, content_type, body.into())
    }

    /// A request that the route does not understand: 400 and one line of text.
    pub fn bad_request(outcome: impl Label, line: impl Into<Bytes>) -> Self {
        let status = StatusCode::BAD_REQUEST;
        Self::service(outcome, status, ContentType::TextUtf8, line.into())
    }

    /// Something that the service depends on failed it: 502 and one line of text.
    pub fn bad_gateway(outcome: impl Label, line: &'static str) -> Self {
        let status = StatusCode::BAD_GATEWAY;
        Self::service(outcome, status, ContentType::Text, line.into())
    }

    /// The service cannot answer now: 503, `Retry-After` and one line of text.
    pub fn unavailable(outcome: impl Label, line: &'static str) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let mut reply = Self::service(outcome, status, ContentType::Text, line.into());
        reply.extra = Some(retry_soon());
        reply
    }

    /// The same reply, marked as older than it should be (RFC 9211): made from a cache entry that is
    /// this long past its time, because it could not be had anew.
    /// A refusal stays as it is.
    #[must_use]
    pub fn stale(mut self, past: std::time::Duration) -> Self {
        if self.status != StatusCode::OK {
            return self;
        }
        // Under a second is past its time too.
        let seconds = past.as_secs().max(1);
        let value = HeaderValue::try_from(format!("tripod; hit; ttl=-{seconds}"));
        self.extra = value.ok().map(|value| (CACHE_STATUS, value));
        self
    }

    fn service(
        outcome: impl Label,
        status: StatusCode,
        content_type: ContentType,
        body: Bytes,
    ) -> Self {
        Self {
            outcome: Outcome::Service(outcome.index()),
            status,
            content_type,
            body,
            extra: None,
        }
    }

    pub(crate) fn kit(outcome: KitOutcome, status: StatusCode, line: &'static str) -> Self {
        Self {
            outcome: Outcome::Kit(outcome),
            status,
            content_type: ContentType::Text,
            body: Bytes::from_static(line.as_bytes()),
            extra: None,
        }
    }

    pub(crate) fn not_found() -> Self {
        Self::kit(
            KitOutcome::NotFound,
            StatusCode::NOT_FOUND,
            "no such path\n",
        )
    }

    pub(crate) fn method_not_allowed() -> Self {
        Self::method_not_allowed_but("GET, HEAD")
    }

    pub(crate) fn method_not_allowed_but(allowed: &'static str) -> Self {
        let mut reply = Self::kit(
            KitOutcome::MethodNotAllowed,
            StatusCode::METHOD_NOT_ALLOWED,
            "only GET and HEAD are allowed here\n",
        );
        reply.extra = Some((ALLOW, HeaderValue::from_static(allowed)));
        reply
    }

    pub(crate) fn target_too_long() -> Self {
        Self::kit(
            KitOutcome::TargetTooLong,
            StatusCode::URI_TOO_LONG,
            "the request target is too long\n",
        )
    }

    pub(crate) fn shed(outcome: KitOutcome, line: &'static str) -> Self {
        let mut reply = Self::kit(outcome, StatusCode::SERVICE_UNAVAILABLE, line);
        reply.extra = Some(retry_soon());
        reply
    }

    /// Bytes of the body.
    pub(crate) const fn length(&self) -> usize {
        self.body.len()
    }

    pub(crate) const fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, self.content_type.header());
        if let Some((name, value)) = self.extra {
            headers.insert(name, value);
        }
        response
    }
}

fn retry_soon() -> (HeaderName, HeaderValue) {
    (RETRY_AFTER, HeaderValue::from_static("1"))
}
