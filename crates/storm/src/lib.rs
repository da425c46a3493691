//! Seeded fuzzing for tests, on any compiler. Of use to tests only; nothing that ships depends on it.
//!
//! A *storm* is a test that runs one function for many seeds, a few thousand in the suite and as many
//! as wanted by `cargo xtask torture fuzz`, which sets two variables:
//!
//! * `TRIPOD_TORTURE_FUZZ`: how many executions;
//! * `TRIPOD_TORTURE_SEED`: the first seed. A seed stands for its input, so the seeds are the corpus: a
//!   failure names one, and the test begins with it when it is run again with this variable.
//!
//! Each execution says what it reached (the rule that was broken, or nothing). A storm fails when one
//! panics or takes a minute, and, where it runs alone, when the memory of the process under test grows.
//!
//! ```
//! let storm = storm::run("bytes", 1_000, |seed| {
//!     let mut choices = storm::Choices::new(seed);
//!     let byte = choices.byte();
//!     std::str::from_utf8(&[byte]).err().map(|_| "no text")
//! });
//! storm.reached(["no text"]);
//! ```

mod choices;
pub mod queries;
pub mod settings;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

pub use choices::{Choices, damage};

/// Longest time for one execution on a busy machine, without optimisation.
const PATIENCE: Duration = Duration::from_mins(1);

/// By how much memory may grow after the first part of a storm: allocators keep some for later.
const GROWTH_KB: u64 = 24 * 1024;

/// One of so many executions belongs to the part before memory is looked at for the first time.
const WARM_UP: u64 = 8;

/// One storm at a time in a process: memory is that of all threads together.
static ALONE: Mutex<()> = Mutex::new(());

/// How often each answer was given; `None` is the good one.
pub type Coverage = BTreeMap<Option<&'static str>, u64>;

/// A storm that is over.
#[derive(Debug)]
pub struct Storm {
    name: &'static str,
    /// What was reached.
    pub coverage: Coverage,
}

impl Storm {
    /// Every one of these was reached, and so was the good answer.
    ///
    /// # Panics
    ///
    /// When one was not.
    pub fn reached(&self, codes: impl IntoIterator<Item = &'static str>) {
        let Self { name, coverage } = self;
        assert!(coverage.contains_key(&None), "{name}: nothing was good");
        for code in codes {
            let reached = coverage.contains_key(&Some(code));
            assert!(reached, "{name}: {code} was not reached");
        }
    }
}

/// Runs a storm in this process, on all processors.
///
/// # Panics
///
/// When an execution panics or takes too long, or memory grows.
pub fn run(
    name: &'static str,
    usual: u64,
    execute: impl Fn(u64) -> Option<&'static str> + Sync,
) -> Storm {
    run_against(
        name,
        usual,
        1,
        std::process::id(),
        || (),
        |(), seeds, coverage| {
            for seed in seeds {
                *coverage.entry(execute(seed)).or_default() += 1;
            }
        },
    )
}

/// Runs a storm against a process. Each thread has a state of its own, such as a connection, and gets
/// `batch` seeds at a time, for each of which it adds one to the coverage.
///
/// # Panics
///
/// When an execution panics or takes too long, or the memory of the process grows.
pub fn run_against<S>(
    name: &'static str,
    usual: u64,
    batch: u64,
    process: u32,
    start: impl Fn() -> S + Sync,
    execute: impl Fn(&mut S, Range<u64>, &mut Coverage) + Sync,
) -> Storm {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let executions = number("TRIPOD_TORTURE_FUZZ", usual);
    let first = number("TRIPOD_TORTURE_SEED", 1);
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let mut coverage = Coverage::new();
    let mut part = |from: u64, until: u64| {
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads)
                .map(|thread| {
                    let (start, execute) = (&start, &execute);
                    scope.spawn(move || {
                        let mut state = start();
                        let mut coverage = Coverage::new();
                        let mut at = from + thread * batch;
                        while at < until {
                            let seeds = at..until.min(at + batch);
                            let shown = seeds.clone();
                            let started = Instant::now();
                            execute(&mut state, seeds, &mut coverage);
                            let took = started.elapsed();
                            assert!(took < PATIENCE, "{name}: seeds {shown:?}: {took:?}");
                            at += threads * batch;
                        }
                        coverage
                    })
                })
                .collect();
            for worker in workers {
                // Its panic has been printed, and names the seed.
                let found = worker.join().expect("an execution that does not panic");
                for (code, count) in found {
                    *coverage.entry(code).or_default() += count;
                }
            }
        });
    };
    let started = Instant::now();
    let middle = first + executions / WARM_UP;
    part(first, middle);
    let before = resident_kb(process);
    part(middle, first + executions);
    let after = resident_kb(process);
    let took = started.elapsed().as_secs_f64();
    assert_eq!(coverage.values().sum::<u64>(), executions, "{name}");

    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = executions as f64 / took.max(1e-9);
    eprintln!("{name}: {executions} executions in {took:.1} s, {rate:.0} a second");
    for (code, count) in &coverage {
        eprintln!("{count:>10} {}", code.unwrap_or("good"));
    }
    if let (Some(before), Some(after)) = (before, after) {
        eprintln!("{name}: {before} kB resident after the first part, {after} kB at the end");
        // In the suite other tests may run beside it in the same process.
        let is_alone = std::env::var_os("TRIPOD_TORTURE_FUZZ").is_some();
        assert!(
            !is_alone || after < before + GROWTH_KB,
            "{name}: a leak: {before} kB, {after} kB"
        );
    }
    Storm { name, coverage }
}

/// A number that a variable gives, else the usual one.
///
/// # Panics
///
/// When the variable is no number.
pub fn number(variable: &str, usual: u64) -> u64 {
    let text = std::env::var(variable).ok();
    text.map_or(usual, |text| text.parse().expect("a whole number"))
}

/// Memory of a process that is in use and not swapped; `None` where the system does not tell.
pub fn resident_kb(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn every_seed_is_used_once() {
        let sum = AtomicU64::new(0);
        let count = 1003;
        let storm = run_against(
            "sum",
            count,
            10,
            std::process::id(),
            || (),
            |(), seeds, coverage| {
                for seed in seeds {
                    sum.fetch_add(seed, Ordering::Relaxed);
                    *coverage
                        .entry((seed % 2 == 0).then_some("even"))
                        .or_default() += 1;
                }
            },
        );
        let executions: u64 = storm.coverage.values().sum();
        let first = number("TRIPOD_TORTURE_SEED", 1);
        let expected: u64 = (first..first + executions).sum();
        assert_eq!(sum.into_inner(), expected);
        storm.reached(["even"]);
    }

    #[test]
    #[should_panic(expected = "odd was not reached")]
    fn what_is_not_reached_is_told() {
        run("one", 3, |_| None).reached(["odd"]);
    }

    #[test]
    #[should_panic(expected = "an execution that does not panic")]
    fn a_panic_fails_the_storm() {
        run("panic", 3, |_| panic!("on purpose"));
    }
}
