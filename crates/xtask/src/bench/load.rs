//! The load tools: wrk in closed loop, loadgen in open loop.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::process::Command;

use super::server::{LOAD_CORE, pinned};
use crate::child;

/// Sends the lines of a file in turn. wrk calls `init` from its own, after it knows the host.
const SCRIPT: &str = r#"local requests = {}
local index = 0

function init(args)
  for target in io.lines(args[1]) do
    requests[#requests + 1] = wrk.format("GET", target)
  end
end

function request()
  index = index % #requests + 1
  return requests[index]
end
"#;

/// One run of wrk.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Burst {
    pub(super) requests: f64,
    pub(super) rate: f64,
    pub(super) p99_ms: f64,
}

/// wrk with its script.
pub(super) struct Wrk {
    program: PathBuf,
    script: PathBuf,
}

impl Wrk {
    /// Finds wrk and writes its script.
    pub(super) fn new(folder: &Path) -> Result<Self> {
        let script = folder.join("targets.lua");
        fs::write(&script, SCRIPT).with_context(|| format!("cannot write {}", script.display()))?;
        Ok(Self {
            program: child::find_program("wrk").context("wrk is not installed")?,
            script,
        })
    }

    /// Sends the requests in a file for so many seconds.
    pub(super) async fn run(
        &self,
        address: SocketAddr,
        targets: &Path,
        connections: u32,
        seconds: u32,
    ) -> Result<Burst> {
        let mut wrk = self.command(connections, seconds)?;
        wrk.arg("-s").arg(&self.script);
        wrk.arg(format!("http://{address}")).arg("--").arg(targets);
        let burst = told(wrk).await;
        burst.with_context(|| format!("{address}, {}", targets.display()))
    }

    /// Sends one request again and again, without the script, which costs wrk as much as the rest.
    pub(super) async fn constant(
        &self,
        address: SocketAddr,
        connections: u32,
        seconds: u32,
    ) -> Result<Burst> {
        let mut wrk = self.command(connections, seconds)?;
        wrk.arg(format!("http://{address}/ok"));
        told(wrk).await
    }

    fn command(&self, connections: u32, seconds: u32) -> Result<Command> {
        let mut wrk = pinned(&self.program, LOAD_CORE)?;
        wrk.args(["-t1", &format!("-c{connections}"), &format!("-d{seconds}s")])
            .args(["--timeout", "10s", "--latency"]);
        Ok(wrk)
    }
}

async fn told(mut wrk: Command) -> Result<Burst> {
    let output = wrk.output().await.context("cannot start wrk")?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("wrk failed ({}): {said}{errors}", output.status);
    }
    burst(&said).with_context(|| format!("wrk said:\n{said}"))
}

/// Reads what wrk says.
fn burst(said: &str) -> Result<Burst> {
    if let Some(errors) = said
        .lines()
        .find(|line| line.contains("Non-2xx") || line.contains("Socket errors"))
    {
        bail!("not every request was answered: {}", errors.trim());
    }
    // A share in another line may end in the same digits as the name of a percentile.
    let field = |name: &str| {
        let mut lines = said.lines().map(str::trim);
        let line = lines.find(|line| line.starts_with(name) || line.contains(&format!(" {name}")));
        line.with_context(|| format!("wrk tells no {name:?}"))
    };
    let first = |line: &str| {
        line.split_whitespace()
            .next()
            .and_then(|word| word.parse().ok())
    };
    let last = |line: &str| line.split_whitespace().last().map(str::to_owned);
    let requests = first(field("requests in")?).context("no count of requests")?;
    let rate = last(field("Requests/sec:")?).and_then(|word| word.parse().ok());
    let p99 = last(field("99%")?).and_then(|word| millis(&word));
    Ok(Burst {
        requests,
        rate: rate.context("no rate")?,
        p99_ms: p99.context("no 99th percentile")?,
    })
}

/// A time as wrk writes it.
fn millis(text: &str) -> Option<f64> {
    let units = [("us", 1e-3), ("ms", 1.0), ("s", 1e3), ("m", 60e3)];
    let (number, unit) = units
        .iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))?;
    Some(number.parse::<f64>().ok()? * unit)
}

