//! Assembling the images, and what can be seen of them without running them.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::process::Command;

use super::engine::{Engine, output};
use super::source::Source;
use super::{Checks, SERVICES, TOOLS};
use crate::workspace::Workspace;

/// A service's image must stay below this.
const MAX_SERVICE_BYTES: u64 = 15_000_000;
/// The tools' image too, so that nobody is surprised; the engine for huge data
/// sets is most of it.
const MAX_TOOLS_BYTES: u64 = 250_000_000;
/// Who runs in them.
const USER: &str = "65532:65532";

/// Makes every image, or only one, and looks at it; twice, where that is cheap. Says whether the
/// tools' has the query engine.
pub(super) async fn check(
    engine: &Engine,
    workspace: &Workspace,
    source: &Source,
    only: Option<&str>,
    checks: &mut Checks,
) -> Result<bool> {
    let mut has_engine = false;
    let commit = commit(workspace).await;
    let services = SERVICES
        .iter()
        .map(|service| (service.target, Some(service.program)));
    let wanted = |target: &str| only.is_none_or(|only| only == target);
    let all = services.chain([(TOOLS, None)]);
    for (target, program) in all.filter(|(target, _)| wanted(target)) {
        let build = async |format| build(engine, workspace, source, target, &commit, format).await;
        if source.is_cheap {
            // Without the image nothing further makes sense.
            let (first, second) = (build(Format::Oci).await?, build(Format::Oci).await?);
            checks.count(
                &format!("image {target}: two builds give one id"),
                (first == second)
                    .then_some(())
                    .with_context(|| format!("{first} and {second}")),
            );
        }
        // Last, so that the image of that name is the one with the health check.
        let id = build(Format::Docker).await?;
        let facts = facts(engine, &id).await?;
        let settings = look_at_settings(&facts, target, program, &commit);
        checks.count(
            &format!("image {target}: size, user, labels, health check"),
            settings,
        );
        let (files, authorities) = files(engine, &id).await?;
        checks.count(
            &format!("image {target}: holds its programs and nothing else"),
            look_at_files(&files, program),
        );
        if target == TOOLS {
            has_engine = files.iter().any(|file| file == "/etl-score");
            checks.count(
                &format!("image {target}: knows the public authorities"),
                look_at_authorities(&authorities, &facts["Config"]),
            );
        }
    }
    Ok(has_engine)
}

/// The commit that the images are labelled with.
async fn commit(workspace: &Workspace) -> String {
    let mut git = Command::new("git");
    git.args(["rev-parse", "HEAD"]).current_dir(&workspace.root);
    output(&mut git, "git rev-parse")
        .await
        .unwrap_or_else(|_| "unknown".to_owned())
}

/// How an image is written down.
#[derive(Clone, Copy)]
enum Format {
    /// The standard's: the same for the same content.
    Oci,
    /// Docker's, which alone has a place for HEALTHCHECK. buildah also puts the
    /// random name of the container in it that it assembled the image in.
    Docker,
}

async fn build(
    engine: &Engine,
    workspace: &Workspace,
    source: &Source,
    target: &str,
    commit: &str,
    format: Format,
) -> Result<String> {
    let format = match format {
        Format::Oci => "oci",
        Format::Docker => "docker",
    };
    let id_file = engine.folder().join("image-id");
    let mut buildah = engine.buildah();
    buildah.arg("build");
    source
        .arguments(&mut buildah)
        .args(["--format", format, "--isolation", "chroot"])
        .arg("--quiet")
        .args(["--build-arg", &format!("GIT_COMMIT={commit}")])
        .args([
            "--build-arg",
            &format!("VERSION={}", env!("CARGO_PKG_VERSION")),
        ])
        .args(["--target", target, "--tag", &image(target)])
        .arg("--iidfile")
        .arg(&id_file)
        .arg("--file")
        .arg(workspace.root.join("docker/Dockerfile"))
        .arg(source.context());
    output(&mut buildah, &format!("buildah build --target {target}")).await?;
    let id = std::fs::read_to_string(&id_file)
        .with_context(|| format!("cannot read {}", id_file.display()))?;
    Ok(id.trim().trim_start_matches("sha256:").to_owned())
}

