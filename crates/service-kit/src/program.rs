//! A service's `main`: settings without binding a port, then logs, then listeners, workers,
//! admin port, signals, drain.

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::admin::{self, Admin, PhaseGauge};
use crate::cli::{self, Command, CommandLine};
use crate::compute::ComputePool;
use crate::config::{self, Effective, Mistakes, Reader, Setting};
use crate::drain::{self, Drain, Phase, Stop, StopSignals};
#[cfg(feature = "fault-injection")]
use crate::faults::Faults;
use crate::health::Health;
use crate::limits::WorkerLimits;
use crate::metrics::{Label, Metrics};
use crate::server::{self, RequestMetrics, WorkerParts};
use crate::settings::{self, Common};
use crate::telemetry::LevelSwitch;
use crate::trace::Tracing;
use crate::{Facts, Service, Setup, listener, runtime, spread, telemetry};

/// Bad settings or usage.
const EXIT_USAGE: u8 = 64;
/// A fault of ours.
const EXIT_SOFTWARE: u8 = 70;

/// Descriptors beside the traffic connections: listeners, admin, database, logs.
const SPARE_FILES: u64 = 256;

/// Runs a service: reads the command line and the environment, serves, drains, returns the exit
/// code. 0 after a stop signal, 1 when it could not start, 64 for bad settings or usage.
pub fn main<S: Service>() -> ExitCode {
    let program = format!("{}-service", S::NAME);
    let all: Vec<&Setting> = settings::COMMON
        .iter()
        .chain(settings::OF_THIS_BUILD)
        .chain(S::SETTINGS)
        .copied()
        .collect();
    // What is not UTF-8 is kept with replacement characters, so that a parser refuses it.
    let words = std::env::args_os().skip(1);
    let line = cli::parse(words.map(|word| word.to_string_lossy().into_owned()), &all);
    let environment = |name: &str| Some(std::env::var_os(name)?.to_string_lossy().into_owned());
    match line.command {
        Command::Help => {
            print!("{}", cli::help(&program, S::ABOUT, &all));
            ExitCode::SUCCESS
        }
        Command::Version => {
            println!("{program} {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        Command::Healthcheck { path } => healthcheck(&program, path, &environment, line),
        command @ (Command::CheckConfig | Command::PrintConfig | Command::Run) => {
            match read_settings::<S>(&environment, line) {
                Err(mistakes) => {
                    eprintln!("{program}: {mistakes}");
                    ExitCode::from(EXIT_USAGE)
                }
                Ok((_, _, effective)) if command == Command::PrintConfig => {
                    print!("{effective}");
                    ExitCode::SUCCESS
                }
                Ok(_) if command == Command::CheckConfig => {
                    println!("{program}: the settings are right");
                    ExitCode::SUCCESS
                }
                Ok((common, config, _)) => serve::<S>(&program, common, config),
            }
        }
    }
}

fn healthcheck(
    program: &str,
    path: &'static str,
    environment: &dyn Fn(&str) -> Option<String>,
    line: CommandLine,
) -> ExitCode {
    let mut reader = Reader::new(environment, &line.flags);
    line.mistakes
        .into_iter()
        .for_each(|mistake| reader.mistake(mistake));
    let addr = reader.value(&settings::ADMIN_ADDR, config::socket_addr);
    let asked = match reader.finish() {
        Ok(_) => addr.map(|addr| cli::healthcheck(addr, path)),
        Err(mistakes) => {
            eprintln!("{program}: {mistakes}");
            None
        }
    };
    let Some(asked) = asked else {
        return ExitCode::from(EXIT_USAGE);
    };
    match asked {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{program}: {why}");
            ExitCode::FAILURE
        }
    }
}

pub(crate) fn read_settings<S: Service>(
    environment: &dyn Fn(&str) -> Option<String>,
    line: CommandLine,
) -> Result<(Common, S::Config, Effective), Mistakes> {
    let mut reader = Reader::new(environment, &line.flags);
    line.mistakes
        .into_iter()
        .for_each(|mistake| reader.mistake(mistake));
    let common = Common::read(&mut reader);
    let config = S::configure(&mut reader);
    let effective = reader.finish()?;
    let both = common.zip(config);
    let (common, config) = both.expect("a reader without mistakes has given every value");
    Ok((common, config, effective))
}

fn serve<S: Service>(program: &str, common: Common, config: S::Config) -> ExitCode {
    let level = match telemetry::init(common.log_level.clone(), common.log_format) {
        Ok(level) => level,
        Err(error) => {
            eprintln!("{program}: cannot start logging: {error}");
            return ExitCode::from(EXIT_SOFTWARE);
        }
    };
    log_panics();
    if let Err(error) = forbid_core_dumps() {
        tracing::warn!(%error, "a core dump of this process would hold its secrets");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let served = runtime.and_then(|runtime| {
        let served = runtime.block_on(run::<S>(common, config, level));
        runtime.shutdown_background();
        served
    });
    match served {
        Ok(code) => code,
        Err(error) => {
            tracing::error!(%error, "cannot start");
            ExitCode::FAILURE
        }
    }
}

/// Panics become log lines like any other. The message stays out of it: it may quote input.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        tracing::error!(location, "panic: one request is lost");
    }));
}

