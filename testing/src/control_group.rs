//! Control groups, as container engines make them and as users can make them.

use crate::programs::is_root;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// Where the second version of control groups is mounted (cgroups(7)): alone, or beside
/// the first version.
const MOUNTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

/// Two seconds in all.
const REMOVAL_ATTEMPTS: u32 = 400;
const REMOVAL_PAUSE: Duration = Duration::from_millis(5);

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

/// This process's own group, without the slash before it.
pub(crate) fn own() -> String {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap();
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"));
    own.unwrap_or_default().to_owned()
}

/// Whether no hierarchy has a group of this path.
pub(crate) fn is_absent(path: &str) -> bool {
    !everywhere(path).iter().any(|group| group.is_dir())
}

/// Removes a group from every hierarchy: engines use both versions where both are mounted.
///
/// A process that was killed is in its group for a moment yet, so this tries again. One
/// that is still in use then stays.
pub(crate) fn remove(path: &str) {
    for _ in 0..REMOVAL_ATTEMPTS {
        for group in everywhere(path) {
            let _ = fs::remove_dir(group);
        }
        if is_absent(path) {
            return;
        }
        thread::sleep(REMOVAL_PAUSE);
    }
}

/// Where hierarchies may have a group of this path.
fn everywhere(path: &str) -> Vec<PathBuf> {
    let (mount, path) = (Path::new(MOUNTS[0]), path.trim_start_matches('/'));
    if is_second_version(MOUNTS[0]) {
        return vec![mount.join(path)];
    }
    let hierarchies = fs::read_dir(mount).into_iter().flatten().flatten();
    let groups = hierarchies.map(|hierarchy| hierarchy.path().join(path));
    groups.collect()
}
