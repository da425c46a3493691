//! Overload is shed, not suffered: how much each service does right when it is asked for up to three
//! times what it can do.
//!
//! Right is a reply that says what it should, within a second of its request's sending: then the
//! client hangs up. Requests are due at a constant rate, whatever the service does; there are so many
//! connections that one request on each is more than the service can do in that second.

mod delay;
pub(crate) mod share;

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

use self::delay::Delay;
use self::share::Share;
use crate::bench::server::{LOAD_CORE, SERVER_CORE, Server, pinned};
use crate::bench::{self, load_average};
use crate::console;
use crate::database::{BenchDatabase, free_port};
use crate::mariadb::MariaDb;
use crate::workspace::Workspace;

/// Of what the service can do at most.
const MULTIPLES: [f64; 6] = [1.0, 1.25, 1.5, 2.0, 2.5, 3.0];
/// A load at which nothing has to wait.
const QUIET: f64 = 0.5;
/// Seconds at the beginning of each rate that do not count: opening thousands of connections at once costs
/// as much as the replies of some seconds.
const SETTLING: u32 = 4;
/// Connections with which the most is measured at first.
const FEW_CONNECTIONS: u32 = 256;
/// How long a client waits for a reply.
const PATIENCE: &str = "1s";
/// Part of a processor that a service bound by it has, in percent.
const PROCESSOR_PERCENT: u32 = 10;
/// Connections at most: more than the services serve at a time is another test.
const MOST_CONNECTIONS: f64 = 16_000.0;
/// How much later the answers of the database arrive.
const DATABASE_DELAY: Duration = Duration::from_millis(50);
/// What the web tier may be busy, where the database is the limit.
const WEB_TIER_BUSY: f64 = 0.3;
/// How late the admin port may answer.
const ADMIN_LIMIT_MS: f64 = 100.0;
/// How late a refusal may be.
const REFUSAL_LIMIT_MS: f64 = 50.0;
/// When latency is as before after the load went back.
const RECOVERY: u64 = 2;
/// Database of the twitter service.
const DATABASE: &str = "tripod";

/// A service, with what limits it here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Subject {
    /// Misses of the cache, the database far away
    Twitter,
    /// The processor
    Blockchain,
    /// The processor
    Qrcode,
}

impl Subject {
    const fn name(self) -> &'static str {
        match self {
            Self::Twitter => "twitter",
            Self::Blockchain => "blockchain",
            Self::Qrcode => "qrcode",
        }
    }

    /// Which part of the most it does right it must do at so many times of what it can.
    const fn promise(self) -> Option<(f64, f64)> {
        match self {
            Self::Twitter => Some((3.0, 0.9)),
            Self::Blockchain => Some((1.25, 0.85)),
            Self::Qrcode => None,
        }
    }

    const fn is_bound_by_processor(self) -> bool {
        !matches!(self, Self::Twitter)
    }
}

/// How it is measured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measure {
    pub(super) rounds: u32,
    pub(super) seconds: u32,
    pub(super) is_built: bool,
}

/// Draws the curve of each service and checks what is promised of it.
pub(super) async fn run(subjects: &[Subject], measure: Measure) -> Result<()> {
    let workspace = Workspace::locate().await?;
    bench::raise_open_file_limit();
    if !measure.is_built {
        console::header("building (the first time takes some minutes)");
        bench::build(&workspace).await?;
    }
    let folder = workspace.scratch("overload");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let mut torture = Torture {
        programs: workspace.target.join("release"),
        folder,
        measure,
        broken: Vec::new(),
    };
    for subject in subjects {
        for round in 1..=measure.rounds {
            console::header(&format!("{}, round {round}", subject.name()));
            match subject {
                Subject::Twitter => torture.twitter(&workspace).await?,
                _ => torture.curve(*subject, &[]).await?,
            }
        }
    }
    if !torture.broken.is_empty() {
        bail!(
            "promises that were not kept:\n  {}",
            torture.broken.join("\n  ")
        );
    }
    Ok(())
}

struct Torture {
    programs: PathBuf,
    folder: PathBuf,
    measure: Measure,
    broken: Vec<String>,
}

/// What came of one rate.
#[derive(Debug)]
struct Point {
    multiple: f64,
    /// Right replies a second.
    good: f64,
    /// Refusals a second.
    refused: f64,
    p99_ms: f64,
    admin: AdminTimes,
    /// Processors that the service used.
    busy: f64,
}

