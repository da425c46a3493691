//! Other people's servers, from Debian's packages, where they are wanted.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result};
use tokio::process::Command;

use super::server::{SERVER_CORE, Server, pinned};
use crate::database::free_port;
use crate::packages::Needed;
use crate::workspace::Workspace;
use crate::{child, console};

/// Where Debian puts the sources of Go libraries.
const GO_LIBRARIES: &str = "/usr/share/gocode";
const FASTHTTP: &str = "src/github.com/valyala/fasthttp";

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Peers {
    nginx: Option<PathBuf>,
    fasthttp: Option<PathBuf>,
}

impl Peers {
    /// Looks for both; `install` fetches what is missing. A peer that is not there leaves its
    /// figures away.
    pub(super) async fn find(workspace: &Workspace, install: bool) -> Result<Self> {
        let folder = workspace.scratch("bench");
        let unpacked = folder.join("nginx/usr/sbin/nginx");
        let mut nginx = child::find_program("nginx").or_else(|| Some(unpacked.clone()));
        if install && nginx.as_ref().is_some_and(|nginx| !nginx.is_file()) {
            unpack_nginx(&folder).await?;
        }
        nginx.take_if(|nginx| !nginx.is_file());
        let library = Path::new(GO_LIBRARIES).join(FASTHTTP);
        if install {
            let needed = Needed {
                purpose: "the fasthttp peer",
                programs: &["go"],
                packages: &["golang-go", "golang-github-valyala-fasthttp-dev"],
            };
            // A host may have a compiler of its own, as runners of pipelines do, and not the library.
            if library.is_dir() {
                needed.ensure().await?;
            } else {
                needed.install(&["fasthttp"]).await?;
            }
        }
        let can_build = child::find_program("go").is_some() && library.is_dir();
        let fasthttp = if can_build {
            Some(build_fasthttp(workspace, &folder).await?)
        } else {
            None
        };
        for (name, found) in [("nginx", nginx.is_some()), ("fasthttp", fasthttp.is_some())] {
            if !found {
                console::say(&format!(
                    "no {name} here; its figures are left away (`--install-peers` fetches it)"
                ));
            }
        }
        Ok(Self { nginx, fasthttp })
    }

    /// nginx with a constant reply.
    pub(super) async fn nginx(&self, folder: &Path) -> Result<Option<Server>> {
        let Some(program) = &self.nginx else {
            return Ok(None);
        };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let home = folder.join("nginx-run");
        fs::create_dir_all(&home).with_context(|| format!("cannot create {}", home.display()))?;
        let configuration = home.join("nginx.conf");
        fs::write(&configuration, nginx_configuration(address, &home))
            .with_context(|| format!("cannot write {}", configuration.display()))?;
        let mut command = pinned(program, SERVER_CORE)?;
        command
            .arg("-p")
            .arg(&home)
            .arg("-c")
            .arg(&configuration)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Server::listening(command, program, address, "/ok")
            .await
            .map(Some)
    }

    /// fasthttp's hello on one processor.
    pub(super) async fn fasthttp(&self) -> Result<Option<Server>> {
        let Some(program) = &self.fasthttp else {
            return Ok(None);
        };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let mut command = pinned(program, SERVER_CORE)?;
        command.arg(address.to_string()).env("GOMAXPROCS", "1");
        Server::listening(command, program, address, "/ok")
            .await
            .map(Some)
    }
}

fn nginx_configuration(address: SocketAddr, home: &Path) -> String {
    let home = home.display();
    // In one process, so that ending it ends all of it.
    format!(
        "daemon off;\nmaster_process off;\nworker_processes 1;\npid {home}/pid;\n\
         error_log /dev/null;\nevents {{ worker_connections 4096; }}\n\
         http {{\n  access_log off;\n  keepalive_requests 1000000000;\n\
         \x20 client_body_temp_path {home}/body;\n  proxy_temp_path {home}/proxy;\n\
         \x20 fastcgi_temp_path {home}/fastcgi;\n  uwsgi_temp_path {home}/uwsgi;\n\
         \x20 scgi_temp_path {home}/scgi;\n  default_type text/plain;\n\
         \x20 server {{\n    listen {address};\n    location / {{ return 200 \"Hello, World!\"; }}\n  }}\n}}\n"
    )
}

/// The package starts a service when it is installed, so it is unpacked instead.
async fn unpack_nginx(folder: &Path) -> Result<()> {
    let into = folder.join("nginx");
    fs::create_dir_all(&into).with_context(|| format!("cannot create {}", into.display()))?;
    let mut fetch = Command::new("apt-get");
    fetch.args(["-q", "download", "nginx"]).current_dir(&into);
    child::run(&mut fetch, "apt-get download nginx").await?;
    let package = fs::read_dir(&into)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"));
    let package = package.context("apt-get fetched no package")?;
    let mut unpack = Command::new("dpkg-deb");
    unpack.arg("-x").arg(package).arg(&into);
    child::run(&mut unpack, "dpkg-deb -x").await
}

async fn build_fasthttp(workspace: &Workspace, folder: &Path) -> Result<PathBuf> {
    let program = folder.join("fasthttp");
    let mut build = Command::new("go");
    build
        .args(["build", "-o"])
        .arg(&program)
        .arg(workspace.root.join("benches/peers/fasthttp.go"))
        .env("GO111MODULE", "off")
        .env("GOPATH", GO_LIBRARIES)
        .env("GOCACHE", folder.join("go-cache"));
    child::run(&mut build, "go build").await?;
    Ok(program)
}
