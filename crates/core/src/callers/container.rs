//! Containers of callers, by the names of their control groups.
//!
//! A name divides the budget of a subordinate range and appears in records. It gives no
//! capability.

use std::fmt;

/// The name of a container: the leading part of its control group's path that only root
/// can create.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId(String);

/// The longest name kept: the scope of a Docker container has 77 bytes.
const MAX_CONTAINER_BYTES: usize = 80;

/// Groups in which engines that run as root create one group per container. An engine that
/// is missing here has one budget for all its containers: less than it could have, and
/// never more.
const PARENTS: [&str; 7] = [
    "lxc",
    "docker",
    "kubepods",
    "libpod_parent",
    "default",
    "k8s.io",
    "moby",
];

impl ContainerId {
    /// Parses the text of `/proc/<pid>/cgroup` (cgroups(7)).
    ///
    /// The name ends where the container could have created the rest of the path itself,
    /// so that it cannot take another container's name, nor a new one for each request.
    /// Engines choose the names of their groups, so the position in the tree decides: the
    /// first component below the slices of the service manager, or the one below a known
    /// parent. Processes of a login (`user.slice`), of a service and of the root group are
    /// in no container, because users can create groups below these.
    #[must_use]
    pub fn from_cgroup(text: &str) -> Option<Self> {
        // With both versions mounted, an engine may use either. The unified one comes first,
        // because hierarchies of version 1 may name other things than containers.
        let (unified, legacy): (Vec<_>, Vec<_>) =
            text.lines().partition(|line| line.starts_with("0::"));
        unified.into_iter().chain(legacy).find_map(|line| {
            let name = container_in(line.splitn(3, ':').nth(2)?)?;
            // A cgroup's name may have control characters, and this one goes on record.
            let kept = name.chars().filter(char::is_ascii_graphic);
            Some(Self(kept.take(MAX_CONTAINER_BYTES).collect()))
        })
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn container_in(path: &str) -> Option<String> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let slices = parts.iter().take_while(|part| part.ends_with(".slice"));
    let (slices, below) = parts.split_at(slices.count());
    match (slices.first(), below) {
        // `..` leads out of our own control group namespace, where nothing is visible.
        (Some(&"user.slice"), _) | (_, [] | ["init.scope" | "..", ..]) => None,
        // Only in machine.slice is a service a container (systemd-nspawn).
        (Some(&outermost), [service, ..])
            if service.ends_with(".service") && outermost != "machine.slice" =>
        {
            None
        }
        (None, [parent, rest @ ..]) if PARENTS.contains(parent) => {
            Some(format!("{parent}/{}", rest.first()?))
        }
        (_, [first, ..]) => Some((*first).to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn container_name_is_made_by_root() {
        for (path, expected) in [
            ("/lxc/101/ns/system.slice/pulse.service", Some("lxc/101")),
            ("/lxc.payload.web/init.scope", Some("lxc.payload.web")),
            ("/docker/0123abcd", Some("docker/0123abcd")),
            ("/default/web/mine", Some("default/web")),
            ("/libpod_parent/libpod-77", Some("libpod_parent/libpod-77")),
            ("/engine/mine", Some("engine")),
            ("/system.slice/docker-0123.scope", Some("docker-0123.scope")),
            (
                "/kubepods.slice/kubepods-a.slice/cri-1.scope/mine",
                Some("cri-1.scope"),
            ),
            (
                "/machine.slice/systemd-nspawn@x.service/payload",
                Some("systemd-nspawn@x.service"),
            ),
            ("/user.slice/user-1.slice/libpod-77.scope/container", None),
            ("/system.slice/ssh.service", None),
            ("/system.slice/ci.service/docker-77.scope", None),
            ("/own.slice/ci.service/lxc/101", None),
            ("/../lxc/101", None),
            ("/lxc", None),
            ("/init.scope", None),
            ("/", None),
        ] {
            let found = ContainerId::from_cgroup(&format!("0::{path}\n"));
            let found = found.map(|found| found.to_string());
            assert_eq!(found.as_deref(), expected, "{path}");
        }
        for (text, expected) in [
            ("12:cpu:/docker/0123\n0::/\n", "docker/0123"),
            ("4:memory:/other/1\n0::/lxc/101\n", "lxc/101"),
        ] {
            let found = ContainerId::from_cgroup(text).unwrap();
            assert_eq!(found.to_string(), expected);
        }
        for text in ["", "garbage", "0::"] {
            assert_eq!(ContainerId::from_cgroup(text), None);
        }
    }
}
