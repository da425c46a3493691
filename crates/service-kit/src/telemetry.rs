//! Logs on standard output: text on a terminal, JSON otherwise.

mod switch;

use std::io::IsTerminal as _;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

pub(crate) use switch::LevelSwitch;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text when standard output is a terminal, JSON otherwise.
    Auto,
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Parses `LOG_FORMAT`.
///
/// # Errors
///
/// What a right value looks like.
pub fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "auto" => Ok(LogFormat::Auto),
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("expected auto, text or json".to_owned()),
    }
}

/// Parses `LOG_LEVEL`: a level, or `target=level` pairs separated by commas.
///
/// # Errors
///
/// What a right value looks like.
pub fn log_level(text: &str) -> Result<Targets, String> {
    // `Targets` takes a bare word that is no level for a target, and silences all others.
    let is_item = |item: &str| {
        !item.is_empty() && (item.contains('=') || item.parse::<LevelFilter>().is_ok())
    };
    let parsed = text.split(',').all(is_item).then(|| text.parse().ok());
    parsed.flatten().ok_or_else(|| {
        "expected error, warn, info, debug, trace, off or target=level pairs".to_owned()
    })
}

/// Starts logging to standard output, where containers are expected to log. Gives what changes the
/// level.
///
/// # Errors
///
/// When logging was started before.
pub(crate) fn init(level: Targets, format: LogFormat) -> Result<LevelSwitch, TryInitError> {
    let json = match format {
        LogFormat::Auto => !std::io::stdout().is_terminal(),
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let (filter, switch) = LevelSwitch::new(level);
    let registry = tracing_subscriber::registry().with(filter);
    if json {
        let layer = tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            // Only traced requests have one: it carries the trace's id.
            .with_current_span(true)
            .with_span_list(false);
        registry.with(layer).try_init()?;
    } else {
        let layer = tracing_subscriber::fmt::layer().with_ansi(std::io::stdout().is_terminal());
        registry.with(layer).try_init()?;
    }
    Ok(switch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_no_level_is_refused() {
        for right in ["info", "OFF", "warn,service_kit=debug", "service_kit=trace"] {
            assert!(log_level(right).is_ok(), "{right}");
        }
        for wrong in ["warning", "info,loud", "service_kit=loud", ""] {
            assert!(log_level(wrong).is_err(), "{wrong}");
        }
    }
}
