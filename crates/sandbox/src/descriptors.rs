//! The limit of open files, and sockets inherited from systemd.

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{SockType, getsockopt, sockopt};
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, Ordering};

/// Raises the soft limit of open files to the hard limit (setrlimit(2)) and returns it. The
/// usual soft limit of 1,024 exists for programs that use select(2); one connection for each
/// node and each caller can exceed it.
///
/// # Errors
/// The kernel's; the limit is then unchanged.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(hard)
}

/// A socket that systemd passed to this process, with its name.
#[derive(Debug)]
pub struct NamedSocket {
    /// `FileDescriptorName=` of the socket unit (systemd.socket(5)); empty if it has none.
    pub name: String,
    /// The socket.
    pub socket: InheritedSocket,
}

/// A socket that systemd opened.
#[derive(Debug)]
pub enum InheritedSocket {
    /// A listening Unix stream socket.
    Unix(UnixListener),
    /// A listening TCP socket.
    Tcp(TcpListener),
    /// Another kind of descriptor, by its number. It is closed.
    Other(RawFd),
}

/// The first descriptor that is passed, `SD_LISTEN_FDS_START` of `sd_listen_fds(3)`.
const FIRST: RawFd = 3;

/// More descriptors than any of our units passes.
const MAX_SOCKETS: RawFd = 16;

/// The sockets that systemd passed to this process, as `LISTEN_PID`, `LISTEN_FDS` and
/// `LISTEN_FDNAMES` say (`sd_listen_fds_with_names(3)`). The first call takes ownership of them;
/// later calls return none.
#[must_use]
pub fn inherited_sockets() -> Vec<NamedSocket> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let number = |name| std::env::var(name).ok()?.parse::<u32>().ok();
    // A parent may have inherited them and left the variables in the environment.
    if number("LISTEN_PID") != Some(std::process::id()) || TAKEN.swap(true, Ordering::SeqCst) {
        return Vec::new();
    }
    let count = number("LISTEN_FDS").and_then(|count| RawFd::try_from(count).ok());
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    (FIRST..FIRST + count.unwrap_or(0).min(MAX_SOCKETS))
        // Without LISTEN_FDNAMES each name is empty.
        .zip(names.split(':').chain(std::iter::repeat("")))
        .filter_map(|(descriptor, name)| {
            Some(NamedSocket {
                name: name.to_owned(),
                socket: classify(take(descriptor)?),
            })
        })
        .collect()
}

/// Takes ownership of a descriptor and sets its close-on-exec flag; `None` if it is not open.
#[expect(
    unsafe_code,
    reason = "sd_listen_fds(3) passes ownership by number, which the type system cannot express"
)]
fn take(descriptor: RawFd) -> Option<OwnedFd> {
    // SAFETY: `borrow_raw` needs an open descriptor for the lifetime of the borrow. This one may
    // be closed; the borrow ends with the next line, where fcntl(2) returns EBADF in that case,
    // and nothing is read, written or closed through it.
    let borrowed = unsafe { BorrowedFd::borrow_raw(descriptor) };
    fcntl(borrowed, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).ok()?;
    // SAFETY: fcntl(2) has just shown that it is open. sd_listen_fds(3) makes this process the
    // owner of the descriptors from 3 on. The caller gets here once in the life of the process
    // (`TAKEN`) and takes each number once, so nobody else owns it.
    Some(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

fn classify(descriptor: OwnedFd) -> InheritedSocket {
    let number = descriptor.as_raw_fd();
    // With `Accept=yes` systemd would pass a connection (systemd.socket(5)).
    let is_listening_stream = getsockopt(&descriptor, sockopt::AcceptConn) == Ok(true)
        && getsockopt(&descriptor, sockopt::SockType) == Ok(SockType::Stream);
    if !is_listening_stream {
        return InheritedSocket::Other(number);
    }
    // `local_addr` fails with an address of another family, so it tells the two apart.
    let unix = UnixListener::from(descriptor);
    if unix.local_addr().is_ok() {
        return InheritedSocket::Unix(unix);
    }
    let tcp = TcpListener::from(OwnedFd::from(unix));
    match tcp.local_addr() {
        Ok(_) => InheritedSocket::Tcp(tcp),
        Err(_) => InheritedSocket::Other(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn sockets_are_classified() {
        let directory = tempfile::tempdir().unwrap();
        let unix = UnixListener::bind(directory.path().join("s")).unwrap();
        assert!(matches!(classify(unix.into()), InheritedSocket::Unix(_)));
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(matches!(classify(tcp.into()), InheritedSocket::Tcp(_)));
        let (connected, _other) = UnixStream::pair().unwrap();
        assert!(matches!(
            classify(connected.into()),
            InheritedSocket::Other(_)
        ));
        let file = std::fs::File::open("/").unwrap();
        assert!(matches!(classify(file.into()), InheritedSocket::Other(_)));
    }
}
