//! Sockets: options, one listener for each worker, accepting with back-off.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

/// Connections that may wait in the kernel for each listener; the kernel caps it at `somaxconn`.
const BACKLOG: i32 = 4096;

/// How long written bytes may stay unacknowledged before the kernel gives the connection up.
/// Ends clients that ask for much and never read.
const UNREAD_LIMIT: Duration = Duration::from_secs(30);

/// Opens one listener for each worker on the same address, among which the kernel spreads
/// connections. Port 0 picks a free one.
///
/// # Errors
///
/// When the address is taken, also by another process that shares its port (one bind without
/// `SO_REUSEPORT` goes first), or not ours.
pub(crate) fn open(addr: SocketAddr, count: usize) -> io::Result<Vec<std::net::TcpListener>> {
    if addr.port() != 0 {
        drop(bind(addr, Sharing::Exclusive)?);
    }
    let first = bind(addr, Sharing::Workers)?;
    let addr = first.local_addr()?;
    let mut listeners = vec![first];
    while listeners.len() < count {
        listeners.push(bind(addr, Sharing::Workers)?);
    }
    Ok(listeners)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
    Exclusive,
    Workers,
}

fn bind(addr: SocketAddr, sharing: Sharing) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // A restarted service must not wait for the old one's connections to time out.
    socket.set_reuse_address(true)?;
    if sharing == Sharing::Workers {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Accepts one connection; errors are waited out, never returned. May be dropped at any point.
pub(crate) async fn accept(listener: &TcpListener) -> TcpStream {
    let mut pause = Duration::from_millis(5);
    loop {
        match listener.accept().await {
            Ok((stream, _peer)) => {
                set_options(&stream);
                return stream;
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                // Most often too many open files: the connections that end make room.
                tracing::warn!(%error, pause_ms = pause.as_millis(), "cannot accept");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(1));
            }
        }
    }
}

/// What waits in the kernel at this moment, without waiting for more. Asks the kernel itself: the
/// runtime knows only what it was told before, and hands out a limited number at a time.
pub(crate) fn accept_waiting(listener: &std::net::TcpListener) -> Option<TcpStream> {
    loop {
        match listener.accept() {
            Ok((stream, _peer)) => {
                let stream = stream
                    .set_nonblocking(true)
                    .and_then(|()| TcpStream::from_std(stream));
                if let Ok(stream) = stream {
                    set_options(&stream);
                    return Some(stream);
                }
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(_) => return None,
        }
    }
}

fn set_options(stream: &TcpStream) {
    // Failing means that the peer has gone already, which reading will tell.
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(stream).set_tcp_user_timeout(Some(UNREAD_LIMIT));
}

/// Errors of a connection that ended before it was accepted; the next one may be fine.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

/// Raises the soft limit of open files to the hard one, and says how many there may be.
pub(crate) fn raise_open_file_limit() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_share_one_port() {
        let listeners = open("127.0.0.1:0".parse().unwrap(), 3).unwrap();
        let ports: Vec<_> = listeners
            .iter()
            .map(|listener| listener.local_addr().unwrap().port())
            .collect();
        assert_eq!(ports.len(), 3);
        assert!(ports.iter().all(|port| *port == ports[0] && *port != 0));
    }

    #[test]
    fn a_port_taken_by_another_process_is_refused_even_if_it_is_shared() {
        let taken = open("127.0.0.1:0".parse().unwrap(), 1).unwrap();
        let error = open(taken[0].local_addr().unwrap(), 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
