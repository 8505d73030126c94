//! Who is at the other end of a Unix socket, as the kernel says it.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{getsockopt, sockopt};
use pulse_core::peer::{ContainerId, Credentials, Surroundings, mapped_root};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

/// Longer control group and mapping files are not read on.
const MAX_PROC_BYTES: usize = 16 * 1024;

/// The credentials that the caller had when it connected (`SO_PEERCRED`, unix(7)).
///
/// # Errors
/// Whatever getsockopt(2) says; on a connected Unix socket it does not fail.
pub fn credentials(socket: &impl AsFd) -> io::Result<Credentials> {
    let credentials = getsockopt(socket, sockopt::PeerCredentials)?;
    Ok(Credentials {
        uid: credentials.uid(),
        gid: credentials.gid(),
        pid: credentials.pid().try_into().unwrap_or(0),
    })
}

/// Where the caller's process runs: its container and its user namespace.
///
/// What stands under `/proc/<pid>` may be another process's by the time it is
/// read, so the process is pinned with `SO_PEERPIDFD` and must still be alive
/// after the reading. Kernels before 6.5 have no such option; there the answer is
/// only as good as process ids are. A process that is gone or hidden is not seen.
#[must_use]
pub fn surroundings(socket: &impl AsFd, caller: Credentials) -> Surroundings {
    let pin = match getsockopt(socket, sockopt::PeerPidfd) {
        Ok(pidfd) => Some(pidfd),
        Err(Errno::ENOPROTOOPT) => None,
        Err(_) => return Surroundings::default(),
    };
    let pin = pin.as_ref();
    let seen = look(caller).or_else(|| look_through(pin?, caller));
    let seen = seen.filter(|_| pin.is_none_or(is_alive));
    seen.unwrap_or_default()
}

/// What the pidfd itself says, when `/proc` hides the process.
fn look_through(pidfd: &OwnedFd, caller: Credentials) -> Option<Surroundings> {
    let info = format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd());
    let info = pulse_files::read_text(Path::new(&info), MAX_PROC_BYTES).ok()?;
    let beside_us = is_beside_us(&info, caller.pid);
    beside_us.then(|| Surroundings {
        seen: true,
        ..Surroundings::default()
    })
}

/// Whether the process has this id and no other: it is in our own namespace of pids
/// (`NSpid` of a pidfd's fdinfo, `proc_pid_fdinfo(5)`).
pub(crate) fn is_beside_us(info: &str, pid: u32) -> bool {
    let mut ids = info.lines().filter_map(|line| line.strip_prefix("NSpid:"));
    let one = pid.to_string();
    ids.next().is_some_and(|ids| pid != 0 && ids.trim() == one)
}

fn look(caller: Credentials) -> Option<Surroundings> {
    if caller.pid == 0 {
        return None;
    }
    let cgroup = read(caller.pid, "cgroup")?;
    // No namespace but the host's own gives out UID 0, so root maps to nobody else.
    let mapped_root = match caller.uid {
        0 => None,
        _ => mapped_root(&read(caller.pid, "uid_map")?),
    };
    Some(Surroundings {
        container: ContainerId::from_cgroup(&cgroup),
        mapped_root,
        seen: true,
    })
}

fn read(pid: u32, name: &str) -> Option<String> {
    let path = format!("/proc/{pid}/{name}");
    let bytes = pulse_files::read_beginning(Path::new(&path), MAX_PROC_BYTES).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// A pidfd becomes readable when its process has ended (`pidfd_open(2)`).
fn is_alive(pidfd: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO) == Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn the_kernel_names_this_very_process() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let found = credentials(&ours).unwrap();
        assert_eq!(found.pid, std::process::id());
        assert!(surroundings(&ours, found).seen);
    }

    #[test]
    fn a_pidfd_tells_who_runs_beside_us() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let found = credentials(&ours).unwrap();
        if let Ok(pidfd) = getsockopt(&ours, sockopt::PeerPidfd) {
            assert!(look_through(&pidfd, found).unwrap().seen);
            let another = Credentials { pid: 1, ..found };
            assert_eq!(look_through(&pidfd, another), None);
        }
        for (info, expected) in [
            ("pos:\t0\nPid:\t42\nNSpid:\t42\n", true),
            ("Pid:\t42\nNSpid:\t42\t7\n", false),
            ("Pid:\t-1\nNSpid:\t0\n", false),
            ("Pid:\t42\n", false),
        ] {
            assert_eq!(is_beside_us(info, 42), expected, "{info}");
        }
        assert!(!is_beside_us("NSpid:\t0\n", 0));
    }

    #[test]
    fn a_process_that_is_gone_is_not_seen() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let found = credentials(&ours).unwrap();
        for pid in [0, u32::MAX] {
            assert!(!surroundings(&ours, Credentials { pid, ..found }).seen);
        }
    }
}
