//! A small server inside the test, and the program as a child.

#![allow(dead_code, reason = "not every test file uses all of it")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What a server does with a request.
pub(crate) enum Answer {
    /// 200 with this body.
    Ok(Vec<u8>),
    /// Another status.
    Status(u16),
    /// Ends the connection without a reply.
    Close,
    /// Reads on and never answers.
    Never,
}

/// A server on a port of its own; its threads end with the test's process.
pub(crate) struct Server {
    port: u16,
    requests: Arc<AtomicU64>,
    gone: Arc<AtomicBool>,
}

impl Server {
    pub(crate) fn start(answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&requests);
        let answer = Arc::new(answer);
        let gone = Arc::new(AtomicBool::new(false));
        let is_gone = Arc::clone(&gone);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if is_gone.load(Ordering::SeqCst) {
                    return;
                }
                let (answer, count) = (Arc::clone(&answer), Arc::clone(&count));
                let is_gone = Arc::clone(&is_gone);
                std::thread::spawn(move || serve(stream, &*answer, &count, &is_gone));
            }
        });
        Self {
            port,
            requests,
            gone,
        }
    }

    /// From here on it takes no connections and answers nothing.
    pub(crate) fn vanish(&self) {
        self.gone.store(true, Ordering::SeqCst);
        // Whoever waits for a connection notices with the next one.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Requests read so far.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }
}

fn serve(
    stream: TcpStream,
    answer: &dyn Fn(&str) -> Answer,
    count: &AtomicU64,
    is_gone: &AtomicBool,
) {
    let _ = stream.set_nodelay(true);
    let Ok(reader) = stream.try_clone() else {
        return;
    };
    let mut lines = BufReader::new(reader).lines().map_while(Result::ok);
    let mut writer = stream;
    while let Some(line) = lines.next() {
        let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
        for field in lines.by_ref() {
            if field.is_empty() {
                break;
            }
        }
        if is_gone.load(Ordering::SeqCst) {
            return;
        }
        count.fetch_add(1, Ordering::SeqCst);
        let (status, body) = match answer(&target) {
            Answer::Ok(body) => (200, body),
            Answer::Status(status) => (status, b"no\n".to_vec()),
            Answer::Close => return,
            Answer::Never => continue,
        };
        let reply = format!(
            "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let reply = [reply.as_bytes(), &body].concat();
        if writer.write_all(&reply).is_err() {
            return;
        }
    }
}

/// The right answers of `/qrcode` and `/blockchain`, by the core crates.
pub(crate) fn right(target: &str) -> Answer {
    let mut body = b"TEAM,1\n".to_vec();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let value = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs
            .find(|(key, _)| *key == name)
            .map(|(_, value)| unescape(value))
    };
    let answered = match (path, value("type").as_deref()) {
        ("/qrcode", Some(b"encode")) => value("data")
            .and_then(|data| qrcode_core::Message::try_from(data.as_slice()).ok())
            .map(|message| qrcode_core::encode(&message, &mut body)),
        ("/qrcode", Some(b"decode")) => value("data")
            .and_then(|data| qrcode_core::decode(&data).ok())
            .map(|message| body.extend_from_slice(message.as_bytes())),
        ("/blockchain", _) => value("cc").and_then(|packed| {
            let mut scratch = blockchain_core::Scratch::default();
            blockchain_core::respond(&packed, &mut scratch, &mut body).ok()
        }),
        _ => None,
    };
    if answered.is_none() {
        body.extend_from_slice(b"INVALID");
    }
    Answer::Ok(body)
}

fn unescape(value: &str) -> Vec<u8> {
    let mut bytes = value.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                let digits = std::str::from_utf8(&digits).unwrap();
                out.push(u8::from_str_radix(digits, 16).unwrap());
            }
            b'+' => out.push(b' '),
            byte => out.push(byte),
        }
    }
    out
}

/// Starts the program.
pub(crate) fn spawn(arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_loadgen"))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Runs the program to its end: the exit code, standard output and standard error.
pub(crate) fn loadgen(arguments: &[&str]) -> (i32, String, String) {
    let output = spawn(arguments).wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let code = output.status.code().expect("no signal");
    (code, text(output.stdout), text(output.stderr))
}

/// What Ctrl-C does.
pub(crate) fn interrupt(child: &Child) {
    let pid = i32::try_from(child.id()).unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
}

/// Waits for something that is about to happen.
pub(crate) fn wait_until(holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_mins(1), "in vain");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
