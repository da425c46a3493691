//! The rows of the table: which servers, what they are sent, which figures follow.

mod latency;
mod tool;
mod twitter;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde_json::Value;

use super::load::Wrk;
use super::measure::{CONNECTIONS, Pace, Row, Series, Subject, alternate, median};
use super::peers::Peers;
use super::server::{Server, pinned};
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
    /// loadgen's own cost in closed loop, against wrk's
    Tool,
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
            RowName::Tool => self.tool().await,
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
