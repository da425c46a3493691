//! Certificates for servers that live for a test.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use tokio::process::Command;

use super::{attach_log, tail};
use crate::child;

/// A certificate authority and a server certificate for 127.0.0.1. The ones
/// that MySQL makes for itself name no host, so a client that checks the name
/// could not be tested with them; MariaDB makes none.
pub(crate) struct Certificates {
    authority: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl Certificates {
    /// Makes both; the server's is for loopback, and for these names too.
    pub(crate) async fn create(folder: &Path, names: &[&str]) -> Result<Self> {
        let made = Self {
            authority: folder.join("ca.pem"),
            certificate: folder.join("server.pem"),
            key: folder.join("server-key.pem"),
        };
        let names = [&["localhost"], names].concat().join(",DNS:");
        let authority_key = folder.join("ca-key.pem");
        let log = folder.join("openssl.log");
        let request = |name: &str, key: &Path, certificate: &Path| {
            let mut command = Command::new("openssl");
            command
                .args([
                    "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                ])
                .args(["-subj", name, "-keyout"])
                .arg(key)
                .arg("-out")
                .arg(certificate);
            command
        };
        let mut authority = request("/CN=Tripod test authority", &authority_key, &made.authority);
        authority.args(["-addext", "keyUsage=critical,keyCertSign,cRLSign"]);
        let mut server = request("/CN=localhost", &made.key, &made.certificate);
        server
            .arg("-CA")
            .arg(&made.authority)
            .arg("-CAkey")
            .arg(&authority_key)
            .arg("-addext")
            .arg(format!("subjectAltName=IP:127.0.0.1,DNS:{names}"))
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .args(["-addext", "extendedKeyUsage=serverAuth"]);
        for mut command in [authority, server] {
            attach_log(&mut command, &log)?;
            if !child::status(&mut command, "openssl").await?.success() {
                bail!("openssl cannot make the test certificates:\n{}", tail(&log));
            }
        }
        Ok(made)
    }

    /// The certificate of the authority.
    pub(crate) fn authority(&self) -> &Path {
        &self.authority
    }

    /// Tells a server of them.
    pub(crate) fn pass_to(&self, command: &mut Command) {
        command
            .arg(format!("--ssl-ca={}", self.authority.display()))
            .arg(format!("--ssl-cert={}", self.certificate.display()))
            .arg(format!("--ssl-key={}", self.key.display()));
    }
}
