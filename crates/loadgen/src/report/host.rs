//! Where the figures come from: the tool's machine, and what the targets say of themselves.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::target::Target;

/// How long a target may take to say its version.
const VERSION_LIMIT: Duration = Duration::from_millis(300);
/// Where services tell their version, unless that is given.
const ADMIN_PORT: u16 = 9090;
/// Longest version that is kept, in bytes.
const MAX_VERSION_BYTES: usize = 4096;

/// A machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// The architecture.
    pub arch: String,
    /// Processors that the tool may use.
    pub cpus: usize,
    /// The processor's name, if the system tells.
    pub cpu: Option<String>,
    /// The kernel's version, if the system tells.
    pub kernel: Option<String>,
}

impl Host {
    /// This machine.
    pub fn this() -> Self {
        let read = |path| std::fs::read_to_string(path).ok();
        let cpu = read("/proc/cpuinfo").and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("model name"))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        });
        let kernel = read("/proc/sys/kernel/osrelease").map(|text| text.trim().to_owned());
        Self {
            arch: std::env::consts::ARCH.to_owned(),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            cpu,
            kernel,
        }
    }
}

/// What a target says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Version {
    /// Where it was asked.
    pub asked: String,
    /// What it said; nothing when it could not be reached.
    pub version: Option<serde_json::Value>,
}

/// Asks `/version` of the listeners for it: those given, or port 9090 of each target's machine.
/// Whoever does not answer at once has no version.
pub async fn versions(targets: &[Target], admins: &[Target], allow_remote: bool) -> Vec<Version> {
    let mut asked: Vec<Target> = admins.to_vec();
    if asked.is_empty() {
        asked.extend(targets.iter().map(|target| target.with_port(ADMIN_PORT)));
    }
    let mut versions: Vec<Version> = Vec::new();
    for target in asked {
        let url = format!("{target}/version");
        if versions.iter().all(|known| known.asked != url) {
            let version = ask(&target, allow_remote).await;
            versions.push(Version {
                asked: url,
                version,
            });
        }
    }
    versions
}

async fn ask(target: &Target, allow_remote: bool) -> Option<serde_json::Value> {
    let address = target.resolve(allow_remote).ok()?;
    let mut client = Client::new(address, VERSION_LIMIT);
    let host = &target.authority;
    let request = format!("GET /version HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let reply = client.exchange(request.as_bytes()).await.ok()?;
    if reply.status != 200 || reply.body.len() > MAX_VERSION_BYTES {
        return None;
    }
    let text = String::from_utf8_lossy(reply.body);
    let text = text.trim().to_owned();
    Some(serde_json::from_str(&text).unwrap_or(serde_json::Value::String(text)))
}
