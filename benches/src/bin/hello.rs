//! The baseline that the kit and the services are measured against: hyper in the same shape
//! (a single-threaded runtime, header timer, flattened writes, no delay), nothing else.
//!
//! `hello IP:PORT` prints the address it got and answers every request with the same 13 bytes, on
//! one core.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::task::LocalSet;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

async fn hello(_request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::new(Bytes::from_static(b"Hello, World!")));
    let text = HeaderValue::from_static("text/plain");
    response.headers_mut().insert(CONTENT_TYPE, text);
    Ok(response)
}

async fn serve(addr: SocketAddr) -> std::io::Result<()> {
    let listener = TcpListener::bind(addr).await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _peer) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::task::spawn_local(async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_secs(75))
                .writev(false)
                .serve_connection(TokioIo::new(stream), service_fn(hello));
            // A client that goes away is no news.
            let _ = connection.await;
        });
    }
}

fn main() -> std::io::Result<()> {
    let addr = std::env::args().nth(1);
    let addr = addr.and_then(|addr| addr.parse().ok());
    let addr = addr.ok_or_else(|| std::io::Error::other("usage: hello IP:PORT"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(LocalSet::new().run_until(serve(addr)))
}
