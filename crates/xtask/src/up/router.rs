//! The path router: a stand-in for the load balancer that the services have in
//! front of them elsewhere. Good enough for a demonstration on one machine; it
//! passes requests on as they came, byte for byte, and streams both bodies.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Uri, server::conn::http1};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

/// Connections at once; more wait in the listener's backlog.
const MAX_CONNECTIONS: usize = 1_024;
/// After an accept error, which is mostly a lack of file descriptors.
const ACCEPT_BACK_OFF: Duration = Duration::from_millis(50);
/// How long a client may take over the head of a request, also while idle.
const HEAD_DEADLINE: Duration = Duration::from_mins(1);
/// How long a client's connection may live; then it is closed politely.
const CONNECTION_LIFETIME: Duration = Duration::from_mins(10);
/// How long a service may take to accept a connection.
const CONNECT_DEADLINE: Duration = Duration::from_secs(2);
/// How long a service may take to begin its reply.
const REPLY_DEADLINE: Duration = Duration::from_mins(1);
/// Idle connections to a service are closed before the service closes them.
const UPSTREAM_IDLE: Duration = Duration::from_secs(15);

/// Headers about one connection, which a proxy must not pass on.
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

type Body = Either<Incoming, Full<Bytes>>;

/// One path prefix and the service behind it.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    /// `/name`; it and everything below `/name/` is passed on.
    pub(crate) prefix: &'static str,
    /// For messages.
    pub(crate) service: &'static str,
    /// Where the service listens.
    pub(crate) address: SocketAddr,
}

/// A running router.
pub(crate) struct Router {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    acceptor: JoinHandle<()>,
}

/// Binds without SO_REUSEPORT, so that a port in use is an error.
pub(crate) fn bind(address: SocketAddr) -> Result<std::net::TcpListener> {
    std::net::TcpListener::bind(address).with_context(|| {
        let other = SocketAddr::new(address.ip(), address.port().wrapping_add(1));
        format!(
            "port {} of {} cannot be used; choose another with \
             `cargo xtask up --listen {other}`, or any free one with port 0",
            address.port(),
            address.ip(),
        )
    })
}

impl Router {
    /// Serves the routes, and `front_page` at `/`, until dropped.
    pub(crate) fn start(
        listener: std::net::TcpListener,
        routes: Vec<Route>,
        front_page: watch::Receiver<String>,
    ) -> Result<Self> {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            routes,
            front_page,
            client: client(),
        });
        let acceptor = tokio::spawn(accept(listener, state));
        Ok(Self { address, acceptor })
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        // Closes the listener and drops the connections with it.
        self.acceptor.abort();
    }
}

struct State {
    routes: Vec<Route>,
    front_page: watch::Receiver<String>,
    client: Client<HttpConnector, Incoming>,
}

fn client() -> Client<HttpConnector, Incoming> {
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(CONNECT_DEADLINE));
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(UPSTREAM_IDLE)
        .pool_max_idle_per_host(MAX_CONNECTIONS)
        .build(connector)
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            let permit = Arc::clone(&permits).acquire_owned().await;
            (listener.accept().await, permit)
        };
        let (accepted, permit) = tokio::select! {
            next = next => next,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection = connection(stream, Arc::clone(&state));
                connections.spawn(async move {
                    connection.await;
                    drop(permit);
                });
            }
            Err(_) => sleep(ACCEPT_BACK_OFF).await,
        }
    }
}

/// Serves one client from accept to close.
async fn connection(stream: TcpStream, state: Arc<State>) {
    // Without it small replies may wait; a socket that refuses still works.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let state = Arc::clone(&state);
        async move { Ok::<_, hyper::Error>(state.answer(request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    // A broken connection concerns its client only.
    if timeout(CONNECTION_LIFETIME, connection.as_mut())
        .await
        .is_err()
    {
        connection.as_mut().graceful_shutdown();
        let _ = timeout(REPLY_DEADLINE, connection).await;
    }
}

impl State {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path();
        if path == "/" {
            return text(StatusCode::OK, self.front_page.borrow().clone());
        }
        match self.routes.iter().find(|route| route.takes(path)) {
            Some(route) => self.pass_on(request, route).await,
            None => text(
                StatusCode::NOT_FOUND,
                format!("no service has {path}; see /\n"),
            ),
        }
    }

    async fn pass_on(&self, mut request: Request<Incoming>, route: &Route) -> Response<Body> {
        let Some(uri) = route.uri(request.uri()) else {
            return text(
                StatusCode::BAD_REQUEST,
                "the request names no path\n".to_owned(),
            );
        };
        *request.uri_mut() = uri;
        *request.version_mut() = hyper::Version::HTTP_11;
        remove_hop_by_hop(request.headers_mut());
        match timeout(REPLY_DEADLINE, self.client.request(request)).await {
            Ok(Ok(mut response)) => {
                remove_hop_by_hop(response.headers_mut());
                response.map(Either::Left)
            }
            Ok(Err(error)) => {
                let what = if error.is_connect() {
                    "does not accept connections"
                } else {
                    "broke the connection off"
                };
                text(
                    StatusCode::BAD_GATEWAY,
                    format!("{} at {} {what}\n", route.service, route.address),
                )
            }
            Err(_) => text(
                StatusCode::GATEWAY_TIMEOUT,
                format!(
                    "{} did not answer within {} s\n",
                    route.service,
                    REPLY_DEADLINE.as_secs()
                ),
            ),
        }
    }
}

impl Route {
    /// Whole path segments only: `/qrcodes` is not below `/qrcode`.
    fn takes(&self, path: &str) -> bool {
        path.strip_prefix(self.prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The same target at the service. Path and query are taken over as they
    /// are, without decoding.
    fn uri(&self, target: &Uri) -> Option<Uri> {
        Uri::builder()
            .scheme("http")
            .authority(self.address.to_string())
            .path_and_query(target.path_and_query()?.clone())
            .build()
            .ok()
    }
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

fn text(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Either::Right(Full::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

#[cfg(test)]
mod tests;
