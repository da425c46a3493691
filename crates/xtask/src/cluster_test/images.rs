//! The images that the cluster runs, from the static binaries, as archives that containerd reads.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::child::find_program;
use crate::console;
use crate::images::{Engine, TARGETS, output, prebuilt};
use crate::workspace::Workspace;

/// What holds a pod's namespaces: a program that waits.
pub(super) const PAUSE: &str = "localhost/tripod-pause:1";
/// That program's image. The options make it wait and reap.
const PAUSE_FILE: &str =
    "FROM scratch\nCOPY catatonit /catatonit\nENTRYPOINT [\"/catatonit\", \"-P\"]\n";

/// The archives of one run.
fn folder(run: &Path) -> PathBuf {
    run.join("images")
}

/// The binaries of the tools, which are also run outside of containers.
pub(super) fn tool(run: &Path, name: &str) -> PathBuf {
    run.join("context/docker/prebuilt/tools").join(name)
}

/// Builds the binaries, assembles the images and writes an archive of each.
pub(super) async fn make(workspace: &Workspace, run: &Path) -> Result<()> {
    let context = run.join("context");
    prebuilt(workspace, &context).await?;
    let archives = folder(run);
    fs::create_dir_all(&archives)
        .with_context(|| format!("cannot create {}", archives.display()))?;
    let engine = Engine::create()?;
    for target in TARGETS {
        // The name that a bare one stands for: charts and manifests have bare ones.
        let name = format!(
            "docker.io/library/tripod-{target}:{}",
            env!("CARGO_PKG_VERSION")
        );
        let mut build = engine.buildah();
        build
            .args(["build", "--isolation", "chroot", "--quiet"])
            .args(["--build-arg", "BINARIES=prebuilt", "--target", target])
            .args(["--tag", &name, "--file"])
            .arg(workspace.root.join("docker/Dockerfile"))
            .arg(&context);
        output(&mut build, "buildah build").await?;
        write(&engine, &name, &archives.join(target)).await?;
    }
    let pause = engine.folder().join("pause");
    fs::create_dir_all(&pause).with_context(|| format!("cannot create {}", pause.display()))?;
    let program = find_program("catatonit").context("catatonit is not installed")?;
    fs::copy(&program, pause.join("catatonit"))
        .with_context(|| format!("cannot copy {}", program.display()))?;
    fs::write(pause.join("Dockerfile"), PAUSE_FILE).context("cannot write a Dockerfile")?;
    let mut build = engine.buildah();
    build.args(["build", "--isolation", "chroot", "--quiet", "--tag", PAUSE]);
    output(build.arg(&pause), "buildah build").await?;
    write(&engine, PAUSE, &archives.join("pause")).await?;
    engine.remove().await;
    console::say(&format!("{} and the pause image", TARGETS.join(", ")));
    Ok(())
}

async fn write(engine: &Engine, name: &str, file: &Path) -> Result<()> {
    let archive = format!("oci-archive:{}.tar:{name}", file.display());
    let mut push = engine.buildah();
    push.args(["push", "--quiet", name, &archive]);
    output(&mut push, "buildah push").await.map(drop)
}

/// All archives of a run.
pub(super) fn archives(run: &Path) -> Result<Vec<PathBuf>> {
    let folder = folder(run);
    let entries =
        fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    Ok(entries.flatten().map(|entry| entry.path()).collect())
}
