//! Callers: their identity and their capabilities, from what the kernel says of them.
//!
//! A capability comes from the socket and from the configuration alone. The control socket
//! gives every capability, because only root can open it. On the callers' socket a UID has
//! the capabilities that the configuration gives it, UID 0 included: a process with UID 0
//! can be root of any container, and nothing that the kernel shows of a process proves the
//! opposite (see "Administration has a socket of its own" in docs/architecture.md). The
//! control group is descriptive: it divides the budget of a subordinate range and appears
//! in records, but gives no capability.

use crate::callers::accept::Standing;
use crate::callers::capability::{Capabilities, Capability};
use crate::callers::container::ContainerId;
use crate::callers::subid::SubordinateRanges;
use std::collections::HashMap;
use std::fmt;

/// The credentials of the other end of a socket (`SO_PEERCRED`, unix(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The effective user id at the time of connect.
    pub uid: u32,
    /// The effective group id.
    pub gid: u32,
    /// The process id; 0 when the kernel does not say.
    pub pid: u32,
}

/// The socket that a caller connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketRole {
    /// The one that containers mount.
    Callers,
    /// The one that only root can open.
    Control,
}

/// The identity that the limiter and the work queue count as one caller.
///
/// It contains the UID, or the subordinate range of the UID, so that no process can choose
/// its own identity: users can name control groups below their own as they like.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PeerId {
    /// A user of the host.
    Uid(u32),
    /// A range of subordinate user ids: the containers of its owner.
    Range {
        /// The first user id.
        start: u32,
        /// The number of user ids.
        count: u32,
        /// The container, if the kernel shows it.
        container: Option<ContainerId>,
    },
    /// A user that opened the control socket.
    Administrator(u32),
    /// The daemon's own background polling.
    Poller,
}

impl PeerId {
    /// False for administrators, who often repeat requests to find a fault, and could stop
    /// the daemon anyway.
    #[must_use]
    pub(crate) fn is_limited(&self) -> bool {
        !matches!(self, Self::Administrator(_))
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uid(uid) => write!(f, "uid:{uid}"),
            Self::Range {
                start,
                count,
                container,
            } => {
                write!(f, "range:{start}+{count}")?;
                match container {
                    Some(container) => write!(f, "/{container}"),
                    None => Ok(()),
                }
            }
            Self::Administrator(uid) => write!(f, "control:{uid}"),
            Self::Poller => f.write_str("poller"),
        }
    }
}

/// Facts about a caller's process beyond its credentials. They give no capability; a fact
/// that could not be read is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessFacts {
    /// The container, read while the process was pinned.
    pub container: Option<ContainerId>,
    /// The UID of the host that its user namespace maps to 0, unless that is 0 itself.
    pub mapped_root: Option<u32>,
}

/// An identified caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The kernel's credentials.
    pub credentials: Credentials,
    /// The identity that limits apply to.
    pub id: PeerId,
    /// The container of its process, for records.
    pub container: Option<ContainerId>,
    /// The capabilities it has.
    pub capabilities: Capabilities,
}

/// The access rules of the configuration, with the host's subordinate ranges.
#[derive(Clone, Debug, Default)]
pub struct AccessPolicy {
    /// The capabilities of user ids.
    pub uids: HashMap<u32, Capabilities>,
    /// The group ids that have `read`.
    pub gids: Vec<u32>,
    /// The owners of subordinate ranges whose unprivileged containers' root has `read`.
    pub container_owners: Vec<String>,
    /// `/etc/subuid`.
    pub subuid: SubordinateRanges,
    /// `/etc/subgid`.
    pub subgid: SubordinateRanges,
}

impl AccessPolicy {
    /// Identifies a caller and decides its capabilities.
    #[must_use]
    pub fn identify(
        &self,
        role: SocketRole,
        credentials: Credentials,
        facts: ProcessFacts,
    ) -> Peer {
        let (id, capabilities) = match role {
            SocketRole::Control => (PeerId::Administrator(credentials.uid), Capabilities::all()),
            SocketRole::Callers => (
                self.id(credentials.uid, facts.container.clone()),
                self.capabilities(credentials, facts.mapped_root),
            ),
        };
        Peer {
            credentials,
            id,
            container: facts.container,
            capabilities,
        }
    }