impl Torture {
    async fn twitter(&mut self, workspace: &Workspace) -> Result<()> {
        let product = MariaDb::obtain().await?;
        let database = BenchDatabase::start(&product, workspace, &[DATABASE]).await?;
        let url = database.url(DATABASE);
        let mut table = Command::new(self.programs.join("prepare"));
        table.arg("table").arg(&self.folder).arg(&url);
        bench::told(&mut table).await?;
        let far = Delay::open(database.port(), DATABASE_DELAY).await?;
        let there = format!(":{}/", database.port());
        let url = url.replace(&there, &format!(":{}/", far.port));
        // Without a cache each request is a look-up. Two connections more than one worker uses
        // before look-ups wait for each other.
        let settings = [
            ("DATABASE_URL", url.as_str()),
            ("DATABASE_CONNECTIONS", "4"),
            ("CACHE_MB", "0"),
        ];
        let drawn = self.curve(Subject::Twitter, &settings).await;
        drop(far);
        database.stop().await;
        drawn
    }

    async fn curve(&mut self, subject: Subject, settings: &[(&str, &str)]) -> Result<()> {
        let tested = Tested::start(self, subject, settings).await?;
        let seconds = self.measure.seconds;
        let mut most = tested.closed_loop(FEW_CONNECTIONS, seconds).await?;
        let mut connections = connections(subject, most);
        if subject.is_bound_by_processor() {
            // A request on one of thousands of connections costs more than on one of a few.
            most = tested.closed_loop(connections, seconds).await?;
            connections = self::connections(subject, most);
        }
        console::say(&format!(
            "{most:.0} a second in closed loop; {connections} connections; load average {}",
            load_average().map_or_else(|| "unknown".to_owned(), |load| format!("{load:.1}")),
        ));
        let load = |multiple: f64| Load {
            multiple,
            rate: most * multiple,
            connections,
            seconds,
        };
        let quiet = Load {
            connections: FEW_CONNECTIONS,
            ..load(QUIET)
        };
        let before = tested.storm(quiet).await?;
        let mut points = Vec::new();
        for multiple in MULTIPLES {
            points.push(tested.storm(load(multiple)).await?);
            // Thousands of connections end, which is not the next rate's to pay for.
            sleep(Duration::from_secs(RECOVERY)).await;
        }
        // The time within which all is to be well again is not looked at.
        let after = tested.storm(quiet).await?;
        show(&points);
        console::say(&format!(
            "quiet p99 {:.1} ms before, {:.1} ms {RECOVERY} s after the storm; at most {:.0} MiB",
            before.p99_ms,
            after.p99_ms,
            tested.server.peak_mb()?,
        ));
        let refusals = tested.refusals_ms();
        if let Some(last) = refusals.last() {
            let p99 = refusals[(refusals.len() - 1) * 99 / 100];
            console::say(&format!(
                "{} logged refusals: p99 {p99:.1} ms, at most {last:.1} ms after the head",
                refusals.len(),
            ));
            self.check(p99 <= REFUSAL_LIMIT_MS, || {
                format!("{}: a refusal took {p99:.1} ms", subject.name())
            });
        }
        self.judge(subject, &points);
        self.check(after.p99_ms <= before.p99_ms * 2.0 + 10.0, || {
            let name = subject.name();
            format!("{name}: p99 {:.1} ms after the storm", after.p99_ms)
        });
        tested.stop().await;
        Ok(())
    }

    fn judge(&mut self, subject: Subject, points: &[Point]) {
        let name = subject.name();
        let most = points.iter().map(|point| point.good).fold(0.0, f64::max);
        for point in points {
            let Point {
                multiple, admin, ..
            } = point;
            if let Some((at, part)) = subject.promise()
                && (at - multiple).abs() < f64::EPSILON
            {
                let kept = point.good / most;
                self.check(kept >= part, || {
                    format!("{name}: {kept:.2} of the most at {multiple} times, not {part}")
                });
            }
            self.check(
                admin.p99_ms <= ADMIN_LIMIT_MS && admin.unanswered == 0,
                || format!("{name}: the admin port at {multiple} times: {admin:?}"),
            );
            // Beyond what it can do, refusals are added.
            if !subject.is_bound_by_processor() && *multiple <= 1.0 {
                self.check(point.busy < WEB_TIER_BUSY, || {
                    format!("{name}: {:.2} processors at {multiple} times", point.busy)
                });
            }
        }
    }

    fn check(&mut self, is_kept: bool, why: impl FnOnce() -> String) {
        if !is_kept {
            self.broken.push(why());
        }
    }
}