/// A constant rate by loadgen; its report.
pub(super) async fn constant_rate(
    loadgen: &Path,
    address: SocketAddr,
    targets: &Path,
    rate: f64,
    duration: Duration,
    report: &Path,
) -> Result<Value> {
    let mut command = loadgen_run(loadgen, address, targets, report)?;
    command
        // A core of its own, which it would otherwise spend on falling asleep and waking up.
        .arg("--spin")
        .args(["--rate", &format!("{rate:.0}")])
        .args(["--duration", &format!("{}ms", duration.as_millis())]);
    reported(&mut command, report).await
}

/// As much as so many connections get from the server, by loadgen.
pub(super) async fn closed_loop(
    loadgen: &Path,
    address: SocketAddr,
    targets: &Path,
    connections: u32,
    seconds: u32,
    report: &Path,
) -> Result<Burst> {
    let mut command = loadgen_run(loadgen, address, targets, report)?;
    command
        .args(["--closed", "--threads", "1"])
        .args(["--connections", &connections.to_string()])
        .args(["--duration", &format!("{seconds}s")]);
    let found = reported(&mut command, report).await?;
    let number = |value: &Value| value.as_f64().context("loadgen's report lacks a number");
    let (total, elapsed) = (&found["total"], number(&found["elapsed_s"])?);
    let requests = number(&total["requests"])?;
    Ok(Burst {
        requests,
        rate: requests / elapsed,
        p99_ms: percentile(&total["response"], 99.0).context("no 99th percentile")?,
    })
}

/// loadgen that sends the requests in a file and believes every reply, as wrk does.
fn loadgen_run(
    loadgen: &Path,
    address: SocketAddr,
    targets: &Path,
    report: &Path,
) -> Result<Command> {
    let mut command = pinned(loadgen, LOAD_CORE)?;
    command
        .args(["run", "--quiet", "--check", "none"])
        .args(["--target", &format!("http://{address}")])
        .arg("--corpus")
        .arg(targets)
        .arg("--json")
        .arg(report);
    Ok(command)
}

/// Runs loadgen and reads the report that it wrote.
pub(crate) async fn reported(loadgen: &mut Command, report: &Path) -> Result<Value> {
    // What an earlier run left would pass for this one's.
    let _ = fs::remove_file(report);
    // Whether the tool kept its own schedule is in the report, not in the exit code only.
    let output = loadgen.output().await.context("cannot start loadgen")?;
    let text = fs::read(report).with_context(|| {
        let errors = String::from_utf8_lossy(&output.stderr);
        format!("loadgen wrote no report ({}): {errors}", output.status)
    })?;
    serde_json::from_slice(&text).context("loadgen's report is no JSON")
}

/// One percentile of a report's times.
pub(crate) fn percentile(times: &Value, wanted: f64) -> Option<f64> {
    let pairs = times["percentiles"].as_array()?;
    let pair = pairs
        .iter()
        .find(|pair| pair[0].as_f64().is_some_and(|p| (p - wanted).abs() < 1e-9))?;
    pair[1].as_f64()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SAID: &str = "Running 2s test @ http://127.0.0.1:1\n  1 threads and 64 connections\n\
        \x20   Latency    17.38ms   21.36ms  88.96ms   82.99%\n\
        \x20 Latency Distribution\n     50%  220.00us\n     99%    1.46ms\n\
        \x20 123456 requests in 2.00s, 20.00MB read\nRequests/sec:  61728.00\n";

    #[test]
    fn reads_what_wrk_says() {
        let found = burst(SAID).unwrap();
        let expected = Burst {
            requests: 123_456.0,
            rate: 61_728.0,
            p99_ms: 1.46,
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn refuses_a_run_with_errors() {
        let said = format!("{SAID}  Non-2xx or 3xx responses: 7\n");
        let error = burst(&said).unwrap_err().to_string();
        assert!(error.contains("responses: 7"), "{error}");
    }

    #[test]
    fn knows_the_units_of_wrk() {
        for (text, expected) in [("87.00us", 0.087), ("1.50s", 1500.0), ("2.00ms", 2.0)] {
            assert!((millis(text).unwrap() - expected).abs() < 1e-9);
        }
        assert_eq!(millis("nan"), None);
    }

    #[test]
    fn finds_a_percentile() {
        let times = json!({ "percentiles": [[50.0, 0.1], [99.0, 0.7], [99.9, 2.0]] });
        assert_eq!(percentile(&times, 99.0), Some(0.7));
        assert_eq!(percentile(&times, 42.0), None);
    }
}
