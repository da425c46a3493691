//! A TCP proxy that misbehaves on command, to put between a service and what it depends on.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// How often a thread that waits looks whether the fault changed.
const LOOK: Duration = Duration::from_millis(2);

/// What goes wrong. A fault holds for the connections there are and for new ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: bytes pass.
    None,
    /// Nobody listens; connections that are open stay so and pass.
    Refuse,
    /// Connections are taken and reset at once, open ones too.
    Reset,
    /// Connections are taken, and no byte passes either way; they go on afterwards.
    BlackHole,
    /// Connections are taken, and whatever is sent on them is lost, also afterwards: as when the other
    /// end has gone without a word, or an address has moved.
    Lose,
    /// Each piece of a reply comes so much later.
    Delay(Duration),
    /// So many bytes of replies pass on each connection, counted from its beginning; then it is reset.
    CutAfter(u64),
    /// These bytes are said to new connections, which are then closed.
    Say(Vec<u8>),
    /// A bad network, the same again for the same seed: bytes come in small pieces both ways, some late
    /// by up to `late`, as behind a packet that was lost and sent again, and one of `resets`
    /// connections is reset at a place of its own (0: none).
    Flaky {
        /// What the choices are made from.
        seed: u64,
        /// Longest delay of a piece.
        late: Duration,
        /// One of so many connections is reset.
        resets: u64,
    },
}

/// The choices of one connection (SplitMix64).
#[derive(Debug)]
struct Choices(u64);

impl Choices {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)) % bound.max(1)
    }
}

/// The proxy, on a loopback port of its own; everything ends when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    /// Where clients connect to.
    pub addr: SocketAddr,
    /// Holds the port while nobody listens.
    _reserved: Socket,
    acceptor: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    upstream: SocketAddr,
    fault: Mutex<Fault>,
    /// Goes up with each fault that is set, so that a delay ends when it is over.
    changes: AtomicU64,
    listening: AtomicBool,
    accepted: AtomicU64,
    open: AtomicU64,
    ended: AtomicBool,
}

impl Proxy {
    /// Passes everything on to this address.
    ///
    /// # Panics
    ///
    /// When there is no free port.
    pub fn start(upstream: SocketAddr) -> Self {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into(), upstream)
    }

    /// As [`Self::start`], on this address; port 0 is a free one.
    ///
    /// # Panics
    ///
    /// When the address is not of version 4 or not free.
    pub fn start_at(addr: SocketAddr, upstream: SocketAddr) -> Self {
        let reserved = bind(addr);
        let addr = reserved.local_addr().expect("a bound socket");
        let addr = addr.as_socket().expect("of the internet");
        let shared = Arc::new(Shared {
            upstream,
            fault: Mutex::new(Fault::None),
            changes: AtomicU64::new(0),
            listening: AtomicBool::new(false),
            accepted: AtomicU64::new(0),
            open: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        });
        let proxy = Self {
            shared,
            addr,
            _reserved: reserved,
            acceptor: Mutex::default(),
        };
        proxy.listen();
        proxy
    }

    /// From now on this goes wrong.
    pub fn set(&self, fault: Fault) {
        let refuses = fault == Fault::Refuse;
        *self.shared.fault() = fault;
        self.shared.changes.fetch_add(1, Ordering::SeqCst);
        if refuses {
            self.close();
        } else {
            self.listen();
        }
    }

    /// As [`Self::set`], and the connections that are open now are reset first.
    ///
    /// # Panics
    ///
    /// When they do not end.
    pub fn set_and_cut(&self, fault: Fault) {
        self.set(Fault::Reset);
        let started = Instant::now();
        while self.shared.open.load(Ordering::SeqCst) > 0 {
            assert!(started.elapsed() < super::PATIENCE, "connections stay");
            std::thread::park_timeout(LOOK);
        }
        self.set(fault);
    }

    /// Connections taken so far.
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// Connections that are open.
    pub fn open(&self) -> u64 {
        self.shared.open.load(Ordering::SeqCst)
    }

    fn listen(&self) {
        if self.shared.listening.swap(true, Ordering::SeqCst) {
            return;
        }
        let socket = bind(self.addr);
        socket.listen(1024).expect("a bound socket");
        let listener: TcpListener = socket.into();
        let shared = Arc::clone(&self.shared);
        let acceptor = std::thread::spawn(move || accept(&listener, &shared));
        *self.acceptor() = Some(acceptor);
    }

    fn close(&self) {
        self.shared.listening.store(false, Ordering::SeqCst);
        if let Some(acceptor) = self.acceptor().take() {
            let _ = acceptor.join();
        }
    }

    fn acceptor(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.acceptor.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.close();
    }
}

