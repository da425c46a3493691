//! The platform on the cluster: namespaces, database, a table, all charts, and the way in.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::client::items;
use super::daemon::{Daemon, until};
use super::database::{self, Database, Passwords};
use super::node::Cluster;
use super::sandbox::NODE_ADDRESS;
use super::{load, router};
use crate::console;
use crate::images::Checks;
use crate::platform::client::Client as Http;
use crate::workspace::Workspace;

/// Namespace of the services, and the name of the release in it.
pub(super) const NAMESPACE: &str = "tripod";
/// Namespace of the pipeline.
const PIPELINE: &str = "tripod-etl";
/// By which name pods reach the database.
const DATABASE: &str = "mysql.tripod-etl.svc";
/// Of the Ingress objects.
const CLASS: &str = "nginx";
/// The services' charts.
pub(super) const CHARTS: [&str; 3] = ["blockchain", "qrcode", "twitter"];
/// The first line of replies, as k8s/kind/values.yaml has it.
const LINE: (&str, &str) = ("Tripod", "000000000000");
/// Users that are asked for under load.
const USERS: u64 = 200;

/// Letters and digits, as the secret store makes them. They live as long as the test.
const PASSWORDS: Passwords = Passwords {
    reader: "reader4test",
    loader: "loader4test",
};

/// Everything that runs.
pub(super) struct Platform {
    pub(super) cluster: Cluster,
    pub(super) database: Database,
    folder: PathBuf,
    router: Option<Daemon>,
    /// Where the way in is.
    pub(super) entrance: SocketAddr,
    /// Recorded requests for `/twitter`.
    pub(super) corpus: PathBuf,
}

impl Platform {
    /// Installs all of it, from the files that ship, and asks golden requests.
    pub(super) async fn install(
        workspace: &Workspace,
        folder: &Path,
        mut cluster: Cluster,
        checks: &mut Checks,
    ) -> Result<Self> {
        let root = &workspace.root;
        let namespaces = root.join("k8s/namespaces.yaml");
        cluster.client.apply_file(&namespaces).await?;
        let database = attach_database(&mut cluster, folder).await?;
        console::say("the database greets");
        load_sample(&mut cluster, root).await?;
        console::say("a table is loaded");
        install_charts(&mut cluster, root).await?;
        checks.count("all charts are installed and ready", Ok(()));

        let names = names(&cluster).await?;
        cluster.answer_names(&names)?;
        let helm_test = ["test", NAMESPACE, "--namespace", NAMESPACE, "--timeout=5m"];
        let tested = cluster.client.helm(Duration::from_mins(6), &helm_test);
        checks.count(
            "helm test: golden requests from inside",
            tested.await.map(drop),
        );
        checks.count(
            "the objects are of the versions that this Kubernetes has",
            look_at_objects(&cluster).await,
        );

        let ingresses = cluster.client.get(NAMESPACE, &["ingresses"]).await?;
        let services = cluster.client.get(NAMESPACE, &["services"]).await?;
        let routes = router::routes(&ingresses, &services, CLASS)?;
        ensure!(
            routes.len() == CHARTS.len(),
            "{} paths lead in: {routes:?}",
            routes.len()
        );
        let (nginx, entrance) = router::start(folder, &cluster.logs()?, &routes)?;
        let mut platform = Self {
            cluster,
            database,
            folder: folder.to_owned(),
            router: Some(nginx),
            entrance,
            corpus: folder.join("corpus"),
        };
        platform
            .answers_everything(checks, "through the router")
            .await;
        platform.record().await?;
        Ok(platform)
    }

    /// The folder of the run.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Golden requests of every path, until they pass.
    pub(super) async fn answers_everything(&mut self, checks: &mut Checks, when: &str) {
        for service in CHARTS {
            let answered = self.answers(service).await;
            checks.count(&format!("{service}: golden requests {when}"), answered);
        }
    }

    /// Golden requests of one path, until they pass.
    pub(super) async fn answers(&mut self, service: &str) -> Result<()> {
        let Self {
            cluster,
            router,
            folder,
            entrance,
            ..
        } = self;
        until("golden requests", Duration::from_mins(2), async || {
            cluster.check()?;
            router.as_mut().map_or(Ok(()), Daemon::check)?;
            load::smoke(folder, *entrance, service, LINE).await
        })
        .await
    }

