//! Faults on purpose: latency, refusals and cut connections for a share of the requests, for a bounded
//! time, set on the admin port (`/faults`). For tests of alerts, of clients and of those on call.
//!
//! Only in builds with the feature `fault-injection`, which released images are not, and there only
//! with `FAULT_INJECTION=on`.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::config::{self, Setting};
use crate::connection::Activity;
use crate::metrics::{Counters, Label as _, Metrics, WorkerCounters};
use crate::request::Query;
use crate::respond::{KitOutcome, Reply};

pub(crate) const FAULT_INJECTION: Setting = Setting::with_default(
    "FAULT_INJECTION",
    "off",
    "on or off: whether /faults on the admin port may make requests slow, refused or cut.",
);

/// Longest delay of a request.
const MAX_LATENCY_MS: usize = 60_000;
/// How long faults hold, unless the change says so itself.
const USUAL_SECONDS: u64 = 60;
/// And how long at most.
const MAX_SECONDS: usize = 3600;

crate::labels! {
    /// What is done to a request.
    enum Fault {
        /// It waits before it is looked at.
        Latency => "latency",
        /// It is answered 503.
        Error => "error",
        /// Its connection is closed without a reply.
        Cut => "cut",
    }
}

/// A number of requests out of 2^32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Share(u64);

impl Share {
    const ALL: Self = Self(1 << 32);

    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "expected a share in percent, 0 to 100, such as 2.5".to_owned();
        let percent: f64 = text.parse().map_err(|_| wrong())?;
        if !(0.0..=100.0).contains(&percent) {
            return Err(wrong());
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0 to 2^32"
        )]
        let share = (percent / 100.0 * 4_294_967_296.0) as u64;
        Ok(Self(share))
    }

    #[expect(clippy::cast_precision_loss, reason = "at most 2^32")]
    fn percent(self) -> f64 {
        (self.0 as f64 / 42_949_672.96 * 1000.0).round() / 1000.0
    }

    /// Whether a request that drew this number is among them.
    const fn holds(self, drawn: u64) -> bool {
        drawn >> 32 < self.0
    }
}

/// What is done until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    latency: Duration,
    latency_share: Share,
    error_share: Share,
    cut_share: Share,
    seed: u64,
    time: Duration,
}

impl Plan {
    /// Reads `latency_ms`, `latency_percent`, `error_percent`, `cut_percent`, `seconds` and `seed`.
    pub(crate) fn parse(query: &str) -> Result<Self, String> {
        let names = [
            "latency_ms",
            "latency_percent",
            "error_percent",
            "cut_percent",
            "seconds",
            "seed",
        ];
        let values = Query(query.as_bytes()).first(names).map(|value| {
            let value = value.and_then(|value| value.decode().ok())?;
            String::from_utf8(value.into_owned()).ok()
        });
        let [latency, latency_share, error, cut, seconds, seed] = values;
        let number = |name: &str, text: Option<String>, most: usize| {
            let parsed = text.map(|text| config::number(0..=most)(&text));
            parsed
                .transpose()
                .map_err(|why| format!("{name}: {why}"))
                .map(|number| number.map(|number| number as u64))
        };
        let share = |name: &str, text: Option<String>, usual: Share| match text {
            None => Ok(usual),
            Some(text) => Share::parse(&text).map_err(|why| format!("{name}: {why}")),
        };
        let latency = number("latency_ms", latency, MAX_LATENCY_MS)?.unwrap_or_default();
        let plan = Self {
            latency: Duration::from_millis(latency),
            latency_share: share("latency_percent", latency_share, Share::ALL)?,
            error_share: share("error_percent", error, Share::default())?,
            cut_share: share("cut_percent", cut, Share::default())?,
            seed: number("seed", seed, usize::MAX)?.unwrap_or(1),
            time: Duration::from_secs(
                number("seconds", seconds, MAX_SECONDS)?.unwrap_or(USUAL_SECONDS),
            ),
        };
        if plan.latency.is_zero() && plan.error_share.0 == 0 && plan.cut_share.0 == 0 {
            return Err(
                "no fault: PUT /faults?latency_ms=200&latency_percent=10&error_percent=5&cut_percent=1&seconds=60"
                    .to_owned(),
            );
        }
        Ok(plan)
    }
}

/// What is done to the requests of all workers. Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Faults(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Goes up with each change; workers look at nothing else for each request.
    changes: AtomicU64,
    plan: Mutex<Option<(Plan, Instant)>>,
    injected: Counters,
}

