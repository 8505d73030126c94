//! Dropping privileges: root's user ID, its groups and capabilities, and every way to regain
//! them.

use crate::layers::LayerStatus;
use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{
    Gid, Group, Uid, User, getegid, geteuid, getresuid, setegid, seteuid, setgroups, setresgid,
    setresuid,
};
use std::io;

/// The user that the daemon changes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceUser {
    /// The user's name.
    pub name: String,
    /// User and group ID; `None` if the system has no such user, or this process is not root.
    pub ids: Option<(u32, u32)>,
}

impl ServiceUser {
    /// Looks the user up if this process is root, which alone can change to another user.
    ///
    /// # Errors
    /// The user database cannot be read.
    pub fn find(name: &str) -> io::Result<Self> {
        let user = if geteuid().is_root() {
            User::from_name(name)?
        } else {
            None
        };
        Ok(Self {
            name: name.to_owned(),
            ids: user.map(|user| (user.uid.as_raw(), user.gid.as_raw())),
        })
    }

    /// User and group ID that this process changes to, and that files which it needs later
    /// have to belong to; `None` if it keeps its user.
    #[must_use]
    pub fn target_ids(&self) -> Option<(u32, u32)> {
        self.ids.filter(|(uid, _)| geteuid().is_root() && *uid != 0)
    }

    /// Runs `work` with this user's effective IDs and no supplementary groups (credentials(7)),
    /// if this process is root. That user can replace any path in its own directories between
    /// two system calls, and root would follow a symbolic link placed there.
    ///
    /// # Errors
    /// The error of `work`, or the kernel's if the IDs cannot be changed. In the latter case
    /// root's IDs may not be restored: the program has to exit.
    pub fn run<T>(&self, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.run_with_group(None, work)
    }

    /// As [`ServiceUser::run`], with another effective group, which new files get.
    ///
    /// # Errors
    /// As [`ServiceUser::run`]; `EPERM` for another group if this process is not root.
    pub fn run_with_group<T>(
        &self,
        group: Option<u32>,
        work: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        let own_gid = getegid();
        let Some((uid, gid)) = self.target_ids() else {
            let group = group.map_or(own_gid, Gid::from_raw);
            if group == own_gid {
                return work();
            }
            setegid(group)?;
            let outcome = work();
            setegid(own_gid)?;
            return outcome;
        };
        // Root's supplementary groups are not restored: this process is about to change to
        // the service's user, which must not have them.
        setgroups(&[])?;
        // The group first and last: only root may change it.
        setegid(Gid::from_raw(group.unwrap_or(gid)))?;
        seteuid(Uid::from_raw(uid))?;
        let outcome = work();
        seteuid(Uid::from_raw(0))?;
        setegid(own_gid)?;
        outcome
    }
}

/// The ID of a group; `None` if the system has no group of this name.
///
/// # Errors
/// The group database cannot be read.
pub fn group_id(name: &str) -> io::Result<Option<u32>> {
    let group = Group::from_name(name)?;
    Ok(group.map(|group| group.gid.as_raw()))
}

/// Changes to that user, if this process is root, and drops every privilege irrevocably.
///
/// Each step runs even if one before it failed: what can be dropped is dropped, and the status
/// names what could not.
#[must_use]
pub(crate) fn drop_to(user: &ServiceUser) -> LayerStatus {
    let mut missing = Vec::new();
    let mut note = |what: &str, outcome: Result<(), Errno>| {
        if let Err(errno) = outcome {
            missing.push(format!("{what}: {}", errno.desc()));
        }
    };
    // Both need CAP_SETPCAP, so they come before the change of user, and are left out for a
    // process that has no capabilities to lose.
    if geteuid().is_root() {
        note("capability bounding set", empty_bounding_set());
        // Root's user ID gives no capability any more, irrevocably (capabilities(7)): `NOROOT`,
        // `NO_SETUID_FIXUP` and `NO_CAP_AMBIENT_RAISE`, each with its lock, and the lock of
        // `KEEP_CAPS`.
        note("securebits", control(libc::PR_SET_SECUREBITS, 0b1110_1111));
    }
    if let Some((uid, gid)) = user.target_ids() {
        note("change of user", become_user(uid, gid));
    }
    // With `NO_SETUID_FIXUP` the change of user does not empty the sets (capabilities(7)). If they
    // are empty already, capset(2) is not called: an outer filter may refuse it.
    let capabilities = capabilities().and_then(|sets| {
        if sets == NO_CAPABILITIES {
            Ok(())
        } else {
            set_no_capabilities()
        }
    });
    note("capabilities", capabilities);
    note("no_new_privs", prctl::set_no_new_privs());
    note("core dumps", setrlimit(Resource::RLIMIT_CORE, 0, 0));
    // Last: the kernel resets the flag when the user changes (PR_SET_DUMPABLE(2const)).
    note("dumpable", prctl::set_dumpable(false));
    let active = format!("user {}", geteuid());
    if geteuid().is_root() {
        let still_root = "still root, without capabilities";
        missing.push(match user.ids {
            None => format!("{still_root}: there is no user \"{}\"", user.name),
            Some(_) => still_root.to_owned(),
        });
    }
    if missing.is_empty() {
        LayerStatus::Full(active)
    } else {
        LayerStatus::Partial(format!("{active}; {}", missing.join("; ")))
    }
}

