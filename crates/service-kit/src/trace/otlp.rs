//! Spans as OTLP's JSON: the shape of `ExportTraceServiceRequest`, with ids in hex and 64-bit
//! numbers as text, as OTLP 1 asks.

use std::borrow::Cow;
use std::num::NonZeroU64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

/// A span that has ended.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) trace_id: u128,
    pub(super) span_id: NonZeroU64,
    pub(super) parent: Option<NonZeroU64>,
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) began: SystemTime,
    pub(super) took: Duration,
    pub(super) failed: bool,
    pub(super) attributes: Vec<(&'static str, Attribute)>,
}

/// On which side of a call a span is; the number is OTLP's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// We were asked.
    Server = 2,
    /// We ask.
    Client = 3,
}

/// A fact about a span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Attribute {
    Text(Cow<'static, str>),
    Number(i64),
}

impl Attribute {
    fn json(&self) -> Value {
        match self {
            Self::Text(text) => json!({ "stringValue": text }),
            Self::Number(number) => json!({ "intValue": number.to_string() }),
        }
    }
}

/// What all spans of this process have in common.
pub(super) fn resource(service: &str, host: &str) -> Value {
    let facts = [
        ("service.namespace", "tripod".to_owned()),
        ("service.name", format!("{service}-service")),
        ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
        // A pod's name in Kubernetes.
        ("service.instance.id", host.to_owned()),
        ("host.name", host.to_owned()),
    ];
    let facts: Vec<Value> = facts
        .into_iter()
        .map(|(key, value)| attribute(key, &Attribute::Text(value.into())))
        .collect();
    json!({ "attributes": facts })
}

/// The body of one export.
pub(super) fn render(resource: &Value, spans: &[Finished]) -> String {
    let spans: Vec<Value> = spans.iter().map(span).collect();
    let scope = json!({ "name": "service-kit", "version": env!("CARGO_PKG_VERSION") });
    json!({
        "resourceSpans": [{
            "resource": resource,
            "scopeSpans": [{ "scope": scope, "spans": spans }],
        }],
    })
    .to_string()
}

fn span(span: &Finished) -> Value {
    let attributes: Vec<Value> = span
        .attributes
        .iter()
        .map(|(key, value)| attribute(key, value))
        .collect();
    let mut shown = json!({
        "traceId": format!("{:032x}", span.trace_id),
        "spanId": format!("{:016x}", span.span_id),
        "name": span.name,
        "kind": span.kind as u8,
        "startTimeUnixNano": nanos(span.began).to_string(),
        "endTimeUnixNano": (nanos(span.began).saturating_add(span.took.as_nanos())).to_string(),
        "attributes": attributes,
        // Unset unless it failed: whether it is fine is for the reader to say.
        "status": if span.failed { json!({ "code": 2 }) } else { json!({}) },
    });
    if let (Some(parent), Some(shown)) = (span.parent, shown.as_object_mut()) {
        shown.insert("parentSpanId".to_owned(), format!("{parent:016x}").into());
    }
    shown
}

fn attribute(key: &str, value: &Attribute) -> Value {
    json!({ "key": key, "value": value.json() })
}

fn nanos(time: SystemTime) -> u128 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_the_shape_that_collectors_read() {
        let span = Finished {
            trace_id: 0xabc,
            span_id: NonZeroU64::new(0xdef).unwrap(),
            parent: NonZeroU64::new(1),
            name: "GET /qrcode".to_owned(),
            kind: Kind::Server,
            began: UNIX_EPOCH + Duration::from_secs(1_700_000_000),
            took: Duration::from_micros(5),
            failed: true,
            attributes: vec![
                ("url.path", Attribute::Text("/qrcode".into())),
                ("http.response.status_code", Attribute::Number(503)),
            ],
        };
        let body: Value =
            serde_json::from_str(&render(&resource("qrcode", "pod-1"), &[span])).unwrap();
        let shown = &body["resourceSpans"][0];
        assert_eq!(
            shown["resource"]["attributes"][1],
            json!({ "key": "service.name", "value": { "stringValue": "qrcode-service" } })
        );
        assert_eq!(
            shown["scopeSpans"][0]["spans"],
            json!([{
                "traceId": "00000000000000000000000000000abc",
                "spanId": "0000000000000def",
                "parentSpanId": "0000000000000001",
                "name": "GET /qrcode",
                "kind": 2,
                "startTimeUnixNano": "1700000000000000000",
                "endTimeUnixNano": "1700000000000005000",
                "attributes": [
                    { "key": "url.path", "value": { "stringValue": "/qrcode" } },
                    { "key": "http.response.status_code", "value": { "intValue": "503" } },
                ],
                "status": { "code": 2 },
            }])
        );
    }
}
