//! What a service without further thought does for a cache miss: hyper, sqlx's own `Pool` with its
//! default options, one statement for each request, a constant reply of the usual size.
//!
//! `sqlx_pool IP:PORT mysql://USER@HOST:PORT/DATABASE` prints the address it got and serves
//! `…?user_id=N…` on one core.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use sqlx::{MySqlPool, Row as _};
use tokio::net::TcpListener;
use tokio::task::LocalSet;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

static REPLY: [u8; 800] = [b'x'; 800];

async fn look_up(pool: &MySqlPool, query: &str) -> Option<usize> {
    let (_, rest) = query.split_once("user_id=")?;
    let user_id: u64 = rest.split('&').next()?.parse().ok()?;
    let text = "SELECT part, pack FROM user_pack WHERE user_id = ? ORDER BY part";
    let rows = sqlx::query(text).bind(user_id).fetch_all(pool).await.ok()?;
    let bytes = |row| sqlx::mysql::MySqlRow::try_get::<&[u8], _>(row, 1).map_or(0, <[u8]>::len);
    Some(rows.iter().map(bytes).sum())
}

async fn answer(
    pool: MySqlPool,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let found = look_up(&pool, request.uri().query().unwrap_or_default()).await;
    let mut response = Response::new(Full::new(Bytes::from_static(&REPLY)));
    if found.is_none() {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    let text = HeaderValue::from_static("text/plain");
    response.headers_mut().insert(CONTENT_TYPE, text);
    Ok(response)
}

async fn serve(addr: SocketAddr, pool: MySqlPool) -> std::io::Result<()> {
    let listener = TcpListener::bind(addr).await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _peer) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let pool = pool.clone();
        tokio::task::spawn_local(async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_secs(75))
                .writev(false)
                .serve_connection(
                    TokioIo::new(stream),
                    service_fn(|request| answer(pool.clone(), request)),
                );
            // A client that goes away is no news.
            let _ = connection.await;
        });
    }
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(addr), Some(url)) = (arguments.next(), arguments.next()) else {
        anyhow::bail!("usage: sqlx_pool IP:PORT mysql://USER@HOST:PORT/DATABASE");
    };
    let addr = addr.parse()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(LocalSet::new().run_until(async {
        let pool = MySqlPool::connect(&url).await?;
        Ok(serve(addr, pool).await?)
    }))
}