    /// Asks for some users once, for a load that compares every later reply with the first.
    async fn record(&self) -> Result<()> {
        let http = Http::new();
        let mut lines = String::new();
        for user in 1..=USERS {
            let target = format!("/twitter?user_id={user}&type=both&phrase=the&hashtag=cloud");
            let (status, reply) = http.get(self.entrance, &target).await?;
            ensure!(status == 200, "{target} is answered with {status}");
            let escaped = reply
                .replace('\\', "\\\\")
                .replace('\n', "\\n")
                .replace('\r', "\\r")
                .replace('\t', "\\t");
            // Writing to a string cannot fail.
            let _ = writeln!(lines, "{target}\t{escaped}");
        }
        fs::write(&self.corpus, lines)
            .with_context(|| format!("cannot write {}", self.corpus.display()))
    }

    /// What people would look at first.
    pub(super) async fn show_state(&self) {
        for arguments in [
            &["get", "pods", "--all-namespaces", "--output", "wide"][..],
            &[
                "get",
                "events",
                "--namespace",
                NAMESPACE,
                "--sort-by=.lastTimestamp",
            ],
        ] {
            let said = self.cluster.client.kubectl(arguments).await;
            let text = said.unwrap_or_else(|error| format!("{error:#}"));
            let lines: Vec<&str> = text.lines().collect();
            for line in &lines[lines.len().saturating_sub(40)..] {
                console::say(line);
            }
        }
    }

    /// Ends what would complain about a vanished peer; the rest goes with the namespaces.
    pub(super) async fn end(mut self) {
        if let Some(router) = self.router.take() {
            router.end().await;
        }
        self.database.stop().await;
    }
}

/// A database outside of the cluster, by a name inside of it.
async fn attach_database(cluster: &mut Cluster, folder: &Path) -> Result<Database> {
    let home = folder.join("database");
    let database = Database::create(&home, &cluster.logs()?, DATABASE, &PASSWORDS).await?;
    let authority = fs::read_to_string(database.authority())
        .with_context(|| format!("cannot read {}", database.authority().display()))?;
    let object = |kind: &str, namespace: &str, name: &str, key: &str, value: &Value| {
        let metadata = json!({"name": name, "namespace": namespace});
        json!({"apiVersion": "v1", "kind": kind, "metadata": metadata, key: value})
    };
    let port = json!([{"name": "mysql", "port": database::PORT}]);
    let endpoints = json!([{"addresses": [{"ip": NODE_ADDRESS}], "ports": port}]);
    let reader = json!({"password": PASSWORDS.reader});
    let loader = json!({"password": PASSWORDS.loader});
    let bundle = json!({"ca.pem": authority});
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [
        object("Service", PIPELINE, "mysql", "spec", &json!({"ports": port})),
        object("Endpoints", PIPELINE, "mysql", "subsets", &endpoints),
        object("Secret", PIPELINE, "database-loader", "stringData", &loader),
        object("Secret", NAMESPACE, "database-reader", "stringData", &reader),
        object("ConfigMap", PIPELINE, "database-ca", "data", &bundle),
        object("ConfigMap", NAMESPACE, "database-ca", "data", &bundle),
    ]});
    cluster
        .client
        .apply("database.json", &list.to_string())
        .await?;
    let names = names(cluster).await?;
    cluster.answer_names(&names)?;
    Ok(database)
}

/// All services' names, `name.namespace.svc`, with their addresses.
async fn names(cluster: &Cluster) -> Result<Vec<(String, String)>> {
    let mut names = Vec::new();
    for namespace in [NAMESPACE, PIPELINE] {
        let services = cluster.client.get(namespace, &["services"]).await?;
        for service in items(&services) {
            let name = service["metadata"]["name"].as_str().unwrap_or_default();
            let address = service["spec"]["clusterIP"].as_str().unwrap_or_default();
            if address.parse::<std::net::IpAddr>().is_ok() {
                names.push((format!("{name}.{namespace}.svc"), address.to_owned()));
            }
        }
    }
    Ok(names)
}

