//! Running the images, hardened: what a service answers, what it may do, how
//! it ends.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::process::Command;
use tokio::time::sleep;

use super::assemble::image;
use super::engine::{Engine, output};
use super::{Checks, SERVICES, Service, TOOLS};
use crate::workspace::Workspace;

/// The hand-made tweets, relative to the workspace.
const TWEETS: &str = "crates/twitter-core/tests/data/tiny.jsonl";
/// The excluded hashtags that belong to them.
const POPULAR: &str = "crates/twitter-core/tests/data/tiny_popular_hashtags.txt";
/// The number that runs in the images.
const USER: u32 = 65_532;
/// How long a service may take to become ready, and to end; a loaded machine needs some.
const PATIENCE: Duration = Duration::from_mins(2);
/// How long it goes on serving after SIGTERM here.
const SETTLE: Duration = Duration::from_secs(1);
/// How long its requests may take after that.
const DRAIN: Duration = Duration::from_secs(5);

/// What every container is started with: no way to write but into `/data` where
/// one is given, no privilege, no network but loopback.
const HARDENED: [&str; 8] = [
    "--read-only",
    "--read-only-tmpfs=false",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--cpus=1",
    "--pids-limit=64",
    "--user=65532:65532",
    "--network=none",
];

/// Makes a table with the tools' image, then runs each service against it.
pub(super) async fn check(
    engine: &Engine,
    workspace: &Workspace,
    checks: &mut Checks,
) -> Result<()> {
    let data = engine.folder().join("data");
    let made = make_table(engine, workspace, &data).await;
    let has_table = made.is_ok();
    checks.count("tools: etl builds a table as an ordinary user", made);
    for service in &SERVICES {
        if service.target == "twitter" && !has_table {
            checks.count(
                "twitter: runs",
                Err(anyhow::anyhow!("there is no table to serve")),
            );
            continue;
        }
        // The storage is this run's own, so the name need not be.
        let name = format!("tripod-{}", service.target);
        let started = start(engine, service, &name, &data).await;
        let runs = started.is_ok();
        checks.count(
            &format!("{}: starts and its health check passes", service.target),
            started,
        );
        if !runs {
            continue;
        }
        checks.count(
            &format!("{}: golden requests", service.target),
            smoke(engine, service, &name).await,
        );
        checks.count(
            &format!("{}: has no privilege", service.target),
            look_at_process(engine, &name).await,
        );
        checks.count(
            &format!("{}: ends with 0 after SIGTERM", service.target),
            stop(engine, &name).await,
        );
    }
    Ok(())
}

/// Does the query engine's program start?
pub(super) async fn check_engine(engine: &Engine, checks: &mut Checks) {
    let mut help = engine.podman();
    help.args(["run", "--rm"])
        .args(HARDENED)
        .arg("--memory=128m")
        .arg(image(TOOLS))
        .args(["/etl-score", "--help"]);
    let said = output(&mut help, "etl-score --help").await.map(drop);
    checks.count("tools: etl-score starts", said);
}

/// `etl build` from the hand-made tweets, in a container that may write to one
/// folder only.
async fn make_table(engine: &Engine, workspace: &Workspace, data: &Path) -> Result<()> {
    fs::create_dir_all(data).with_context(|| format!("cannot create {}", data.display()))?;
    for (from, name) in [(TWEETS, "tiny.jsonl"), (POPULAR, "popular.txt")] {
        let from = workspace.root.join(from);
        fs::copy(&from, data.join(name))
            .with_context(|| format!("cannot copy {}", from.display()))?;
    }
    std::os::unix::fs::chown(data, Some(USER), Some(USER))
        .with_context(|| format!("cannot give {} away", data.display()))?;
    let mut etl = engine.podman();
    etl.args(["run", "--rm"])
        .args(HARDENED)
        .args(["--memory=128m", "--volume"])
        .arg(format!("{}:/data:rw", data.display()))
        // It works in a folder of its own, and the image has nowhere to make one.
        .args(["--env", "TMPDIR=/data"])
        .arg(image(TOOLS))
        .args(["/etl", "build", "--input", "/data/tiny.jsonl"])
        .args([
            "--popular",
            "/data/popular.txt",
            "--database",
            "sqlite:///data/tiny.sqlite",
        ]);
    output(&mut etl, "etl build").await?;
    ensure!(
        data.join("tiny.sqlite").is_file(),
        "it wrote no tiny.sqlite"
    );
    Ok(())
}

async fn start(engine: &Engine, service: &Service, name: &str, data: &Path) -> Result<()> {
    let mut podman = engine.podman();
    podman
        .args(["run", "--detach", "--name", name])
        .args(HARDENED)
        .arg(format!("--memory={}", service.memory))
        .args([
            "--env",
            "TEAM_ID=Tripod",
            "--env",
            "AWS_ACCOUNT_ID=000000000000",
        ])
        .args(["--env", &format!("SETTLE_MS={}", SETTLE.as_millis())])
        .args(["--env", &format!("DRAIN_MS={}", DRAIN.as_millis())]);
    for (key, value) in service.settings {
        podman.args(["--env", &format!("{key}={value}")]);
    }
    if service.target == "twitter" {
        podman
            .arg("--volume")
            .arg(format!("{}:/data:ro", data.display()));
    }
    output(podman.arg(image(service.target)), "podman run").await?;
    wait_until_healthy(engine, name).await
}

