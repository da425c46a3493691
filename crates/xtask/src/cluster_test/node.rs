//! A cluster of one node: the control plane, and what runs pods on a node.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Resource, Signal, getrlimit};
use serde_json::{Value, json};
use tokio::process::Command;

use super::client::{API_PORT, Client, TOKEN};
use super::daemon::{Daemon, until};
use super::sandbox::{self, NODE_ADDRESS};
use super::{images, kubernetes};
use crate::images::output;
use crate::tools::{Kit, Tools};
use crate::workspace::Workspace;

/// The node's name.
pub(super) const NODE: &str = "node";
/// Addresses of services.
const SERVICES: &str = "10.96.0.0/16";
/// Addresses of pods.
const PODS: &str = "10.91.0.0/16";
/// What pods take for the end of every name.
const DOMAIN: &str = "cluster.local";
/// Where containerd listens, in a mount of our own.
const CONTAINERD: &str = "/run/containerd/containerd.sock";
/// How long each part may take to answer; a busy machine needs some.
const PATIENCE: Duration = Duration::from_mins(5);
/// Most open files of the kubelet.
const MAX_OPEN_FILES: u64 = 20_000;

/// A running cluster.
pub(super) struct Cluster {
    /// Whoever talks to it.
    pub(super) client: Client,
    folder: PathBuf,
    programs: PathBuf,
    daemons: Vec<Daemon>,
    names: Option<Daemon>,
}

impl Cluster {
    /// Starts the control plane and waits until it answers.
    pub(super) async fn start(workspace: &Workspace, folder: &Path) -> Result<Self> {
        let tools = Tools::obtain(workspace, &[Kit::Helm]).await?;
        let mut cluster = Self {
            client: Client::create(&tools, folder)?,
            folder: folder.to_owned(),
            programs: kubernetes::folder(workspace),
            daemons: Vec::new(),
            names: None,
        };
        cluster.etcd()?;
        cluster.api_server().await?;
        cluster.controllers()?;
        Ok(cluster)
    }

    fn etcd(&mut self) -> Result<()> {
        let mut etcd = Daemon::command("etcd")?;
        etcd.arg("--data-dir")
            .arg(self.folder.join("etcd"))
            .args(["--listen-client-urls", "http://127.0.0.1:2379"])
            .args(["--advertise-client-urls", "http://127.0.0.1:2379"])
            .args(["--listen-peer-urls", "http://127.0.0.1:2380"])
            .args(["--initial-advertise-peer-urls", "http://127.0.0.1:2380"])
            .args(["--initial-cluster", "default=http://127.0.0.1:2380"])
            // It lives for minutes; what it costs to be safe is the disk of a busy machine.
            .arg("--unsafe-no-fsync");
        self.run("etcd", &mut etcd)
    }

    async fn api_server(&mut self) -> Result<()> {
        let key = self.folder.join("service-accounts.key");
        let mut openssl = Command::new("openssl");
        openssl.args(["genrsa", "-out"]).arg(&key).arg("2048");
        output(&mut openssl, "openssl genrsa").await?;
        let tokens = self.write(
            "tokens.csv",
            &format!("{TOKEN},test,1,\"system:masters\"\n"),
        )?;
        let mut server = self.program("kube-apiserver")?;
        server
            .arg("--etcd-servers=http://127.0.0.1:2379")
            .arg("--bind-address=127.0.0.1")
            .arg(format!("--secure-port={API_PORT}"))
            .arg(format!("--advertise-address={NODE_ADDRESS}"))
            .arg(format!("--external-hostname={NODE_ADDRESS}"))
            .arg(format!("--service-cluster-ip-range={SERVICES}"))
            .arg(argument("--cert-dir", &self.folder.join("certificates")))
            .arg("--service-account-issuer=https://kubernetes.default.svc")
            .arg(argument("--service-account-key-file", &key))
            .arg(argument("--service-account-signing-key-file", &key))
            .arg(argument("--token-auth-file", &tokens))
            .arg("--authorization-mode=RBAC");
        self.run("kube-apiserver", &mut server)?;
        let Self {
            client, daemons, ..
        } = self;
        until("the API server answers", PATIENCE, async || {
            check(daemons)?;
            client.kubectl(&["get", "--raw", "/readyz"]).await
        })
        .await?;
        Ok(())
    }

    fn controllers(&mut self) -> Result<()> {
        let config = self.client.config();
        let certificate = self.folder.join("certificates/apiserver.crt");
        let mut controllers = self.program("kube-controller-manager")?;
        controllers
            .arg(argument("--kubeconfig", &config))
            .arg(argument(
                "--service-account-private-key-file",
                &self.folder.join("service-accounts.key"),
            ))
            .arg(argument("--root-ca-file", &certificate))
            .args(["--bind-address=127.0.0.1", "--leader-elect=false"]);
        self.run("kube-controller-manager", &mut controllers)?;
        let mut scheduler = self.program("kube-scheduler")?;
        scheduler
            .arg(argument("--kubeconfig", &config))
            .args(["--bind-address=127.0.0.1", "--leader-elect=false"]);
        self.run("kube-scheduler", &mut scheduler)
    }

