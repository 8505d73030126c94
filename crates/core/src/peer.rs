//! Who a caller is, and what it may do, from what the kernel says of it.
//!
//! The socket's file mode decides nothing: anybody may connect, and the UID, GID
//! and process that the kernel names decide the rest. A UID alone says little
//! when containers are about. One that falls into a subordinate range belongs to
//! some container, so all of that range is one caller; and UID 0 is root of the
//! host only when its process is in no container.

use crate::capability::{Capabilities, Capability};
use crate::subid::SubordinateRanges;
use std::collections::HashMap;
use std::fmt;

/// What the kernel says of the other end of a socket (`SO_PEERCRED`, unix(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Effective user id at the time of connect.
    pub uid: u32,
    /// Effective group id.
    pub gid: u32,
    /// Process id; 0 when the kernel does not say.
    pub pid: u32,
}

/// Whom the limiter and the work caps count as one caller.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PeerId {
    /// A user of the host.
    Uid(u32),
    /// A range of subordinate user ids: some container of its owner.
    Range {
        /// The first user id.
        start: u32,
        /// How many there are.
        count: u32,
    },
    /// A container that the kernel let us see.
    Container(ContainerId),
    /// The daemon's own background polling.
    Poller,
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uid(uid) => write!(f, "uid:{uid}"),
            Self::Range { start, count } => write!(f, "range:{start}+{count}"),
            Self::Container(id) => write!(f, "container:{}", id.0),
            Self::Poller => f.write_str("poller"),
        }
    }
}

/// A container's name as its control group says it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId(String);

/// The longest part of a control group's name that is kept.
const MAX_CONTAINER_BYTES: usize = 80;

impl ContainerId {
    /// Finds the container in the text of `/proc/<pid>/cgroup` (cgroups(7)).
    ///
    /// Knows LXC (`/lxc/101`, `/lxc.payload.web`), Docker (`/docker/<id>`,
    /// `docker-<id>.scope`), Podman (`libpod-<id>.scope`), containerd and CRI-O
    /// (`cri-containerd-<id>.scope`, `crio-<id>.scope`) and systemd-nspawn
    /// (`machine.slice/…`). Anything else is no container.
    #[must_use]
    pub fn from_cgroup(text: &str) -> Option<Self> {
        text.lines().find_map(|line| {
            let path = line.splitn(3, ':').nth(2)?;
            container_in(path).map(|name| {
                let kept = name.chars().filter(char::is_ascii_graphic);
                Self(kept.take(MAX_CONTAINER_BYTES).collect())
            })
        })
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn container_in(path: &str) -> Option<String> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    parts.iter().enumerate().find_map(|(i, part)| match *part {
        "lxc" | "docker" | "kubepods" | "kubepods.slice" | "machine.slice" | "ns" => {
            let next = parts.get(i + 1)?;
            (*part != "ns").then(|| format!("{}/{next}", part.trim_end_matches(".slice")))
        }
        part => scope_name(part),
    })
}

fn scope_name(part: &str) -> Option<String> {
    if let Some(name) = part.strip_prefix("lxc.payload.") {
        return Some(format!("lxc/{name}"));
    }
    let engines = ["docker-", "libpod-", "cri-containerd-", "crio-"];
    let scope = part.strip_suffix(".scope")?;
    let name_of = |engine: &&'static str| Some((*engine, scope.strip_prefix(*engine)?));
    let (engine, name) = engines.iter().find_map(name_of)?;
    Some(format!("{}/{name}", engine.trim_end_matches('-')))
}

/// What could be learnt of a caller beyond its credentials.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// The container its process is in, seen while the process was pinned.
    pub container: Option<ContainerId>,
    /// The UID of the host that its user namespace calls 0, when not 0 itself.
    pub mapped_root: Option<u32>,
    /// Whether its process could be looked at; one that could not may be in any
    /// container, so it is never taken for root of the host.
    pub seen: bool,
}

/// A caller, identified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// What the kernel said.
    pub credentials: Credentials,
    /// Whom it counts as.
    pub id: PeerId,
    /// What it may do.
    pub capabilities: Capabilities,
}