/// The image's own HEALTHCHECK, run inside the container, until it passes.
async fn wait_until_healthy(engine: &Engine, name: &str) -> Result<()> {
    let started = Instant::now();
    loop {
        let mut probe = engine.podman();
        probe.args(["healthcheck", "run", name]);
        let Err(error) = output(&mut probe, "the health check").await else {
            return Ok(());
        };
        if started.elapsed() > PATIENCE {
            let mut logs = engine.podman();
            let log = output(logs.args(["logs", "--tail", "5", name]), "podman logs").await;
            return Err(error.context(log.unwrap_or_default()));
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// `loadgen smoke` from the tools' image, in the service's own network.
async fn smoke(engine: &Engine, service: &Service, name: &str) -> Result<()> {
    let mut loadgen = engine.podman();
    loadgen.args(["run", "--rm"]);
    let others = HARDENED
        .iter()
        .filter(|option| !option.starts_with("--network"));
    loadgen
        .args(others)
        .args(["--memory=64m", &format!("--network=container:{name}")])
        .arg(image(TOOLS))
        .args(["/loadgen", "smoke", "--target", "http://127.0.0.1:8080"])
        .args(["--service", service.target, "--twitter-tiny"])
        .args(["--team", "Tripod", "--account", "000000000000"]);
    output(&mut loadgen, "loadgen smoke").await.map(drop)
}

/// What the kernel says about the service's process.
async fn look_at_process(engine: &Engine, name: &str) -> Result<()> {
    let mut inspect = engine.podman();
    inspect.args(["container", "inspect", "--format", "{{.State.Pid}}", name]);
    let pid = output(&mut inspect, "podman container inspect").await?;
    let file = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?;
    look_at_status(&status)?;
    let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo"))
        .with_context(|| format!("cannot read /proc/{pid}/mountinfo"))?;
    let root = mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .find(|fields| fields.get(4) == Some(&"/"))
        .context("there is no root file system")?;
    let options = root.get(5).copied().unwrap_or_default();
    ensure!(
        options.split(',').any(|option| option == "ro"),
        "the root file system is mounted {options}"
    );
    Ok(())
}

/// The lines of `/proc/PID/status` that tell what a process may do.
fn look_at_status(status: &str) -> Result<()> {
    let field = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(|value| value.split_whitespace().collect::<Vec<_>>())
            .with_context(|| format!("the kernel does not tell {name}"))
    };
    for name in ["Uid", "Gid"] {
        let ids = field(name)?;
        ensure!(
            ids.iter().all(|id| *id == USER.to_string()),
            "{name} is {ids:?}"
        );
    }
    for name in ["CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        let set = field(name)?.concat();
        ensure!(set.chars().all(|digit| digit == '0'), "{name} is {set}");
    }
    ensure!(
        field("NoNewPrivs")?.concat() == "1",
        "it may gain privileges"
    );
    // 2 is a filter. A host without seccomp cannot show this.
    let seccomp = field("Seccomp")?.concat();
    ensure!(seccomp == "2", "the system calls are not filtered");
    Ok(())
}

/// SIGTERM, and what became of it.
async fn stop(engine: &Engine, name: &str) -> Result<()> {
    let begun = Instant::now();
    output(
        engine.podman().args(["kill", "--signal", "TERM", name]),
        "podman kill",
    )
    .await?;
    let mut wait: Command = engine.podman();
    wait.args(["wait", name]);
    let Ok(code) = tokio::time::timeout(PATIENCE, output(&mut wait, "podman wait")).await else {
        bail!("it still runs after {} s", PATIENCE.as_secs());
    };
    let code = code?;
    ensure!(code == "0", "it ended with exit code {code}");
    let took = begun.elapsed();
    ensure!(
        took >= SETTLE,
        "it ended after {} ms, before it had settled",
        took.as_millis()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tqrcode-service\nUid:\t65532\t65532\t65532\t65532\n\
        Gid:\t65532\t65532\t65532\t65532\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n\
        CapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n";

    #[test]
    fn takes_a_process_without_privileges() {
        look_at_status(STATUS).unwrap();
    }

    #[test]
    fn names_a_privilege() {
        for (good, bad, complaint) in [
            ("Uid:\t65532\t65532", "Uid:\t65532\t0", "Uid is"),
            ("CapBnd:\t0000", "CapBnd:\t0400", "CapBnd is 0400"),
            ("NoNewPrivs:\t1", "NoNewPrivs:\t0", "gain privileges"),
            ("Seccomp:\t2", "Seccomp:\t0", "not filtered"),
            ("CapEff:", "CapXxx:", "does not tell CapEff"),
        ] {
            let error = look_at_status(&STATUS.replace(good, bad)).unwrap_err();
            assert!(error.to_string().contains(complaint), "{error}");
        }
    }
}