/// The name that an image is run by.
pub(super) fn image(target: &str) -> String {
    format!("localhost/tripod-{target}:check")
}

async fn facts(engine: &Engine, id: &str) -> Result<Value> {
    let mut inspect = engine.podman();
    inspect.args(["image", "inspect", id]);
    let text = output(&mut inspect, "podman image inspect").await?;
    let mut all: Value =
        serde_json::from_str(&text).context("podman image inspect printed no JSON")?;
    Ok(all[0].take())
}

/// Size, user, labels, entry point and health check.
fn look_at_settings(
    facts: &Value,
    target: &str,
    program: Option<&str>,
    commit: &str,
) -> Result<()> {
    let limit = match program {
        Some(_) => MAX_SERVICE_BYTES,
        None => MAX_TOOLS_BYTES,
    };
    let size = facts["Size"].as_u64().context("no size")?;
    ensure!(size < limit, "{size} bytes, the limit is {limit}");
    let config = &facts["Config"];
    ensure!(config["User"] == USER, "the user is {}", config["User"]);
    for (label, value) in [
        (
            "title",
            program.map_or_else(|| format!("tripod-{target}"), str::to_owned),
        ),
        ("revision", commit.to_owned()),
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("licenses", "MIT OR Apache-2.0".to_owned()),
    ] {
        let found = &facts["Labels"][format!("org.opencontainers.image.{label}")];
        ensure!(
            *found == value.as_str(),
            "the label {label} is {found}, not {value}"
        );
    }
    let Some(program) = program else {
        return Ok(());
    };
    let path = format!("/{program}");
    ensure!(
        config["Entrypoint"] == serde_json::json!([path]),
        "the entry point is {}",
        config["Entrypoint"]
    );
    let health = &facts["HealthCheck"]["Test"];
    let health = if health.is_null() {
        &facts["Healthcheck"]["Test"]
    } else {
        health
    };
    ensure!(
        *health == serde_json::json!(["CMD", path, "healthcheck"]),
        "the health check is {health}"
    );
    Ok(())
}

/// The paths of all files in an image, and its list of authorities, if there is one.
async fn files(engine: &Engine, id: &str) -> Result<(Vec<String>, String)> {
    let mut mount = engine.podman();
    mount.args(["image", "mount", id]);
    let root = output(&mut mount, "podman image mount").await?;
    let mut files = Vec::new();
    let mut folders = vec![Path::new(&root).to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            } else if let Ok(inside) = path.strip_prefix(&root) {
                files.push(format!("/{}", inside.display()));
            }
        }
    }
    let authorities = format!("{root}{AUTHORITIES}");
    let authorities = std::fs::read_to_string(authorities).unwrap_or_default();
    let mut unmount = engine.podman();
    unmount.args(["image", "unmount", id]);
    output(&mut unmount, "podman image unmount").await?;
    files.sort();
    Ok((files, authorities))
}

/// Where the tools look for the authorities that they trust.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Fewer than this are no list of public authorities.
const FEWEST_AUTHORITIES: usize = 50;

/// A service's image has one file; the tools' has programs and the public authorities.
fn look_at_files(files: &[String], program: Option<&str>) -> Result<()> {
    if let Some(program) = program {
        ensure!(*files == [format!("/{program}")], "it holds {files:?}");
        return Ok(());
    }
    for needed in ["/etl", "/loadgen", AUTHORITIES] {
        ensure!(
            files.iter().any(|file| file == needed),
            "{needed} is missing in {files:?}"
        );
    }
    // Built by itself, and here only where somebody has.
    let known = ["/etl", "/etl-score", "/loadgen", AUTHORITIES];
    if let Some(other) = files.iter().find(|file| !known.contains(&file.as_str())) {
        bail!("it holds {other}");
    }
    Ok(())
}

