//! The optional exchange of a decoded message for a token of an authentication service.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use qrcode_core::Message;
use service_kit::trace::Span;

/// Idle connections kept to the authentication service by each worker.
const POOL: usize = 8;
/// Largest reply read from it.
const MAX_REPLY_BYTES: usize = 4096;
/// Longest token passed on; published ones have 64 characters.
const MAX_TOKEN_BYTES: usize = 1024;

/// A pooled client for one address.
#[derive(Debug)]
pub(crate) struct TokenClient {
    client: Client<HttpConnector, Full<Bytes>>,
    url: Uri,
    timeout: Duration,
    team: String,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("the authentication service did not answer in time")]
    Timeout,
    #[error("the authentication service cannot be reached: {0}")]
    Unreachable(#[from] hyper_util::client::legacy::Error),
    #[error("the authentication service answered {0}")]
    Status(StatusCode),
    #[error("the authentication service's answer holds no token")]
    NoToken,
}

impl TokenError {
    /// One word for a trace.
    fn kind(&self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Unreachable(_) => "unreachable",
            Self::Status(_) => "status",
            Self::NoToken => "no_token",
        }
    }

    /// What the client is told; causes stay in the log.
    pub(crate) fn public_line(&self) -> &'static str {
        match self {
            Self::Timeout => "the authentication service did not answer in time\n",
            Self::Unreachable(_) => "the authentication service cannot be reached\n",
            Self::Status(_) | Self::NoToken => "the authentication service gave no token\n",
        }
    }
}

impl TokenClient {
    pub(crate) fn new(url: Uri, timeout: Duration, team: &str) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(timeout));
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(POOL)
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_timer(TokioTimer::new())
            .build(connector);
        Self {
            client,
            url,
            timeout,
            team: team.to_owned(),
        }
    }

    /// Asks for the token of a message; `timestamp` is in milliseconds and passed on as it came. With
    /// a span, the exchange is one within it and the authentication service is told of the trace.
    pub(crate) async fn exchange(
        &self,
        message: &Message,
        timestamp: i64,
        span: Option<&Span>,
    ) -> Result<String, TokenError> {
        let mut call = span.map(|span| span.child("POST"));
        let trace = call.as_mut().map(|call| {
            call.fact("http.request.method", "POST");
            call.fact(
                "server.address",
                self.url.host().unwrap_or_default().to_owned(),
            );
            call.traceparent()
        });
        let asked = tokio::time::timeout(self.timeout, self.ask(message, timestamp, trace));
        let result = asked.await.unwrap_or(Err(TokenError::Timeout));
        if let (Some(call), Err(error)) = (&mut call, &result) {
            call.failed(error.kind());
        }
        result
    }

    async fn ask(
        &self,
        message: &Message,
        timestamp: i64,
        trace: Option<String>,
    ) -> Result<String, TokenError> {
        let question = serde_json::json!({
            "team_name": self.team,
            "timestamp": timestamp,
            "decoded_qrcode": message.as_str(),
        });
        let mut request = Request::post(self.url.clone())
            .body(Full::from(question.to_string()))
            .map_err(|_| TokenError::NoToken)?;
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(CONTENT_TYPE, json);
        if let Some(trace) = trace.and_then(|trace| HeaderValue::try_from(trace).ok()) {
            request.headers_mut().insert("traceparent", trace);
        }
        let response = self.client.request(request).await?;
        if response.status() != StatusCode::OK {
            return Err(TokenError::Status(response.status()));
        }
        let body = Limited::new(response.into_body(), MAX_REPLY_BYTES);
        #[expect(clippy::disallowed_methods, reason = "the body is limited")]
        let collected = body.collect().await;
        let bytes = collected.map_err(|_| TokenError::NoToken)?.to_bytes();
        let answer: serde_json::Value =
            serde_json::from_slice(&bytes).map_err(|_| TokenError::NoToken)?;
        let token = answer["token"].as_str().ok_or(TokenError::NoToken)?;
        let printable = token.bytes().all(|byte| byte.is_ascii_graphic());
        if token.is_empty() || token.len() > MAX_TOKEN_BYTES || !printable {
            return Err(TokenError::NoToken);
        }
        Ok(token.to_owned())
    }
}
