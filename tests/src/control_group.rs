//! Control groups, as container engines make them and as users can make them.

use crate::programs::is_root;
use std::fs;
use std::path::{Path, PathBuf};

/// Where the second version of control groups is mounted (cgroups(7)): alone, or beside
/// the first version.
const MOUNTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

/// A control group; it is removed when dropped, with those above it that are empty then.
#[derive(Debug)]
pub struct ControlGroup {
    mount: &'static Path,
    entry: PathBuf,
}

impl ControlGroup {
    /// Makes a group of this path below the root group. `None` where that is not permitted.
    #[must_use]
    pub fn new(path: &str) -> Option<Self> {
        let mount = Path::new(*MOUNTS.iter().find(|mount| is_second_version(mount))?);
        let group = mount.join(path);
        fs::create_dir_all(&group).ok()?;
        let entry = group.join("cgroup.procs");
        Some(Self { mount, entry })
    }

    /// Whether one can be made here.
    #[must_use]
    pub fn can_be_made() -> bool {
        is_root() && Self::new(&format!("pulse-{}/probe", std::process::id())).is_some()
    }

    /// The file that takes the ids of processes.
    #[must_use]
    pub fn entry(&self) -> &Path {
        &self.entry
    }
}

fn is_second_version(mount: &str) -> bool {
    Path::new(mount).join("cgroup.procs").exists()
        && Path::new(mount).join("cgroup.controllers").exists()
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        let mut groups = self.entry.ancestors().skip(1);
        // One that another test uses, or the system, stays.
        while let Some(group) = groups.next().filter(|group| *group != self.mount) {
            if fs::remove_dir(group).is_err() {
                return;
            }
        }
    }
}
