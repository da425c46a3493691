//! A service under a load, and what its clients and its admin port see.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

use super::share::Share;
use super::{RECOVERY, Subject, Torture};
use crate::bench;
use crate::bench::server::{LOAD_CORE, SERVER_CORE, Server, pinned};
use crate::database::free_port;

/// Seconds at the beginning of each rate that do not count: opening thousands of connections at once costs
/// as much as the replies of some seconds.
const SETTLING: u32 = 3;
/// How long a client waits for a reply.
const PATIENCE: &str = "1s";

/// What came of one rate.
#[derive(Debug)]
pub(super) struct Point {
    pub(super) multiple: f64,
    /// Right replies a second.
    pub(super) good: f64,
    /// The most of them at that time.
    pub(super) most: f64,
    /// Refusals a second.
    pub(super) refused: f64,
    pub(super) admin: AdminTimes,
    /// Processors that the service used.
    pub(super) busy: f64,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    pub(super) multiple: f64,
    pub(super) rate: f64,
    pub(super) connections: u32,
    pub(super) seconds: u32,
}

impl Point {
    /// Of the most.
    pub(super) fn part(&self) -> f64 {
        self.good / self.most
    }
}

/// A service that is tortured.
pub(super) struct Tested {
    pub(super) server: Server,
    admin: SocketAddr,
    log: PathBuf,
    report: PathBuf,
    loadgen: PathBuf,
    scenario: String,
    share: Option<Share>,
}

impl Tested {
    pub(super) async fn start(
        torture: &Torture,
        subject: Subject,
        settings: &[(&str, &str)],
    ) -> Result<Self> {
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
        let share = match subject.processor_percent() {
            Some(percent) => Some(Share::leave(SERVER_CORE, percent).await?),
            None => None,
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

    pub(super) async fn stop(self) {
        drop(self.share);
        self.server.stop().await;
    }

    /// What it can do when nobody asks for more, in replies a second.
    pub(super) async fn closed_loop(&self, connections: u32, seconds: u32) -> Result<f64> {
        let seconds = SETTLING + seconds;
        let mut command = self.loadgen("1m")?;
        command
            .args(["--closed", "--connections", &connections.to_string()])
            .args(["--duration", &format!("{seconds}s")]);
        let report = self.reported(command).await?;
        Ok(rates(&report, seconds)?.0)
    }

    /// A constant rate for some seconds.
    pub(super) async fn storm(&self, load: Load) -> Result<Point> {
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
        Ok(Point {
            multiple: load.multiple,
            good,
            most: load.rate / load.multiple,
            refused,
            admin,
            busy,
        })
    }

    /// The 99th percentile of each window of a quiet load, in milliseconds since requests were due. The
    /// first begins [`RECOVERY`] after its begin, and each is as long.
    pub(super) async fn quiet(
        &self,
        rate: f64,
        connections: u32,
        windows: usize,
    ) -> Result<Vec<f64>> {
        let mut command = self.loadgen(PATIENCE)?;
        let stages = vec![format!("{rate:.0}:{RECOVERY}s"); 1 + windows];
        command
            .args(["--stages", &stages.join(",")])
            .args(["--connections", &connections.to_string()]);
        quiet_windows(&self.reported(command).await?)
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
    pub(super) fn refusals_ms(&self) -> Vec<f64> {
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

fn quiet_windows(report: &Value) -> Result<Vec<f64>> {
    let stages = report["stages"].as_array();
    let stages = stages.context("loadgen's report has no stages")?.iter();
    let p99 = |stage: &Value| bench::percentile(&stage["response"], 99.0);
    let windows = stages.skip(1).map(p99).collect::<Option<_>>();
    windows.context("a stage of loadgen's report lacks a percentile")
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
pub(super) struct AdminTimes {
    pub(super) p99_ms: f64,
    pub(super) most_ms: f64,
    pub(super) unanswered: u32,
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
                    second(1, 1), second(2, 0), second(9, 9), second(100, 20), second(120, 20), second(900, 900),
                ],
                "statuses": { "503": 50 },
            },
        });
        assert_eq!(rates(&report, 5).unwrap(), (90.0, 10.0));
        assert!(rates(&json!({}), 3).is_err());
    }

    #[test]
    fn windows_begin_when_connections_are_open() {
        let stage = |p99: f64| json!({ "response": { "percentiles": [[99.0, p99]] } });
        let report = json!({ "stages": [stage(90.0), stage(4.0), stage(5.0)] });
        assert_eq!(quiet_windows(&report).unwrap(), [4.0, 5.0]);
        assert!(quiet_windows(&json!({})).is_err());
    }

    #[test]
    fn finds_the_refusals_of_the_access_log() {
        let log = "nonsense\n{\"outcome\":\"shed\",\"took_us\":300}\n{\"outcome\":\"ok\",\"took_us\":9}\n\
            {\"outcome\":\"shed\",\"took_us\":100}\n";
        assert_eq!(refusals_ms(log), [0.1, 0.3]);
    }
}
