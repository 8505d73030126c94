//! Giving privileges away: root's user id, groups, capabilities, and the ways to
//! get any of them back.

use crate::layers::Hold;
use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{
    Gid, Group, Uid, User, getegid, geteuid, getresuid, setegid, seteuid, setgroups, setresgid,
    setresuid,
};
use std::io;

/// The user that the daemon is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceUser {
    /// Its name.
    pub name: String,
    /// Its user and group id; `None` when the system does not know the name, or does
    /// not have to.
    pub ids: Option<(u32, u32)>,
}

impl ServiceUser {
    /// Looks the name up, if we are root: nobody else can become another user.
    ///
    /// # Errors
    /// When the system's users cannot be read.
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

    /// Whom files have to belong to that the daemon needs later: nobody else than
    /// already, unless it is to change its user.
    #[must_use]
    pub fn new_owner(&self) -> Option<(u32, u32)> {
        self.ids.filter(|(uid, _)| geteuid().is_root() && *uid != 0)
    }

    /// Does something to files with this user's rights and no others (credentials(7)),
    /// where we are root: in a directory of this user, a path can be exchanged for
    /// another between any two calls, and root would follow it.
    ///
    /// # Errors
    /// Those of `work`, and the kernel's when the rights cannot be changed. Whether
    /// root's rights came back is not known then: the program has to end.
    pub fn act<T>(&self, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.act_in(None, work)
    }

    /// As [`ServiceUser::act`], with another group, which files then have that are made.
    ///
    /// # Errors
    /// As [`ServiceUser::act`]; where we are not root, no other group can be had.
    pub fn act_in<T>(
        &self,
        group: Option<u32>,
        work: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        let Some((uid, gid)) = self.new_owner() else {
            return in_group(group.map_or_else(getegid, Gid::from_raw), work);
        };
        let own_gid = getegid();
        // They do not come back: whoever is to become this user needs none of root's.
        setgroups(&[])?;
        setegid(Gid::from_raw(group.unwrap_or(gid)))?;
        seteuid(Uid::from_raw(uid))?;
        let outcome = work();
        seteuid(Uid::from_raw(0))?;
        setegid(own_gid)?;
        outcome
    }
}

fn in_group<T>(group: Gid, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let own = getegid();
    if group == own {
        return work();
    }
    setegid(group)?;
    let outcome = work();
    setegid(own)?;
    outcome
}

/// The number of a group of the system; `None` when there is no group of this name.
///
/// # Errors
/// When the system's groups cannot be read.
pub fn group_id(name: &str) -> io::Result<Option<u32>> {
    let group = Group::from_name(name)?;
    Ok(group.map(|group| group.gid.as_raw()))
}

/// Becomes that user, when we are root, and gives every privilege away, for good.
#[must_use]
pub(crate) fn drop_to(user: &ServiceUser) -> Hold {
    let mut lacking = Vec::new();
    let mut note = |what: &str, outcome: Result<(), Errno>| {
        if let Err(errno) = outcome {
            lacking.push(format!("{what}: {}", errno.desc()));
        }
    };
    let was_root = geteuid().is_root();
    // Both take a capability, which only matters where there is one.
    if was_root {
        note("capability bounding set", empty_bounding_set());
        note("securebits", lock_securebits());
    }
    if let Some((uid, gid)) = user.new_owner() {
        note("change of user", become_user(uid, gid));
    }
    note("capabilities", empty_capabilities());
    note("no_new_privs", prctl::set_no_new_privs());
    note("core dumps", setrlimit(Resource::RLIMIT_CORE, 0, 0));
    // Last: a change of user resets it.
    note("dumpable", prctl::set_dumpable(false));
    let held = format!("user {}", geteuid());
    if geteuid().is_root() {
        lacking.push(still_root(user));
    }
    if lacking.is_empty() {
        Hold::Whole(held)
    } else {
        Hold::Partly(format!("{held}; {}", lacking.join("; ")))
    }
}

