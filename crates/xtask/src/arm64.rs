//! `cargo xtask arm64-test`: the tests of the pure crates, all vectors among them, built for arm64 and
//! run by qemu. Deployments run on arm64 while most people develop on something else.
//!
//! The pinned toolchain comes without a standard library for arm64 where only package registries can
//! be reached, so compiler, library and cross linker are those of Debian's unstable suite, in a folder
//! of their own. A check, not a way to make releases: those are built natively.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use tokio::process::Command;

use crate::packages::{Needed, is_root};
use crate::test::cargo_test_by;
use crate::workspace::{Workspace, cargo};
use crate::{child, console, debian};

/// The suite whose compiler is young enough for this workspace.
const SUITE: &str = "sid";
/// What the programs are built for.
const TARGET: &str = "aarch64-unknown-linux-gnu";
/// What is tested: everything that computes.
const PACKAGES: [&str; 3] = ["blockchain-core", "qrcode-core", "twitter-core"];
/// Compiler, linker, libraries and emulator.
const TOOLCHAIN: [&str; 7] = [
    "ca-certificates",
    "rustc",
    "cargo",
    "libstd-rust-dev:arm64",
    "gcc-aarch64-linux-gnu",
    "libc6-dev-arm64-cross",
    "qemu-user",
];
/// Left in the folder when it is complete.
const COMPLETE: &str = "etc/tripod-toolchain";

/// Cases of each property; an emulated processor is some ten times slower.
const PROPERTY_CASES: &str = "32";

/// In a mount namespace of its own: what is mounted is gone with the process, however it ends. The
/// registry and the sources are read, nothing but the build products is written.
const INSIDE: &str = r#"
root=$1 sources=$2 registry=$3 products=$4 vectors=$5
shift 5
mkdir -p "$root/work" "$root/cargo" "$root/products" "$root/vectors" "$products"
mount --bind "$sources" "$root/work"
mount -o remount,bind,ro "$root/work"
mount --bind "$registry" "$root/cargo"
mount -o remount,bind,ro "$root/cargo"
mount --bind "$products" "$root/products"
if [ -n "$vectors" ]; then
  mount --bind "$vectors" "$root/vectors"
  mount -o remount,bind,ro "$root/vectors"
fi
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
exec chroot "$root" /usr/bin/env -i PATH=/usr/bin:/bin HOME=/root CI="${CI:-}" \
  CARGO_HOME=/cargo CARGO_TARGET_DIR=/products CARGO_NET_OFFLINE=true \
  CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
  CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER=qemu-aarch64 \
  RUSTFLAGS='-C target-feature=+crt-static' PROPTEST_CASES="$PROPTEST_CASES" TRIPOD_VECTORS=/vectors \
  sh -c 'cd /work && exec cargo "$@"' cargo "$@"
"#;

/// Runs the tests and says their sum.
pub(crate) async fn run() -> Result<ExitCode> {
    let workspace = Workspace::locate().await?;
    let root = obtain(&workspace).await?;
    let mut fetch = cargo();
    fetch.args(["fetch", "--locked", "--target", TARGET]);
    child::run(fetch.current_dir(&workspace.root), "cargo fetch").await?;

    console::header("the cores' tests on an emulated arm64");
    let vectors = vectors(&workspace.root);
    let mut inside = Command::new("unshare");
    inside
        .args([
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-euc",
            INSIDE,
            "sh",
        ])
        .arg(&root)
        .arg(&workspace.root)
        .arg(registry()?)
        .arg(workspace.scratch("arm64-products"))
        .arg(vectors.unwrap_or_default())
        .env("PROPTEST_CASES", PROPERTY_CASES);
    let mut packages = vec!["--target", TARGET];
    packages.extend(PACKAGES.iter().flat_map(|package| ["-p", package]));
    // Documentation tests are not run by a runner.
    packages.extend(["--lib", "--tests"]);
    let tally = cargo_test_by(inside, &packages, &[], None, None).await?;
    let must_not_skip = env::var_os("CI").is_some_and(|value| value == "true");
    let code = tally.conclude();
    ensure!(
        tally.skipped.is_empty() || !must_not_skip,
        "a test was left out, which CI=true forbids"
    );
    Ok(code)
}

/// The folder with the toolchain: that of an earlier run, or a new one.
async fn obtain(workspace: &Workspace) -> Result<PathBuf> {
    if !is_root() {
        bail!("this runs in a Debian folder of its own, which needs root: run it as root");
    }
    Needed {
        purpose: "a mount namespace",
        programs: &["unshare", "chroot"],
        packages: &["util-linux", "coreutils"],
    }
    .ensure()
    .await?;
    let root = workspace.scratch("arm64");
    if root.join(COMPLETE).is_file() {
        return Ok(root);
    }
    console::say(&format!(
        "fetching a compiler for arm64 from Debian {SUITE} (some 400 MB, 2 GB unpacked)"
    ));
    debian::bootstrap(SUITE, &[], &root).await?;
    let transport = root.join("etc/apt/apt.conf.d/90transport");
    fs::write(&transport, debian::transport().await?)
        .with_context(|| format!("cannot write {}", transport.display()))?;
    let mut install = Command::new("chroot");
    install
        .arg(&root)
        .args([
            "/usr/bin/env",
            "DEBIAN_FRONTEND=noninteractive",
            "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
        ])
        .args(["sh", "-euc"])
        .arg(
            "dpkg --add-architecture arm64; apt-get -q -o Acquire::Check-Valid-Until=false update; \
             apt-get -q install -y --no-install-recommends \"$@\"; apt-get clean",
        )
        .arg("sh")
        .args(TOOLCHAIN);
    child::run(&mut install, "apt-get in the folder").await?;
    let complete = root.join(COMPLETE);
    fs::write(&complete, "").with_context(|| format!("cannot write {}", complete.display()))?;
    Ok(root)
}

/// Where this host's cargo keeps the sources of dependencies.
fn registry() -> Result<PathBuf> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    home.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")))
        .context("neither CARGO_HOME nor HOME is set")
}

/// The public vectors, where they are; without them their tests say that they are skipped.
fn vectors(root: &Path) -> Option<PathBuf> {
    let named = env::var_os("TRIPOD_VECTORS").map(PathBuf::from);
    let folder = named.unwrap_or_else(|| root.join("../shared/vectors"));
    folder.canonicalize().ok()
}