    /// Starts what runs pods, gives it the images, and waits until the node counts as ready.
    pub(super) async fn join(&mut self) -> Result<()> {
        self.containerd().await?;
        self.kubelet()?;
        self.proxy()?;
        self.answer_names(&[])?;
        let Self {
            client, daemons, ..
        } = self;
        until("the node is ready", PATIENCE, async || {
            check(daemons)?;
            let wait = ["wait", "--for=condition=Ready", "node/node", "--timeout=0s"];
            client.kubectl(&wait).await
        })
        .await?;
        Ok(())
    }

    async fn containerd(&mut self) -> Result<()> {
        let networks = self.folder.join("networks");
        fs::create_dir_all(&networks)
            .with_context(|| format!("cannot create {}", networks.display()))?;
        self.write("networks/10-tripod.conflist", &network().to_string())?;
        let root = self.folder.join("containerd");
        let settings = self.write("containerd.toml", &containerd_settings(&root, &networks))?;
        let mut containerd = Daemon::command("containerd")?;
        containerd.arg("--config").arg(settings);
        self.run("containerd", &mut containerd)?;
        let daemons = &mut self.daemons;
        until("containerd answers", PATIENCE, async || {
            check(daemons)?;
            output(&mut ctr(&["version"]), "ctr version").await
        })
        .await?;
        for archive in images::archives(&self.folder)? {
            let path = archive.to_string_lossy();
            let mut import = ctr(&["--namespace", "k8s.io", "images", "import", &path]);
            output(&mut import, "ctr images import").await?;
        }
        Ok(())
    }

    fn kubelet(&mut self) -> Result<()> {
        let group = format!("/{}", sandbox::group(&self.folder));
        let names = self.write("resolv.conf", "")?;
        let settings = kubelet_settings(&group, &names);
        let settings = self.write("kubelet.json", &settings.to_string())?;
        let mut kubelet = self.program("kubelet")?;
        kubelet
            .arg(argument("--config", &settings))
            .arg(argument("--kubeconfig", &self.client.config()))
            .arg(argument("--root-dir", &self.folder.join("kubelet")))
            .arg(argument("--cert-dir", &self.folder.join("kubelet/pki")))
            .arg(argument(
                "--volume-plugin-dir",
                &self.folder.join("plugins"),
            ))
            .arg("--container-runtime=remote")
            .arg(format!("--container-runtime-endpoint=unix://{CONTAINERD}"))
            .arg(format!("--hostname-override={NODE}"))
            .arg(format!("--node-ip={NODE_ADDRESS}"));
        self.run("kubelet", &mut kubelet)
    }

    fn proxy(&mut self) -> Result<()> {
        let settings = proxy_settings(&self.client.config());
        let settings = self.write("kube-proxy.json", &settings.to_string())?;
        let mut proxy = self.program("kube-proxy")?;
        proxy.arg(argument("--config", &settings));
        self.run("kube-proxy", &mut proxy)
    }

    /// Names of services, as `(name.namespace.svc, address)`; all others do not exist. A stand-in for
    /// the cluster's own name server, which would be another image.
    pub(super) fn answer_names(&mut self, names: &[(String, String)]) -> Result<()> {
        let mut lines = String::new();
        for (name, address) in names {
            // Writing to a string cannot fail.
            let _ = writeln!(lines, "{address} {name}.{DOMAIN}");
        }
        let file = self.write("names", &lines)?;
        if let Some(server) = &mut self.names {
            server.check()?;
            server.signal(Signal::HUP);
            return Ok(());
        }
        let mut server = Daemon::command("dnsmasq")?;
        server
            .args([
                "--keep-in-foreground",
                "--user=root",
                "--conf-file=/dev/null",
            ])
            .args([
                "--bind-interfaces",
                "--no-resolv",
                "--no-hosts",
                "--pid-file=",
            ])
            .arg(format!("--listen-address={NODE_ADDRESS}"))
            .arg(format!("--local=/{DOMAIN}/"))
            .arg(argument("--addn-hosts", &file));
        self.names = Some(Daemon::start(&self.logs()?, "dnsmasq", &mut server)?);
        Ok(())
    }

    /// Fails if a part of the cluster has ended.
    pub(super) fn check(&mut self) -> Result<()> {
        check(&mut self.daemons)
    }

    /// Where programs write their logs.
    pub(super) fn logs(&self) -> Result<PathBuf> {
        let logs = self.folder.join("logs");
        fs::create_dir_all(&logs).with_context(|| format!("cannot create {}", logs.display()))?;
        Ok(logs)
    }

