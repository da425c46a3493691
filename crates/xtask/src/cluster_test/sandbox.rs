//! Namespaces for everything that runs, and what must be removed once they are gone.

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, test_kill_process};
use tokio::process::Command;

use crate::workspace::Workspace;
use crate::{child, console};

/// Where control groups are mounted.
const CONTROL_GROUPS: &str = "/sys/fs/cgroup";
/// Controllers that the kubelet cannot do without.
const CONTROLLERS: [&str; 6] = ["cpu", "cpuacct", "cpuset", "memory", "pids", "systemd"];
/// How long the kernel may take to end what still ran.
const END_PATIENCE: Duration = Duration::from_mins(1);
/// The only address of the node beside loopback; nothing leads out of its network.
pub(super) const NODE_ADDRESS: &str = "10.90.0.1";

/// Folders that the namespaces see as empty ones of their own.
const HIDDEN: [(&str, &str); 2] = [("/var/log", "log"), ("/var/lib", "lib")];

/// What the kubelet sets for the whole machine, with the values that it wants. It is shown files that
/// hold them already, so that the machine keeps its own.
const SYSCTLS: [(&str, &str); 6] = [
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
];

/// Says what this host lacks.
pub(super) fn is_possible() -> Result<()> {
    for controller in CONTROLLERS {
        let folder = Path::new(CONTROL_GROUPS).join(controller);
        ensure!(
            folder.join("cgroup.procs").is_file(),
            "this Kubernetes wants control groups of version 1, and {} is none: a kernel that was started with \
             systemd.unified_cgroup_hierarchy=0 has them",
            folder.display()
        );
    }
    Ok(())
}

/// The folder of one run, and its control groups.
pub(super) struct Scratch {
    folder: PathBuf,
    is_kept: bool,
}

impl Scratch {
    /// Makes them, and removes those of runs that were killed.
    pub(super) fn create(workspace: &Workspace) -> Result<Self> {
        let parent = workspace.scratch("cluster-test");
        for entry in fs::read_dir(&parent).into_iter().flatten().flatten() {
            let folder = entry.path();
            let is_left = |pid| test_kill_process(pid).is_err();
            if owner(&folder).is_some_and(is_left) {
                remove_control_groups(&group(&folder), Duration::ZERO);
                // What cannot be removed now may be next time; it does no harm.
                let _ = fs::remove_dir_all(&folder);
            }
        }
        let folder = parent.join(format!("run-{}", process::id()));
        for (hidden, _) in HIDDEN.iter().chain(&[("/run", "")]) {
            ensure!(
                !folder.starts_with(hidden),
                "the target folder is below {hidden}, which the cluster needs for itself; set CARGO_TARGET_DIR"
            );
        }
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        let scratch = Self {
            folder,
            is_kept: false,
        };
        let name = group(&scratch.folder);
        for controller in hierarchies() {
            // Of version 1; what runs containers makes its own in that of version 2, if there is one.
            if !controller.join("tasks").is_file() {
                continue;
            }
            let group = controller.join(&name);
            fs::create_dir_all(&group)
                .with_context(|| format!("cannot create {}", group.display()))?;
            // Empty in a new group, which could hold no process then.
            for setting in ["cpuset.cpus", "cpuset.mems"] {
                if let Ok(value) = fs::read(controller.join(setting)) {
                    let file = group.join(setting);
                    fs::write(&file, value)
                        .with_context(|| format!("cannot write {}", file.display()))?;
                }
            }
        }
        Ok(scratch)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Removes control groups and folder, or of the folder all but logs and rendered files.
    pub(super) fn remove(mut self, keep: bool) {
        self.is_kept = keep;
        if keep {
            for large in ["images", "containerd", "context", "database", "etcd"] {
                let _ = fs::remove_dir_all(self.folder.join(large));
            }
            console::say(&format!(
                "logs and rendered files: {}",
                self.folder.display()
            ));
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        remove_control_groups(&group(&self.folder), END_PATIENCE);
        if !self.is_kept {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// The name of a run's control groups.
pub(super) fn group(folder: &Path) -> String {
    let name = folder.file_name().unwrap_or_default();
    format!("tripod-cluster-{}", name.display())
}

/// The process that a folder `run-<pid>` belongs to.
fn owner(folder: &Path) -> Option<Pid> {
    let pid = folder.file_name()?.to_str()?.strip_prefix("run-")?;
    Pid::from_raw(pid.parse().ok()?)
}

/// Every mounted hierarchy.
fn hierarchies() -> Vec<PathBuf> {
    let entries = fs::read_dir(CONTROL_GROUPS).into_iter().flatten().flatten();
    let folders = entries.map(|entry| entry.path());
    folders
        .filter(|folder| folder.join("cgroup.procs").is_file())
        .collect()
}

/// Removes groups that no process is in any more; waits for that. Blocking, since it also happens
/// when nobody is left who could wait.
#[expect(
    clippy::disallowed_methods,
    reason = "a handle that is dropped has nobody who could wait for it"
)]
fn remove_control_groups(name: &str, patience: Duration) {
    let deadline = Instant::now() + patience;
    for controller in hierarchies() {
        while !remove_groups(&controller.join(name)) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(200));
        }
    }
}

/// Removes a group with all below it; says whether it is gone.
fn remove_groups(group: &Path) -> bool {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_groups(&entry.path());
        }
    }
    match fs::remove_dir(group) {
        Ok(()) => true,
        Err(error) => error.kind() == ErrorKind::NotFound,
    }
}

