//! Parsers of the values that settings have.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Parses `IP:PORT`; port 0 picks a free one.
///
/// # Errors
///
/// What a right value looks like.
pub fn socket_addr(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "expected IP:PORT, such as 0.0.0.0:8080 or [::]:8080".to_owned())
}

/// Parses a whole number of milliseconds.
///
/// # Errors
///
/// What a right value looks like.
pub fn millis(text: &str) -> Result<Duration, String> {
    let limit = 86_400_000;
    match text.parse::<u64>() {
        Ok(value) if value <= limit => Ok(Duration::from_millis(value)),
        _ => Err(format!("expected whole milliseconds, 0 to {limit}")),
    }
}

/// Parses a whole number of milliseconds that is not 0.
///
/// # Errors
///
/// What a right value looks like.
pub fn positive_millis(text: &str) -> Result<Duration, String> {
    match millis(text) {
        Ok(value) if value.is_zero() => Err("expected whole milliseconds, 1 or more".to_owned()),
        other => other,
    }
}

/// Parses a whole number within a range.
///
/// # Errors
///
/// The range.
pub fn number(range: RangeInclusive<usize>) -> impl FnOnce(&str) -> Result<usize, String> {
    move |text| match text.parse::<usize>() {
        Ok(value) if range.contains(&value) => Ok(value),
        _ => Err(format!(
            "expected a whole number, {} to {}",
            range.start(),
            range.end()
        )),
    }
}

/// Parses text that goes into the first line of a reply: printable, no comma, at most 64 bytes.
///
/// # Errors
///
/// What a right value looks like.
pub fn reply_word(text: &str) -> Result<String, String> {
    let fits = text.len() <= 64 && text.chars().all(|c| !c.is_control() && c != ',');
    if fits {
        Ok(text.to_owned())
    } else {
        Err("expected at most 64 bytes of printable text without a comma".to_owned())
    }
}