/// The authorities are a list of certificates, and the programs are told where it is.
fn look_at_authorities(bundle: &str, config: &Value) -> Result<()> {
    let count = bundle.matches("-----BEGIN CERTIFICATE-----").count();
    ensure!(
        count >= FEWEST_AUTHORITIES,
        "{AUTHORITIES} holds {count} certificates"
    );
    let told = format!("SSL_CERT_FILE={AUTHORITIES}");
    let environment = config["Env"].as_array().map(Vec::as_slice);
    ensure!(
        environment.unwrap_or_default().contains(&Value::from(told)),
        "SSL_CERT_FILE does not name them: {}",
        config["Env"]
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn good() -> Value {
        json!({
            "Size": 3_000_000,
            "Labels": {
                "org.opencontainers.image.title": "qrcode-service",
                "org.opencontainers.image.revision": "abc",
                "org.opencontainers.image.version": env!("CARGO_PKG_VERSION"),
                "org.opencontainers.image.licenses": "MIT OR Apache-2.0",
            },
            "Config": {"User": "65532:65532", "Entrypoint": ["/qrcode-service"]},
            "HealthCheck": {"Test": ["CMD", "/qrcode-service", "healthcheck"]},
        })
    }

    fn verdict(facts: &Value) -> Result<()> {
        look_at_settings(facts, "qrcode", Some("qrcode-service"), "abc")
    }

    #[test]
    fn takes_an_image_as_it_should_be() {
        verdict(&good()).unwrap();
    }

    #[test]
    fn names_what_is_wrong_with_an_image() {
        for (pointer, value, complaint) in [
            ("/Size", json!(15_000_000), "the limit is 15000000"),
            ("/Config/User", json!("root"), "the user is \"root\""),
            ("/Config/Entrypoint", json!(["/bin/sh"]), "entry point"),
            ("/HealthCheck/Test", json!(["NONE"]), "health check"),
            (
                "/Labels/org.opencontainers.image.revision",
                json!("unknown"),
                "the label revision",
            ),
        ] {
            let mut facts = good();
            *facts.pointer_mut(pointer).unwrap() = value;
            let error = verdict(&facts).unwrap_err().to_string();
            assert!(error.contains(complaint), "{error}");
        }
    }

    #[test]
    fn a_second_file_in_a_services_image_is_noticed() {
        let files = |names: &[&str]| -> Vec<String> {
            names.iter().map(|name| (*name).to_owned()).collect()
        };
        let service = Some("qrcode-service");
        assert!(look_at_files(&files(&["/qrcode-service"]), service).is_ok());
        assert!(look_at_files(&files(&["/bin/sh", "/qrcode-service"]), service).is_err());
        let tools = ["/etl", "/loadgen", AUTHORITIES];
        let with = |more| files(&[&tools[..], &[more]].concat());
        assert!(look_at_files(&files(&tools), None).is_ok());
        assert!(look_at_files(&with("/etl-score"), None).is_ok());
        assert!(look_at_files(&with("/etc/passwd"), None).is_err());
        assert!(look_at_files(&files(&tools[..2]), None).is_err());
        assert!(look_at_files(&files(&tools[1..]), None).is_err());
    }

    #[test]
    fn the_public_authorities_are_many_and_the_tools_are_told_of_them() {
        let bundle = "-----BEGIN CERTIFICATE-----\n".repeat(FEWEST_AUTHORITIES);
        let told = json!({"Env": ["PATH=/", format!("SSL_CERT_FILE={AUTHORITIES}")]});
        look_at_authorities(&bundle, &told).unwrap();
        assert!(look_at_authorities(&bundle[1..], &told).is_err());
        assert!(look_at_authorities(&bundle, &json!({"Env": ["PATH=/"]})).is_err());
        assert!(look_at_authorities(&bundle, &json!({})).is_err());
    }
}
