//! The token exchange, against a stand-in for the authentication service.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use qrcode_core::{Field, Message, Symbol, Turn};

use crate::start;

const TARGET: &str = "/qrcode?type=decode&timestamp=1706567290739&data=";

/// A field that holds one message, as hex words.
fn field() -> String {
    let message = Message::try_from(b"3l8k0L".as_slice()).expect("a message");
    let mut field = Field::default();
    field
        .place(&Symbol::new(&message), 2, 3, Turn::Deg90)
        .expect("inside the field");
    let mut words = Vec::new();
    field.write_words(&mut words);
    String::from_utf8(words).expect("words are ASCII")
}

/// What the authentication service was asked.
struct Question {
    /// The field of that name, empty when there is none.
    traceparent: String,
    body: String,
}

/// Answers every request on every connection with these bytes after `delay`, and hands them on.
fn authentication_service(reply: &'static str, delay: Duration) -> (String, Receiver<Question>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("a bound port");
    let (send, receive) = sync_channel(16);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let send = send.clone();
            std::thread::spawn(move || {
                let mut stream = BufReader::new(stream);
                while let Some(question) = read_post(&mut stream) {
                    let _ = send.send(question);
                    std::thread::park_timeout(delay);
                    if stream.get_mut().write_all(reply.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    (format!("http://{addr}"), receive)
}

fn read_post(stream: &mut BufReader<TcpStream>) -> Option<Question> {
    let mut length = 0;
    let mut traceparent = String::new();
    let mut first = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if first.is_empty() {
            first.clone_from(&line);
            assert!(line.starts_with("POST /rest_auth "), "{line}");
        }
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if let Some(value) = line.strip_prefix("traceparent:") {
            value.trim().clone_into(&mut traceparent);
        }
        if line.is_empty() {
            let mut body = vec![0; length];
            stream.read_exact(&mut body).ok()?;
            let body = String::from_utf8(body).ok()?;
            return Some(Question { traceparent, body });
        }
    }
}

#[test]
fn a_decoded_message_is_exchanged_for_a_token() {
    let (url, asked) = authentication_service(
        "HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n{\"message\":\"ok\",\"token\":\"abc\"}",
        Duration::ZERO,
    );
    let service = start(&[("AUTH_URL", &url)]);
    let field = field();
    let answer = service.get(&format!("{TARGET}{field}"));
    assert_eq!(answer.text(), "TEAMID,AWSACCOUNT\nabc");
    let asked_this = asked.recv().expect("it was asked");
    assert_eq!(asked_this.traceparent, "");
    let question: serde_json::Value = serde_json::from_str(&asked_this.body).expect("JSON");
    let expected = serde_json::json!({
        "team_name": "TEAMID", "timestamp": 1_706_567_290_739_i64, "decoded_qrcode": "3l8k0L"
    });
    assert_eq!(question, expected);

    // Without a timestamp, and for encode, nothing is asked.
    let plain = service.get(&format!("/qrcode?type=decode&data={field}"));
    assert_eq!(plain.text(), "TEAMID,AWSACCOUNT\n3l8k0L");
    let encoded = service.get("/qrcode?type=encode&data=a&timestamp=1");
    assert!(encoded.text().starts_with("TEAMID,AWSACCOUNT\n0x"));
    let invalid = service.get(&format!("/qrcode?type=decode&timestamp=soon&data={field}"));
    assert_eq!(invalid.text(), "TEAMID,AWSACCOUNT\nINVALID");
    assert!(asked.try_recv().is_err());
}

#[test]
fn the_authentication_service_is_told_of_the_trace() {
    let reply = "HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{\"token\":\"abc\"}";
    let (url, asked) = authentication_service(reply, Duration::ZERO);
    // Nobody collects there, which is not what this is about.
    let service = start(&[("AUTH_URL", &url), ("OTLP_ENDPOINT", "http://127.0.0.1:1")]);
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let caller = "00f067aa0ba902b7";
    let mut connection = service.connect();
    let head = format!("GET {TARGET}{} HTTP/1.1\r\nHost: test\r\n", field());
    connection.send(format!("{head}traceparent: 00-{trace}-{caller}-01\r\n\r\n").as_bytes());
    assert_eq!(connection.reply().expect("a reply").status, 200);
    let passed_on = asked.recv().expect("it was asked").traceparent;
    assert!(
        passed_on.starts_with(&format!("00-{trace}-")),
        "{passed_on}"
    );
    assert!(
        passed_on.ends_with("-01") && !passed_on.contains(caller),
        "{passed_on}"
    );
}

#[test]
fn without_an_address_a_timestamp_is_ignored() {
    let answer = start(&[]).get(&format!("{TARGET}{}", field()));
    assert_eq!(answer.text(), "TEAMID,AWSACCOUNT\n3l8k0L");
}

#[test]
fn a_failing_exchange_is_answered_clearly() {
    let cases = [
        (
            "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
            "the authentication service gave no token\n",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
            "the authentication service gave no token\n",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{\"token\":\"a b\"}",
            "the authentication service gave no token\n",
        ),
    ];
    let field = field();
    for (reply, line) in cases {
        let (url, _asked) = authentication_service(reply, Duration::ZERO);
        let answer = start(&[("AUTH_URL", &url)]).get(&format!("{TARGET}{field}"));
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (502, line),
            "{reply}"
        );
    }
    let (url, _asked) = authentication_service("", Duration::from_mins(1));
    let settings = [("AUTH_URL", url.as_str()), ("AUTH_TIMEOUT_MS", "50")];
    let answer = start(&settings).get(&format!("{TARGET}{field}"));
    assert_eq!(answer.status, 502);
    assert_eq!(
        answer.text(),
        "the authentication service did not answer in time\n"
    );

    let closed = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", closed.local_addr().expect("a bound port"));
    drop(closed);
    let answer = start(&[("AUTH_URL", &url)]).get(&format!("{TARGET}{field}"));
    assert_eq!(
        answer.text(),
        "the authentication service cannot be reached\n"
    );
}

#[test]
fn a_bad_address_is_a_bad_setting() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_qrcode-service"))
        .args(["--check-config", "--team-id=t", "--aws-account-id=a"])
        .env("AUTH_URL", "auth:9000")
        .output()
        .expect("the program runs");
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&output.stderr).contains("AUTH_URL"));
}
