//! A collector: takes OTLP over HTTP on loopback and keeps what it got.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::wait_until;
use serde_json::Value;

/// How it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// 200 to all.
    Takes,
    /// 503 to the first request.
    IsBusyOnce,
    /// 400 to all.
    Refuses,
    /// Reads and never answers.
    Hangs,
}

/// A span with the resource that it came with.
#[derive(Clone, Debug)]
pub struct Span {
    resource: Value,
    span: Value,
}

impl Span {
    /// A field that is a text; empty when it is not there.
    pub fn text(&self, field: &str) -> &str {
        self.span[field].as_str().unwrap_or_default()
    }

    /// The code of the status: 0 when nothing is set, 2 for an error.
    pub fn status(&self) -> u64 {
        self.span["status"]["code"].as_u64().unwrap_or_default()
    }

    /// An attribute of the span.
    ///
    /// # Panics
    ///
    /// When it has none of that name.
    pub fn fact(&self, key: &str) -> String {
        fact(&self.span["attributes"], key)
    }

    /// An attribute of whoever sent the span.
    ///
    /// # Panics
    ///
    /// When it has none of that name.
    pub fn resource(&self, key: &str) -> String {
        fact(&self.resource["attributes"], key)
    }

    /// All of it as text, to look for what must not be there.
    pub fn everything(&self) -> String {
        format!("{}{}", self.resource, self.span)
    }
}

fn fact(attributes: &Value, key: &str) -> String {
    let list = attributes.as_array().expect("attributes are a list");
    let found = list.iter().find(|attribute| attribute["key"] == key);
    let value = &found.unwrap_or_else(|| panic!("no {key} in {attributes}"))["value"];
    let text = value["stringValue"].as_str().or(value["intValue"].as_str());
    text.expect("a text or a number as text").to_owned()
}

/// Listens until it is dropped.
#[derive(Debug)]
pub struct Collector {
    addr: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    behaviour: Behaviour,
    spans: Mutex<Vec<Span>>,
    was_busy: AtomicBool,
    has_ended: AtomicBool,
}

impl Collector {
    /// Listens on a port of its own.
    ///
    /// # Panics
    ///
    /// When loopback has none.
    pub fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let addr = listener.local_addr().expect("a bound socket");
        let shared = Arc::new(Shared {
            behaviour,
            spans: Mutex::default(),
            was_busy: AtomicBool::new(false),
            has_ended: AtomicBool::new(false),
        });
        let of_thread = Arc::clone(&shared);
        let accepting = std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if of_thread.has_ended.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&of_thread);
                std::thread::spawn(move || shared.serve(stream));
            }
        });
        Self {
            addr,
            shared,
            accepting: Some(accepting),
        }
    }

    /// What `OTLP_ENDPOINT` is set to.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// What has come so far.
    ///
    /// # Panics
    ///
    /// When a connection's thread did.
    pub fn spans(&self) -> Vec<Span> {
        let spans = self.shared.spans.lock();
        spans.expect("no test panics with it").clone()
    }

    /// Waits for the first span; there must not be another.
    ///
    /// # Panics
    ///
    /// When there is another, or none in time.
    pub fn one_span(&self) -> Span {
        wait_until("a span comes", || !self.spans().is_empty());
        let [span] = self.spans().try_into().expect("one span");
        span
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.shared.has_ended.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts, which then closes the listener.
        let _ = TcpStream::connect(self.addr);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        while let Some(body) = read_export(&mut stream) {
            let answer = match self.behaviour {
                Behaviour::Hangs => continue,
                Behaviour::Refuses => "400 Bad Request",
                Behaviour::IsBusyOnce if !self.was_busy.swap(true, Ordering::SeqCst) => {
                    "503 Service Unavailable"
                }
                Behaviour::Takes | Behaviour::IsBusyOnce => {
                    self.keep(&body);
                    "200 OK"
                }
            };
            let head = format!("HTTP/1.1 {answer}\r\nContent-Type: application/json\r\n");
            let rest = "Content-Length: 2\r\n\r\n{}";
            let written = stream
                .get_mut()
                .write_all(format!("{head}{rest}").as_bytes());
            if written.is_err() {
                return;
            }
        }
    }

    fn keep(&self, body: &Value) {
        let mut spans = self.spans.lock().expect("no test panics with it");
        for part in body["resourceSpans"].as_array().expect("a list") {
            for scope in part["scopeSpans"].as_array().expect("a list") {
                for span in scope["spans"].as_array().expect("a list") {
                    spans.push(Span {
                        resource: part["resource"].clone(),
                        span: span.clone(),
                    });
                }
            }
        }
    }
}

/// The body of the next request; `None` when the peer has gone.
fn read_export(stream: &mut BufReader<TcpStream>) -> Option<Value> {
    let mut line = String::new();
    let mut next = |stream: &mut BufReader<TcpStream>| {
        line.clear();
        stream.read_line(&mut line).ok().filter(|read| *read > 0)?;
        Some(line.trim_end().to_ascii_lowercase())
    };
    assert_eq!(next(stream)?, "post /v1/traces http/1.1");
    let mut length = 0;
    let mut is_json = false;
    loop {
        let field = next(stream)?;
        if field.is_empty() {
            break;
        }
        is_json |= field == "content-type: application/json";
        if let Some(value) = field.strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
    }
    assert!(is_json, "the content type is not JSON's");
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some(serde_json::from_slice(&body).expect("JSON"))
}
