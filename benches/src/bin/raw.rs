//! The limit: an edge-triggered epoll loop that answers whatever ends a head with constant bytes.
//!
//! `raw IP:PORT` prints the address it got and serves on one thread until it is killed. It is a
//! yardstick and no server: a request cut within the last four bytes of its head is lost.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;

use memchr::memmem::Finder;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

const REPLY: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\
    date: Thu, 01 Jan 1970 00:00:00 GMT\r\ncontent-length: 13\r\n\r\nHello, World!";
/// Marks the listener among the connections, which are known by their descriptors.
const LISTENER: u64 = u64::MAX;
/// Requests that may come in one read.
const MAX_PIPELINED: usize = 256;

fn main() -> io::Result<()> {
    let addr = std::env::args().nth(1);
    let addr = addr.ok_or_else(|| io::Error::other("usage: raw IP:PORT"))?;
    let listener = TcpListener::bind(addr)?;
    listener.set_nonblocking(true)?;
    println!("{}", listener.local_addr()?);
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    let wanted = EventData::new_u64(LISTENER);
    epoll::add(&epoll, &listener, wanted, EventFlags::IN)?;

    let replies = REPLY.repeat(MAX_PIPELINED);
    let head_end = Finder::new(b"\r\n\r\n");
    let mut buffer = vec![0; 64 << 10];
    let mut streams: Vec<Option<TcpStream>> = Vec::new();
    let mut events = Vec::with_capacity(1024);
    loop {
        epoll::wait(&epoll, spare_capacity(&mut events), None)?;
        for event in events.drain(..) {
            let token = event.data.u64();
            if token == LISTENER {
                while let Ok((stream, _peer)) = listener.accept() {
                    stream.set_nonblocking(true)?;
                    stream.set_nodelay(true)?;
                    let index = usize::try_from(stream.as_raw_fd()).map_err(io::Error::other)?;
                    let data = EventData::new_u64(index as u64);
                    epoll::add(&epoll, &stream, data, EventFlags::IN | EventFlags::ET)?;
                    if streams.len() <= index {
                        streams.resize_with(index + 1, || None);
                    }
                    streams[index] = Some(stream);
                }
                continue;
            }
            let index = usize::try_from(token).map_err(io::Error::other)?;
            let Some(mut stream) = streams[index].as_ref() else {
                continue;
            };
            let read = stream.read(&mut buffer).unwrap_or(0);
            let requests = head_end.find_iter(&buffer[..read]).count();
            let reply = &replies[..REPLY.len() * requests.min(MAX_PIPELINED)];
            // Closed, broken, or a client that does not read: all the same to a yardstick.
            if read == 0 || !stream.write(reply).is_ok_and(|sent| sent == reply.len()) {
                streams[index] = None;
            }
        }
    }
}