/// Who may do what: made from the configuration.
#[derive(Clone, Debug, Default)]
pub struct AccessPolicy {
    /// The daemon's own user, who has every capability.
    pub own_uid: u32,
    /// Capabilities granted to user ids.
    pub uids: HashMap<u32, Capabilities>,
    /// Group ids that may read.
    pub gids: Vec<u32>,
    /// Whether root of an unprivileged container may read.
    pub allow_idmapped_root: bool,
    /// Whose subordinate ranges count for that.
    pub idmap_users: Vec<String>,
    /// `/etc/subuid`.
    pub subuid: SubordinateRanges,
    /// `/etc/subgid`.
    pub subgid: SubordinateRanges,
}

impl AccessPolicy {
    /// Identifies a caller and decides what it may do.
    #[must_use]
    pub fn identify(&self, credentials: Credentials, around: Surroundings) -> Peer {
        let capabilities = self.capabilities(credentials, &around);
        Peer {
            credentials,
            id: self.id(credentials, around),
            capabilities,
        }
    }

    fn id(&self, credentials: Credentials, around: Surroundings) -> PeerId {
        if let Some(container) = around.container {
            return PeerId::Container(container);
        }
        match self.subuid.find(credentials.uid) {
            Some(range) => PeerId::Range {
                start: range.start,
                count: range.count,
            },
            None => PeerId::Uid(credentials.uid),
        }
    }

    fn capabilities(&self, credentials: Credentials, around: &Surroundings) -> Capabilities {
        let on_host = around.seen && around.container.is_none();
        if on_host && (credentials.uid == 0 || credentials.uid == self.own_uid) {
            return Capabilities::all();
        }
        let by_uid = self.uids.get(&credentials.uid).copied().unwrap_or_default();
        let by_gid = self.gids.contains(&credentials.gid);
        if by_gid || self.is_idmapped_root(credentials, around) {
            return by_uid.union(Capabilities::read_only());
        }
        by_uid
    }

    /// Root of an unprivileged container: the first id of a subordinate range of
    /// a permitted owner, for user and group alike, and, where the kernel lets us
    /// see the mapping, really the one its namespace calls 0.
    fn is_idmapped_root(&self, credentials: Credentials, around: &Surroundings) -> bool {
        let is_first = |ranges: &SubordinateRanges, id: u32| {
            let mut owned = ranges.as_slice().iter().filter(|range| range.start == id);
            owned.any(|range| self.idmap_users.contains(&range.owner))
        };
        self.allow_idmapped_root
            && is_first(&self.subuid, credentials.uid)
            && is_first(&self.subgid, credentials.gid)
            && around.mapped_root.is_none_or(|uid| uid == credentials.uid)
    }
}

/// The UID of the host that a user namespace calls 0, from the text of
/// `/proc/<pid>/uid_map` (`user_namespaces(7)`); `None` for the host's own.
#[must_use]
pub fn mapped_root(uid_map: &str) -> Option<u32> {
    uid_map.lines().find_map(|line| {
        let mut numbers = line.split_ascii_whitespace().map(str::parse::<u32>);
        match (numbers.next()?, numbers.next()?) {
            (Ok(0), Ok(outside)) if outside != 0 => Some(outside),
            _ => None,
        }
    })
}

