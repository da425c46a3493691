//! The services' log lines: JSON in, text for people out.

use std::fmt::Write as _;
use std::net::SocketAddr;

use serde_json::{Map, Value};

/// Keys that are shown in front or not at all.
const NOT_REPEATED: [&str; 5] = ["fields", "level", "message", "target", "timestamp"];

/// Where a service listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Addresses {
    /// For requests.
    pub(crate) listen: SocketAddr,
    /// For health and metrics.
    pub(crate) admin: SocketAddr,
}

/// One line of a service's output.
pub(crate) struct LogLine(Option<Map<String, Value>>);

impl LogLine {
    /// Anything that is not a JSON object, such as a panic's text, is kept as it is.
    pub(crate) fn parse(line: &str) -> Self {
        match serde_json::from_str(line) {
            Ok(Value::Object(object)) => Self(Some(object)),
            _ => Self(None),
        }
    }

    /// The addresses, if this is the line that tells them: fields
    /// `listen_addr` and `admin_addr`, at the top or below `fields`.
    pub(crate) fn addresses(&self) -> Option<Addresses> {
        let address = |key| self.field(key)?.as_str()?.parse().ok();
        Some(Addresses {
            listen: address("listen_addr")?,
            admin: address("admin_addr")?,
        })
    }

    /// `LEVEL message key=value ...`, or `None` for a line that is not JSON.
    pub(crate) fn pretty(&self) -> Option<String> {
        let object = self.0.as_ref()?;
        let level = self.field("level").and_then(Value::as_str).unwrap_or("");
        let message = self.field("message").and_then(Value::as_str).unwrap_or("");
        let mut text = format!("{level:<5} {message}");
        let nested = object.get("fields").and_then(Value::as_object);
        for (key, value) in nested.into_iter().flatten().chain(object) {
            if NOT_REPEATED.contains(&key.as_str()) {
                continue;
            }
            // Writing to a string cannot fail.
            let _ = match value {
                Value::String(value) => write!(text, " {key}={value}"),
                other => write!(text, " {key}={other}"),
            };
        }
        Some(text)
    }

    fn field(&self, key: &str) -> Option<&Value> {
        let object = self.0.as_ref()?;
        object.get(key).or_else(|| object.get("fields")?.get(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_addresses_at_the_top_and_below_fields() {
        let expected = Addresses {
            listen: "127.0.0.1:4001".parse().unwrap(),
            admin: "127.0.0.1:4002".parse().unwrap(),
        };
        for line in [
            r#"{"level":"INFO","message":"listening","listen_addr":"127.0.0.1:4001","admin_addr":"127.0.0.1:4002"}"#,
            r#"{"level":"INFO","fields":{"message":"up","admin_addr":"127.0.0.1:4002","listen_addr":"127.0.0.1:4001"}}"#,
        ] {
            assert_eq!(LogLine::parse(line).addresses(), Some(expected));
        }
    }

    #[test]
    fn other_lines_tell_no_address() {
        for line in [
            "",
            "thread main panicked",
            "[1]",
            r#"{"listen_addr":"127.0.0.1:4001"}"#,
            r#"{"listen_addr":4001,"admin_addr":4002}"#,
            r#"{"listen_addr":"here","admin_addr":"there"}"#,
        ] {
            assert_eq!(LogLine::parse(line).addresses(), None, "{line}");
        }
    }

    #[test]
    fn shows_level_message_and_the_other_fields() {
        let line = r#"{"timestamp":"t","level":"WARN","fields":{"message":"retrying","attempt":3},"target":"store"}"#;
        assert_eq!(
            LogLine::parse(line).pretty().as_deref(),
            Some("WARN  retrying attempt=3")
        );
        assert!(LogLine::parse("plain text").pretty().is_none());
    }
}
