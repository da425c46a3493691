//! Sending spans: gathered into batches, one batch at a time, over one kept connection.
//!
//! Over hyper's own client side, which is in every service's dependencies anyway, and without TLS:
//! a collector runs in the pod's own cluster, most often on its node.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::Fate;
use super::otlp::{self, Finished};
use crate::metrics::{Label as _, WorkerCounters};

/// Most spans in one request, some 400 KB.
const BATCH: usize = 512;
/// How long a span waits for company.
const GATHER: Duration = Duration::from_millis(500);
/// Between two batches, so that not even a caller who asks for every trace makes this thread busy.
const PACE: Duration = Duration::from_millis(50);
/// How often a batch is tried.
const ATTEMPTS: u32 = 3;
/// How long a try may take, connecting included.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait after the first failed try; twice as long after the second.
const PAUSE: Duration = Duration::from_millis(500);
/// Most that is read of an answer.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// Where collectors take OTLP over HTTP.
const DEFAULT_PORT: u16 = 4318;
/// What the standard adds to an endpoint.
const TRACES: &str = "/v1/traces";

/// Where spans are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Collector {
    host: String,
    port: u16,
    /// What requests name as their host.
    authority: HeaderValue,
    path: Uri,
}

impl fmt::Display for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { port, path, .. } = self;
        match self.host.as_str() {
            host if host.contains(':') => write!(f, "http://[{host}]:{port}{path}"),
            host => write!(f, "http://{host}:{port}{path}"),
        }
    }
}

impl Collector {
    /// Parses `OTLP_ENDPOINT`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let refusal = "expected http://HOST[:PORT][/PATH] (no TLS: run a collector in the cluster)";
        let refusal = || refusal.to_owned();
        let uri: Uri = text.parse().map_err(|_| refusal())?;
        let authority = uri.authority().ok_or_else(refusal)?;
        let is_plain = uri.scheme_str() == Some("http") && !authority.as_str().contains('@');
        if !is_plain || uri.query().is_some() || authority.host().is_empty() {
            return Err(refusal());
        }
        let base = uri.path().trim_end_matches('/');
        let base = base.strip_suffix(TRACES).unwrap_or(base);
        Ok(Self {
            // Brackets belong to an IPv6 address in a URL only.
            host: authority
                .host()
                .trim_start_matches('[')
                .trim_end_matches(']')
                .to_owned(),
            port: authority.port_u16().unwrap_or(DEFAULT_PORT),
            authority: HeaderValue::from_str(authority.as_str()).map_err(|_| refusal())?,
            path: format!("{base}{TRACES}").parse().map_err(|_| refusal())?,
        })
    }
}

/// Sends until every sender is gone and the queue is empty.
pub(super) async fn run(
    mut queue: mpsc::Receiver<Finished>,
    collector: Collector,
    service: &'static str,
    fates: WorkerCounters,
) {
    let host = rustix::system::uname();
    let resource = otlp::resource(service, &host.nodename().to_string_lossy());
    let mut exporter = Exporter {
        collector,
        connection: None,
        is_failing: false,
    };
    let mut batch = Vec::with_capacity(BATCH);
    while queue.recv_many(&mut batch, BATCH).await > 0 {
        let _ = tokio::time::timeout(GATHER, fill(&mut queue, &mut batch)).await;
        let body = Bytes::from(otlp::render(&resource, &batch));
        let count = batch.len() as u64;
        batch.clear();
        let refused = match exporter.send(&body).await {
            Ok(refused) => refused.min(count),
            Err(Failure::Refused(_)) => count,
            Err(_) => {
                fates.add(Fate::Failed.index(), count);
                continue;
            }
        };
        fates.add(Fate::Refused.index(), refused);
        fates.add(Fate::Exported.index(), count - refused);
        tokio::time::sleep(PACE).await;
    }
}

/// Until the batch is full or nothing can come any more.
async fn fill(queue: &mut mpsc::Receiver<Finished>, batch: &mut Vec<Finished>) {
    while batch.len() < BATCH {
        let room = BATCH - batch.len();
        if queue.recv_many(batch, room).await == 0 {
            return;
        }
    }
}

