//! Replies of HTTP/1.1 from bytes; pure.

/// What came is not a reply we understand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// How long a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many bytes.
    Length(usize),
    /// In chunks, until an empty one.
    Chunked,
    /// Until the connection ends.
    ToTheEnd,
}

/// The head of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// The status code.
    pub(super) status: u16,
    /// Bytes of the head itself.
    pub(super) len: usize,
    /// What follows.
    pub(super) framing: Framing,
    /// Whether the connection can be used again.
    pub(super) keep_alive: bool,
}

/// Most fields of a head.
const MAX_FIELDS: usize = 64;

/// Reads a head; `None` while it is not complete.
pub(super) fn head(bytes: &[u8]) -> Result<Option<Head>, Broken> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    let len = match response.parse(bytes) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(Broken),
    };
    let status = response.code.ok_or(Broken)?;
    let mut head = Head {
        status,
        len,
        framing: Framing::ToTheEnd,
        keep_alive: response.version == Some(1),
    };
    let mut length = None;
    for field in response.headers.iter() {
        let name = field.name;
        if name.eq_ignore_ascii_case("content-length") {
            let text = std::str::from_utf8(field.value).map_err(|_| Broken)?;
            let value: usize = text.trim().parse().map_err(|_| Broken)?;
            if length.is_some_and(|length| length != value) {
                return Err(Broken);
            }
            length = Some(value);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            if !field.value.eq_ignore_ascii_case(b"chunked") {
                return Err(Broken);
            }
            head.framing = Framing::Chunked;
        } else if name.eq_ignore_ascii_case("connection") {
            let has = |token: &[u8]| {
                let mut tokens = field.value.split(|&byte| byte == b',');
                tokens.any(|found| found.trim_ascii().eq_ignore_ascii_case(token))
            };
            head.keep_alive = !has(b"close") && (head.keep_alive || has(b"keep-alive"));
        }
    }
    if matches!(status, 100..200 | 204 | 304) {
        head.framing = Framing::Length(0);
    } else if let (Some(length), Framing::ToTheEnd) = (length, head.framing) {
        head.framing = Framing::Length(length);
    }
    Ok(Some(head))
}

/// Puts a body in chunks together from its beginning; false while it is not complete.
pub(super) fn chunks(mut bytes: &[u8], body: &mut Vec<u8>) -> Result<bool, Broken> {
    body.clear();
    loop {
        let (start, size) = match httparse::parse_chunk_size(bytes) {
            Ok(httparse::Status::Complete(found)) => found,
            Ok(httparse::Status::Partial) => return Ok(false),
            Err(_) => return Err(Broken),
        };
        let size = usize::try_from(size).map_err(|_| Broken)?;
        bytes = &bytes[start..];
        if size == 0 {
            return trailer(bytes);
        }
        let Some((chunk, rest)) = bytes.split_at_checked(size) else {
            return Ok(false);
        };
        body.extend_from_slice(chunk);
        bytes = match rest {
            [b'\r', b'\n', rest @ ..] => rest,
            [] | [b'\r'] => return Ok(false),
            _ => return Err(Broken),
        };
    }
}

/// Skips the fields after the last chunk; nothing may follow them.
fn trailer(mut bytes: &[u8]) -> Result<bool, Broken> {
    loop {
        let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else {
            return Ok(false);
        };
        let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
        if line.trim_ascii_end().is_empty() {
            return if rest.is_empty() {
                Ok(true)
            } else {
                Err(Broken)
            };
        }
        bytes = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::{Broken, Framing, chunks, head};

    fn framing(text: &str) -> Result<Option<(Framing, bool)>, Broken> {
        let found = head(text.as_bytes())?;
        Ok(found.map(|head| (head.framing, head.keep_alive)))
    }

    #[test]
    fn heads_say_how_long_the_body_is_and_whether_the_connection_stays() {
        let length = |length| Framing::Length(length);
        for (fields, expected) in [
            ("Content-Length: 5\r\n", (length(5), true)),
            (
                "content-length: 5\r\nConnection: close\r\n",
                (length(5), false),
            ),
            ("Connection: x, Close\r\n", (Framing::ToTheEnd, false)),
            ("Transfer-Encoding: chunked\r\n", (Framing::Chunked, true)),
        ] {
            let text = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
            assert_eq!(framing(&text), Ok(Some(expected)), "{fields}");
            for end in 0..text.len() {
                assert_eq!(framing(&text[..end]), Ok(None), "{fields} cut at {end}");
            }
        }
        let old = framing("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n");
        assert_eq!(old, Ok(Some((length(1), false))));
        let none = framing("HTTP/1.1 204 No Content\r\n\r\n");
        assert_eq!(none, Ok(Some((length(0), true))));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "SSH-2.0-x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        ] {
            assert_eq!(framing(text), Err(Broken), "{text}");
        }
    }

    #[test]
    fn chunks_are_put_together_wherever_they_are_cut() {
        let text = b"3\r\nabc\r\n0a;x=y\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n";
        let mut body = Vec::new();
        for end in 0..text.len() {
            assert_eq!(chunks(&text[..end], &mut body), Ok(false), "cut at {end}");
        }
        assert_eq!(chunks(text, &mut body), Ok(true));
        assert_eq!(body, b"abc0123456789");
        for broken in ["x\r\n", "1\r\nab\r\n", "0\r\n\r\nmore"] {
            assert_eq!(
                chunks(broken.as_bytes(), &mut body),
                Err(Broken),
                "{broken}"
            );
        }
    }
}
