//! What must not be noticed, or must pass: a roll-out, a node that loses its pods, a database that goes.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;

use super::client::{Client, items};
use super::daemon::until;
use super::load::Load;
use super::node;
use super::platform::{CHARTS, NAMESPACE, Platform};
use crate::console;
use crate::images::Checks;

/// How long a roll-out may take, the end of the last old pod included.
const ROLL_OUT: Duration = Duration::from_mins(10);
/// How long pods that were killed may take to be back.
const RETURN: Duration = Duration::from_mins(5);
/// How long the database stays away: longer than readiness and liveness take to fail.
const ABSENCE: Duration = Duration::from_secs(75);
/// How long the load runs before and after what is tried.
const BEFORE: Duration = Duration::from_secs(5);

/// One after another; each begins with all pods ready.
pub(super) async fn run(platform: &mut Platform, checks: &mut Checks) -> Result<()> {
    console::header("roll-out under load");
    let rolled = roll_out(platform).await;
    checks.count(
        "a roll-out of all services under load loses no request",
        rolled,
    );

    console::header("all pods of the node killed");
    let killed = kill(platform).await;
    checks.count("pods that were killed are back by themselves", killed);
    platform.answers_everything(checks, "after that").await;

    console::header("the database away and back");
    let (others, itself) = database(platform).await?;
    checks.count(
        "services without a database do not notice its absence",
        others,
    );
    checks.count(
        "no pod is restarted for it, and all is well after its return",
        itself,
    );
    platform.answers_everything(checks, "after that").await;

    if checks.has_failed() {
        platform.show_state().await;
    }
    console::header("removal");
    checks.count(
        "helm uninstall leaves nothing that runs",
        remove(platform).await,
    );
    Ok(())
}

/// Scenarios for all three paths.
fn everything(platform: &Platform) -> [String; 3] {
    [
        "blockchain".to_owned(),
        "qrcode".to_owned(),
        format!("corpus,name=twitter,corpus={}", platform.corpus.display()),
    ]
}

async fn roll_out(platform: &mut Platform) -> Result<()> {
    let scenarios = everything(platform);
    let scenarios = scenarios.each_ref().map(String::as_str);
    let folder = platform.folder().to_owned();
    let mut load = Load::start(&folder, "roll-out", platform.entrance, &scenarios)?;
    tokio::time::sleep(BEFORE).await;
    let client = &platform.cluster.client;
    let before = pod_names(client).await?;
    for chart in CHARTS {
        let deployment = format!("deployment/{NAMESPACE}-{chart}");
        let restart = ["rollout", "restart", &deployment, "--namespace", NAMESPACE];
        client.kubectl(&restart).await?;
    }
    until("every pod is a new one", ROLL_OUT, async || {
        load.check()?;
        let pods = client.get(NAMESPACE, &["pods"]).await?;
        let services: Vec<&Value> = items(&pods).iter().filter(|pod| is_service(pod)).collect();
        ensure!(
            services.len() == 2 * CHARTS.len() && services.iter().all(|pod| is_ready(pod)),
            "{} pods, not all ready",
            services.len()
        );
        ensure!(
            !services.iter().any(|pod| before.contains(&name(pod))),
            "an old pod is still there"
        );
        Ok(())
    })
    .await?;
    tokio::time::sleep(BEFORE).await;
    let seen = load.end().await?;
    console::say(&format!(
        "{} requests while {} pods were replaced, {} failed",
        seen.requests,
        before.len(),
        seen.errors
    ));
    seen.all_well()
}

async fn kill(platform: &mut Platform) -> Result<()> {
    let client = &platform.cluster.client;
    let before = restarts(client).await?;
    let scenarios = everything(platform);
    let scenarios = scenarios.each_ref().map(String::as_str);
    let load = Load::start(platform.folder(), "killed", platform.entrance, &scenarios)?;
    tokio::time::sleep(BEFORE).await;
    let killed = node::kill_services().await?;
    let expected = before + killed as u64;
    until("every pod is back", RETURN, async || {
        let now = restarts(client).await?;
        ensure!(now >= expected, "{now} restarts of {expected}");
        all_ready(client).await
    })
    .await?;
    let seen = load.end().await?;
    // With all pods gone there is nobody to answer; that the load shows it proves that they were gone.
    console::say(&format!(
        "{killed} processes killed; of {} requests meanwhile {} failed",
        seen.requests, seen.errors
    ));
    ensure!(seen.errors > 0, "nothing failed, so nothing was killed");
    let again = Load::start(platform.folder(), "back", platform.entrance, &scenarios)?;
    tokio::time::sleep(BEFORE * 2).await;
    again.end().await?.all_well()
}

