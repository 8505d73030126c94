//! The process at the other end of a Unix socket, as the kernel reports it.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{getsockopt, sockopt};
use pulse_core::callers::container::ContainerId;
use pulse_core::callers::peer::{Credentials, ProcessFacts, mapped_root};
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

/// Bytes read of a control group or mapping file.
const MAX_PROC_BYTES: usize = 16 * 1024;

/// The credentials that the caller had when it connected (`SO_PEERCRED`, unix(7)).
///
/// # Errors
/// Those of getsockopt(2); on a connected Unix socket it does not fail.
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
/// A process id may be reused before `/proc/<pid>` is read, so a pidfd (`SO_PEERPIDFD`) holds
/// the process, which must still be alive after the files were read. Kernels before 6.5 have
/// no such option; there a reused id goes unnoticed. The result is empty for a process that
/// has exited or is hidden (`hidepid=`). It grants no rights, so nothing but the description
/// in records is lost.
///
/// # Errors
/// When no descriptor or memory is left: then nothing is known, not even that there are no facts.
pub(crate) fn process_facts(socket: &impl AsFd, caller: Credentials) -> io::Result<ProcessFacts> {
    let pidfd = match getsockopt(socket, sockopt::PeerPidfd).map_err(io::Error::from) {
        Ok(pidfd) => Some(pidfd),
        Err(error) if pulse_files::is_exhausted(&error) => return Err(error),
        // A kernel before 6.5.
        Err(error) if error.raw_os_error() == Some(Errno::ENOPROTOOPT as i32) => None,
        Err(_) => return Ok(ProcessFacts::default()),
    };
    let facts = look(caller)?;
    // Readable when its process has ended (pidfd_open(2)). Checked after the files were read.
    let has_ended = pidfd.is_some_and(|pidfd| {
        let mut fds = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO) != Ok(0)
    });
    Ok(facts.filter(|_| !has_ended).unwrap_or_default())
}

fn look(caller: Credentials) -> io::Result<Option<ProcessFacts>> {
    if caller.pid == 0 {
        return Ok(None);
    }
    let Some(cgroup) = read(caller.pid, "cgroup")? else {
        return Ok(None);
    };
    // UID 0 of the host is mapped into no other user namespace.
    let mapped_root = match caller.uid {
        0 => None,
        _ => match read(caller.pid, "uid_map")? {
            Some(map) => mapped_root(&map),
            None => return Ok(None),
        },
    };
    Ok(Some(ProcessFacts {
        container: ContainerId::from_cgroup(&cgroup),
        mapped_root,
    }))
}

/// A file of a process; none when the process has exited or is hidden.
fn read(pid: u32, name: &str) -> io::Result<Option<String>> {
    let path = format!("/proc/{pid}/{name}");
    match pulse_files::read_beginning(Path::new(&path), MAX_PROC_BYTES) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if pulse_files::is_exhausted(&error) => Err(error),
        Err(_) => Ok(None),
    }
}

/// Waits until a listening socket has a connection, for `timeout` at most.
///
/// # Errors
/// Those of poll(2).
pub(crate) fn wait_readable(listener: &impl AsFd, timeout: Duration) -> io::Result<()> {
    let mut fds = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
    let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
    poll(&mut fds, timeout)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn own_process_is_found() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let found = credentials(&ours).unwrap();
        assert_eq!(found.pid, std::process::id());
        assert!(look(found).unwrap().is_some());
    }

    #[test]
    fn exited_process_is_unknown() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let found = credentials(&ours).unwrap();
        for pid in [0, u32::MAX] {
            assert_eq!(look(Credentials { pid, ..found }).unwrap(), None);
        }
    }
}