/// Memory holds the database's password and clients' data. The limit keeps the kernel from writing
/// a file; a handler that takes dumps through a pipe is not bound by it, only by the second call.
fn forbid_core_dumps() -> io::Result<()> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// Everything from binding to the end of the drain.
async fn run<S: Service>(
    common: Common,
    config: S::Config,
    level: LevelSwitch,
) -> io::Result<ExitCode> {
    let workers = runtime::worker_count(common.workers);
    let listeners = listener::open(common.listen_addr, workers.count)
        .map_err(|error| cannot_listen("LISTEN_ADDR", common.listen_addr, &error))?;
    let admin_listener = listener::open(common.admin_addr, 1)
        .map_err(|error| cannot_listen("ADMIN_ADDR", common.admin_addr, &error))?
        .remove(0);
    let listen_addr = listeners
        .first()
        .expect("one for each worker")
        .local_addr()?;
    let admin_addr = admin_listener.local_addr()?;
    let mut signals = StopSignals::listen()?;
    let max_connections = connection_cap(common.max_connections);

    let metrics = Metrics::new(S::NAME, workers.count);
    let build = BuildFacts::of::<S>();
    metrics.facts("build_info", "What is running.", &build.labels());
    let health = Health::default();
    let drain = Drain::new();
    let facts = Facts::default();
    let setup = Setup {
        common: common.clone(),
        metrics: metrics.clone(),
        health: health.clone(),
        compute: ComputePool::new(workers.count),
        workers: workers.count,
        facts: facts.clone(),
    };
    let shared = Arc::new(S::prepare(config, &setup));
    let request_metrics = RequestMetrics::new(&metrics, <S::Outcome as Label>::ALL);
    #[cfg(feature = "fault-injection")]
    let faults = common.faults.then(|| Faults::new(&metrics));
    let tracing = Tracing::start(&common.trace, S::NAME, &metrics);

    let admin = Admin {
        health: health.clone(),
        phase: PhaseGauge::new(&metrics),
        metrics,
        drain: drain.clone(),
        version: version::<S>(&build, workers.count, listen_addr, admin_addr),
        facts,
        level,
        #[cfg(feature = "fault-injection")]
        faults: faults.clone(),
    };
    let admin_task = tokio::spawn(admin::serve(TcpListener::from_std(admin_listener)?, admin));

    let limits = WorkerLimits::share(S::LIMITS, &common, max_connections, workers.count);
    let spreads = spread::over(workers.count, limits.connections);
    let parts =
        listeners
            .into_iter()
            .zip(spreads)
            .enumerate()
            .map(|(index, (listener, spread))| WorkerParts {
                index,
                listener,
                spread,
                limits,
                drain: drain.watch(),
                health: health.clone(),
                metrics: request_metrics.clone(),
                tracer: tracing.as_ref().map(|tracing| tracing.worker(index)),
                #[cfg(feature = "fault-injection")]
                faults: faults.as_ref().map(|faults| faults.worker(index)),
            });
    let (threads, mut ends) = start_workers::<S>(parts, &shared)?;
    tracing::info!(
        service = S::NAME,
        version = build.version,
        commit = build.commit,
        target_cpu = build.target_cpu,
        allocator = build.allocator,
        features = build.features,
        %listen_addr,
        %admin_addr,
        workers = workers.count,
        workers_from = workers.source,
        max_connections,
        "listening"
    );

    let ended_well = tokio::select! {
        // A worker ends by itself only when it fails. The others would go on without it, and
        // nobody would know.
        _ = ends.join_next() => false,
        stop = signals.next() => {
            stop_workers(&common, &drain, &mut signals, stop, ends).await
        }
    };
    if let Some(tracing) = tracing {
        tracing.finish().await;
    }
    admin_task.abort();
    if !ended_well {
        tracing::error!("a worker failed");
        return Ok(ExitCode::from(EXIT_SOFTWARE));
    }
    for thread in threads {
        // Each has said that it ended; what remains is dropping its runtime.
        let _ = thread.join();
    }
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// What `/version` says.
fn version<S: Service>(
    build: &BuildFacts,
    workers: usize,
    listen_addr: SocketAddr,
    admin_addr: SocketAddr,
) -> serde_json::Value {
    serde_json::json!({
        "service": S::NAME,
        "version": build.version,
        "commit": build.commit,
        "target": build.target,
        "target_cpu": build.target_cpu,
        "allocator": build.allocator,
        "features": build.features,
        "workers": workers,
        "listen_addr": listen_addr.to_string(),
        "admin_addr": admin_addr.to_string(),
    })
}

/// Tells of each worker that it ended, and whether well.
type WorkerEnds = JoinSet<bool>;

/// Starts the worker threads; each says when it ends, or drops its channel when it panics.
fn start_workers<S: Service>(
    parts: impl Iterator<Item = WorkerParts>,
    shared: &Arc<S::Shared>,
) -> io::Result<(Vec<JoinHandle<()>>, WorkerEnds)> {
    let mut threads = Vec::new();
    let mut ends = JoinSet::new();
    for parts in parts {
        let shared = Arc::clone(shared);
        let (ended, end) = oneshot::channel();
        let name = format!("{}-{}", S::NAME, parts.index);
        threads.push(runtime::spawn_worker(name, move || async move {
            let app = S::worker(&shared, parts.index);
            let _ = ended.send(server::run(app, parts).await);
        })?);
        ends.spawn(async { matches!(end.await, Ok(Ok(()))) });
    }
    Ok((threads, ends))
}

/// Walks through the phases of a stop; true when all workers ended as they should.
async fn stop_workers(
    common: &Common,
    drain: &Drain,
    signals: &mut StopSignals,
    stop: Stop,
    mut ends: WorkerEnds,
) -> bool {
    let mut all_ended = async || {
        let mut well = true;
        while let Some(end) = ends.join_next().await {
            well &= end.unwrap_or(false);
        }
        well
    };
    drain::settle(drain, stop, common.settle, || signals.next()).await;
    tokio::select! {
        ended_well = all_ended() => return ended_well,
        () = tokio::time::sleep(common.drain) => {}
        _ = signals.next() => {}
    }
    drain.advance(Phase::Closed);
    let cut = Duration::from_secs(2);
    tokio::time::timeout(cut, all_ended())
        .await
        .unwrap_or(false)
}

fn cannot_listen(setting: &str, addr: std::net::SocketAddr, error: &io::Error) -> io::Error {
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => "another process listens there: stop it or choose another port",
        io::ErrorKind::AddrNotAvailable => "this machine has no such address",
        io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege: choose a higher one",
        _ => "choose another address",
    };
    io::Error::new(
        error.kind(),
        format!("cannot listen on {setting}={addr}: {error}; {advice}"),
    )
}

