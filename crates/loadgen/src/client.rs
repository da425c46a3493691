//! One keep-alive connection: a request out, a whole reply in.
//!
//! HTTP/1.1 with bodies by length, in chunks or to the end of the connection. A small codec of
//! our own, because on two cores what the tool costs is missing at the target.

mod codec;

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use codec::{Broken, Framing, Head};

/// Largest reply, in bytes.
const MAX_REPLY_BYTES: usize = 16 << 20;
/// Free space for a read, in bytes.
const READ_BYTES: usize = 8 << 10;

/// Why there is no whole reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nobody accepts connections.
    Connect,
    /// The connection ended before the reply did.
    Closed,
    /// It took too long.
    Timeout,
    /// What came is not HTTP, or too much.
    Protocol,
    /// The run was over before it could be sent.
    Unsent,
}

impl Failure {
    /// For reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Closed => "closed",
            Self::Timeout => "timeout",
            Self::Protocol => "protocol",
            Self::Unsent => "unsent",
        }
    }
}

impl From<Broken> for Failure {
    fn from(_: Broken) -> Self {
        Self::Protocol
    }
}

/// A reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: &'a [u8],
    /// Bytes of head and body as they came.
    pub wire_bytes: usize,
}

/// A place to send to, connected when it is needed.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    timeout: Duration,
    stream: Option<TcpStream>,
    /// What came from the connection.
    buffer: Vec<u8>,
    /// A body put together from chunks.
    body: Vec<u8>,
}

impl Client {
    /// A client whose connects and exchanges take at most `timeout` each.
    pub const fn new(address: SocketAddr, timeout: Duration) -> Self {
        Self {
            address,
            timeout,
            stream: None,
            buffer: Vec::new(),
            body: Vec::new(),
        }
    }

    /// Connects, unless it is connected.
    ///
    /// # Errors
    ///
    /// [`Failure::Connect`].
    pub async fn connect(&mut self) -> Result<(), Failure> {
        if self.stream.is_none() {
            let stream = timeout(self.timeout, TcpStream::connect(self.address)).await;
            let stream = stream.ok().and_then(Result::ok).ok_or(Failure::Connect)?;
            stream.set_nodelay(true).map_err(|_| Failure::Connect)?;
            self.stream = Some(stream);
        }
        Ok(())
    }

    /// Sends a request and waits for the whole reply. After a failure, and when the target says
    /// so, the connection is gone and the next call makes a new one.
    ///
    /// Dropped half-way, it leaves a client without a connection.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub async fn exchange(&mut self, request: &[u8]) -> Result<Reply<'_>, Failure> {
        self.connect().await?;
        let mut stream = self.stream.take().ok_or(Failure::Connect)?;
        self.buffer.clear();
        self.body.clear();
        let exchanged = timeout(self.timeout, async {
            let sent = stream.write_all(request).await;
            sent.map_err(|_| Failure::Closed)?;
            receive(&mut stream, &mut self.buffer, &mut self.body).await
        });
        let head = exchanged.await.map_err(|_| Failure::Timeout)??;
        if head.keep_alive {
            self.stream = Some(stream);
        }
        let body = match head.framing {
            Framing::Chunked => self.body.as_slice(),
            _ => &self.buffer[head.len..],
        };
        Ok(Reply {
            status: head.status,
            body,
            wire_bytes: self.buffer.len(),
        })
    }
}

async fn receive(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    body: &mut Vec<u8>,
) -> Result<Head, Failure> {
    let mut head = loop {
        match codec::head(buffer)? {
            // An interim reply; the real one follows.
            Some(head) if (100..200).contains(&head.status) => {
                buffer.drain(..head.len);
            }
            Some(head) => break head,
            None => more(stream, buffer).await?,
        }
    };
    match head.framing {
        Framing::Length(length) => {
            let end = head.len.saturating_add(length);
            if end > MAX_REPLY_BYTES {
                return Err(Failure::Protocol);
            }
            while buffer.len() < end {
                more(stream, buffer).await?;
            }
            if buffer.len() > end {
                return Err(Failure::Protocol);
            }
        }
        Framing::Chunked => loop {
            if codec::chunks(&buffer[head.len..], body)? {
                break;
            }
            more(stream, buffer).await?;
        },
        Framing::ToTheEnd => {
            head.keep_alive = false;
            loop {
                match more(stream, buffer).await {
                    Ok(()) => {}
                    Err(Failure::Closed) => break,
                    Err(failure) => return Err(failure),
                }
            }
        }
    }
    Ok(head)
}

async fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<(), Failure> {
    if buffer.len() > MAX_REPLY_BYTES {
        return Err(Failure::Protocol);
    }
    if buffer.capacity() - buffer.len() < READ_BYTES / 2 {
        buffer.reserve(READ_BYTES);
    }
    match stream.read_buf(buffer).await {
        Ok(0) | Err(_) => Err(Failure::Closed),
        Ok(_) => Ok(()),
    }
}