/// Sets `no_new_privs` and clears the dumpable flag.
#[must_use]
pub(crate) fn forbid_new() -> LayerStatus {
    match prctl::set_no_new_privs().and_then(|()| prctl::set_dumpable(false)) {
        Ok(()) => LayerStatus::Full("no new ones".to_owned()),
        Err(errno) => LayerStatus::Missing(errno.desc().to_owned()),
    }
}

fn become_user(uid: u32, gid: u32) -> Result<(), Errno> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    // Groups first: without root's user ID they cannot be changed.
    setgroups(&[])?;
    setresgid(gid, gid, gid)?;
    setresuid(uid, uid, uid)?;
    // A saved ID of 0 would bring root back, so all three are read back.
    let now = getresuid()?;
    let is_changed = now.real == uid && now.effective == uid && now.saved == uid;
    is_changed.then_some(()).ok_or(Errno::EPERM)
}

fn empty_bounding_set() -> Result<(), Errno> {
    /// More than any kernel has: it returns EINVAL for the first number that it does not know.
    const MAX_CAPABILITIES: libc::c_ulong = 64;
    for capability in 0..MAX_CAPABILITIES {
        match control(libc::PR_CAPBSET_DROP, capability) {
            Err(Errno::EINVAL) => return Ok(()),
            outcome => outcome?,
        }
    }
    Ok(())
}

#[expect(unsafe_code, reason = "nix does not wrap these options")]
fn control(option: libc::c_int, argument: libc::c_ulong) -> Result<(), Errno> {
    const NONE: libc::c_ulong = 0;
    // SAFETY: the callers pass PR_CAPBSET_DROP and PR_SET_SECUREBITS, whose arguments are an
    // integer and three that are ignored (prctl(2)); no pointer.
    Errno::result(unsafe { libc::prctl(option, argument, NONE, NONE, NONE) }).map(drop)
}

/// `__user_cap_header_struct` of linux/capability.h.
#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: libc::c_int,
}

/// `__user_cap_data_struct` of linux/capability.h. Version 3 has two, for 64 capabilities.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
struct CapabilitySets {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

const NO_CAPABILITIES: [CapabilitySets; 2] = [CapabilitySets {
    effective: 0,
    permitted: 0,
    inheritable: 0,
}; 2];

const THIS_THREAD: CapabilityHeader = CapabilityHeader {
    // _LINUX_CAPABILITY_VERSION_3
    version: 0x2008_0522,
    pid: 0,
};

#[expect(unsafe_code, reason = "nix does not wrap capget")]
fn capabilities() -> Result<[CapabilitySets; 2], Errno> {
    let mut header = THIS_THREAD;
    let mut sets = NO_CAPABILITIES;
    // SAFETY: capget(2) of version 3 reads and writes one header and writes two data structs.
    // Both pointers are to live values of that layout and size, borrowed by nobody else.
    Errno::result(unsafe { libc::syscall(libc::SYS_capget, &raw mut header, sets.as_mut_ptr()) })
        .map(|_| sets)
}

/// Empties the effective, permitted and inheritable sets, and with them the ambient set.
#[expect(unsafe_code, reason = "nix does not wrap capset")]
fn set_no_capabilities() -> Result<(), Errno> {
    let (mut header, sets) = (THIS_THREAD, NO_CAPABILITIES);
    // SAFETY: capset(2) of version 3 reads one header and two data structs, and writes to the
    // header alone, if it does not know the version. Both pointers are to live values of that
    // layout and size.
    Errno::result(unsafe { libc::syscall(libc::SYS_capset, &raw mut header, sets.as_ptr()) })
        .map(drop)
}
