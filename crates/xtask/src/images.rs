//! The images of `docker/Dockerfile`, assembled from static binaries, checked
//! and run the way a cluster runs them: read-only, without privileges, with
//! limits, as a number that is not root.

mod assemble;
pub(crate) mod compiled;
mod engine;
mod run;
mod source;

pub(crate) use engine::{Engine, output};
use source::Source;

use std::path::Path;

use anyhow::Result;

use crate::packages::{Needed, is_root};
use crate::tally::Tally;
use crate::workspace::Workspace;
use crate::{child, console};

/// A name in `docker/Dockerfile` and what a service in it is asked.
struct Service {
    /// The target, which is also the path that it answers and its name for
    /// `loadgen smoke --service`.
    target: &'static str,
    /// The binary, which is the only file of the image.
    program: &'static str,
    /// Most memory that its container may use.
    memory: &'static str,
    /// Settings beside those that every service needs.
    settings: &'static [(&'static str, &'static str)],
}

const SERVICES: [Service; 3] = [
    Service {
        target: "blockchain",
        program: "blockchain-service",
        memory: "64m",
        settings: &[],
    },
    Service {
        target: "qrcode",
        program: "qrcode-service",
        memory: "64m",
        settings: &[],
    },
    Service {
        target: "twitter",
        program: "twitter-service",
        memory: "96m",
        settings: &[
            ("DATABASE_URL", "sqlite:///data/tiny.sqlite"),
            ("CACHE_MB", "16"),
        ],
    },
];

/// The target with the tools.
const TOOLS: &str = "tools";

/// All targets that are images.
pub(crate) const TARGETS: [&str; 4] = ["blockchain", "qrcode", "twitter", TOOLS];

/// What the containers are started with.
const PROGRAMS: Needed<'static> = Needed {
    purpose: "assembling and running the images",
    programs: &["buildah", "podman", "runc", "strip", "conmon", "catatonit"],
    packages: &[
        "buildah",
        "podman",
        "runc",
        "conmon",
        "catatonit",
        "netavark",
        "binutils",
    ],
};

/// One check after another, each counted like a test. What depends on a check
/// that failed is not tried.
#[derive(Default)]
pub(crate) struct Checks(Tally);

impl Checks {
    /// Counts a check and says how it went.
    pub(crate) fn count(&mut self, name: &str, result: Result<()>) {
        match result {
            Ok(()) => {
                self.0.passed += 1;
                console::say(&format!("{name}: ok"));
            }
            Err(error) => {
                self.0.failed += 1;
                console::say(&format!("{name}: FAILED: {error:#}"));
            }
        }
    }

    /// Whether a check has failed so far.
    pub(crate) fn has_failed(&self) -> bool {
        self.0.failed > 0
    }

    /// Notes what could not be tried here.
    fn skip(&mut self, what: &str) {
        console::say(&format!("SKIPPED: {what}"));
        self.0.skipped.push(what.to_owned());
    }

    /// The sum.
    pub(crate) fn finish(self) -> Tally {
        self.0
    }
}

/// Assembles all images and runs the services in them.
pub(crate) async fn check(workspace: &Workspace) -> Result<Tally> {
    let mut checks = Checks::default();
    if !is_root() {
        checks.skip("images: assembling and running containers needs root on this host");
        return Ok(checks.finish());
    }
    PROGRAMS.ensure().await?;
    let context = workspace.scratch("images");
    prebuilt(workspace, &context).await?;

    let engine = Engine::create()?;
    let source = Source::prebuilt(&context);
    let has_engine = assemble::check(&engine, workspace, &source, None, &mut checks).await?;
    if has_engine {
        run::check_engine(&engine, &mut checks).await;
    } else {
        // Minutes of compiling: the Dockerfile's compile stage makes it, this check need not.
        console::say("tools: etl-score is not there; `docker/build.sh engine` makes it");
    }
    run::check(&engine, workspace, &mut checks).await?;
    engine.remove().await;
    Ok(checks.finish())
}

/// Builds the static binaries into a context for `--build-arg BINARIES=prebuilt`.
pub(crate) async fn prebuilt(workspace: &Workspace, context: &Path) -> Result<()> {
    let mut build = tokio::process::Command::new(workspace.root.join("docker/build.sh"));
    build
        .arg("binaries")
        .arg(context.join("docker/prebuilt"))
        .env("CARGO_TARGET_DIR", &workspace.target)
        .current_dir(&workspace.root);
    child::run(&mut build, "docker/build.sh").await
}
