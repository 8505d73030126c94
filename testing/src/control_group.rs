//! Control groups, as container engines and users make them.

use crate::programs::is_root;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// Mount points of cgroup v2 (cgroups(7)): alone, or beside v1.
const MOUNTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

/// Two seconds in total.
const REMOVAL_ATTEMPTS: u32 = 400;
const REMOVAL_PAUSE: Duration = Duration::from_millis(5);

/// A control group; removed when dropped, together with parents that are empty then.
#[derive(Debug)]
pub struct ControlGroup {
    mount: &'static Path,
    entry: PathBuf,
}

impl ControlGroup {
    /// Makes a group of this path below the root group; none where that is not permitted.
    #[must_use]
    pub fn new(path: &str) -> Option<Self> {
        let mount = Path::new(*MOUNTS.iter().find(|mount| is_second_version(mount))?);
        let group = mount.join(path);
        fs::create_dir_all(&group).ok()?;
        Some(Self {
            mount,
            entry: group.join("cgroup.procs"),
        })
    }

    /// True when this process can make control groups.
    #[must_use]
    pub fn is_available() -> bool {
        is_root() && Self::new(&format!("pulse-{}/probe", std::process::id())).is_some()
    }

    /// The file `cgroup.procs`, to which process ids are written.
    #[must_use]
    pub fn entry(&self) -> &Path {
        &self.entry
    }
}

fn is_second_version(mount: &str) -> bool {
    // v1's hierarchies have the first file, too; only v2 has the second.
    Path::new(mount).join("cgroup.procs").exists()
        && Path::new(mount).join("cgroup.controllers").exists()
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        let mut groups = self.entry.ancestors().skip(1);
        // A group that another test or the system uses is kept.
        while let Some(group) = groups.next().filter(|group| *group != self.mount) {
            if fs::remove_dir(group).is_err() {
                return;
            }
        }
    }
}

/// This process's own group, without its leading slash.
pub(crate) fn own() -> String {
    // The line of v2, whose hierarchy has the number 0 and no controllers (cgroups(7)).
    fs::read_to_string("/proc/self/cgroup")
        .unwrap()
        .lines()
        .find_map(|line| line.strip_prefix("0::/"))
        .unwrap_or_default()
        .to_owned()
}

/// True when no hierarchy has a group of this path.
pub(crate) fn is_absent(path: &str) -> bool {
    !in_all_hierarchies(path).iter().any(|group| group.is_dir())
}

/// Removes a group from every hierarchy: engines use v1 and v2 where both are mounted.
///
/// A killed process stays in its group for a moment, so this retries. A group that is still
/// in use after two seconds is kept.
pub(crate) fn remove(path: &str) {
    for _ in 0..REMOVAL_ATTEMPTS {
        for group in in_all_hierarchies(path) {
            let _ = fs::remove_dir(group);
        }
        if is_absent(path) {
            return;
        }
        thread::sleep(REMOVAL_PAUSE);
    }
}

/// The directory of this group in each hierarchy.
fn in_all_hierarchies(path: &str) -> Vec<PathBuf> {
    let (mount, path) = (Path::new(MOUNTS[0]), path.trim_start_matches('/'));
    if is_second_version(MOUNTS[0]) {
        return vec![mount.join(path)];
    }
    // Beside v1 each directory of the mount point is the root of one hierarchy.
    fs::read_dir(mount)
        .into_iter()
        .flatten()
        .flatten()
        .map(|hierarchy| hierarchy.path().join(path))
        .collect()
}
