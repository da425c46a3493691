//! Readiness as latches: every dependency holds one and releases it when it works.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Whether every latch is open.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    shut: AtomicUsize,
    latches: Mutex<Vec<(&'static str, State)>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Open,
    Shut { why: String },
}

impl Health {
    /// A new latch, shut until it is released.
    pub fn latch(&self, name: &'static str) -> Latch {
        let mut latches = self.lock();
        let why = "starting".to_owned();
        latches.push((name, State::Shut { why }));
        self.0.shut.fetch_add(1, Ordering::Relaxed);
        Latch {
            health: self.clone(),
            index: latches.len() - 1,
        }
    }

    /// Whether all latches are open. One relaxed load, for the traffic port.
    pub fn is_ready(&self) -> bool {
        self.0.shut.load(Ordering::Relaxed) == 0
    }

    /// One line that names each shut latch and why.
    pub(crate) fn explain(&self) -> String {
        let mut text = String::new();
        for (name, state) in self.lock().iter() {
            if let State::Shut { why } = state {
                let separator = if text.is_empty() { "" } else { "; " };
                let _ = write!(text, "{separator}{name}: {why}");
            }
        }
        text
    }

    /// Every latch with its state, for `/readyz?verbose`.
    pub(crate) fn json(&self) -> serde_json::Value {
        let latches: serde_json::Map<_, _> = self
            .lock()
            .iter()
            .map(|(name, state)| {
                let shown = match state {
                    State::Open => serde_json::json!({"ready": true}),
                    State::Shut { why } => serde_json::json!({"ready": false, "why": why}),
                };
                ((*name).to_owned(), shown)
            })
            .collect();
        serde_json::Value::Object(latches)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(&'static str, State)>> {
        self.0
            .latches
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, index: usize, state: State) {
        let mut latches = self.lock();
        if let Some((_, now)) = latches.get_mut(index) {
            match (&*now, &state) {
                (State::Open, State::Shut { .. }) => {
                    self.0.shut.fetch_add(1, Ordering::Relaxed);
                }
                (State::Shut { .. }, State::Open) => {
                    self.0.shut.fetch_sub(1, Ordering::Relaxed);
                }
                _ => {}
            }
            *now = state;
        }
    }
}

/// One dependency's part in readiness.
#[derive(Debug)]
pub struct Latch {
    health: Health,
    index: usize,
}

impl Latch {
    /// The dependency works.
    pub fn release(&self) {
        self.health.set(self.index, State::Open);
    }

    /// The dependency does not work; `why` is one line for people and holds no secret.
    pub fn shut(&self, why: impl Into<String>) {
        self.health.set(self.index, State::Shut { why: why.into() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_ready_when_every_latch_is_released() {
        let health = Health::default();
        assert!(health.is_ready());
        let (first, second) = (health.latch("first"), health.latch("second"));
        first.release();
        first.release();
        assert!(!health.is_ready());
        second.shut("refused");
        assert_eq!(health.explain(), "second: refused");
        second.release();
        assert!(health.is_ready());
        first.shut("gone");
        assert!(!health.is_ready());
    }
}