/// Capabilities of one `allowed_peers` entry: none named is `read`.
#[must_use]
pub fn entry_capabilities(named: &[Capability]) -> Capabilities {
    if named.is_empty() {
        Capabilities::read_only()
    } else {
        named.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(uid: u32, gid: u32) -> Credentials {
        Credentials { uid, gid, pid: 1 }
    }

    fn policy() -> AccessPolicy {
        AccessPolicy {
            own_uid: 995,
            uids: HashMap::from([
                (1000, Capabilities::all()),
                (1001, Capabilities::read_only()),
            ]),
            gids: vec![50],
            allow_idmapped_root: true,
            idmap_users: vec!["root".into()],
            subuid: SubordinateRanges::parse("root:100000:65536\nann:165536:65536\n"),
            subgid: SubordinateRanges::parse("root:100000:65536\nann:165536:65536\n"),
        }
    }

    fn on_host() -> Surroundings {
        Surroundings {
            seen: true,
            ..Surroundings::default()
        }
    }

    fn may(uid: u32, gid: u32) -> Capabilities {
        policy()
            .identify(credentials(uid, gid), on_host())
            .capabilities
    }

    #[test]
    fn root_and_the_daemon_may_do_everything_and_strangers_nothing() {
        assert_eq!(may(0, 0), Capabilities::all());
        assert_eq!(may(995, 995), Capabilities::all());
        assert_eq!(may(1000, 1), Capabilities::all());
        assert_eq!(may(1002, 1), Capabilities::NONE);
    }

    #[test]
    fn a_matching_gid_gives_read_and_never_admin() {
        assert_eq!(may(1002, 50), Capabilities::read_only());
        assert_eq!(may(1001, 50), Capabilities::read_only());
    }

    #[test]
    fn only_root_of_a_permitted_container_is_let_in() {
        assert_eq!(may(100_000, 100_000), Capabilities::read_only());
        for (uid, gid) in [
            (100_001, 100_000),
            (100_000, 100_001),
            (165_536, 165_536),
            (100_000, 0),
        ] {
            assert_eq!(may(uid, gid), Capabilities::NONE, "{uid}:{gid}");
        }
        let around = Surroundings {
            mapped_root: Some(165_536),
            ..on_host()
        };
        let peer = policy().identify(credentials(100_000, 100_000), around);
        assert_eq!(peer.capabilities, Capabilities::NONE);
    }

    #[test]
    fn root_of_a_privileged_container_is_not_root_of_the_host() {
        let around = || Surroundings {
            container: ContainerId::from_cgroup("0::/lxc/101/ns/init.scope\n"),
            ..on_host()
        };
        for uid in [0, 995] {
            let peer = policy().identify(credentials(uid, 0), around());
            assert_eq!(peer.capabilities, Capabilities::NONE);
            assert_eq!(peer.id.to_string(), "container:lxc/101");
        }
    }

    #[test]
    fn a_process_that_cannot_be_seen_is_not_taken_for_root_of_the_host() {
        let peer = policy().identify(credentials(0, 0), Surroundings::default());
        assert_eq!(peer.capabilities, Capabilities::NONE);
    }

    #[test]
    fn all_of_a_subordinate_range_is_one_caller() {
        let id = |uid| {
            policy()
                .identify(credentials(uid, 0), Surroundings::default())
                .id
        };
        assert_eq!(id(100_000), id(165_535));
        assert_ne!(id(165_535), id(165_536));
        assert_eq!(id(1000), PeerId::Uid(1000));
        assert_eq!(id(100_007).to_string(), "range:100000+65536");
    }

    #[test]
    fn containers_are_found_in_their_control_groups() {
        for (text, expected) in [
            (
                "0::/lxc/101/ns/system.slice/pulse.service\n",
                Some("lxc/101"),
            ),
            ("0::/lxc.payload.web/init.scope\n", Some("lxc/web")),
            (
                "0::/system.slice/docker-0123abcd.scope\n",
                Some("docker/0123abcd"),
            ),
            ("12:cpu:/docker/0123abcd\n0::/\n", Some("docker/0123abcd")),
            (
                "0::/user.slice/user-1000.slice/libpod-77.scope/container\n",
                Some("libpod/77"),
            ),
            (
                "0::/machine.slice/systemd-nspawn@x.service\n",
                Some("machine/systemd-nspawn@x.service"),
            ),
            ("0::/user.slice/user-1000.slice/session-2.scope\n", None),
            ("0::/system.slice/ssh.service\n", None),
            ("0::/lxc\n", None),
            ("", None),
            ("garbage", None),
        ] {
            let found = ContainerId::from_cgroup(text);
            assert_eq!(
                found.as_ref().map(ContainerId::as_str),
                expected,
                "{text:?}"
            );
        }
    }

    #[test]
    fn the_namespace_of_the_host_maps_no_root() {
        assert_eq!(mapped_root("         0          0 4294967295\n"), None);
        assert_eq!(
            mapped_root("         0     100000      65536\n"),
            Some(100_000)
        );
        assert_eq!(
            mapped_root("      1000     101000      1\n 0 7 1\n"),
            Some(7)
        );
        assert_eq!(mapped_root("0"), None);
    }
}
