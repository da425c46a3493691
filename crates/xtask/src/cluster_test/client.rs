//! kubectl and helm on the cluster.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::images::output;
use crate::tools::Tools;

/// Where the API server listens, on loopback.
pub(super) const API_PORT: u16 = 6443;
/// What everybody shows who asks it. Not a secret: nothing leads to it from outside.
pub(super) const TOKEN: &str = "tripod";

/// Most that one command may take unless said otherwise.
pub(super) const SHORT: Duration = Duration::from_mins(2);

/// Whoever talks to the API server.
pub(super) struct Client {
    kubectl: PathBuf,
    helm: PathBuf,
    folder: PathBuf,
}

impl Client {
    /// Writes the file that says where the server is.
    pub(super) fn create(tools: &Tools, folder: &Path) -> Result<Self> {
        let client = Self {
            kubectl: tools.program("kubectl")?,
            helm: tools.program("helm")?,
            folder: folder.to_owned(),
        };
        let file = client.config();
        fs::write(&file, kubeconfig().to_string())
            .with_context(|| format!("cannot write {}", file.display()))?;
        Ok(client)
    }

    /// That file.
    pub(super) fn config(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    /// Runs kubectl and takes what it says.
    pub(super) async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.kubectl_for(SHORT, arguments).await
    }

    /// The same, for a command that waits for something.
    pub(super) async fn kubectl_for(&self, limit: Duration, arguments: &[&str]) -> Result<String> {
        self.run(&self.kubectl, limit, arguments).await
    }

    /// Runs helm and takes what it says.
    pub(super) async fn helm(&self, limit: Duration, arguments: &[&str]) -> Result<String> {
        self.run(&self.helm, limit, arguments).await
    }

    /// Applies objects; `name` is that of the file that they are kept in.
    pub(super) async fn apply(&self, name: &str, text: &str) -> Result<()> {
        let file = self.folder.join(name);
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        self.apply_file(&file).await
    }

    /// Applies a file.
    pub(super) async fn apply_file(&self, file: &Path) -> Result<()> {
        let file = file.to_string_lossy();
        self.kubectl(&["apply", "-f", &file]).await.map(drop)
    }

    /// The objects of a kind in a namespace, or one of them.
    pub(super) async fn get(&self, namespace: &str, what: &[&str]) -> Result<Value> {
        let arguments = [&["get", "--namespace", namespace, "--output", "json"], what];
        let text = self.kubectl(&arguments.concat()).await?;
        serde_json::from_str(&text).context("kubectl get printed no JSON")
    }

    async fn run(&self, program: &Path, limit: Duration, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env("KUBECONFIG", self.config())
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true);
        for name in [
            "HELM_CACHE_HOME",
            "HELM_CONFIG_HOME",
            "HELM_DATA_HOME",
            "HOME",
        ] {
            command.env(name, &self.folder);
        }
        let name = program.file_name().map(OsStr::to_string_lossy);
        let what = format!("{} {}", name.unwrap_or_default(), arguments.join(" "));
        let done = tokio::time::timeout(limit, output(&mut command, &what)).await;
        done.with_context(|| format!("{what}: not done within {} s", limit.as_secs()))?
    }
}

/// The list in an answer about several objects.
pub(super) fn items(answer: &Value) -> &[Value] {
    answer["items"].as_array().map_or(&[], Vec::as_slice)
}

fn kubeconfig() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": {
            "server": format!("https://127.0.0.1:{API_PORT}"),
            // The server made its certificate itself.
            "insecure-skip-tls-verify": true,
        }}],
        "users": [{"name": "test", "user": {"token": TOKEN}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    })
}
