//! Who is at the other end of a Unix socket, as the kernel says it.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{getsockopt, sockopt};
use pulse_core::peer::{ContainerId, Credentials, ProcessFacts, mapped_root};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

/// Longer control group and mapping files are not read on.
const MAX_PROC_BYTES: usize = 16 * 1024;

/// The credentials that the caller had when it connected (`SO_PEERCRED`, unix(7)).
///
/// # Errors
/// Whatever getsockopt(2) says; on a connected Unix socket it does not fail.
pub(crate) fn credentials(socket: &impl AsFd) -> io::Result<Credentials> {
    let credentials = getsockopt(socket, sockopt::PeerCredentials)?;
    Ok(Credentials {
        uid: credentials.uid(),
        gid: credentials.gid(),
        pid: credentials.pid().try_into().unwrap_or(0),
    })
}

/// The container and the user namespace of the caller's process.
///
/// What stands under `/proc/<pid>` may be another process's by the time it is
/// read, so the process is pinned with `SO_PEERPIDFD` and must still be alive
/// after the reading. Kernels before 6.5 have no such option; there the answer is
/// only as good as process ids are. Of a process that is gone or hidden nothing is
/// known; since these facts give no right, that costs nothing but the description.
#[must_use]
pub(crate) fn process_facts(socket: &impl AsFd, caller: Credentials) -> ProcessFacts {
    let pin = match getsockopt(socket, sockopt::PeerPidfd) {
        Ok(pidfd) => Some(pidfd),
        Err(Errno::ENOPROTOOPT) => None,
        Err(_) => return ProcessFacts::default(),
    };
    let seen = look(caller).filter(|_| pin.as_ref().is_none_or(is_alive));
    seen.unwrap_or_default()
}

fn look(caller: Credentials) -> Option<ProcessFacts> {
    if caller.pid == 0 {
        return None;
    }
    let cgroup = read(caller.pid, "cgroup")?;
    // No namespace but the host's own gives out UID 0, so root maps to nobody else.
    let mapped_root = match caller.uid {
        0 => None,
        _ => mapped_root(&read(caller.pid, "uid_map")?),
    };
    Some(ProcessFacts {
        container: ContainerId::from_cgroup(&cgroup),
        mapped_root,
    })
}

fn read(pid: u32, name: &str) -> Option<String> {
    let path = format!("/proc/{pid}/{name}");
    let bytes = pulse_files::read_beginning(Path::new(&path), MAX_PROC_BYTES).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Waits until a listening socket has a connection, or for so long.
///
/// # Errors
/// Those of poll(2).
pub(crate) fn wait_readable(listener: &impl AsFd, most: Duration) -> io::Result<()> {
    let mut fds = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
    let timeout = PollTimeout::try_from(most).unwrap_or(PollTimeout::MAX);
    poll(&mut fds, timeout)?;
    Ok(())
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
        assert!(look(found).is_some());
    }

    #[test]
    fn a_process_that_is_gone_is_not_seen() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let found = credentials(&ours).unwrap();
        for pid in [0, u32::MAX] {
            assert_eq!(look(Credentials { pid, ..found }), None);
        }
    }
}