/// Gains no privilege from here on, by whatever program, and cannot be traced by
/// others of its user.
#[must_use]
pub(crate) fn refuse_new() -> Hold {
    match prctl::set_no_new_privs().and_then(|()| prctl::set_dumpable(false)) {
        Ok(()) => Hold::Whole("no new ones".to_owned()),
        Err(errno) => Hold::Missing(errno.desc().to_owned()),
    }
}

fn still_root(user: &ServiceUser) -> String {
    match user.ids {
        None => format!(
            "still root, without capabilities: there is no user \"{}\"",
            user.name
        ),
        Some(_) => "still root, without capabilities".to_owned(),
    }
}

/// Group first: afterwards it may not any more.
fn become_user(uid: u32, gid: u32) -> Result<(), Errno> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    setgroups(&[])?;
    setresgid(gid, gid, gid)?;
    setresuid(uid, uid, uid)?;
    let now = getresuid()?;
    let is_changed = now.real == uid && now.effective == uid && now.saved == uid;
    is_changed.then_some(()).ok_or(Errno::EPERM)
}

/// More than any kernel has; the kernel says where its own end.
const MAX_CAPABILITIES: libc::c_ulong = 64;

fn empty_bounding_set() -> Result<(), Errno> {
    for capability in 0..MAX_CAPABILITIES {
        match control(libc::PR_CAPBSET_DROP, capability) {
            Err(Errno::EINVAL) => return Ok(()),
            outcome => outcome?,
        }
    }
    Ok(())
}

/// Root's user id gives nothing any more, nor can that be undone
/// (capabilities(7)): `NOROOT`, `NO_SETUID_FIXUP` and `NO_CAP_AMBIENT_RAISE`, each with
/// its lock, and `KEEP_CAPS` locked.
fn lock_securebits() -> Result<(), Errno> {
    const LOCKED: libc::c_ulong = 0b1110_1111;
    control(libc::PR_SET_SECUREBITS, LOCKED)
}

#[expect(unsafe_code, reason = "nix does not wrap these options")]
fn control(option: libc::c_int, argument: libc::c_ulong) -> Result<(), Errno> {
    const NONE: libc::c_ulong = 0;
    // SAFETY: these options of prctl(2) take a number and no pointer.
    let outcome = unsafe { libc::prctl(option, argument, NONE, NONE, NONE) };
    Errno::result(outcome).map(drop)
}

/// The header of capset(2), linux/capability.h.
#[repr(C)]
struct Header {
    version: u32,
    pid: libc::c_int,
}

/// One of the two halves of the sets.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
struct Sets {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

const NO_CAPABILITIES: [Sets; 2] = [Sets {
    effective: 0,
    permitted: 0,
    inheritable: 0,
}; 2];

const THIS_PROCESS: Header = Header {
    // _LINUX_CAPABILITY_VERSION_3
    version: 0x2008_0522,
    pid: 0,
};

/// Empties the effective, permitted, inheritable and, with them, ambient sets. Where
/// they are empty already, a filter around us may well refuse the call: it is not made.
fn empty_capabilities() -> Result<(), Errno> {
    match capabilities()? {
        NO_CAPABILITIES => Ok(()),
        _ => set_no_capabilities(),
    }
}

#[expect(unsafe_code, reason = "nix does not wrap capget")]
fn capabilities() -> Result<[Sets; 2], Errno> {
    let mut header = THIS_PROCESS;
    let mut sets = NO_CAPABILITIES;
    // SAFETY: both pointers are to live values of the layout that version 3 of
    // capget(2) reads and writes.
    let outcome = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, sets.as_mut_ptr()) };
    Errno::result(outcome).map(|_| sets)
}

#[expect(unsafe_code, reason = "nix does not wrap capset")]
fn set_no_capabilities() -> Result<(), Errno> {
    let (header, sets) = (THIS_PROCESS, NO_CAPABILITIES);
    // SAFETY: both pointers are to live values of the layout that version 3 of
    // capset(2) reads, and it writes to neither.
    let outcome = unsafe { libc::syscall(libc::SYS_capset, &raw const header, sets.as_ptr()) };
    Errno::result(outcome).map(drop)
}
