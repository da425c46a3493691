//! What a run did so far, put together from snapshots; the screen and the plain lines show it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use crate::plan::{Load, Plan};
use crate::record::Second;
use crate::run::Snapshot;

/// Seconds of the past that are kept.
const MAX_HISTORY: usize = 600;

/// What is known of a run that goes on.
#[derive(Debug)]
pub struct Live {
    title: String,
    scenarios: Vec<String>,
    duration: Duration,
    elapsed: Duration,
    done: u64,
    errors: u64,
    /// The number of the oldest second that is kept.
    first: usize,
    /// For each scenario, the seconds from `first` on.
    seconds: Vec<Vec<Second>>,
    /// Requests and the 99th percentile in microseconds of each of them, over all scenarios: worked out when
    /// a second changes, as to unpack hundreds of histograms for each picture would take processor time
    /// from the run.
    history: Vec<(u64, u64)>,
    /// Whether a whole second has been told since the last line.
    is_new: bool,
}

impl Live {
    /// Of a run that is about to begin.
    pub fn new(plan: &Plan, title: String) -> Self {
        let labels = plan.scenarios.iter();
        let scenarios: Vec<String> = labels.map(|scenario| scenario.label.clone()).collect();
        Self {
            title,
            duration: match &plan.load {
                Load::Closed { duration, .. } => *duration,
                Load::Open(schedule) => schedule.duration(),
            },
            elapsed: Duration::ZERO,
            done: 0,
            errors: 0,
            first: 0,
            seconds: vec![Vec::new(); scenarios.len()],
            history: Vec::new(),
            is_new: false,
            scenarios,
        }
    }

    /// Adds what is new.
    pub fn add(&mut self, snapshot: &Snapshot) {
        self.elapsed = snapshot.elapsed;
        self.done = snapshot.done;
        self.errors = snapshot.errors;
        let mut changed = BTreeSet::new();
        for fresh in &snapshot.fresh {
            let Some(place) = fresh.number.checked_sub(self.first) else {
                continue;
            };
            let Some(seconds) = self.seconds.get_mut(fresh.scenario) else {
                continue;
            };
            if seconds.len() <= place {
                seconds.resize(place + 1, Second::default());
                self.is_new = true;
            }
            seconds[place].merge(&fresh.second);
            changed.insert(place);
        }
        for place in changed {
            let figures = self.figures(place);
            if self.history.len() <= place {
                self.history.resize(place + 1, (0, 0));
            }
            self.history[place] = figures;
        }
        let longest = self.seconds.iter().map(Vec::len).max().unwrap_or(0);
        if longest > MAX_HISTORY {
            let old = longest - MAX_HISTORY;
            for seconds in &mut self.seconds {
                seconds.drain(..old.min(seconds.len()));
            }
            self.history.drain(..old.min(self.history.len()));
            self.first += old;
        }
    }

    /// What is run.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// The scenarios' names.
    pub fn scenarios(&self) -> &[String] {
        &self.scenarios
    }

    /// From 0 to 1.
    pub fn share_done(&self) -> f64 {
        let whole = self.duration.as_secs_f64().max(1e-9);
        (self.elapsed.as_secs_f64() / whole).clamp(0.0, 1.0)
    }

    /// The last second of a scenario that is over.
    pub fn last(&self, label: &str) -> Option<&Second> {
        let place = self.scenarios.iter().position(|known| known == label)?;
        self.seconds.get(place)?.last()
    }

    /// Requests and the 99th percentile in microseconds, of each second that is kept.
    pub fn history(&self) -> (Vec<u64>, Vec<u64>) {
        self.history.iter().copied().unzip()
    }

    fn figures(&self, place: usize) -> (u64, u64) {
        let second = self.all(place);
        let times = second.times.unpack().unwrap_or_default();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "times are positive and below 10^12 us"
        )]
        let micros = (times.percentile_ms(99.0) * 1e3) as u64;
        (second.tally.done, micros)
    }

    /// All scenarios together in a second.
    fn all(&self, number: usize) -> Second {
        let mut all = Second::default();
        for second in self
            .seconds
            .iter()
            .filter_map(|seconds| seconds.get(number))
        {
            all.merge(second);
        }
        all
    }

    /// A line about the whole run and its last second.
    pub fn line(&self) -> String {
        let mut line = format!(
            "{:>4} s  {} requests, {} errors",
            self.elapsed.as_secs(),
            self.done,
            self.errors
        );
        let longest = self.seconds.iter().map(Vec::len).max().unwrap_or(0);
        if let Some(last) = longest.checked_sub(1) {
            let second = self.all(last);
            let times = second.times.unpack().unwrap_or_default();
            // Writing to a string cannot fail.
            let _ = write!(
                line,
                "; last second {}/s, median {:.3} ms, 99% {:.3} ms",
                second.tally.done,
                times.percentile_ms(50.0),
                times.percentile_ms(99.0)
            );
        }
        line
    }

    /// The same, once for each second.
    pub fn next_line(&mut self) -> Option<String> {
        std::mem::take(&mut self.is_new).then(|| self.line())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Live, MAX_HISTORY};
    use crate::plan::Settings;
    use crate::record::{Second, Tally, Times};
    use crate::run::{Fresh, Snapshot};

    fn fresh(number: usize, done: u64, micros: u64) -> Fresh {
        let mut times = Times::default();
        times.add(Duration::from_micros(micros));
        let tally = Tally {
            done,
            ..Tally::default()
        };
        Fresh {
            scenario: 0,
            number,
            second: Second {
                tally,
                times: times.pack(),
            },
        }
    }

    #[test]
    fn the_history_follows_late_news_and_forgets_the_oldest_seconds() {
        let settings = Settings {
            target: Some("http://127.0.0.1:1".parse().unwrap()),
            scenarios: vec!["qrcode,size=1".parse().unwrap()],
            ..Settings::default()
        };
        let mut live = Live::new(&settings.plan().unwrap(), String::new());
        let mut add = |fresh: Vec<Fresh>| {
            live.add(&Snapshot {
                fresh,
                ..Snapshot::default()
            });
            live.history()
        };
        let (done, micros) = add(vec![fresh(0, 1, 1000), fresh(2, 3, 2000)]);
        assert_eq!(done, [1, 0, 3]);
        assert!(
            (1990..2010).contains(&micros[2]) && micros[1] == 0,
            "{micros:?}"
        );
        // Another thread tells of its part later.
        let (done, micros) = add(vec![fresh(0, 5, 9000)]);
        assert_eq!(done, [6, 0, 3]);
        assert!((8990..9010).contains(&micros[0]), "{micros:?}");
        let (done, _) = add(vec![fresh(MAX_HISTORY + 1, 7, 1)]);
        assert_eq!(
            (done.len(), done[0], done[MAX_HISTORY - 1]),
            (MAX_HISTORY, 3, 7)
        );
    }
}