impl Faults {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self(Arc::new(Inner {
            changes: AtomicU64::new(0),
            plan: Mutex::new(None),
            injected: metrics.counters(
                "faults_injected_total",
                "Faults on purpose, by kind.",
                "fault",
                Fault::ALL,
            ),
        }))
    }

    /// Puts a plan in force for its time. Must be called inside a runtime.
    pub(crate) fn set(&self, plan: Plan) {
        let change = self.put(Some((plan, Instant::now() + plan.time)));
        tracing::warn!(plan = %self.json(), "faults are injected");
        let faults = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(plan.time).await;
            if faults.0.changes.load(Ordering::SeqCst) == change {
                faults.end();
            }
        });
    }

    /// Ends what is in force.
    pub(crate) fn end(&self) {
        self.put(None);
        tracing::warn!("no faults are injected any more");
    }

    fn put(&self, plan: Option<(Plan, Instant)>) -> u64 {
        *self.0.plan.lock().unwrap_or_else(PoisonError::into_inner) = plan;
        self.0.changes.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn plan(&self) -> Option<(Plan, Instant)> {
        *self.0.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is in force, and for how long yet.
    pub(crate) fn json(&self) -> serde_json::Value {
        let Some((plan, until)) = self.plan() else {
            return serde_json::json!({"on": false});
        };
        let left = until.saturating_duration_since(Instant::now());
        serde_json::json!({
            "on": true,
            "latency_ms": u64::try_from(plan.latency.as_millis()).unwrap_or(u64::MAX),
            "latency_percent": plan.latency_share.percent(),
            "error_percent": plan.error_share.percent(),
            "cut_percent": plan.cut_share.percent(),
            "seed": plan.seed,
            "seconds_left": left.as_secs(),
        })
    }

    /// One worker's part.
    pub(crate) fn worker(&self, index: usize) -> WorkerFaults {
        WorkerFaults {
            faults: self.clone(),
            index: index as u64,
            seen: Cell::new(0),
            plan: Cell::new(None),
            random: Cell::new(0),
            injected: self.0.injected.worker(index),
        }
    }
}

/// What one worker does to its requests.
#[derive(Debug)]
pub(crate) struct WorkerFaults {
    faults: Faults,
    index: u64,
    seen: Cell<u64>,
    plan: Cell<Option<(Plan, Instant)>>,
    random: Cell<u64>,
    injected: WorkerCounters,
}

impl WorkerFaults {
    /// Does to a request what its draw says. A reply is in the place of the handler's; a request
    /// that is cut never comes back from here.
    pub(crate) async fn inject(&self, activity: &Activity) -> Option<Reply> {
        let plan = self.plan()?;
        if plan.latency_share.holds(self.draw()) && !plan.latency.is_zero() {
            self.injected.add_one(Fault::Latency.index());
            tokio::time::sleep(plan.latency).await;
        }
        if plan.cut_share.holds(self.draw()) {
            self.injected.add_one(Fault::Cut.index());
            activity.cut();
            return std::future::pending().await;
        }
        if plan.error_share.holds(self.draw()) {
            self.injected.add_one(Fault::Error.index());
            return Some(Reply::shed(KitOutcome::Shed, "a fault on purpose\n"));
        }
        None
    }

    /// What is in force.
    fn plan(&self) -> Option<Plan> {
        let changes = self.faults.0.changes.load(Ordering::Relaxed);
        if changes != self.seen.get() {
            self.seen.set(changes);
            self.plan.set(self.faults.plan());
            let seed = self.plan.get().map_or(0, |(plan, _)| plan.seed);
            self.random.set(seed ^ (self.index << 48));
        }
        let (plan, until) = self.plan.get()?;
        (Instant::now() < until).then_some(plan)
    }

    /// The next number of a row that the seed decides (splitmix64).
    fn draw(&self) -> u64 {
        let state = self.random.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.random.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Whether faults may be injected.
pub(crate) fn switch(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("expected on or off".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_are_bounded_and_name_what_is_wrong() {
        let plan = Plan::parse("latency_ms=200&latency_percent=12.5&seconds=9").unwrap();
        assert_eq!(plan.latency, Duration::from_millis(200));
        assert!((plan.latency_share.percent() - 12.5).abs() < 1e-9);
        assert_eq!(plan.time, Duration::from_secs(9));
        let usual = Plan::parse("cut_percent=100").unwrap();
        assert_eq!((usual.time.as_secs(), usual.cut_share), (60, Share::ALL));
        for (wrong, name) in [
            ("", "no fault"),
            ("error_percent=0", "no fault"),
            ("error_percent=101", "error_percent"),
            ("error_percent=NaN", "error_percent"),
            ("cut_percent=-1", "cut_percent"),
            ("latency_ms=60001", "latency_ms"),
            ("latency_ms=1&seconds=3601", "seconds"),
            ("latency_ms=1&seed=x", "seed"),
        ] {
            let why = Plan::parse(wrong).unwrap_err();
            assert!(why.contains(name), "{wrong}: {why}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_seed_decides_who_is_hit_and_time_ends_it() {
        let metrics = Metrics::new("test", 1);
        let faults = Faults::new(&metrics);
        let plan = Plan::parse("error_percent=30&seed=7&seconds=5").unwrap();
        let (_, activity) = crate::connection::Connections::default().enter();
        let hits = async || {
            faults.set(plan);
            let worker = faults.worker(0);
            let mut hits = Vec::new();
            for _ in 0..1000 {
                hits.push(worker.inject(&activity).await.is_some());
            }
            hits
        };
        let (first, second) = (hits().await, hits().await);
        assert_eq!(first, second);
        let count = first.iter().filter(|hit| **hit).count();
        assert!((200..400).contains(&count), "{count}");
        assert_eq!(faults.json()["error_percent"], 30.0);
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert_eq!(faults.json(), serde_json::json!({"on": false}));
        let worker = faults.worker(0);
        assert!(worker.inject(&activity).await.is_none());
    }
}
