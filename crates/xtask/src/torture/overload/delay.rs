//! A database that is far away: what it says arrives late, in its order.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// Pieces of a connection that are on their way.
const ON_THE_WAY: usize = 1024;
/// Size of a piece.
const PIECE: usize = 64 * 1024;

/// A way to a server; closed when dropped.
#[derive(Debug)]
pub(super) struct Delay {
    pub(super) port: u16,
    task: JoinHandle<()>,
}

impl Delay {
    /// Opens a port on loopback that leads to another one.
    pub(super) async fn open(to: u16, delay: Duration) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.context("no free port on 127.0.0.1")?;
        let port = listener.local_addr()?.port();
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, to));
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(connect(client, to, delay));
            }
        });
        Ok(Self { port, task })
    }
}

impl Drop for Delay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One connection; ends when either side does.
async fn connect(client: TcpStream, to: SocketAddr, delay: Duration) {
    let Ok(server) = TcpStream::connect(to).await else {
        return;
    };
    // Without them small pieces wait; that is a delay, but not ours.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (mut asks, answers) = client.into_split();
    let (from, mut into) = server.into_split();
    tokio::select! {
        _ = tokio::io::copy(&mut asks, &mut into) => {}
        () = late(from, answers, delay) => {}
    }
}

async fn late(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, delay: Duration) {
    let (send, mut receive) = mpsc::channel(ON_THE_WAY);
    let reading = async move {
        loop {
            let mut piece = vec![0; PIECE];
            match from.read(&mut piece).await {
                Ok(0) | Err(_) => return,
                Ok(count) => piece.truncate(count),
            }
            if send.send((Instant::now() + delay, piece)).await.is_err() {
                return;
            }
        }
    };
    let writing = async move {
        while let Some((due, piece)) = receive.recv().await {
            sleep_until(due).await;
            if to.write_all(&piece).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(reading, writing);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answers_come_late_and_whole() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let far = Delay::open(port, Duration::from_millis(50)).await.unwrap();
        let echo = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (mut from, mut to) = stream.split();
            tokio::io::copy(&mut from, &mut to).await.unwrap();
        });
        let mut client = TcpStream::connect(("127.0.0.1", far.port)).await.unwrap();
        let begun = Instant::now();
        let said = vec![7; 200_000];
        let mut heard = vec![0; said.len()];
        let (mut from, mut to) = client.split();
        let (written, read) = tokio::join!(to.write_all(&said), from.read_exact(&mut heard));
        written.unwrap();
        read.unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(50));
        assert_eq!(heard, said);
        drop(client);
        echo.await.unwrap();
    }
}
