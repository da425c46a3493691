//! Short questions to our own services.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, StatusCode};
use hyper_util::client::legacy::Client as PooledClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;

/// How long one answer may take.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);
/// Replies are cut here.
const MAX_REPLY_BYTES: usize = 64 * 1024;

/// Asks with GET.
pub(crate) struct Client(PooledClient<HttpConnector, Empty<Bytes>>);

impl Client {
    pub(crate) fn new() -> Self {
        Self(PooledClient::builder(TokioExecutor::new()).build_http())
    }

    /// The status and the beginning of the reply.
    pub(crate) async fn get(
        &self,
        address: SocketAddr,
        target: &str,
    ) -> Result<(StatusCode, String)> {
        timeout(ANSWER_DEADLINE, self.ask(address, target))
            .await
            .with_context(|| format!("no answer within {} s", ANSWER_DEADLINE.as_secs()))?
    }

    async fn ask(&self, address: SocketAddr, target: &str) -> Result<(StatusCode, String)> {
        let request = Request::get(format!("http://{address}{target}")).body(Empty::new())?;
        let response = self.0.request(request).await?;
        let status = response.status();
        let mut body = response.into_body();
        let mut text = Vec::new();
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame?.into_data() {
                text.extend_from_slice(&data);
            }
            if text.len() > MAX_REPLY_BYTES {
                bail!("the reply is longer than {MAX_REPLY_BYTES} bytes");
            }
        }
        Ok((status, String::from_utf8_lossy(&text).into_owned()))
    }
}