    fn program(&self, name: &str) -> Result<Command> {
        Daemon::command(self.programs.join(name))
    }

    fn run(&mut self, name: &'static str, command: &mut Command) -> Result<()> {
        let logs = self.logs()?;
        self.daemons.push(Daemon::start(&logs, name, command)?);
        Ok(())
    }

    /// Writes a file into the run's folder.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let file = self.folder.join(name);
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(file)
    }
}

fn check(daemons: &mut [Daemon]) -> Result<()> {
    daemons.iter_mut().try_for_each(Daemon::check)
}

fn argument(name: &str, path: &Path) -> String {
    format!("{name}={}", path.display())
}

fn ctr(arguments: &[&str]) -> Command {
    let mut ctr = Command::new("ctr");
    ctr.args(["--address", CONTAINERD])
        .args(arguments)
        .kill_on_drop(true);
    ctr
}

/// A bridge between all pods of the node, and the node.
fn network() -> Value {
    json!({"cniVersion": "0.4.0", "name": "tripod", "plugins": [{
        "type": "bridge",
        "bridge": "pods0",
        "isDefaultGateway": true,
        "hairpinMode": true,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": PODS}]]},
    }]})
}

/// Version 2 of containerd's file. `restrict_oom_score_adj`: to lower the score takes a privilege that
/// hosts which are containers themselves do not have.
fn containerd_settings(root: &Path, networks: &Path) -> String {
    format!(
        "version = 2\nroot = \"{}\"\nstate = \"/run/containerd\"\n\
         [grpc]\naddress = \"{CONTAINERD}\"\n\
         [plugins.\"io.containerd.grpc.v1.cri\"]\n\
         restrict_oom_score_adj = true\ndisable_apparmor = true\nsandbox_image = \"{}\"\n\
         [plugins.\"io.containerd.grpc.v1.cri\".cni]\nbin_dir = \"/usr/lib/cni\"\nconf_dir = \"{}\"\n",
        root.display(),
        images::PAUSE,
        networks.display()
    )
}

fn kubelet_settings(group: &str, names: &Path) -> Value {
    let files = getrlimit(Resource::Nofile).maximum;
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": NODE_ADDRESS,
        "authentication": {"anonymous": {"enabled": true}, "webhook": {"enabled": false}},
        "authorization": {"mode": "AlwaysAllow"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": group,
        "clusterDNS": [NODE_ADDRESS],
        "clusterDomain": DOMAIN,
        "resolvConf": names,
        "enforceNodeAllocatable": [],
        "failSwapOn": false,
        "oomScoreAdj": 0,
        "maxOpenFiles": files.unwrap_or(MAX_OPEN_FILES).min(MAX_OPEN_FILES),
        // The disk is the host's: how full it is says nothing about the cluster.
        "evictionHard": {"memory.available": "50Mi"},
        "imageGCHighThresholdPercent": 100,
    })
}

/// `masqueradeAll`: pods of one bridge would otherwise answer each other directly, past the rules that
/// turned the service's address into theirs. Limits of connection tracking are the host's.
fn proxy_settings(kubeconfig: &Path) -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": kubeconfig},
        "hostnameOverride": NODE,
        "mode": "iptables",
        "iptables": {"masqueradeAll": true},
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpCloseWaitTimeout": "0s", "tcpEstablishedTimeout": "0s"},
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
    })
}

/// Kills what services run on the node, without a word to them or to the cluster, and says how many.
pub(super) async fn kill_services() -> Result<usize> {
    // The services are the first program of their pods, by names that nothing else has here.
    let is_service = |line: &[u8]| {
        let program = line.split(|byte| *byte == 0).next().unwrap_or_default();
        crate::platform::SERVICES
            .iter()
            .any(|(name, _)| program == format!("/{name}").as_bytes())
    };
    let mut killed = 0;
    for entry in fs::read_dir("/proc")
        .context("cannot read /proc")?
        .flatten()
    {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let Ok(line) = fs::read(entry.path().join("cmdline")) else {
            continue;
        };
        if is_service(&line)
            && let Some(pid) = rustix::process::Pid::from_raw(pid)
            && rustix::process::kill_process(pid, Signal::KILL).is_ok()
        {
            killed += 1;
        }
    }
    ensure!(killed > 0, "no service runs on the node");
    // Let the runtime see it before anybody looks.
    tokio::task::yield_now().await;
    Ok(killed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_are_in_our_own_control_groups_and_ask_our_own_name_server() {
        let settings = kubelet_settings("/tripod-cluster-run-1", Path::new("/f/resolv.conf"));
        assert_eq!(settings["cgroupRoot"], "/tripod-cluster-run-1");
        assert_eq!(settings["clusterDNS"][0], NODE_ADDRESS);
        assert!(settings["maxOpenFiles"].as_u64().unwrap() <= MAX_OPEN_FILES);
    }
}