/// One request on each is more than can be done within the patience of clients.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "within the bounds"
)]
fn connections(subject: Subject, most: f64) -> u32 {
    if subject.is_bound_by_processor() {
        (most * 1.5).clamp(64.0, MOST_CONNECTIONS) as u32
    } else {
        2000
    }
}

fn show(points: &[Point]) {
    let most = points.iter().map(|point| point.good).fold(0.0, f64::max);
    let head = [
        "times",
        "right/s",
        "of the most",
        "refused/s",
        "admin p99 ms",
        "admin most ms",
        "processors",
    ];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(points.iter().map(|point| {
        [
            format!("{}", point.multiple),
            format!("{:.0}", point.good),
            format!("{:.2}", point.good / most),
            format!("{:.0}", point.refused),
            format!("{:.1}", point.admin.p99_ms),
            format!("{:.1}", point.admin.most_ms),
            format!("{:.2}", point.busy),
        ]
    }));
    for line in console::table(&rows).lines() {
        console::say(line);
    }
}

#[derive(Debug, Clone, Copy)]
struct Load {
    multiple: f64,
    rate: f64,
    connections: u32,
    seconds: u32,
}

/// A service that is tortured.
struct Tested {
    server: Server,
    admin: SocketAddr,
    log: PathBuf,
    report: PathBuf,
    loadgen: PathBuf,
    scenario: String,
    share: Option<Share>,
}

impl Tested {
    async fn start(torture: &Torture, subject: Subject, settings: &[(&str, &str)]) -> Result<Self> {
        let name = subject.name();
        let program = torture.programs.join(format!("{name}-service"));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let admin = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let log = torture.folder.join(format!("{name}.log"));
        let output =
            File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = pinned(&program, SERVER_CORE)?;
        command
            .env("LISTEN_ADDR", address.to_string())
            .env("ADMIN_ADDR", admin.to_string())
            .env("TEAM_ID", "Tripod")
            .env("AWS_ACCOUNT_ID", "000000000000")
            .env("WORKERS", "1")
            .env("LOG_FORMAT", "json")
            .env("ACCESS_LOG_SLOW_MS", "600000")
            .envs(settings.iter().copied())
            .stdout(output);
        let server = Server::listening(command, &program, address, "/readyz").await?;
        let share = if subject.is_bound_by_processor() {
            Some(Share::leave(SERVER_CORE, PROCESSOR_PERCENT).await?)
        } else {
            None
        };
        let scenario = match subject {
            Subject::Twitter => {
                let corpus = torture.folder.join("twitter-misses.txt");
                format!("twitter,corpus={}", corpus.display())
            }
            _ => name.to_owned(),
        };
        Ok(Self {
            server,
            admin,
            log,
            report: torture.folder.join(format!("{name}.json")),
            loadgen: torture.programs.join("loadgen"),
            scenario,
            share,
        })
    }

    async fn stop(self) {
        drop(self.share);
        self.server.stop().await;
    }

    /// What it can do when nobody asks for more, in replies a second.
    async fn closed_loop(&self, connections: u32, seconds: u32) -> Result<f64> {
        let seconds = SETTLING + seconds;
        let mut command = self.loadgen("1m")?;
        command
            .args(["--closed", "--connections", &connections.to_string()])
            .args(["--duration", &format!("{seconds}s")]);
        let report = self.reported(command).await?;
        Ok(rates(&report, seconds)?.0)
    }

    /// A constant rate for some seconds.
    async fn storm(&self, load: Load) -> Result<Point> {
        let seconds = SETTLING + load.seconds;
        let mut command = self.loadgen(PATIENCE)?;
        command
            .args(["--rate", &format!("{:.0}", load.rate)])
            .args(["--connections", &load.connections.to_string()])
            .args(["--duration", &format!("{seconds}s")]);
        let busy = self.server.cpu_seconds()?;
        let begun = Instant::now();
        let (report, admin) = {
            let reported = self.reported(command);
            tokio::pin!(reported);
            let mut admin = AdminTimes::default();
            let mut times = Vec::new();
            let report = loop {
                tokio::select! {
                    report = &mut reported => break report?,
                    asked = ask(self.admin) => match asked {
                        Some(millis) => times.push(millis),
                        None => admin.unanswered += 1,
                    },
                }
            };
            admin.sum_up(times);
            (report, admin)
        };
        let busy = (self.server.cpu_seconds()? - busy) / begun.elapsed().as_secs_f64();
        let (good, refused) = rates(&report, seconds)?;
        let p99 = bench::percentile(&report["total"]["service"], 99.0);
        Ok(Point {
            multiple: load.multiple,
            good,
            refused,
            p99_ms: p99.context("loadgen's report lacks a percentile")?,
            admin,
            busy,
        })
    }

