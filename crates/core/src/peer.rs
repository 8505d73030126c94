//! Callers: their identity and their capabilities, from what the kernel says of them.
//!
//! A capability comes from the socket and from the configuration alone. Whoever can open
//! the control socket, which is root's, administers. On the callers' socket a UID has what
//! the configuration gives it, UID 0 too: a process with UID 0 may be root of any
//! container, and nothing that the kernel shows of a process proves that it is not. The
//! control group is looked up as a description: it divides the budget of a subordinate
//! range and stands in records, but gives no right.

use crate::accept::Standing;
use crate::capability::{Capabilities, Capability};
use crate::subid::SubordinateRanges;
use std::collections::HashMap;
use std::fmt;

/// The credentials of the other end of a socket (`SO_PEERCRED`, unix(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Effective user id at the time of connect.
    pub uid: u32,
    /// Effective group id.
    pub gid: u32,
    /// Process id; 0 when the kernel does not say.
    pub pid: u32,
}

/// The socket that a caller came through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketRole {
    /// The one that containers mount.
    Callers,
    /// The one that only root can open.
    Control,
}

/// The unit that the limiter and the work caps count as one caller.
///
/// It always contains the UID, or the whole subordinate range of the UID, so that no
/// process can choose its own: a user can name control groups below its own as it likes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PeerId {
    /// A user of the host.
    Uid(u32),
    /// A range of subordinate user ids: containers of its owner.
    Range {
        /// The first user id.
        start: u32,
        /// The number of user ids.
        count: u32,
        /// One container of them, where the kernel let us see it.
        container: Option<ContainerId>,
    },
    /// A user that opened the control socket.
    Administrator(u32),
    /// The daemon's own background polling.
    Poller,
}