impl Shared {
    fn fault(&self) -> MutexGuard<'_, Fault> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Fault {
        if self.ended.load(Ordering::SeqCst) {
            return Fault::Reset;
        }
        self.fault().clone()
    }
}

/// The port may be shared among our own sockets, one of which never listens.
fn bind(addr: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).expect("a socket");
    socket.set_reuse_address(true).expect("an open socket");
    socket.set_reuse_port(true).expect("an open socket");
    socket.bind(&addr.into()).expect("a free port");
    socket
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    listener.set_nonblocking(true).expect("an open socket");
    while shared.listening.load(Ordering::SeqCst) {
        let Ok((client, _)) = listener.accept() else {
            std::thread::park_timeout(LOOK);
            continue;
        };
        let number = shared.accepted.fetch_add(1, Ordering::SeqCst);
        shared.open.fetch_add(1, Ordering::SeqCst);
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            // Either side may go at any point; that is what the proxy is for.
            let _ = serve(client, &shared, number);
            shared.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

fn serve(mut client: TcpStream, shared: &Shared, number: u64) -> std::io::Result<()> {
    client.set_nonblocking(false)?;
    client.set_nodelay(true)?;
    loop {
        match shared.now() {
            Fault::Reset => return reset(&client),
            Fault::Say(bytes) => return client.write_all(&bytes),
            Fault::BlackHole => std::thread::park_timeout(LOOK),
            Fault::Lose => return lose(client, shared),
            _ => break,
        }
    }
    let mut server = TcpStream::connect_timeout(&shared.upstream, super::PATIENCE)?;
    server.set_nodelay(true)?;
    for stream in [&client, &server] {
        stream.set_read_timeout(Some(LOOK))?;
    }
    let mut passed = 0;
    let mut choices = Choices(number);
    let mut flaky = None;
    let mut buffer = vec![0; 16 * 1024];
    let ended = loop {
        if shared.now() == Fault::Reset {
            break reset(&client);
        }
        if shared.now() == Fault::BlackHole {
            std::thread::park_timeout(LOOK);
            continue;
        }
        if shared.now() == Fault::Lose {
            break lose(client, shared);
        }
        if let Fault::Flaky { seed, late, resets } = shared.now() {
            let room = flaky.get_or_insert_with(|| {
                choices = Choices(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                let is_reset = resets > 0 && choices.below(resets) == 0;
                if is_reset {
                    choices.below(3_000)
                } else {
                    u64::MAX
                }
            });
            let mut pass = |from: &mut TcpStream, to: &mut TcpStream| {
                // Mostly a few bytes at a time.
                let most = match choices.below(6) {
                    0 => 1,
                    1 => 3,
                    2 => 10,
                    3 => 100,
                    _ => 1_460,
                };
                let Some(count) = read(from, &mut buffer[..most])? else {
                    return Ok(true);
                };
                if choices.below(8) == 0 {
                    let micros = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
                    std::thread::park_timeout(Duration::from_micros(choices.below(micros)));
                }
                *room = room.saturating_sub(count as u64);
                to.write_all(&buffer[..count])?;
                Ok::<_, std::io::Error>(count > 0 && *room > 0)
            };
            if !pass(&mut client, &mut server)? || !pass(&mut server, &mut client)? {
                break if *room == 0 { reset(&client) } else { Ok(()) };
            }
            continue;
        }
        flaky = None;
        match read(&mut client, &mut buffer) {
            Ok(Some(0)) | Err(_) => break Ok(()),
            Ok(Some(count)) => server.write_all(&buffer[..count])?,
            Ok(None) => {}
        }
        match read(&mut server, &mut buffer) {
            Ok(Some(0)) | Err(_) => break Ok(()),
            Ok(None) => {}
            Ok(Some(count)) => {
                if !hand_on(&mut client, &buffer[..count], &mut passed, shared)? {
                    break reset(&client);
                }
            }
        }
    };
    let _ = server.shutdown(Shutdown::Both);
    ended
}

/// Hands a piece of a reply on as the fault says; false when the connection is to be reset.
fn hand_on(
    client: &mut TcpStream,
    piece: &[u8],
    passed: &mut u64,
    shared: &Shared,
) -> std::io::Result<bool> {
    let changes = shared.changes.load(Ordering::SeqCst);
    let started = Instant::now();
    let mut piece = piece;
    let mut cut = false;
    loop {
        let unchanged = shared.changes.load(Ordering::SeqCst) == changes;
        match shared.now() {
            Fault::Reset => return Ok(false),
            Fault::BlackHole | Fault::Lose => {}
            Fault::Delay(delay) if unchanged && started.elapsed() < delay => {}
            Fault::CutAfter(limit) => {
                let room = usize::try_from(limit.saturating_sub(*passed)).unwrap_or(usize::MAX);
                cut = piece.len() > room;
                piece = &piece[..piece.len().min(room)];
                break;
            }
            _ => break,
        }
        std::thread::park_timeout(LOOK);
    }
    client.write_all(piece)?;
    *passed += piece.len() as u64;
    Ok(!cut)
}

/// Takes what is sent and says nothing until the client leaves.
fn lose(mut client: TcpStream, shared: &Shared) -> std::io::Result<()> {
    client.set_read_timeout(Some(LOOK))?;
    let mut buffer = [0; 1024];
    while shared.now() != Fault::Reset {
        if read(&mut client, &mut buffer)? == Some(0) {
            return Ok(());
        }
    }
    reset(&client)
}

/// What is there within a moment; `None` when nothing came.
fn read(stream: &mut TcpStream, buffer: &mut [u8]) -> std::io::Result<Option<usize>> {
    match stream.read(buffer) {
        Ok(count) => Ok(Some(count)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Closing with this option set resets.
fn reset(stream: &TcpStream) -> std::io::Result<()> {
    SockRef::from(stream).set_linger(Some(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::super::wait_until;
    use super::*;

    /// Says everything back.
    fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("a bound socket");
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut &stream, &mut &stream);
                });
            }
        });
        addr
    }

    fn connect(proxy: &Proxy) -> std::io::Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&proxy.addr, super::super::PATIENCE)?;
        stream.set_read_timeout(Some(super::super::PATIENCE))?;
        Ok(stream)
    }

    #[test]
    fn passes_bytes_and_cuts_after_as_many_as_it_was_told() {
        let proxy = Proxy::start(echo());
        let mut stream = connect(&proxy).unwrap();
        let mut back = [0; 5];
        stream.write_all(b"hello").unwrap();
        stream.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"hello");
        proxy.set_and_cut(Fault::CutAfter(3));
        assert!(stream.read(&mut back).is_err(), "it was reset");
        let mut stream = connect(&proxy).unwrap();
        stream.write_all(b"hello").unwrap();
        let mut rest = Vec::new();
        assert!(stream.read_to_end(&mut rest).is_err());
        // A reset may overtake what was on its way.
        assert!(b"hel".starts_with(&rest));
    }

    #[test]
    fn refuses_and_listens_again_on_the_same_port() {
        let proxy = Proxy::start(echo());
        proxy.set(Fault::Refuse);
        let refused = connect(&proxy).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        proxy.set(Fault::None);
        assert!(connect(&proxy).is_ok());
    }

    #[test]
    fn what_is_lost_stays_so_and_new_connections_pass() {
        let proxy = Proxy::start(echo());
        proxy.set(Fault::Lose);
        let mut lost = connect(&proxy).unwrap();
        lost.write_all(b"hello").unwrap();
        wait_until("it is taken", || proxy.open() == 1);
        lost.set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        let mut back = [0; 5];
        assert!(lost.read(&mut back).is_err(), "nothing comes");
        proxy.set(Fault::None);
        let mut stream = connect(&proxy).unwrap();
        stream.write_all(b"hello").unwrap();
        stream.read_exact(&mut back).unwrap();
        assert!(lost.read(&mut back).is_err(), "nothing comes afterwards");
        drop(lost);
        wait_until("it is given back", || proxy.open() == 1);
        // Cutting ends it as well.
        proxy.set(Fault::Lose);
        proxy.set_and_cut(Fault::None);
    }

    #[test]
    fn a_black_hole_gives_back_what_it_took_when_it_ends() {
        let proxy = Proxy::start(echo());
        let mut stream = connect(&proxy).unwrap();
        proxy.set(Fault::BlackHole);
        stream.write_all(b"hello").unwrap();
        stream
            .set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        let mut back = [0; 5];
        assert!(stream.read(&mut back).is_err(), "nothing comes");
        stream
            .set_read_timeout(Some(super::super::PATIENCE))
            .unwrap();
        proxy.set(Fault::None);
        stream.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"hello");
    }
}