    /// The rights that the credentials alone can give. The facts about a stranger's process
    /// need not be read, because they only restrict.
    #[must_use]
    pub fn standing(&self, credentials: Credentials) -> Standing {
        if self.capabilities(credentials, None).is_empty() {
            Standing::Stranger
        } else {
            Standing::Eligible
        }
    }

    /// The identity of a UID without its container: the UID, or the range that contains it.
    #[must_use]
    pub fn user(&self, uid: u32) -> PeerId {
        self.id(uid, None)
    }

    /// A user of the host is one caller in every control group, since it can create them.
    /// A container divides only a subordinate range.
    fn id(&self, uid: u32, container: Option<ContainerId>) -> PeerId {
        match self.subuid.find(uid) {
            Some(range) => PeerId::Range {
                start: range.start,
                count: range.count,
                container,
            },
            None => PeerId::Uid(uid),
        }
    }

    fn capabilities(&self, credentials: Credentials, mapped_root: Option<u32>) -> Capabilities {
        let of_uid = self.uids.get(&credentials.uid).copied().unwrap_or_default();
        let is_first = |ranges: &SubordinateRanges, id: u32| {
            let mut owned = ranges.starting_at(id);
            owned.any(|range| self.container_owners.contains(&range.owner))
        };
        // Root of an unprivileged container: the first id of a permitted owner's subordinate
        // range, for user and group alike. A namespace may map another id to 0, so where the
        // kernel shows the mapping, it must be this one.
        let is_container_root = || {
            is_first(&self.subuid, credentials.uid)
                && is_first(&self.subgid, credentials.gid)
                && mapped_root.is_none_or(|uid| uid == credentials.uid)
        };
        // The effective group alone, not the supplementary ones.
        if self.gids.contains(&credentials.gid) || is_container_root() {
            return of_uid.union(Capabilities::read_only());
        }
        of_uid
    }
}

/// Parses the text of `/proc/<pid>/uid_map` (`user_namespaces(7)`): the UID of the host
/// that the namespace maps to 0. `None` for the host's own namespace, which maps 0 to 0.
#[must_use]
pub fn mapped_root(uid_map: &str) -> Option<u32> {
    uid_map.lines().find_map(|line| {
        // Three numbers: the first id inside, the first id outside, and the length.
        let mut numbers = line.split_ascii_whitespace().map(str::parse::<u32>);
        match (numbers.next()?, numbers.next()?) {
            (Ok(0), Ok(outside)) if outside != 0 => Some(outside),
            _ => None,
        }
    })
}