impl PeerId {
    /// Whether the limiter counts what it asks. An administrator looks at a fault by
    /// asking often, and could stop the daemon anyway.
    #[must_use]
    pub fn is_limited(&self) -> bool {
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

/// A container's name: the part of a control group's path that only root could have made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId(String);

/// The longest part of a control group's name that is kept: a Docker scope has 77 bytes.
const MAX_CONTAINER_BYTES: usize = 80;

/// Groups in which engines that run as root make one group for each container. A parent
/// that is not listed makes its containers one: their budget is smaller then, never larger.
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
    /// Reads the text of `/proc/<pid>/cgroup` (cgroups(7)).
    ///
    /// The name ends where a container could have made the rest of the path itself, so
    /// that it cannot be another container's, nor a new one at each request. Engines name
    /// their groups as they like, so the place in the tree decides: the first component
    /// below the slices of the system's service manager, or the one below a known parent.
    /// Processes of a login (`user.slice`), of a service and of the root group are in no
    /// container: what is below those can be made by their users.
    #[must_use]
    pub fn from_cgroup(text: &str) -> Option<Self> {
        // Where both versions are mounted, engines may use either, and the first version's
        // hierarchies may name other things besides.
        let is_unified = |line: &&str| line.starts_with("0::");
        let (unified, older): (Vec<_>, Vec<_>) = text.lines().partition(is_unified);
        unified.into_iter().chain(older).find_map(|line| {
            let name = container_in(line.splitn(3, ':').nth(2)?)?;
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
        // `..` is outside our own control group namespace: there is nothing to be seen.
        (Some(&"user.slice"), _) | (_, [] | ["init.scope" | "..", ..]) => None,
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

/// Facts about a caller's process beyond its credentials. They describe; they give no
/// right, and what could not be looked at is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// The container of its process, seen while the process was pinned.
    pub container: Option<ContainerId>,
    /// The UID of the host that its user namespace calls 0, when not 0 itself.
    pub mapped_root: Option<u32>,
}

/// A caller, identified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The kernel's credentials.
    pub credentials: Credentials,
    /// The unit it counts as.
    pub id: PeerId,
    /// The container of its process, as a description.
    pub container: Option<ContainerId>,
    /// The capabilities it has.
    pub capabilities: Capabilities,
}

/// The rules for callers, made from the configuration.
#[derive(Clone, Debug, Default)]
pub struct AccessPolicy {
    /// Capabilities granted to user ids.
    pub uids: HashMap<u32, Capabilities>,
    /// Group ids that may read.
    pub gids: Vec<u32>,
    /// Whether root of an unprivileged container may read.
    pub allow_idmapped_root: bool,
    /// Owners of the subordinate ranges that count for that.
    pub idmap_users: Vec<String>,
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
        around: Surroundings,
    ) -> Peer {
        let (id, capabilities) = match role {
            SocketRole::Control => (PeerId::Administrator(credentials.uid), Capabilities::all()),
            SocketRole::Callers => (
                self.id(credentials.uid, around.container.clone()),
                self.capabilities(credentials, &around),
            ),
        };
        Peer {
            credentials,
            id,
            container: around.container,
            capabilities,
        }
    }

    /// What the credentials alone say: a stranger has no capability, whatever its process
    /// is found to be, so nobody need look.
    #[must_use]
    pub fn standing(&self, credentials: Credentials) -> Standing {
        // What is known of the process narrows: it gives nobody a capability.
        let most = self.capabilities(credentials, &Surroundings::default());
        if most.is_empty() {
            Standing::Stranger
        } else {
            Standing::Eligible
        }
    }

    /// A user as far as the credentials tell: its UID, or the range that has it.
    #[must_use]
    pub fn user(&self, uid: u32) -> PeerId {
        self.id(uid, None)
    }

    /// A UID of the host is one caller in every container, since its user can make
    /// control groups; a container divides a subordinate range alone.
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

    fn capabilities(&self, credentials: Credentials, around: &Surroundings) -> Capabilities {
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
            let mut owned = ranges.starting_at(id);
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
            allow_idmapped_root: true,
            idmap_users: vec!["root".into()],
            subuid: SubordinateRanges::parse("root:100000:65536\nann:165536:65536\n"),
            subgid: SubordinateRanges::parse("root:100000:65536\nann:165536:65536\n"),
        }
    }

    fn in_group(path: &str) -> Surroundings {
        Surroundings {
            container: ContainerId::from_cgroup(&format!("0::{path}\n")),
            mapped_root: None,
        }
    }

    fn caller(uid: u32, gid: u32, around: Surroundings) -> Peer {
        policy().identify(SocketRole::Callers, credentials(uid, gid), around)
    }

    fn may(uid: u32, gid: u32) -> Capabilities {
        caller(uid, gid, Surroundings::default()).capabilities
    }

    #[test]
    fn root_has_no_right_of_its_own() {
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
    fn the_control_socket_gives_everything_and_counts_apart() {
        for uid in [0, 995, 100_000] {
            let policy = policy();
            let id = credentials(uid, uid);
            let peer = policy.identify(SocketRole::Control, id, Surroundings::default());
            assert_eq!(peer.capabilities, Capabilities::all());
            assert_ne!(peer.id, caller(uid, uid, Surroundings::default()).id);
        }
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
            ..Surroundings::default()
        };
        assert_eq!(
            caller(100_000, 100_000, around).capabilities,
            Capabilities::NONE
        );
    }

    #[test]
    fn a_user_of_the_host_cannot_choose_its_identity() {
        for path in [
            "/lxc/101",
            "/user.slice/user-4001.slice/user@4001.service/libpod-77.scope",
            "/system.slice/ci.service/docker-77.scope",
        ] {
            assert_eq!(caller(4001, 4001, in_group(path)).id, PeerId::Uid(4001));
        }
    }

    #[test]
    fn all_of_a_subordinate_range_is_one_caller() {
        let id = |uid| caller(uid, 0, Surroundings::default()).id;
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
    fn a_container_is_named_by_what_only_root_can_make() {
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
            let found = in_group(path).container.map(|found| found.to_string());
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
        fn strangers_never_have_a_capability(
            uid in interesting_id(),
            gid in interesting_id(),
            mapped_root in proptest::option::of(interesting_id()),
            in_container: bool,
        ) {
            let container = in_container
                .then(|| ContainerId::from_cgroup("0::/lxc/101\n"))
                .flatten();
            let around = Surroundings { container, mapped_root };
            if policy().standing(credentials(uid, gid)) == Standing::Stranger {
                prop_assert!(caller(uid, gid, around).capabilities.is_empty());
            }
        }
    }

    #[test]
    fn standing_follows_the_rules() {
        let standing = |uid, gid| policy().standing(credentials(uid, gid));
        for (uid, gid) in [(1001, 1), (7, 50), (100_000, 100_000)] {
            assert_eq!(standing(uid, gid), Standing::Eligible, "{uid}:{gid}");
        }
        for (uid, gid) in [(0, 0), (1002, 1), (100_001, 100_000), (165_536, 165_536)] {
            assert_eq!(standing(uid, gid), Standing::Stranger, "{uid}:{gid}");
        }
    }
}
