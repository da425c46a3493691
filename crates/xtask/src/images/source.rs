//! Where the binaries in the images come from.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::workspace::Workspace;

/// What an image is built from, and with which arguments.
pub(super) struct Source {
    context: PathBuf,
    arguments: Vec<String>,
    /// Assembling twice takes seconds; compiling twice does not.
    pub(super) is_cheap: bool,
}

impl Source {
    /// Binaries that `docker/build.sh` has left in a context.
    pub(super) fn prebuilt(context: &Path) -> Self {
        let arguments = ["--timestamp", "0", "--no-cache"];
        let binaries = ["--build-arg", "BINARIES=prebuilt"];
        Self {
            context: context.to_owned(),
            arguments: [arguments.as_slice(), &binaries]
                .concat()
                .into_iter()
                .map(str::to_owned)
                .collect(),
            is_cheap: true,
        }
    }

    /// The Dockerfile's own compile stage on this base, with folders of the host that it reads.
    pub(super) fn compiled(workspace: &Workspace, base: &str, folders: &[(PathBuf, &str)]) -> Self {
        // Layers are kept, so that all images share what is compiled once. buildah 1.28 leaves out
        // stages that only the default of an argument names, so the default is said as well.
        let mut arguments = vec![
            "--layers".to_owned(),
            "--build-arg".to_owned(),
            "BINARIES=compiled".to_owned(),
            "--build-arg".to_owned(),
            format!("BASE={base}"),
        ];
        for (folder, at) in folders {
            arguments.push("--volume".to_owned());
            arguments.push(format!("{}:{at}:ro", folder.display()));
        }
        Self {
            context: workspace.root.clone(),
            arguments,
            is_cheap: false,
        }
    }

    /// Adds the arguments.
    pub(super) fn arguments<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.args(&self.arguments)
    }

    /// The folder that is sent.
    pub(super) fn context(&self) -> &Path {
        &self.context
    }
}
