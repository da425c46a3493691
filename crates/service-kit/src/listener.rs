//! Sockets: options, one listener for each worker, accepting with back-off.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::pin::pin;
use std::task::{Poll, ready};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{SocketFlags, accept_with};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::turnstile::Turnstile;

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

/// Accepts the next connection that the turnstile has room for. Those whose clients have hung up in the
/// kernel's queue, while the worker is saturated, are closed and not returned. May be dropped at any point.
pub(crate) async fn admit(listener: &TcpListener, turnstile: &Turnstile) -> TcpStream {
    loop {
        let mut usual = pin!(accept(listener));
        let stream = poll_fn(|context| {
            loop {
                ready!(turnstile.poll_room(context));
                if !turnstile.is_shut() {
                    return usual.as_mut().poll(context);
                }
                // The runtime is told of one that has gone as little as it costs to find out.
                let Some(stream) = accept_waiting(listener) else {
                    turnstile.wait_for_room(context);
                    return Poll::Pending;
                };
                if turnstile.is_standing() && has_gone(&stream) {
                    turnstile.gone();
                    continue;
                }
                match settle(stream) {
                    Some(stream) => return Poll::Ready(stream),
                    None => turnstile.admitted(),
                }
            }
        });
        let stream = stream.await;
        if turnstile.is_standing() && !turnstile.is_shut() && has_gone(&stream) {
            turnstile.gone();
            continue;
        }
        turnstile.admitted();
        return stream;
    }
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
pub(crate) fn accept_waiting(listener: impl AsFd) -> Option<std::net::TcpStream> {
    loop {
        match accept_with(&listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
            Ok(stream) => return Some(stream.into()),
            Err(error) if is_of_one_connection(&error.into()) => {}
            Err(_) => return None,
        }
    }
}

/// Hands a connection that was just accepted to the runtime; `None` if that cannot take it.
pub(crate) fn settle(stream: std::net::TcpStream) -> Option<TcpStream> {
    let stream = TcpStream::from_std(stream).ok()?;
    set_options(&stream);
    Some(stream)
}

/// Whether the client has closed, or shut its writing side, by what the kernel says at this moment.
fn has_gone(stream: impl AsFd) -> bool {
    const AT_ONCE: Timespec = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let mut asked = [PollFd::new(&stream, PollFlags::RDHUP)];
    poll(&mut asked, Some(&AT_ONCE)).is_ok_and(|gone| gone > 0)
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
    use std::time::Instant;

    use super::*;
    use crate::metrics::Metrics;
    use crate::turnstile::PauseMetrics;

    /// A client that has gone, then one that has not: whether the latter alone is admitted.
    async fn only_who_is_there_is_admitted(is_shut: bool) -> bool {
        let metrics = Metrics::new("test", 1);
        let turnstile = Turnstile::new(&PauseMetrics::new(&metrics), 0);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let begun = Instant::now();
        turnstile.shut();
        turnstile.next_turn(Duration::ZERO, begun);
        turnstile.next_turn(Duration::ZERO, begun + Duration::from_mins(1));
        assert!(turnstile.is_standing());
        if !is_shut {
            turnstile.open(begun);
        }
        drop(std::net::TcpStream::connect(address).unwrap());
        let alive = std::net::TcpStream::connect(address).unwrap();
        let admitted = admit(&listener, &turnstile).await;
        let text = String::from_utf8(metrics.render()).unwrap();
        admitted.peer_addr().ok() == alive.local_addr().ok()
            && text.contains("{end=\"hung_up\"} 1\n")
    }

    #[tokio::test]
    async fn who_has_gone_is_not_admitted_once_the_worker_is_saturated_for_long() {
        for is_shut in [true, false] {
            // Where the machine is busy, the kernel may tell of an end too late.
            let admitted = async { while !only_who_is_there_is_admitted(is_shut).await {} };
            let admitted = tokio::time::timeout(Duration::from_secs(30), admitted).await;
            assert!(admitted.is_ok(), "shut: {is_shut}");
        }
    }

    #[tokio::test]
    async fn who_hangs_up_is_admitted_while_the_worker_is_not_saturated() {
        let metrics = Metrics::new("test", 1);
        let turnstile = Turnstile::new(&PauseMetrics::new(&metrics), 0);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        drop(std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap());
        // It may have said all it will say, and still wait for its reply.
        let admitted = tokio::time::timeout(Duration::from_secs(30), admit(&listener, &turnstile));
        assert!(admitted.await.is_ok());
        let text = String::from_utf8(metrics.render()).unwrap();
        assert!(text.contains("{end=\"hung_up\"} 0\n"), "{text}");
    }

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
