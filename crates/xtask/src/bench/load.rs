//! The load tools: wrk in closed loop, loadgen in open loop.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::server::{LOAD_CORE, pinned};
use crate::child;

/// Sends the lines of a file in turn.
const SCRIPT: &str = r#"local requests = {}
local index = 0

function init(args)
  wrk.init(args)
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
        let output = pinned(&self.program, LOAD_CORE)?
            .args(["-t1", &format!("-c{connections}"), &format!("-d{seconds}s")])
            .args(["--timeout", "10s", "--latency", "-s"])
            .arg(&self.script)
            .arg(format!("http://{address}"))
            .arg("--")
            .arg(targets)
            .output()
            .await
            .context("cannot start wrk")?;
        let said = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            bail!("wrk failed ({}): {said}{errors}", output.status);
        }
        burst(&said).with_context(|| format!("{address}, {}:\n{said}", targets.display()))
    }
}

/// Reads what wrk says.
fn burst(said: &str) -> Result<Burst> {
    if let Some(errors) = said
        .lines()
        .find(|line| line.contains("Non-2xx") || line.contains("Socket errors"))
    {
        bail!("not every request was answered: {}", errors.trim());
    }
    let field = |name: &str| {
        let line = said.lines().find(|line| line.contains(name));
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
    // Whether the tool kept its own schedule is in the report, not in the exit code only.
    let output = pinned(loadgen, LOAD_CORE)?
        .args(["run", "--quiet", "--check", "none"])
        .args(["--target", &format!("http://{address}")])
        .arg("--corpus")
        .arg(targets)
        .args(["--rate", &format!("{rate:.0}")])
        .args(["--duration", &format!("{}ms", duration.as_millis())])
        .arg("--json")
        .arg(report)
        .output()
        .await
        .context("cannot start loadgen")?;
    let text = fs::read(report).with_context(|| {
        let errors = String::from_utf8_lossy(&output.stderr);
        format!("loadgen wrote no report ({}): {errors}", output.status)
    })?;
    serde_json::from_slice(&text).context("loadgen's report is no JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "Running 2s test @ http://127.0.0.1:1\n  1 threads and 64 connections\n\
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
}