/// The table by the Job that ships, which asks for the database by name and checks its certificate.
async fn load_sample(cluster: &mut Cluster, root: &Path) -> Result<()> {
    let file = root.join("k8s/etl/sample.yaml");
    let text =
        fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    cluster
        .client
        .apply("sample.yaml", &text.replace("DATABASE-HOST", DATABASE))
        .await?;
    let wait = [
        "wait",
        "--for=condition=Complete",
        "job/sample",
        "--namespace",
        PIPELINE,
        "--timeout=6m",
    ];
    let waited = cluster.client.kubectl_for(Duration::from_mins(7), &wait);
    let Err(error) = waited.await else {
        return Ok(());
    };
    let logs = [
        "logs",
        "job/sample",
        "--namespace",
        PIPELINE,
        "--all-containers",
    ];
    let said = cluster.client.kubectl(&logs).await.unwrap_or_default();
    Err(error.context(format!("the sample table is not loaded: {said}")))
}

/// What differs from the throw-away cluster's values: an Ingress for each path and, for one service,
/// the autoscaler's object. A machine that also builds may stand still for seconds; that services
/// then shed requests is right, and tested elsewhere, but here only a lost request shall count. So
/// they are given time.
fn values() -> Value {
    let mut values = json!({"global": {"ingress": {"className": CLASS}}});
    for chart in CHARTS {
        values[chart] = json!({
            "ingress": {"enabled": true},
            "requestDeadlineSeconds": 30,
            "drainSeconds": 30,
            "probes": {"readinessFailures": 5},
        });
    }
    values["qrcode"]["autoscaling"] = json!({"mode": "hpa", "minReplicas": 2, "maxReplicas": 3});
    values["twitter"]["database"] = json!({"waitMs": 8000, "connectMs": 8000, "queryMs": 8000});
    values
}

/// The umbrella chart, all services by one release.
async fn install_charts(cluster: &mut Cluster, root: &Path) -> Result<()> {
    let more = cluster.write("values.json", &values().to_string())?;
    let chart = root.join("charts/tripod");
    let values = root.join("k8s/kind/values.yaml");
    let paths = [&chart, &values, &more].map(|path| path.to_string_lossy());
    let [chart, values, more] = &paths;
    let install = [
        "upgrade",
        "--install",
        NAMESPACE,
        chart,
        "--namespace",
        NAMESPACE,
        "--values",
        values,
        "--values",
        more,
        "--wait",
        "--timeout=10m",
    ];
    cluster
        .client
        .helm(Duration::from_mins(11), &install)
        .await?;
    Ok(())
}

/// What the server made of the charts' choice of versions.
async fn look_at_objects(cluster: &Cluster) -> Result<()> {
    let manifest = ["get", "manifest", NAMESPACE, "--namespace", NAMESPACE];
    let manifest = cluster
        .client
        .helm(Duration::from_mins(1), &manifest)
        .await?;
    for version in [
        "policy/v1beta1",
        "autoscaling/v2beta2",
        "networking.k8s.io/v1",
    ] {
        let line = format!("apiVersion: {version}");
        ensure!(
            manifest.lines().any(|found| found == line),
            "the release has no object of {version}"
        );
    }
    let budgets = cluster
        .client
        .get(NAMESPACE, &["poddisruptionbudgets"])
        .await?;
    ensure!(
        items(&budgets).len() == CHARTS.len(),
        "there are {} disruption budgets",
        items(&budgets).len()
    );
    let client = &cluster.client;
    until(
        "the budgets count the pods",
        Duration::from_mins(2),
        async || {
            let budgets = client.get(NAMESPACE, &["poddisruptionbudgets"]).await?;
            for budget in items(&budgets) {
                let status = &budget["status"];
                ensure!(
                    status["currentHealthy"] == 2 && status["disruptionsAllowed"] == 1,
                    "{}: {status}",
                    budget["metadata"]["name"]
                );
            }
            Ok(())
        },
    )
    .await
}
