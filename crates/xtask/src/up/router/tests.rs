//! The router in front of stand-in services, all through real sockets.

use std::io::{Read, Write};
use std::net::{self, SocketAddr};
use std::thread;
use std::time::Duration;

use tokio::sync::watch;

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

/// A service that answers each request with its own name, the number of the
/// connection and the head it received. Serves until the test process ends.
fn stand_in(name: &'static str) -> SocketAddr {
    let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for (count, stream) in listener.incoming().enumerate() {
            let stream = stream.unwrap();
            thread::spawn(move || serve(name, count, &stream));
        }
    });
    address
}

fn serve(name: &str, count: usize, mut stream: &net::TcpStream) {
    while let Some(head) = read_head(stream) {
        let body = format!("{name} {count}\n{head}");
        let reply = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nkeep-alive: timeout=5\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(reply.as_bytes()).unwrap();
    }
}

/// Up to and with the empty line; `None` at the end of the stream.
fn read_head(mut stream: &net::TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        bytes.push(byte[0]);
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// One client's connection.
struct Connection(net::TcpStream);

impl Connection {
    fn open(address: SocketAddr) -> Self {
        let stream = net::TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    /// Status line and headers, and the body.
    fn get(&mut self, target: &str) -> (String, String) {
        let request = format!("GET {target} HTTP/1.1\r\nHost: demo.invalid\r\nTE: x\r\n\r\n");
        self.0.write_all(request.as_bytes()).unwrap();
        let head = read_head(&self.0).unwrap();
        let length = head
            .lines()
            .find_map(|line| {
                line.to_ascii_lowercase()
                    .strip_prefix("content-length: ")?
                    .parse()
                    .ok()
            })
            .unwrap();
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        (head, String::from_utf8(body).unwrap())
    }
}

/// Runs a router for the routes on a thread of its own while `check` asks it.
fn with_router(routes: &[(&'static str, SocketAddr)], check: impl FnOnce(SocketAddr)) {
    let routes = routes
        .iter()
        .map(|&(prefix, address)| Route {
            prefix,
            service: "stub-service",
            address,
        })
        .collect();
    let (started, address) = std::sync::mpsc::sync_channel(1);
    let (done, finish) = tokio::sync::oneshot::channel::<()>();
    let thread = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let (_page, front_page) = watch::channel("front page\n".to_owned());
            let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
            let front = Router::start(listener, routes, front_page).unwrap();
            started.send(front.address).unwrap();
            // Also returns when the check panics, which drops the sender.
            let _ = finish.await;
        });
    });
    check(address.recv_timeout(PATIENCE).unwrap());
    drop(done);
    thread.join().unwrap();
}

#[test]
fn routes_by_whole_path_segments() {
    let (blockchain, qrcode) = (stand_in("blockchain"), stand_in("qrcode"));
    with_router(
        &[("/blockchain", blockchain), ("/qrcode", qrcode)],
        |router| {
            let mut client = Connection::open(router);
            assert!(client.get("/blockchain?cc=x").1.starts_with("blockchain "));
            assert!(client.get("/qrcode").1.starts_with("qrcode "));
            assert!(client.get("/qrcode/image?data=x").1.starts_with("qrcode "));
            for target in ["/qrcodes", "/twitter", "//qrcode", "/QRCODE"] {
                let (head, body) = client.get(target);
                assert!(head.starts_with("HTTP/1.1 404"), "{target}: {head}");
                assert!(body.contains("no service has"), "{target}: {body}");
            }
            assert_eq!(client.get("/").1, "front page\n");
        },
    );
}

#[test]
fn passes_the_target_on_byte_for_byte() {
    let twitter = stand_in("twitter");
    with_router(&[("/twitter", twitter)], |router| {
        let mut client = Connection::open(router);
        let long = format!("/twitter?cc={}", "A".repeat(60_000));
        for target in [
            "/twitter?a=%zz&&b==+%2B%2b&a=2&%",
            "/twitter?phrase=\u{e9}\u{4f60}",
            "/twitter/../twitter/./x?",
            "/twitter?x=/?:@!$'()*,;{}|",
            &long,
        ] {
            let (_, body) = client.get(target);
            let line = body.lines().nth(1).unwrap_or(&body);
            assert_eq!(line, format!("GET {target} HTTP/1.1"));
        }
    });
}

#[test]
fn passes_host_on_but_no_header_about_one_connection() {
    let qrcode = stand_in("qrcode");
    with_router(&[("/qrcode", qrcode)], |router| {
        let (head, body) = Connection::open(router).get("/qrcode");
        let (head, body) = (head.to_ascii_lowercase(), body.to_ascii_lowercase());
        assert!(body.contains("\r\nhost: demo.invalid\r\n"), "{body}");
        assert!(!body.contains("\r\nte:"), "{body}");
        assert!(!head.contains("\r\nkeep-alive:"), "{head}");
    });
}

#[test]
fn keeps_one_connection_to_a_service_alive_for_many_requests() {
    let qrcode = stand_in("qrcode");
    with_router(&[("/qrcode", qrcode)], |router| {
        for _ in 0..3 {
            let mut client = Connection::open(router);
            for _ in 0..3 {
                assert!(client.get("/qrcode").1.starts_with("qrcode 0\n"));
            }
        }
    });
}

#[test]
fn a_service_that_is_down_costs_a_502_with_its_name() {
    // Bound and dropped: nobody listens there.
    let nobody = net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    with_router(&[("/qrcode", nobody)], |router| {
        let (head, body) = Connection::open(router).get("/qrcode?type=encode");
        assert!(head.starts_with("HTTP/1.1 502"), "{head}");
        assert_eq!(
            body,
            format!("stub-service at {nobody} does not accept connections\n")
        );
    });
}

#[test]
fn a_port_in_use_is_named_with_a_way_out() {
    let taken = net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let message = format!("{:#}", bind(address).unwrap_err());
    let expected = format!("port {} of 127.0.0.1 cannot be used", address.port());
    assert!(message.starts_with(&expected), "{message}");
    assert!(message.contains("--listen 127.0.0.1:"), "{message}");
}

#[test]
fn nothing_listens_any_more_once_the_router_is_dropped() {
    let mut known = None;
    with_router(&[], |router| {
        Connection::open(router).get("/");
        known = Some(router);
    });
    assert!(net::TcpStream::connect(known.unwrap()).is_err());
}
