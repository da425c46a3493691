//! The rows of the table: which servers, what they are sent, which figures follow.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde_json::{Value, json};

use super::load::{self, Wrk};
use super::measure::{CONNECTIONS, Pace, Row, Series, Subject, alternate, median};
use super::peers::Peers;
use super::server::{Server, pinned};
use crate::child;
use crate::database::BenchDatabase;

/// One part of the measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum RowName {
    /// The kit with a null handler, raw, hello and the peers
    Kit,
    /// Encode and decode against hello on the same bytes
    Qrcode,
    /// The published mix and target 007
    Blockchain,
    /// From the cache
    TwitterHits,
    /// From a private MariaDB, against sqlx's pool and sysbench
    TwitterMisses,
    /// 64, 512 and 2,000 connections
    Connections,
    /// Resident memory at 1,000 connections under load
    Memory,
    /// Open loop at 70 % of saturation
    Latency,
    /// Time against size
    Growth,
}

impl RowName {
    pub(super) fn name(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// What all rows need.
pub(super) struct Bench {
    /// Built programs.
    pub(super) programs: PathBuf,
    /// Requests and tables.
    pub(super) folder: PathBuf,
    pub(super) wrk: Wrk,
    pub(super) pace: Pace,
    pub(super) peers: Peers,
    pub(super) database: Option<BenchDatabase>,
}

impl Bench {
    /// Measures one row.
    pub(super) async fn row(&self, name: RowName) -> Result<Value> {
        match name {
            RowName::Kit => self.kit().await,
            RowName::Qrcode => self.qrcode().await,
            RowName::Blockchain => self.blockchain().await,
            RowName::TwitterHits => self.twitter_hits().await,
            RowName::TwitterMisses => self.twitter_misses().await,
            RowName::Connections => self.connections().await,
            RowName::Memory => self.memory().await,
            RowName::Latency => self.latency().await,
            RowName::Growth => self.growth().await,
        }
    }

    fn targets(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.txt"))
    }

    async fn yardstick(&self, name: &str) -> Result<Server> {
        Server::yardstick(&self.programs.join(name), &[]).await
    }

    async fn service(&self, name: &str, settings: &[(&str, &str)]) -> Result<Server> {
        Server::service(&self.programs.join(name), settings).await
    }

    /// The twitter service on the embedded table, with a cache that holds what the load asks for.
    async fn cached_twitter(&self) -> Result<Server> {
        let url = super::sqlite_url(&self.folder);
        let settings = [("DATABASE_URL", url.as_str()), ("CACHE_TTL_MS", "3600000")];
        self.service("twitter-service", &settings).await
    }

    async fn alternate(&self, subjects: &[Subject<'_>]) -> Result<Vec<Series>> {
        alternate(&self.wrk, subjects, self.pace).await
    }

    async fn kit(&self) -> Result<Value> {
        let raw = self.yardstick("raw").await?;
        let hello = self.yardstick("hello").await?;
        let kit = self.service("examples/null_service", &[]).await?;
        let nginx = self.peers.nginx(&self.folder).await?;
        let fasthttp = self.peers.fasthttp().await?;
        let targets = self.targets("short");
        let mut subjects = vec![
            Subject::new("raw", &raw, &targets),
            Subject::new("hello", &hello, &targets),
            Subject::new("kit", &kit, &targets),
        ];
        let peers = [("nginx", &nginx), ("fasthttp", &fasthttp)];
        for (name, server) in peers {
            subjects.extend(server.as_ref().map(|s| Subject::new(name, s, &targets)));
        }
        let mut row = Row::new(self.alternate(&subjects).await?);
        row.ratio("kit", "raw");
        row.ratio("kit", "hello");
        row.ratio("hello", "raw");
        row.ratio("hello", "nginx");
        row.ratio("raw", "nginx");
        row.ratio("fasthttp", "raw");
        stop([raw, hello, kit].into_iter().chain(nginx).chain(fasthttp)).await;
        Ok(row.to_json())
    }

    async fn qrcode(&self) -> Result<Value> {
        let hello = self.yardstick("hello").await?;
        let service = self.service("qrcode-service", &[]).await?;
        let fasthttp = self.peers.fasthttp().await?;
        let mut subjects = Vec::new();
        for kind in ["encode", "decode"] {
            let targets = self.targets(&format!("qrcode-{kind}"));
            subjects.push(Subject::new(kind, &service, &targets));
            let same = format!("hello, {kind} requests");
            subjects.push(Subject::new(&same, &hello, &targets));
            let same = format!("fasthttp, {kind} requests");
            subjects.extend(fasthttp.as_ref().map(|s| Subject::new(&same, s, &targets)));
        }
        let mut row = Row::new(self.alternate(&subjects).await?);
        for kind in ["encode", "decode"] {
            row.ratio(kind, &format!("hello, {kind} requests"));
            row.ratio(kind, &format!("fasthttp, {kind} requests"));
        }
        stop([hello, service].into_iter().chain(fasthttp)).await;
        Ok(row.to_json())
    }

    async fn blockchain(&self) -> Result<Value> {
        let raw = self.yardstick("raw").await?;
        let service = self.service("blockchain-service", &[]).await?;
        let mut subjects = Vec::new();
        for kind in ["mix", "007"] {
            let targets = self.targets(&format!("blockchain-{kind}"));
            subjects.push(Subject::new(kind, &service, &targets));
            subjects.push(Subject::new(&format!("raw, {kind}"), &raw, &targets));
        }
        let mut row = Row::new(self.alternate(&subjects).await?);
        row.ratio("mix", "raw, mix");
        row.ratio("007", "raw, 007");
        stop([raw, service]).await;
        Ok(row.to_json())
    }

    async fn twitter_hits(&self) -> Result<Value> {
        let hello = self.yardstick("hello").await?;
        let service = self.cached_twitter().await?;
        let targets = self.targets("twitter-hits");
        let subjects = [
            Subject::new("twitter", &service, &targets),
            Subject::new("hello", &hello, &targets),
        ];
        let mut row = Row::new(self.alternate(&subjects).await?);
        row.ratio("twitter", "hello");
        stop([hello, service]).await;
        Ok(row.to_json())
    }

    async fn twitter_misses(&self) -> Result<Value> {
        let database = self.database.as_ref().context("this row has a database")?;
        let url = database.url(super::DATABASE);
        let raw = self.yardstick("raw").await?;
        let settings = [("DATABASE_URL", url.as_str()), ("CACHE_MB", "0")];
        let service = self.service("twitter-service", &settings).await?;
        let pool = Server::yardstick(&self.programs.join("sqlx_pool"), &[&url]).await?;
        let targets = self.targets("twitter-misses");
        let with_database = |name: &str, server| Subject {
            database: database.pid(),
            ..Subject::new(name, server, &targets)
        };
        let subjects = [
            with_database("twitter", &service),
            Subject::new("raw", &raw, &targets),
            with_database("sqlx's pool", &pool),
        ];
        let mut row = Row::new(self.alternate(&subjects).await?);
        row.ratio("twitter", "raw");
        let processor = |series: &Series| match series.name.as_str() {
            "raw" => series.micros.clone(),
            _ => series.database_micros.clone(),
        };
        let pairs = row.series("twitter").zip(row.series("raw"));
        let ratios = pairs.map(|(twitter, raw)| {
            let pairs = processor(twitter).into_iter().zip(processor(raw));
            pairs
                .map(|(database, raw)| database / raw)
                .collect::<Vec<f64>>()
        });
        row.figure("database / raw", median(&ratios.unwrap_or_default()));
        row.ratio_of(
            "rate / rate of sqlx's pool",
            "twitter",
            "sqlx's pool",
            |s| &s.rates,
        );
        row.ratio("sqlx's pool", "twitter");
        stop([raw, service, pool]).await;
        let rate = row.series("twitter").map(|series| median(&series.rates));
        let sysbench = self.sysbench(database).await?;
        row.figure("rate / rate of sysbench", rate.unwrap_or(0.0) / sysbench);
        row.note("sysbench_queries_per_s", json!(sysbench.round()));
        Ok(row.to_json())
    }

    /// The better rate of few and many threads; both sides share the machine, as above.
    async fn sysbench(&self, database: &BenchDatabase) -> Result<f64> {
        let program = child::find_program("sysbench").context("sysbench is not installed")?;
        let sysbench = |threads: u32, task: &str| {
            let mut command = child::tied_to_us(&program, "KILL");
            command
                .args([
                    "oltp_point_select",
                    "--mysql-host=127.0.0.1",
                    "--mysql-user=root",
                ])
                .arg(format!("--mysql-port={}", database.port()))
                .arg(format!("--mysql-db={}", super::SYSBENCH_DATABASE))
                .args(["--tables=1", "--table-size=100000"])
                .arg(format!("--threads={threads}"))
                .args(["--time=4", task]);
            command
        };
        child::run(&mut sysbench(1, "prepare"), "sysbench prepare").await?;
        let mut best = 0.0_f64;
        for threads in [8, 32] {
            let output = sysbench(threads, "run").output().await?;
            let said = String::from_utf8_lossy(&output.stdout);
            let rate = queries_per_second(&said);
            best = best.max(rate.with_context(|| format!("sysbench told no rate:\n{said}"))?);
        }
        Ok(best)
    }

    async fn connections(&self) -> Result<Value> {
        let raw = self.yardstick("raw").await?;
        let hello = self.yardstick("hello").await?;
        let service = self.service("qrcode-service", &[]).await?;
        let targets = self.targets("qrcode-encode");
        let mut subjects = Vec::new();
        for connections in [CONNECTIONS, 512, 2000] {
            for (name, server) in [("raw", &raw), ("hello", &hello), ("qrcode", &service)] {
                subjects.push(Subject {
                    connections,
                    ..Subject::new(&format!("{name}, {connections}"), server, &targets)
                });
            }
        }
        let mut row = Row::new(self.alternate(&subjects).await?);
        for connections in [512, 2000] {
            for name in ["qrcode", "hello", "raw"] {
                let figure = match name {
                    "qrcode" => format!("{connections} / 64 connections"),
                    _ => format!("{name}: {connections} / 64 connections"),
                };
                let (many, few) = (format!("{name}, {connections}"), format!("{name}, 64"));
                row.ratio_of(&figure, &many, &few, |series| &series.micros);
            }
            let p99 = row.series(&format!("qrcode, {connections}"));
            let p99 = p99.map_or(0.0, |series| median(&series.p99_ms));
            row.figure(&format!("p99 at {connections}, ms"), p99);
        }
        stop([raw, hello, service]).await;
        Ok(row.to_json())
    }

    /// The services with the requests that load them.
    async fn services(&self) -> Result<Vec<(&'static str, Server, PathBuf)>> {
        Ok(vec![
            (
                "blockchain",
                self.service("blockchain-service", &[]).await?,
                self.targets("blockchain-mix"),
            ),
            (
                "qrcode",
                self.service("qrcode-service", &[]).await?,
                self.targets("qrcode-encode"),
            ),
            (
                "twitter",
                self.cached_twitter().await?,
                self.targets("twitter-hits"),
            ),
        ])
    }

    async fn memory(&self) -> Result<Value> {
        let mut row = Row::new(Vec::new());
        for (name, server, targets) in self.services().await? {
            // Misses hold more than hits do: what the cache itself keeps is a few hundred packs.
            let seconds = self.pace.seconds.max(2);
            self.wrk
                .run(server.address, &targets, 1000, seconds)
                .await?;
            row.figure(&format!("{name}, MiB"), server.peak_mb()?);
            server.stop().await;
        }
        Ok(row.to_json())
    }

    async fn latency(&self) -> Result<Value> {
        let mut row = Row::new(Vec::new());
        let loadgen = self.programs.join("loadgen");
        for (name, server, targets) in self.services().await? {
            let subjects = [Subject::new(name, &server, &targets)];
            let saturated = self.alternate(&subjects).await?;
            let saturated = saturated.first().context("one subject")?;
            let (rate, micros) = (median(&saturated.rates), median(&saturated.micros));
            let report = self.folder.join("open-loop.json");
            let time = Duration::from_secs(4);
            let mut runs = Vec::new();
            // A neighbour's burst on one of two cores is a tail of its own: the middle run counts.
            for _ in 0..3 {
                let rate = rate * 0.7;
                let address = server.address;
                let found =
                    load::constant_rate(&loadgen, address, &targets, rate, time, &report).await?;
                let p99 = percentile(&found["total"]["response"], 99.0);
                runs.push((
                    p99.context("a report has its 99th percentile")?,
                    found["valid"].as_bool() == Some(true),
                ));
            }
            let valid = runs.iter().filter(|(_, valid)| *valid).count();
            row.note(
                &format!("{name}_runs"),
                json!({ "rate": (rate * 0.7).round(), "valid": valid, "of": runs.len() }),
            );
            let all: Vec<f64> = runs.iter().map(|(p99, _)| *p99).collect();
            // A tool that fell behind its schedule measured itself.
            if valid * 2 > runs.len() {
                row.figure(&format!("{name} p99, ms"), median(&all));
                row.figure(
                    &format!("{name} p99 / service time"),
                    median(&all) * 1000.0 / micros,
                );
            }
            server.stop().await;
        }
        Ok(row.to_json())
    }

    async fn growth(&self) -> Result<Value> {
        let output = pinned(&self.programs.join("prepare"), super::server::SERVER_CORE)?
            .arg("growth")
            .output()
            .await
            .context("cannot start `prepare`")?;
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            bail!("`prepare growth` failed: {errors}");
        }
        let curves: Value = serde_json::from_slice(&output.stdout)?;
        let mut row = Row::new(Vec::new());
        for (curve, unit, size) in [("blockchain", "byte", "bytes"), ("twitter", "row", "rows")] {
            let each = |factor: u64| {
                let points = curves[curve].as_array()?;
                let point = points.iter().find(|point| point["factor"] == factor)?;
                Some(point["micros"].as_f64()? / point[size].as_f64()?)
            };
            let (large, small) = each(1000).zip(each(10)).context("a curve lacks a point")?;
            let figure = format!("{curve}, time for a {unit} at 1000 / at 10");
            row.figure(&figure, large / small);
        }
        row.note("curves", curves);
        Ok(row.to_json())
    }
}

/// One percentile of a report's times.
fn percentile(times: &Value, wanted: f64) -> Option<f64> {
    let pairs = times["percentiles"].as_array()?;
    let pair = pairs
        .iter()
        .find(|pair| pair[0].as_f64().is_some_and(|p| (p - wanted).abs() < 1e-9))?;
    pair[1].as_f64()
}

/// What sysbench calls `queries: N (R per sec.)`.
fn queries_per_second(said: &str) -> Option<f64> {
    let line = said
        .lines()
        .find_map(|line| line.trim().strip_prefix("queries:"))?;
    let (_, rate) = line.split_once('(')?;
    rate.split_whitespace().next()?.parse().ok()
}

async fn stop(servers: impl IntoIterator<Item = Server>) {
    for server in servers {
        server.stop().await;
    }
}

/// A file of one short target.
pub(super) fn write_short(folder: &Path) -> Result<()> {
    let file = folder.join("short.txt");
    std::fs::write(&file, "/ok\n").with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_rate_of_sysbench() {
        let said = "SQL statistics:\n    queries:                             98437  (32810.34 per sec.)\n";
        assert_eq!(queries_per_second(said), Some(32_810.34));
        assert_eq!(queries_per_second("nothing"), None);
    }

    #[test]
    fn finds_a_percentile() {
        let times = json!({ "percentiles": [[50.0, 0.1], [99.0, 0.7], [99.9, 2.0]] });
        assert_eq!(percentile(&times, 99.0), Some(0.7));
        assert_eq!(percentile(&times, 42.0), None);
    }
}