/// Runs ourselves in new namespaces. The process below `unshare` is the first of its own process
/// namespace: when it ends, or we do, the kernel kills all that it left.
pub(super) async fn enter(scratch: &Scratch) -> Result<ExitCode> {
    let ourselves = env::current_exe().context("cannot tell where this program is")?;
    let unshare = child::find_program("unshare").context("unshare is not installed")?;
    let mut command = child::tied_to_us(&unshare, "KILL");
    command
        .args(["--mount", "--net", "--pid", "--fork", "--kill-child=KILL"])
        .args(["--mount-proc", "--propagation", "private"])
        .arg(ourselves)
        .args(["cluster-test", "--inside"])
        .arg(scratch.folder())
        .stdin(Stdio::null());
    let status = child::status(&mut command, "unshare").await?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Inside: mounts and network, before anything is started.
pub(super) async fn furnish(folder: &Path) -> Result<()> {
    // A network of our own has loopback and nothing else; that of the host would not be ours to change.
    let network = fs::read_to_string("/proc/self/net/dev").unwrap_or_default();
    let interfaces = network.lines().filter(|line| line.contains(':')).count();
    if process::id() != 1 || interfaces > 1 {
        bail!("--inside is for the process that cluster-test starts itself");
    }
    tool("mount", &["-t", "tmpfs", "tmpfs", "/run"]).await?;
    for (at, name) in HIDDEN {
        let own = folder.join(name);
        fs::create_dir_all(&own).with_context(|| format!("cannot create {}", own.display()))?;
        tool("mount", &["--bind", &own.to_string_lossy(), at]).await?;
    }
    for (name, value) in SYSCTLS {
        let own = folder.join("sysctl").join(name);
        if let Some(parent) = own.parent() {
            fs::create_dir_all(parent)
                .with_context(|| format!("cannot create {}", parent.display()))?;
        }
        fs::write(&own, format!("{value}\n"))
            .with_context(|| format!("cannot write {}", own.display()))?;
        let at = format!("/proc/sys/{name}");
        if Path::new(&at).exists() {
            tool("mount", &["--bind", &own.to_string_lossy(), &at]).await?;
        }
    }
    // A bridge without ports stands for the node's network card.
    let address = format!("{NODE_ADDRESS}/24");
    for arguments in [
        &["link", "set", "lo", "up"][..],
        &["link", "add", "tripod0", "type", "bridge"],
        &["address", "add", &address, "dev", "tripod0"],
        &["link", "set", "tripod0", "up"],
        // Addresses of services are nowhere: packets to them get another one on their way out.
        &["route", "add", "default", "dev", "tripod0"],
    ] {
        tool("ip", arguments).await?;
    }
    fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("cannot let packets be forwarded")
}

async fn tool(program: &str, arguments: &[&str]) -> Result<()> {
    let found = child::find_program(program).unwrap_or_else(|| PathBuf::from(program));
    let what = format!("{program} {}", arguments.join(" "));
    child::run(Command::new(found).args(arguments), &what).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_known_by_its_process() {
        let folder = Path::new("/target/xtask/cluster-test/run-4711");
        assert_eq!(owner(folder).unwrap().as_raw_nonzero().get(), 4711);
        assert_eq!(group(folder), "tripod-cluster-run-4711");
        assert!(owner(Path::new("/target/xtask/cluster-test/other")).is_none());
    }

    #[test]
    fn groups_are_removed_from_the_innermost_on() {
        let folder = env::temp_dir().join(format!("tripod-groups-{}", process::id()));
        fs::create_dir_all(folder.join("a/b")).unwrap();
        fs::create_dir_all(folder.join("c")).unwrap();
        assert!(remove_groups(&folder));
        assert!(!folder.exists());
        assert!(remove_groups(&folder), "gone already");
    }
}