/// The connection cap that the limit of open files leaves room for.
fn connection_cap(wanted: usize) -> usize {
    let Some(files) = listener::raise_open_file_limit() else {
        return wanted;
    };
    let room = usize::try_from(files.saturating_sub(SPARE_FILES)).unwrap_or(usize::MAX);
    if room < wanted {
        tracing::warn!(
            wanted,
            open_files = files,
            max_connections = room.max(1),
            "MAX_CONNECTIONS is above the limit of open files"
        );
    }
    wanted.min(room).max(1)
}

/// Features of this build, in a fixed order.
const FEATURES: &[(&str, bool)] = &[
    ("fault-injection", cfg!(feature = "fault-injection")),
    ("test-util", cfg!(feature = "test-util")),
];

/// What was built.
struct BuildFacts {
    version: &'static str,
    commit: &'static str,
    target: String,
    target_cpu: &'static str,
    allocator: &'static str,
    features: String,
}

impl BuildFacts {
    fn of<S: Service>() -> Self {
        let features = FEATURES.iter().filter(|(_, is_on)| *is_on);
        let features: Vec<_> = features.map(|(name, _)| *name).collect();
        Self {
            version: env!("CARGO_PKG_VERSION"),
            // Set by the image build; a plain cargo build does not know.
            commit: option_env!("GIT_COMMIT").unwrap_or("unknown"),
            target: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
            target_cpu: env!("TRIPOD_TARGET_CPU"),
            allocator: S::ALLOCATOR,
            features: features.join(","),
        }
    }

    fn labels(&self) -> [(&str, &str); 6] {
        [
            ("version", self.version),
            ("commit", self.commit),
            ("target", &self.target),
            ("target_cpu", self.target_cpu),
            ("allocator", self.allocator),
            ("features", &self.features),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_dumps_no_memory() {
        forbid_core_dumps().unwrap();
        assert_eq!(
            rustix::process::dumpable_behavior().unwrap(),
            DumpableBehavior::NotDumpable
        );
    }
}