/// The capabilities of one `allowed_peers` entry; an entry that names none has `read`.
#[must_use]
pub(crate) fn entry_capabilities(named: &[Capability]) -> Capabilities {
    if named.is_empty() {
        Capabilities::read_only()
    } else {
        named.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn credentials(uid: u32, gid: u32) -> Credentials {
        Credentials { uid, gid, pid: 1 }
    }

    fn policy() -> AccessPolicy {
        AccessPolicy {
            uids: HashMap::from([
                (1000, Capabilities::all()),
                (1001, Capabilities::read_only()),
            ]),
            gids: vec![50],
            container_owners: vec!["root".into()],
            subuid: SubordinateRanges::parse("root:100000:65536\nann:165536:65536\n"),
            subgid: SubordinateRanges::parse("root:100000:65536\nann:165536:65536\n"),
        }
    }

    fn in_group(path: &str) -> ProcessFacts {
        ProcessFacts {
            container: ContainerId::from_cgroup(&format!("0::{path}\n")),
            mapped_root: None,
        }
    }

    fn caller(uid: u32, gid: u32, facts: ProcessFacts) -> Peer {
        policy().identify(SocketRole::Callers, credentials(uid, gid), facts)
    }

    fn may(uid: u32, gid: u32) -> Capabilities {
        caller(uid, gid, ProcessFacts::default()).capabilities
    }

    #[test]
    fn uid_0_has_no_right_of_its_own() {
        for path in [
            "/",
            "/init.scope",
            "/user.slice/user-0.slice/session-1.scope",
            "/default/web",
            "/libpod_parent/libpod-77",
            "/foo/77",
        ] {
            let peer = caller(0, 0, in_group(path));
            assert_eq!(peer.capabilities, Capabilities::NONE, "{path}");
            assert_eq!(peer.id, PeerId::Uid(0), "{path}");
        }
        assert_eq!(may(1000, 1), Capabilities::all());
        assert_eq!(may(1002, 1), Capabilities::NONE);
    }

    #[test]
    fn control_socket_administers() {
        for uid in [0, 995, 100_000] {
            let policy = policy();
            let id = credentials(uid, uid);
            let peer = policy.identify(SocketRole::Control, id, ProcessFacts::default());
            assert_eq!(peer.capabilities, Capabilities::all());
            assert_ne!(peer.id, caller(uid, uid, ProcessFacts::default()).id);
        }
    }

    #[test]
    fn group_gives_read_alone() {
        assert_eq!(may(1002, 50), Capabilities::read_only());
        assert_eq!(may(1001, 50), Capabilities::read_only());
    }

    #[test]
    fn only_root_of_container_reads() {
        assert_eq!(may(100_000, 100_000), Capabilities::read_only());
        for (uid, gid) in [
            (100_001, 100_000),
            (100_000, 100_001),
            (165_536, 165_536),
            (100_000, 0),
        ] {
            assert_eq!(may(uid, gid), Capabilities::NONE, "{uid}:{gid}");
        }
        let facts = ProcessFacts {
            mapped_root: Some(165_536),
            ..ProcessFacts::default()
        };
        assert_eq!(
            caller(100_000, 100_000, facts).capabilities,
            Capabilities::NONE
        );
    }

    #[test]
    fn user_cannot_choose_identity() {
        for path in [
            "/lxc/101",
            "/user.slice/user-4001.slice/user@4001.service/libpod-77.scope",
            "/system.slice/ci.service/docker-77.scope",
        ] {
            assert_eq!(caller(4001, 4001, in_group(path)).id, PeerId::Uid(4001));
        }
    }

    #[test]
    fn range_is_one_caller() {
        let id = |uid| caller(uid, 0, ProcessFacts::default()).id;
        assert_eq!(id(100_000), id(165_535));
        assert_ne!(id(165_535), id(165_536));
        assert_eq!(id(1000), PeerId::Uid(1000));
        assert_eq!(id(100_007).to_string(), "range:100000+65536");
    }

    #[test]
    fn containers_divide_a_range() {
        let id = |path| caller(100_000, 100_000, in_group(path)).id.to_string();
        assert_eq!(id("/lxc/101/ns/x"), "range:100000+65536/lxc/101");
        assert_ne!(id("/lxc/101/ns/x"), id("/lxc/102/ns/x"));
        assert_eq!(id("/lxc/101/ns/lxc/102"), id("/lxc/101/ns/x"));
    }

    #[test]
    fn host_namespace_maps_no_root() {
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

    fn interesting_id() -> impl Strategy<Value = u32> {
        let near = |id: u32| id.saturating_sub(1)..=id + 1;
        prop_oneof![
            near(0),
            near(50),
            near(995),
            near(1000),
            near(100_000),
            near(165_536),
            any::<u32>()
        ]
    }

    proptest! {
        #[test]
        fn stranger_never_has_capability(
            uid in interesting_id(),
            gid in interesting_id(),
            mapped_root in proptest::option::of(interesting_id()),
            in_container: bool,
        ) {
            let container = in_container
                .then(|| ContainerId::from_cgroup("0::/lxc/101\n"))
                .flatten();
            let facts = ProcessFacts { container, mapped_root };
            if policy().standing(credentials(uid, gid)) == Standing::Stranger {
                prop_assert!(caller(uid, gid, facts).capabilities.is_empty());
            }
        }
    }

    #[test]
    fn standing_follows_policy() {
        let standing = |uid, gid| policy().standing(credentials(uid, gid));
        for (uid, gid) in [(1001, 1), (7, 50), (100_000, 100_000)] {
            assert_eq!(standing(uid, gid), Standing::Eligible, "{uid}:{gid}");
        }
        for (uid, gid) in [(0, 0), (1002, 1), (100_001, 100_000), (165_536, 165_536)] {
            assert_eq!(standing(uid, gid), Standing::Stranger, "{uid}:{gid}");
        }
    }
}