/// How the services without a database fared, and how the one with it.
async fn database(platform: &mut Platform) -> Result<(Result<()>, Result<()>)> {
    let before = restarts(&platform.cluster.client).await?;
    let others = ["blockchain", "qrcode"];
    let load = Load::start(platform.folder(), "others", platform.entrance, &others)?;
    platform.database.stop().await;
    tokio::time::sleep(ABSENCE).await;
    let away = restarts(&platform.cluster.client).await;
    let seen = load.end().await;
    platform.database.start().await?;
    let others = seen.and_then(|seen| {
        console::say(&format!(
            "{} requests to the others meanwhile",
            seen.requests
        ));
        seen.all_well()
    });
    Ok((others, returned(platform, before, away).await))
}

/// Nothing was restarted, and everything is ready again.
async fn returned(platform: &mut Platform, before: u64, away: Result<u64>) -> Result<()> {
    let away = away?;
    ensure!(away == before, "{} pods were restarted", away - before);
    let client = &platform.cluster.client;
    until("every pod is ready", RETURN, async || {
        all_ready(client).await
    })
    .await?;
    let after = restarts(client).await?;
    ensure!(after == before, "{} pods were restarted", after - before);
    platform.answers("twitter").await?;
    let scenarios = everything(platform);
    let scenarios = scenarios.each_ref().map(String::as_str);
    let load = Load::start(platform.folder(), "returned", platform.entrance, &scenarios)?;
    tokio::time::sleep(BEFORE * 2).await;
    load.end().await?.all_well()
}

async fn remove(platform: &Platform) -> Result<()> {
    let client = &platform.cluster.client;
    let uninstall = ["uninstall", NAMESPACE, "--namespace", NAMESPACE];
    client.helm(Duration::from_mins(2), &uninstall).await?;
    until("everything is gone", RETURN, async || {
        for kind in [
            "pods",
            "services",
            "deployments",
            "ingresses",
            "poddisruptionbudgets",
        ] {
            let left = client.get(NAMESPACE, &[kind]).await?;
            let names: Vec<String> = items(&left)
                .iter()
                // The pods of `helm test` are kept for whoever wants to read their logs.
                .filter(|object| kind != "pods" || is_service(object))
                .map(name)
                .collect();
            ensure!(
                names.is_empty(),
                "there are still {kind} {}",
                names.join(", ")
            );
        }
        Ok(())
    })
    .await
}

/// A pod of a service, and not that of `helm test`.
fn is_service(pod: &Value) -> bool {
    pod["metadata"]["labels"]["app.kubernetes.io/component"] != "smoke"
}

fn name(object: &Value) -> String {
    let name = object["metadata"]["name"].as_str();
    name.unwrap_or_default().to_owned()
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

async fn pod_names(client: &Client) -> Result<Vec<String>> {
    let pods = client.get(NAMESPACE, &["pods"]).await?;
    let services = items(&pods).iter().filter(|pod| is_service(pod));
    Ok(services.map(name).collect())
}

/// How often containers of services were started again.
async fn restarts(client: &Client) -> Result<u64> {
    let pods = client.get(NAMESPACE, &["pods"]).await?;
    let services = items(&pods).iter().filter(|pod| is_service(pod));
    let statuses = services.flat_map(|pod| {
        pod["status"]["containerStatuses"]
            .as_array()
            .into_iter()
            .flatten()
    });
    Ok(statuses
        .filter_map(|status| status["restartCount"].as_u64())
        .sum())
}

async fn all_ready(client: &Client) -> Result<()> {
    let pods = client.get(NAMESPACE, &["pods"]).await?;
    let waiting: Vec<String> = items(&pods)
        .iter()
        .filter(|pod| is_service(pod) && !is_ready(pod))
        .map(name)
        .collect();
    ensure!(waiting.is_empty(), "not ready: {}", waiting.join(", "));
    Ok(())
}
