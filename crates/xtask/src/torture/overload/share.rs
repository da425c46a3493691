//! Holds a server to a part of a processor, so that a load tool on the same machine can ask for
//! several times what it can do.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Within which the kernel deals processor time out. Short, so that nobody waits long for the next
/// part.
const PERIOD_US: u32 = 10_000;

/// Where the kernel shows its groups.
const GROUPS: &str = "/sys/fs/cgroup";

/// A control group of its own. Remove it when the server has ended.
#[derive(Debug)]
pub(super) struct Share {
    folder: PathBuf,
}

impl Share {
    /// Holds a process, with all its threads, to so many percent of one processor.
    pub(super) fn hold(pid: u32, percent: u32) -> Result<Self> {
        let name = format!("tripod-{pid}");
        let quota = PERIOD_US / 100 * percent;
        let old = Path::new(GROUPS).join("cpu");
        let (folder, limits) = if old.is_dir() {
            let limits = vec![
                ("cpu.cfs_period_us", PERIOD_US.to_string()),
                ("cpu.cfs_quota_us", quota.to_string()),
            ];
            (old.join(name), limits)
        } else {
            let root = Path::new(GROUPS);
            // Most often it is on already, and the limit below tells when it is not.
            let _ = fs::write(root.join("cgroup.subtree_control"), "+cpu");
            let limits = vec![("cpu.max", format!("{quota} {PERIOD_US}"))];
            (root.join(name), limits)
        };
        let shown = folder.display().to_string();
        let advice = || {
            format!(
                "cannot hold the server to {percent} % of a processor by {shown}: this takes root, and control groups that may be written"
            )
        };
        fs::create_dir(&folder).with_context(advice)?;
        let share = Self { folder };
        for (file, value) in limits {
            fs::write(share.folder.join(file), value).with_context(advice)?;
        }
        fs::write(share.folder.join("cgroup.procs"), pid.to_string()).with_context(advice)?;
        Ok(share)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        // Fails while the server lives; an empty group costs nothing.
        let _ = fs::remove_dir(&self.folder);
    }
}
