//! Counters, gauges and durations that cost a few nanoseconds.
//!
//! Every worker thread writes cells of its own, so that no cache line is shared; a scrape adds
//! the workers up. Labels come from closed enums ([`labels!`](crate::labels)), so a hostile
//! client cannot make new series. The `prometheus` crate keeps the registry and the text format
//! and is seen by nobody outside this module.

mod family;
mod open;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::core::Desc;
use prometheus::{Encoder as _, TextEncoder};

use family::{Family, Kind};
use open::Exemplars;

/// A closed set of label values.
pub trait Label: Copy {
    /// All values, in the order of [`Self::index`].
    const ALL: &'static [&'static str];

    /// The place of this value in [`Self::ALL`].
    fn index(self) -> usize;
}

/// Declares an enum whose variants are the values of a metric's label.
///
/// ```
/// use service_kit::metrics::Label as _;
///
/// service_kit::labels! {
///     /// How it went.
///     pub enum Outcome {
///         /// Well.
///         Good => "good",
///         /// Not well.
///         Bad => "bad",
///     }
/// }
/// assert_eq!(Outcome::ALL, ["good", "bad"]);
/// assert_eq!(Outcome::Bad.index(), 1);
/// ```
#[macro_export]
macro_rules! labels {
    (
        $(#[$meta:meta])*
        $visibility:vis enum $name:ident {
            $($(#[$variant_meta:meta])* $variant:ident => $label:literal,)+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $visibility enum $name {
            $($(#[$variant_meta])* $variant,)+
        }

        impl $crate::metrics::Label for $name {
            const ALL: &'static [&'static str] = &[$($label),+];

            fn index(self) -> usize {
                self as usize
            }
        }
    };
}

/// Upper bounds of the duration buckets. The first ones resolve a service whose requests take
/// 10 to 500 µs; the last ones tell a slow database (its query deadline is 1 s) from a stuck one.
const BUCKET_BOUNDS: [Duration; 16] = [
    Duration::from_micros(50),
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2_500),
    Duration::from_secs(5),
];

/// One worker's cells of one family. Only that worker writes them.
#[derive(Clone, Debug, Default)]
struct Cells(Arc<[AtomicU64]>);

impl Cells {
    fn new(count: usize) -> Self {
        Self((0..count).map(|_| AtomicU64::new(0)).collect())
    }

    /// A plain load and store: with a single writer no atomic read-modify-write is needed.
    fn add(&self, index: usize, amount: u64) {
        if let Some(cell) = self.0.get(index) {
            let sum = cell.load(Ordering::Relaxed).wrapping_add(amount);
            cell.store(sum, Ordering::Relaxed);
        }
    }

    fn set(&self, index: usize, value: u64) {
        if let Some(cell) = self.0.get(index) {
            cell.store(value, Ordering::Relaxed);
        }
    }
}

fn sum(shards: &[Cells], index: usize) -> u64 {
    shards
        .iter()
        .filter_map(|shard| shard.0.get(index))
        .fold(0, |sum, cell| {
            sum.wrapping_add(cell.load(Ordering::Relaxed))
        })
}

/// The service's metrics: families are made at start, one set of cells for each worker.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: prometheus::Registry,
    service: &'static str,
    workers: usize,
    /// Of each histogram, by its whole name.
    exemplars: Arc<Mutex<Vec<(String, Exemplars)>>>,
}

impl Metrics {
    pub(crate) fn new(service: &'static str, workers: usize) -> Self {
        Self {
            registry: prometheus::Registry::new(),
            service,
            workers,
            exemplars: Arc::default(),
        }
    }

    /// A family of counters `<service>_<name>`, one for each label; `name` ends in `_total`.
    pub fn counters(
        &self,
        name: &str,
        help: &str,
        label: &'static str,
        values: &[&'static str],
    ) -> Counters {
        let shards = self.shards(values.len());
        self.register(Family {
            desc: self.describe(name, help),
            label,
            values: values.to_vec(),
            kind: Kind::Counter,
            shards: shards.clone(),
        });
        Counters(shards)
    }

    /// A gauge `<service>_<name>` that each worker sets its own share of.
    pub fn gauge(&self, name: &str, help: &str) -> Gauges {
        let shards = self.shards(1);
        self.register(Family {
            desc: self.describe(name, help),
            label: "",
            values: vec![""],
            kind: Kind::Gauge,
            shards: shards.clone(),
        });
        Gauges(shards)
    }

    /// A gauge `<service>_<name>` for each state, of which one is 1 and the others are 0.
    pub(crate) fn state(
        &self,
        name: &str,
        help: &str,
        label: &'static str,
        values: &[&'static str],
    ) -> State {
        let shards = vec![Cells::new(values.len())];
        self.register(Family {
            desc: self.describe(name, help),
            label,
            values: values.to_vec(),
            kind: Kind::Gauge,
            shards: shards.clone(),
        });
        State(shards)
    }

    /// A histogram `<service>_<name>` of durations; `name` ends in `_seconds`.
    pub fn durations(&self, name: &str, help: &str) -> Durations {
        let shards = self.shards(BUCKET_BOUNDS.len() + 2);
        self.register(Family {
            desc: self.describe(name, help),
            label: "",
            values: vec![""],
            kind: Kind::Durations,
            shards: shards.clone(),
        });
        let exemplars = Exemplars::default();
        let name = format!("{}_{name}", self.service);
        let mut all = self
            .exemplars
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        all.push((name, exemplars.clone()));
        Durations(shards, exemplars)
    }

    /// A gauge `<service>_<name>` of constant value 1 whose labels carry facts.
    pub(crate) fn facts(&self, name: &str, help: &str, facts: &[(&str, &str)]) {
        let mut options = prometheus::Opts::new(format!("{}_{name}", self.service), help);
        for (key, value) in facts {
            options = options.const_label(*key, *value);
        }
        let gauge = prometheus::IntGauge::with_opts(options).expect("names of facts are constant");
        gauge.set(1);
        self.registry
            .register(Box::new(gauge))
            .expect("each family is made once");
    }

    /// All families in the Prometheus text format.
    pub(crate) fn render(&self) -> Vec<u8> {
        let mut text = Vec::with_capacity(16 * 1024);
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "cannot render the metrics");
        }
        text
    }

    /// The same in the `OpenMetrics` text format, with exemplars.
    pub(crate) fn render_open(&self) -> Vec<u8> {
        let text = String::from_utf8(self.render()).unwrap_or_default();
        let exemplars = self
            .exemplars
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        open::from_text(&text, &exemplars).into_bytes()
    }

    fn shards(&self, cells: usize) -> Vec<Cells> {
        (0..self.workers.max(1))
            .map(|_| Cells::new(cells))
            .collect()
    }

    fn describe(&self, name: &str, help: &str) -> Desc {
        Desc::new(
            format!("{}_{name}", self.service),
            help.to_owned(),
            Vec::new(),
            std::collections::HashMap::new(),
        )
        .expect("metric names are constants of this workspace")
    }

    fn register(&self, family: Family) {
        self.registry
            .register(Box::new(family))
            .expect("each family is made once");
    }
}

/// A family of counters, to be taken apart into one handle for each worker.
#[derive(Clone, Debug)]
pub struct Counters(Vec<Cells>);

impl Counters {
    /// The handle of one worker.
    pub fn worker(&self, worker: usize) -> WorkerCounters {
        WorkerCounters(self.0.get(worker).cloned().unwrap_or_else(|| Cells::new(0)))
    }
}

/// One worker's counters.
#[derive(Clone, Debug)]
pub struct WorkerCounters(Cells);

impl WorkerCounters {
    /// Adds one to the counter at this place of the label list.
    pub fn add_one(&self, index: usize) {
        self.0.add(index, 1);
    }

    /// Adds to the counter at this place of the label list.
    pub fn add(&self, index: usize, amount: u64) {
        self.0.add(index, amount);
    }
}

/// A gauge, to be taken apart into one handle for each worker.
#[derive(Clone, Debug)]
pub struct Gauges(Vec<Cells>);

impl Gauges {
    /// The handle of one worker.
    pub fn worker(&self, worker: usize) -> WorkerGauge {
        WorkerGauge(self.0.get(worker).cloned().unwrap_or_else(|| Cells::new(0)))
    }
}

/// One worker's share of a gauge.
#[derive(Clone, Debug)]
pub struct WorkerGauge(Cells);

impl WorkerGauge {
    /// Replaces the worker's share.
    pub fn set(&self, value: u64) {
        self.0.set(0, value);
    }
}

/// Which of several states something is in. One thread sets it.
#[derive(Clone, Debug)]
pub(crate) struct State(Vec<Cells>);

impl State {
    /// Enters the state at this place of the label list and leaves all others.
    pub(crate) fn enter(&self, index: usize) {
        for cells in &self.0 {
            for place in 0..cells.0.len() {
                cells.set(place, u64::from(place == index));
            }
        }
    }
}

/// A histogram of durations, to be taken apart into one handle for each worker.
#[derive(Clone, Debug)]
pub struct Durations(Vec<Cells>, Exemplars);

impl Durations {
    /// The handle of one worker.
    pub fn worker(&self, worker: usize) -> WorkerDurations {
        let cells = self.0.get(worker).cloned().unwrap_or_else(|| Cells::new(0));
        WorkerDurations(cells, self.1.clone())
    }
}

/// One worker's durations. The default counts nothing.
#[derive(Clone, Debug, Default)]
pub struct WorkerDurations(Cells, Exemplars);

impl WorkerDurations {
    /// Counts one duration.
    pub fn observe(&self, duration: Duration) {
        self.0.add(bucket(duration), 1);
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.0.add(BUCKET_BOUNDS.len() + 1, nanos);
    }

    /// Names a trace as an example of those that took so long. It was counted already.
    pub(crate) fn exemplify(&self, duration: Duration, trace_id: u128) {
        self.1.note(bucket(duration), duration, trace_id);
    }
}

/// The first bucket that holds a duration.
fn bucket(duration: Duration) -> usize {
    BUCKET_BOUNDS.partition_point(|bound| *bound < duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(metrics: &Metrics) -> String {
        String::from_utf8(metrics.render()).unwrap()
    }

    #[test]
    fn adds_the_workers_up() {
        let metrics = Metrics::new("qrcode", 2);
        let requests = metrics.counters("requests_total", "Requests.", "outcome", &["a", "b"]);
        requests.worker(0).add_one(1);
        requests.worker(1).add_one(1);
        let text = rendered(&metrics);
        assert!(text.contains("# TYPE qrcode_requests_total counter"));
        assert!(text.contains("qrcode_requests_total{outcome=\"a\"} 0"));
        assert!(text.contains("qrcode_requests_total{outcome=\"b\"} 2"));
    }

    #[test]
    fn a_state_is_one_of_its_labels() {
        let metrics = Metrics::new("qrcode", 2);
        let phase = metrics.state("phase", "Phase.", "phase", &["a", "b"]);
        phase.enter(0);
        phase.enter(1);
        let text = rendered(&metrics);
        assert!(text.contains("# TYPE qrcode_phase gauge"));
        assert!(text.contains("qrcode_phase{phase=\"a\"} 0"));
        assert!(text.contains("qrcode_phase{phase=\"b\"} 1"));
    }

    #[test]
    fn a_duration_lands_in_the_first_bucket_that_holds_it() {
        let metrics = Metrics::new("qrcode", 1);
        let durations = metrics
            .durations("request_duration_seconds", "Time.")
            .worker(0);
        durations.observe(Duration::from_micros(50));
        durations.observe(Duration::from_micros(51));
        durations.observe(Duration::from_secs(9));
        let text = rendered(&metrics);
        for line in [
            "qrcode_request_duration_seconds_bucket{le=\"0.00005\"} 1",
            "qrcode_request_duration_seconds_bucket{le=\"0.0001\"} 2",
            "qrcode_request_duration_seconds_bucket{le=\"5\"} 2",
            "qrcode_request_duration_seconds_bucket{le=\"+Inf\"} 3",
            "qrcode_request_duration_seconds_count 3",
            "qrcode_request_duration_seconds_sum 9.000101",
        ] {
            assert!(text.contains(line), "{line} not in\n{text}");
        }
    }
}