/// Why a batch did not arrive.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("it took longer than {} s", TIMEOUT.as_secs())]
    Timeout,
    #[error("cannot connect: {0}")]
    Connect(#[from] std::io::Error),
    #[error("the connection broke: {0}")]
    Broken(#[from] hyper::Error),
    #[error("the answer is not to be read: {0}")]
    Answer(Box<dyn std::error::Error + Send + Sync>),
    #[error("the collector is overloaded: it answered {0}")]
    Overloaded(StatusCode),
    #[error("the collector refuses: it answered {0}")]
    Refused(StatusCode),
}

struct Exporter {
    collector: Collector,
    connection: Option<SendRequest<Full<Bytes>>>,
    is_failing: bool,
}

impl Exporter {
    /// Sends one batch; says how many spans of it the collector did not want.
    async fn send(&mut self, body: &Bytes) -> Result<u64, Failure> {
        let mut attempt = 1;
        loop {
            let asked = tokio::time::timeout(TIMEOUT, self.post(body.clone())).await;
            let result = asked.unwrap_or(Err(Failure::Timeout));
            if result.is_err() {
                self.connection = None;
            }
            let again = match &result {
                Ok(_) | Err(Failure::Refused(_)) => false,
                Err(_) => attempt < ATTEMPTS,
            };
            if !again {
                self.tell(&result);
                return result;
            }
            tokio::time::sleep(PAUSE * attempt).await;
            attempt += 1;
        }
    }

    /// Once when it begins and once when it is over, not with every batch.
    fn tell(&mut self, result: &Result<u64, Failure>) {
        match result {
            Ok(_) if self.is_failing => {
                tracing::info!(collector = %self.collector, "traces are taken again");
            }
            Err(error) if !self.is_failing => {
                tracing::warn!(%error, collector = %self.collector, "traces are lost");
            }
            _ => {}
        }
        self.is_failing = result.is_err();
    }

    async fn post(&mut self, body: Bytes) -> Result<u64, Failure> {
        let mut connection = match self.connection.take() {
            // Fails when the collector has closed it meanwhile.
            Some(mut kept) => match kept.ready().await {
                Ok(()) => kept,
                Err(_) => self.connect().await?,
            },
            None => self.connect().await?,
        };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.collector.path.clone();
        let headers = request.headers_mut();
        headers.insert(HOST, self.collector.authority.clone());
        let json = HeaderValue::from_static("application/json");
        headers.insert(CONTENT_TYPE, json);
        let response = connection.send_request(request).await?;
        let status = response.status();
        let answer = Limited::new(response.into_body(), MAX_ANSWER_BYTES);
        #[expect(clippy::disallowed_methods, reason = "the body is limited")]
        let answer = answer.collect().await.map_err(Failure::Answer)?.to_bytes();
        match status {
            status if status.is_success() => {
                self.connection = Some(connection);
                Ok(rejected(&answer))
            }
            // Those that OTLP asks to try again.
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Err(Failure::Overloaded(status)),
            status => Err(Failure::Refused(status)),
        }
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Failure> {
        let address = (self.collector.host.as_str(), self.collector.port);
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // Ends when the sender is dropped; what breaks it, the sender is told, too.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(sender)
    }
}

/// How many spans an otherwise good answer says were not taken.
fn rejected(answer: &[u8]) -> u64 {
    let answer: serde_json::Value = serde_json::from_slice(answer).unwrap_or_default();
    let count = &answer["partialSuccess"]["rejectedSpans"];
    // 64-bit numbers are text in this JSON, though not every collector knows.
    let text = count.as_str().and_then(|text| text.parse().ok());
    text.or_else(|| count.as_u64()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_the_path_that_the_standard_names() {
        for (text, shown) in [
            ("http://otel", "http://otel:4318/v1/traces"),
            ("http://otel/", "http://otel:4318/v1/traces"),
            ("http://otel:80/a/", "http://otel:80/a/v1/traces"),
            ("http://otel:4318/v1/traces", "http://otel:4318/v1/traces"),
            ("http://[::1]:4318", "http://[::1]:4318/v1/traces"),
        ] {
            assert_eq!(
                Collector::parse(text).map(|c| c.to_string()),
                Ok(shown.to_owned())
            );
        }
    }

    #[test]
    fn refuses_what_it_cannot_reach() {
        for text in [
            "otel:4318",
            "https://otel",
            "http://",
            "http://user:word@otel",
            "http://otel?x=1",
            "/v1/traces",
        ] {
            assert!(Collector::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn reads_how_many_spans_were_not_taken() {
        for (answer, count) in [
            ("", 0),
            ("{}", 0),
            (r#"{"partialSuccess":{"rejectedSpans":"3"}}"#, 3),
            (r#"{"partialSuccess":{"rejectedSpans":4}}"#, 4),
        ] {
            assert_eq!(rejected(answer.as_bytes()), count, "{answer}");
        }
    }
}
