//! Steady load by `loadgen`, every reply checked.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;
use serde_json::Value;
use tokio::process::{Child, Command};

use super::images;
use crate::child;
use crate::images::output;

/// How long a reply may take before it counts as failed: longer than the services' own deadline.
const REPLY: &str = "60s";
/// What is sent each second: far below what a busy machine of two processors can do, so that a failure
/// is never its fault.
const RATE: u32 = 60;
/// From the end of sending to the report.
const REPORT_PATIENCE: Duration = Duration::from_mins(2);
/// Longer than anything here takes; loads are ended by a signal.
const DURATION: &str = "30m";

/// What all services answer, and golden replies to all of it.
pub(super) async fn smoke(
    folder: &Path,
    at: SocketAddr,
    service: &str,
    line: (&str, &str),
) -> Result<()> {
    let mut smoke = Command::new(images::tool(folder, "loadgen"));
    smoke
        .args(["smoke", "--target", &format!("http://{at}")])
        .args(["--service", service, "--team", line.0, "--account", line.1])
        .kill_on_drop(true);
    let done = tokio::time::timeout(REPORT_PATIENCE, output(&mut smoke, "loadgen smoke")).await;
    done.context("loadgen smoke does not end")?.map(drop)
}

/// A load that goes on until it is ended.
pub(super) struct Load {
    process: Child,
    report: PathBuf,
}

/// What a load saw.
#[derive(Debug)]
pub(super) struct Seen {
    /// Requests that ended.
    pub(super) requests: u64,
    /// Those without the right reply.
    pub(super) errors: u64,
    /// Which, and why.
    detail: String,
}

impl Seen {
    /// Fails if a request did.
    pub(super) fn all_well(&self) -> Result<()> {
        ensure!(self.requests > 0, "nothing was asked");
        ensure!(
            self.errors == 0,
            "{} of {} requests failed: {}",
            self.errors,
            self.requests,
            self.detail
        );
        Ok(())
    }
}

impl Load {
    /// Starts it; each scenario gets its share of the rate.
    pub(super) fn start(
        folder: &Path,
        name: &str,
        at: SocketAddr,
        scenarios: &[&str],
    ) -> Result<Self> {
        let report = folder.join(format!("load-{name}.json"));
        let log = folder.join(format!("logs/load-{name}.log"));
        let mut command = child::tied_to_us(&images::tool(folder, "loadgen"), "KILL");
        command
            .args(["run", "--target", &format!("http://{at}")])
            .args(["--rate", &RATE.to_string(), "--duration", DURATION])
            .args(["--connections", "8", "--timeout", REPLY, "--check", "all"])
            // A busy machine sends late; what counts here is what comes back.
            .args(["--max-late", "100%", "--quiet", "--json"])
            .arg(&report);
        for scenario in scenarios {
            command.args(["--scenario", scenario]);
        }
        let file =
            fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let second = file.try_clone().context("cannot share a log file")?;
        let process = command
            .stdin(std::process::Stdio::null())
            .stdout(file)
            .stderr(second)
            .spawn()
            .context("cannot start loadgen")?;
        Ok(Self { process, report })
    }

    /// Fails if it has ended by itself.
    pub(super) fn check(&mut self) -> Result<()> {
        match self.process.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("the load ended by itself ({status})"),
        }
    }

    /// Ends it; what is on its way is waited for.
    pub(super) async fn end(mut self) -> Result<Seen> {
        self.check()?;
        child::signal(&self.process, Signal::INT);
        let ended = tokio::time::timeout(REPORT_PATIENCE, self.process.wait()).await;
        ended.context("the load does not end")??;
        let text = fs::read_to_string(&self.report)
            .with_context(|| format!("the load left no {}", self.report.display()))?;
        seen(&serde_json::from_str(&text).context("the report is no JSON")?)
    }
}

fn seen(report: &Value) -> Result<Seen> {
    let count = |key: &str| report["total"][key].as_u64().context("no total");
    let rows = report["scenarios"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    let detail: Vec<String> = rows
        .iter()
        .filter(|row| row["errors"] != 0)
        .map(|row| {
            let label = row["label"].as_str().unwrap_or_default();
            let kinds = ["wrong", "statuses", "failures"].map(|kind| row[kind].to_string());
            format!("{label} {}", kinds.join(" "))
        })
        .collect();
    Ok(Seen {
        requests: count("requests")?,
        errors: count("errors")?,
        detail: detail.join("; "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn one_failed_request_fails_a_load_and_is_told() {
        let report = |errors: u64| {
            json!({"total": {"requests": 10, "errors": errors}, "scenarios": [
                {"label": "qrcode", "errors": errors, "wrong": {}, "statuses": {"502": errors}, "failures": {}},
                {"label": "twitter", "errors": 0, "wrong": {}, "statuses": {}, "failures": {}},
            ]})
        };
        seen(&report(0)).unwrap().all_well().unwrap();
        let error = seen(&report(2)).unwrap().all_well().unwrap_err();
        let said = "2 of 10 requests failed: qrcode {} {\"502\":2} {}";
        assert_eq!(error.to_string(), said);
        let nothing = json!({"total": {"requests": 0, "errors": 0}});
        assert!(seen(&nothing).unwrap().all_well().is_err());
        assert!(seen(&json!({})).is_err());
    }
}
