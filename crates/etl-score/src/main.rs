//! `etl-score`: the score step of the ETL on an embedded query engine.

mod args;

use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use clap::Parser as _;
use etl::failure::{Failure, FailureKind, complain};
use etl::zones::place::Place;
use etl_score::memory::{MemorySize, peak_bytes};
use etl_score::{Done, Options, Step, score};
use serde_json::{Value, json};

use crate::args::Arguments;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // A closed terminal is the only way this fails; there is nobody left to tell.
            let _ = error.print();
            return if error.use_stderr() {
                ExitCode::from(FailureKind::Usage.exit_code())
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    end_with_etl();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            complain(&failure.line);
            ExitCode::from(failure.kind.exit_code())
        }
    }
}

/// Started by `etl`, this program must not outlive it: both would write into one zone.
fn end_with_etl() {
    let Some(parent) = rustix::process::getppid() else {
        return;
    };
    let name = format!("/proc/{}/comm", parent.as_raw_pid());
    if std::fs::read_to_string(name).is_ok_and(|name| name.trim() == "etl") {
        // Where this is refused the locks of the zones still hold.
        let kill = Some(rustix::process::Signal::KILL);
        let _ = rustix::process::set_parent_process_death_signal(kill);
    }
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let started = Instant::now();
    let jobs = arguments
        .jobs
        .or_else(|| thread::available_parallelism().ok());
    let processed = Place::parse(&arguments.processed)?;
    // Beside what it is for, where there is room for that: a temporary folder may be memory.
    let beside = processed.as_local().map(|folder| folder.join(".scratch"));
    let scratch = arguments.scratch.clone().or(beside);
    let options = Options {
        working: Place::parse(&arguments.working)?,
        processed,
        popular: arguments.popular.clone(),
        memory: arguments.memory.unwrap_or_else(MemorySize::half_of_machine),
        jobs: jobs.unwrap_or(NonZeroUsize::MIN),
        scratch: scratch.unwrap_or_else(|| std::env::temp_dir().join("etl-score")),
        sort_merge_only: arguments.sort_merge,
    };
    let mut steps = Vec::new();
    let done = score(&options, &mut |step| {
        complain(&line(step));
        steps.push(step);
    })?;
    let seconds = started.elapsed().as_secs_f64();
    let peak = peak_bytes();
    let held = peak.map_or_else(String::new, |peak| {
        format!(", holding {} at most", MemorySize::of_bytes(peak))
    });
    complain(&format!(
        "score: {} rows in {seconds:.1} s{held}",
        done.rows
    ));
    match &arguments.json {
        None => Ok(()),
        Some(path) => {
            let figures = figures(&options, &done, &steps, seconds, peak);
            std::fs::write(path, format!("{figures:#}\n"))
                .map_err(|error| Failure::of_output(&path.display().to_string(), &error))
        }
    }
}

fn line(step: Step) -> String {
    let seconds = step.time.as_secs_f64();
    let spilled = match step.spilled_bytes {
        0 => String::new(),
        bytes => format!(", spilled {}", MemorySize::of_bytes(bytes)),
    };
    let again = if step.is_second_try {
        ", second try"
    } else {
        ""
    };
    format!(
        "score: {}, {} rows, {seconds:.1} s{spilled}{again}",
        step.query, step.rows
    )
}

fn figures(
    options: &Options,
    done: &Done,
    steps: &[Step],
    seconds: f64,
    peak: Option<u64>,
) -> Value {
    let steps = steps.iter().map(|step| {
        json!({
            "query": step.query,
            "rows": step.rows,
            "seconds": step.time.as_secs_f64(),
            "spilled_bytes": step.spilled_bytes,
            "second_try": step.is_second_try,
        })
    });
    json!({
        "engine": "datafusion",
        "rows": done.rows,
        "seconds": seconds,
        "session_seconds": 0.0,
        "memory_bytes": options.memory.bytes(),
        "peak_bytes": peak,
        "partitions": options.jobs,
        "steps": steps.collect::<Vec<_>>(),
    })
}
