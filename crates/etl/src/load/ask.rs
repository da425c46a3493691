//! Asking a running service, after the swap, what the rows say.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use crate::checks::requests::Request;
use crate::failure::{Failure, FailureKind};

/// How long the service may take to notice the new table: it looks every two seconds.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long one reply may take.
const REPLY_DEADLINE: Duration = Duration::from_secs(10);
/// Most bytes of a reply; a celebrity's has megabytes.
const MAX_REPLY_BYTES: u64 = 256 << 20;

/// Asks the service at `http://HOST:PORT` all requests, again and again until each is answered as
/// the rows say, but not for ever. Gives their number.
///
/// # Errors
///
/// The address is none, or some request is still answered otherwise after 30 seconds.
pub fn ask(url: &str, requests: &[Request]) -> Result<u64, Failure> {
    let host = url.strip_prefix("http://").unwrap_or_default();
    let host = host.trim_end_matches('/');
    if host.is_empty() || host.contains('/') {
        let line = format!("--ask: expected http://HOST:PORT, got {url}");
        return Err(Failure::new(FailureKind::Usage, line));
    }
    let until = Instant::now() + PATIENCE;
    let mut open: Vec<&Request> = requests.iter().collect();
    let mut why = String::new();
    while !open.is_empty() {
        open.retain(|request| match get(host, &target(request)) {
            Ok(reply) => {
                let first_line = reply.iter().position(|byte| *byte == b'\n');
                let rest = reply.get(first_line.unwrap_or(reply.len())..);
                let is_right = request.is_answered_by(rest.unwrap_or_default());
                if !is_right {
                    why = format!("it answers otherwise to {}", target(request));
                }
                !is_right
            }
            Err(error) => {
                why = error;
                true
            }
        });
        if !open.is_empty() && Instant::now() > until {
            let line = format!(
                "the table is published, but the service at {url} does not answer {} of {} requests as the rows say; last: {why}",
                open.len(),
                requests.len()
            );
            return Err(Failure::new(FailureKind::Check, line));
        }
        if !open.is_empty() {
            std::thread::park_timeout(Duration::from_millis(200));
        }
    }
    Ok(requests.len() as u64)
}

fn target(request: &Request) -> String {
    format!(
        "/twitter?user_id={}&type={}&phrase={}&hashtag={}",
        request.user_id,
        request.contact_type,
        percent(&request.phrase),
        percent(&request.hashtag)
    )
}

/// Escapes everything but letters and digits of ASCII.
fn percent(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            escaped.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

/// The body of a reply with status 200.
fn get(host: &str, target: &str) -> Result<Vec<u8>, String> {
    let name = if host.contains(':') {
        host.to_owned()
    } else {
        format!("{host}:80")
    };
    let say = |error: std::io::Error| format!("{host}: {error}");
    let mut addresses = name.to_socket_addrs().map_err(say)?;
    let address = addresses
        .next()
        .ok_or_else(|| format!("{host}: no address"))?;
    let mut stream = TcpStream::connect_timeout(&address, REPLY_DEADLINE).map_err(say)?;
    stream.set_read_timeout(Some(REPLY_DEADLINE)).map_err(say)?;
    stream
        .set_write_timeout(Some(REPLY_DEADLINE))
        .map_err(say)?;
    let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(say)?;
    let mut reply = Vec::new();
    stream
        .take(MAX_REPLY_BYTES)
        .read_to_end(&mut reply)
        .map_err(say)?;
    let head = reply.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let head = head.ok_or_else(|| format!("{host}: no reply"))?;
    let body = reply.split_off(head + 4);
    let status = reply.get(9..12).unwrap_or_default();
    if status == b"200" {
        return Ok(body);
    }
    Err(format!(
        "{host}: status {} to {target}",
        String::from_utf8_lossy(status)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_hold_plain_ascii() {
        assert_eq!(percent("aZ9"), "aZ9");
        assert_eq!(percent("a b&é\0"), "a%20b%26%C3%A9%00");
    }

    #[test]
    fn an_address_that_is_none_is_usage() {
        for url in ["", "https://x", "http://", "http://x/y"] {
            assert_eq!(ask(url, &[]).unwrap_err().kind, FailureKind::Usage, "{url}");
        }
    }
}