    fn loadgen(&self, patience: &str) -> Result<Command> {
        let mut command = pinned(&self.loadgen, LOAD_CORE)?;
        command
            .args(["run", "--quiet", "--timeout", patience])
            .args(["--target", &format!("http://{}", self.server.address)])
            .args(["--scenario", &self.scenario])
            .arg("--json")
            .arg(&self.report);
        Ok(command)
    }

    async fn reported(&self, mut loadgen: Command) -> Result<Value> {
        bench::reported(&mut loadgen, &self.report).await
    }

    /// How long the refusals took that the access log tells of, in their order.
    fn refusals_ms(&self) -> Vec<f64> {
        refusals_ms(&fs::read_to_string(&self.log).unwrap_or_default())
    }
}

fn refusals_ms(log: &str) -> Vec<f64> {
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut times: Vec<f64> = lines
        .filter(|line| line["outcome"] == "shed")
        .filter_map(|line| Some(line["took_us"].as_f64()? / 1000.0))
        .collect();
    times.sort_by(f64::total_cmp);
    times
}

/// Right replies and refusals a second, between the first seconds and the end of the sending.
fn rates(report: &Value, seconds: u32) -> Result<(f64, f64)> {
    let timeline = report["total"]["timeline"].as_array();
    let timeline = timeline.context("loadgen's report has no timeline")?;
    let whole = timeline
        .iter()
        .take(seconds as usize)
        .skip(SETTLING as usize);
    let (mut good, mut count) = (0.0, 0.0_f64);
    for second in whole {
        let field = |name: &str| second[name].as_f64().unwrap_or(0.0);
        good += field("done") - field("errors");
        count += 1.0;
    }
    let refused = report["total"]["statuses"]["503"].as_f64().unwrap_or(0.0);
    let elapsed = report["elapsed_s"].as_f64().unwrap_or(0.0);
    Ok((good / count.max(1.0), refused / elapsed.max(1.0)))
}

/// How the admin port answered.
#[derive(Debug, Default)]
struct AdminTimes {
    p99_ms: f64,
    most_ms: f64,
    unanswered: u32,
}

impl AdminTimes {
    fn sum_up(&mut self, mut times: Vec<f64>) {
        times.sort_by(f64::total_cmp);
        self.most_ms = times.last().copied().unwrap_or(0.0);
        let place = times.len().saturating_sub(1) * 99 / 100;
        self.p99_ms = times.get(place).copied().unwrap_or(0.0);
    }
}

/// Asks the admin port after a moment; milliseconds until its answer.
async fn ask(admin: SocketAddr) -> Option<f64> {
    sleep(Duration::from_millis(20)).await;
    let begun = Instant::now();
    let asked = async {
        let mut stream = TcpStream::connect(admin).await?;
        stream
            .write_all(b"GET /livez HTTP/1.1\r\nHost: admin\r\n\r\n")
            .await?;
        let mut reply = [0; 12];
        stream.read_exact(&mut reply).await?;
        std::io::Result::Ok(reply.ends_with(b" 200"))
    };
    let answered = timeout(Duration::from_secs(5), asked).await;
    matches!(answered, Ok(Ok(true))).then(|| begun.elapsed().as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn counts_whole_seconds_of_the_storm() {
        let second = |done: u32, errors: u32| json!({ "done": done, "errors": errors });
        let report = json!({
            "elapsed_s": 5.0,
            "total": {
                // The first settle; what comes after the last send is not counted.
                "timeline": [
                    second(1, 1), second(2, 0), second(0, 0), second(9, 9), second(100, 20), second(120, 20), second(900, 900),
                ],
                "statuses": { "503": 50 },
            },
        });
        assert_eq!(rates(&report, 6).unwrap(), (90.0, 10.0));
        assert!(rates(&json!({}), 3).is_err());
    }

    #[test]
    fn finds_the_refusals_of_the_access_log() {
        let log = "nonsense\n{\"outcome\":\"shed\",\"took_us\":300}\n{\"outcome\":\"ok\",\"took_us\":9}\n\
            {\"outcome\":\"shed\",\"took_us\":100}\n";
        assert_eq!(refusals_ms(log), [0.1, 0.3]);
    }

    #[test]
    fn there_are_more_connections_than_a_second_has_replies() {
        assert_eq!(connections(Subject::Blockchain, 1000.0), 1500);
        assert_eq!(connections(Subject::Qrcode, 1e9), 16_000);
        assert_eq!(connections(Subject::Twitter, 2500.0), 2000);
    }
}
