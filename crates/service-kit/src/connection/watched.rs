//! The socket of a connection: it tells the worker what goes in and out, waits for its turn, and hears
//! its client out at the end.

use std::future::Future as _;
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::yield_now;
use tokio::time::Sleep;

use super::Activity;
use crate::turnstile::{Turn, Turnstile};

/// How long a client may go on sending after the last reply.
const FAREWELL: Duration = Duration::from_secs(1);

/// How much of that is read. What comes then waits in the kernel until the time is over.
const FAREWELL_BYTES: usize = 1 << 20;

/// Room that the read buffer of any connection may have: most heads take less. hyper begins with
/// 8 KiB and doubles it.
const USUAL_ROOM: usize = 16 * 1024;

/// What one client may have read before others are looked at: to copy more from the kernel, and to look for
/// the end of a head in it, takes longer than to answer most requests.
const MUCH: usize = 8 * 1024;

/// A socket that notes when a reply has gone out, and waits for its turn to read when the worker is
/// saturated.
#[derive(Debug)]
pub(crate) struct Watched {
    stream: TcpStream,
    activity: Rc<Activity>,
    turnstile: Rc<Turnstile>,
    /// Whether the client was seen to have hung up.
    has_hung_up: bool,
    /// Whether the client has said all it will say.
    is_at_end: bool,
    farewell: Option<Farewell>,
    /// Whether the last read is to be the last one of this turn.
    has_read_much: bool,
    /// The most room that the read buffer had.
    room: usize,
    /// What is kept because the socket did not take all of it.
    unsent: usize,
}

impl Watched {
    pub(crate) fn new(stream: TcpStream, activity: Rc<Activity>, turnstile: Rc<Turnstile>) -> Self {
        Self {
            stream,
            activity,
            turnstile,
            has_hung_up: false,
            is_at_end: false,
            farewell: None,
            has_read_much: false,
            room: USUAL_ROOM,
            unsent: 0,
        }
    }

    /// Notes whether the socket took so many bytes. hyper offers all that it has, and keeps all of it
    /// until the last byte is taken.
    fn offered(&mut self, bytes: usize, written: &Poll<io::Result<usize>>) {
        let took_all = matches!(written, Poll::Ready(Ok(taken)) if *taken == bytes);
        if !took_all || self.unsent > 0 {
            self.unsent = if took_all { 0 } else { bytes.max(self.unsent) };
            self.activity.left(self.unsent);
        }
    }
}

/// A client is heard out, so that it gets the last reply.
#[derive(Debug)]
struct Farewell {
    until: Pin<Box<Sleep>>,
    /// Bytes that are read yet.
    bytes: usize,
}

impl Watched {
    /// Lets others go first, until sockets have been looked at, if much was read in one go.
    fn poll_give_way(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if std::mem::take(&mut self.has_read_much) {
            // Never ready at once.
            return pin!(yield_now()).poll(context);
        }
        Poll::Ready(())
    }

    /// Reads on, to no purpose but one: the kernel resets a connection that is closed with something
    /// unread, and the client may then lose the reply that tells it why. Ready when the client is through,
    /// or its time is over. Most are through before this.
    fn poll_farewell(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut discarded = [MaybeUninit::uninit(); 16 * 1024];
        while self.farewell.as_ref().is_none_or(|one| one.bytes > 0) {
            ready!(self.poll_give_way(context));
            let mut buffer = ReadBuf::uninit(&mut discarded);
            match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    let farewell = self.farewell.get_or_insert_with(Farewell::new);
                    farewell.bytes = farewell.bytes.saturating_sub(buffer.filled().len());
                    self.has_read_much = buffer.filled().len() >= MUCH;
                }
                Poll::Pending if self.farewell.is_some() || self.activity.has_more_to_say() => {
                    break;
                }
                Poll::Ready(_) | Poll::Pending => return Poll::Ready(()),
            }
        }
        let farewell = self.farewell.get_or_insert_with(Farewell::new);
        farewell.until.as_mut().poll(context)
    }
}

