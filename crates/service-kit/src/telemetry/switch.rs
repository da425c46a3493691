//! A log level that changes while the program runs, and goes back by itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tracing_subscriber::Registry;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::reload::{Handle, Layer};

/// Changes the level for a time. Clones change the same one.
#[derive(Clone, Debug)]
pub(crate) struct LevelSwitch(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    handle: Handle<Targets, Registry>,
    usual: Targets,
    /// The level in force, for people.
    shown: Mutex<String>,
    /// Goes up with each change, so that an older one does not end a newer one.
    changes: AtomicU64,
}

impl LevelSwitch {
    /// A filter for the level, and what changes it.
    pub(crate) fn new(level: Targets) -> (Layer<Targets, Registry>, Self) {
        let (layer, handle) = Layer::new(with_changes(level.clone()));
        let inner = Inner {
            handle,
            shown: Mutex::new(level.to_string()),
            usual: level,
            changes: AtomicU64::new(0),
        };
        (layer, Self(Arc::new(inner)))
    }

    /// The level in force.
    pub(crate) fn shown(&self) -> String {
        self.lock().clone()
    }

    /// Puts a level in force for so long; then the one of the settings is again. Both changes are logged
    /// whatever the levels are: who reads the log later must know why lines begin and end. Must be called
    /// inside a runtime.
    pub(crate) fn set_for(&self, level: Targets, time: Duration) {
        let change = self.0.changes.fetch_add(1, Ordering::SeqCst) + 1;
        let name = level.to_string();
        tracing::warn!(level = name, seconds = time.as_secs(), "log level changed");
        self.put(level);
        let switch = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(time).await;
            if switch.0.changes.load(Ordering::SeqCst) == change {
                switch.put(switch.0.usual.clone());
                tracing::warn!(level = switch.shown(), "log level is the usual one again");
            }
        });
    }

    fn put(&self, level: Targets) {
        let name = level.to_string();
        // Fails only when there is no subscriber any more.
        if self.0.handle.reload(with_changes(level)).is_ok() {
            *self.lock() = name;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, String> {
        self.0.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A level that passes on what is said here.
fn with_changes(level: Targets) -> Targets {
    level.with_target(module_path!(), LevelFilter::WARN)
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    fn level(text: &str) -> Targets {
        text.parse().expect("a level")
    }

    #[test]
    fn changes_are_logged_at_any_level_and_nothing_else() {
        for quiet in ["off", "error", "off,service_kit=error"] {
            let filter = with_changes(level(quiet));
            assert!(filter.would_enable(module_path!(), &Level::WARN), "{quiet}");
            assert!(!filter.would_enable("service_kit::program", &Level::WARN));
        }
        let filter = with_changes(level("debug"));
        assert!(filter.would_enable("service_kit::program", &Level::DEBUG));
    }

    #[tokio::test(start_paused = true)]
    async fn a_changed_level_goes_back_by_itself() {
        let (_layer, switch) = LevelSwitch::new(level("info"));
        switch.set_for(level("debug"), Duration::from_mins(10));
        tokio::time::sleep(Duration::from_mins(9)).await;
        assert_eq!(switch.shown(), "debug");
        // A newer change is not ended by an older one.
        switch.set_for(level("trace"), Duration::from_mins(10));
        tokio::time::sleep(Duration::from_mins(9)).await;
        assert_eq!(switch.shown(), "trace");
        tokio::time::sleep(Duration::from_mins(2)).await;
        assert_eq!(switch.shown(), "info");
    }
}