impl Farewell {
    fn new() -> Self {
        Self {
            until: Box::pin(tokio::time::sleep(FAREWELL)),
            bytes: FAREWELL_BYTES,
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.turnstile.is_open() {
            let seat = &self.activity.seat;
            match ready!(self.turnstile.poll_turn(seat, &self.stream, context))? {
                Turn::Read => {}
                // Nothing read is the end.
                Turn::HungUp => {
                    self.has_hung_up = true;
                    return Poll::Ready(Ok(()));
                }
            }
        }
        // Of a head that is complete nobody asks for more.
        if self.activity.is_reading.get() {
            ready!(self.poll_give_way(context));
        }
        let room = buffer.remaining();
        if room > self.room {
            self.room = room;
            self.activity.grew(room);
        }
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.remaining() < room {
            self.activity.is_reading.set(true);
            self.has_read_much = room - buffer.remaining() >= MUCH;
        } else if read.is_ready() {
            self.is_at_end = true;
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.offered(bytes.len(), &written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.offered(slices.iter().map(|slice| slice.len()).sum(), &written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes when its own buffer is empty, so the reply is in the socket.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        if let Poll::Ready(Ok(())) = flushed {
            self.activity.flushed();
        }
        flushed
    }

    /// Nobody hears a farewell who has gone, and it costs as much as all else of an end.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.has_hung_up {
            return Poll::Ready(Ok(()));
        }
        if self.farewell.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
        }
        if self.is_at_end {
            return Poll::Ready(Ok(()));
        }
        self.poll_farewell(context).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;
    use crate::connection::Connections;
    use crate::metrics::Metrics;
    use crate::turnstile::PauseMetrics;

    /// A socket of the server's, with so many bytes to read.
    async fn sent(bytes: usize) -> (TcpStream, Watched) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut client = TcpStream::connect(address).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        client.write_all(&vec![b'x'; bytes]).await.unwrap();
        while stream.peek(&mut vec![0; bytes]).await.unwrap() < bytes {
            yield_now().await;
        }
        let (_, activity) = Connections::default().enter();
        let pauses = PauseMetrics::new(&Metrics::new("test", 1));
        let turnstile = Rc::new(Turnstile::new(&pauses, 0));
        (client, Watched::new(stream, activity, turnstile))
    }

    /// What a read gives in this turn.
    async fn read(watched: &mut Watched) -> Option<usize> {
        let mut bytes = [0; MUCH];
        let mut buffer = ReadBuf::new(&mut bytes);
        poll_fn(|context| {
            let read = Pin::new(&mut *watched).poll_read(context, &mut buffer);
            Poll::Ready(matches!(read, Poll::Ready(Ok(()))).then_some(buffer.filled().len()))
        })
        .await
    }

    #[tokio::test]
    async fn others_go_first_after_each_large_part_of_a_head() {
        let (_client, mut watched) = sent(3 * MUCH).await;
        assert_eq!(read(&mut watched).await, Some(MUCH));
        assert_eq!(read(&mut watched).await, None);
        assert_eq!(read(&mut watched).await, Some(MUCH));
        assert_eq!(read(&mut watched).await, None);
        assert_eq!(read(&mut watched).await, Some(MUCH));
    }

    #[tokio::test]
    async fn nobody_goes_first_when_a_head_is_complete_or_small() {
        let (_client, mut watched) = sent(MUCH + 2).await;
        assert_eq!(read(&mut watched).await, Some(MUCH));
        watched.activity.begin(std::time::Instant::now());
        assert_eq!(read(&mut watched).await, Some(2));
        let (_client, mut watched) = sent(MUCH - 1).await;
        assert_eq!(read(&mut watched).await, Some(MUCH - 1));
        assert!(!watched.has_read_much);
    }
}
