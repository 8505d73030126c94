//! How many files and sockets this process may have open, and which of them it was
//! given.

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{SockType, getsockopt, sockopt};
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, Ordering};

/// Raises the soft limit of open files as far as it may go (`setrlimit(2)`), and
/// gives it. The usual soft limit of 1,024 is there for programs that use
/// select(2); a connection for each node and each caller soon goes beyond it.
///
/// # Errors
/// Whatever the kernel says; the limit is what it was then.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(hard)
}

/// A descriptor that the service manager hands over, with its name.
#[derive(Debug)]
pub struct Handed {
    /// `FileDescriptorName=` of its unit (systemd.socket(5)); empty when it has none.
    pub name: String,
    /// The socket.
    pub socket: Inherited,
}

/// A socket that the service manager opened for us and listens on.
#[derive(Debug)]
pub enum Inherited {
    /// One for callers of this host.
    Unix(UnixListener),
    /// One with a port.
    Tcp(TcpListener),
    /// Something that we have no use for.
    Other(RawFd),
}

/// The first descriptor that is handed over (`sd_listen_fds(3)`).
const FIRST: RawFd = 3;
/// More than anybody would give us.
const MOST: RawFd = 16;

/// The sockets that the environment says were given to this process
/// (`LISTEN_PID`, `LISTEN_FDS`, `LISTEN_FDNAMES`: `sd_listen_fds_with_names(3)`). They are
/// given once: the second answer is that there are none.
#[must_use]
pub fn inherited_sockets() -> Vec<Handed> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let number = |name| std::env::var(name).ok()?.parse::<u32>().ok();
    let is_ours = number("LISTEN_PID") == Some(std::process::id());
    if !is_ours || TAKEN.swap(true, Ordering::SeqCst) {
        return Vec::new();
    }
    let count = number("LISTEN_FDS").and_then(|count| RawFd::try_from(count).ok());
    let last = FIRST + count.unwrap_or(0).min(MOST);
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let names = names.split(':').chain(std::iter::repeat(""));
    (FIRST..last)
        .zip(names)
        .filter_map(|(descriptor, name)| {
            Some(Handed {
                name: name.to_owned(),
                socket: recognise(take(descriptor)?),
            })
        })
        .collect()
}

/// Makes the descriptor ours, if it is open.
#[expect(unsafe_code, reason = "whose a descriptor is, is agreed on, not typed")]
fn take(descriptor: RawFd) -> Option<OwnedFd> {
    // SAFETY: it is only asked for its flags, and may well not be open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(descriptor) };
    fcntl(borrowed, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).ok()?;
    // SAFETY: it is open, and sd_listen_fds(3) makes it this process's; the only
    // caller comes here once, so that nobody else owns it.
    Some(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

fn recognise(descriptor: OwnedFd) -> Inherited {
    let number = descriptor.as_raw_fd();
    if !is_listening_stream(&descriptor) {
        return Inherited::Other(number);
    }
    // The standard library looks at the family when it is asked for the address.
    let unix = UnixListener::from(descriptor);
    if unix.local_addr().is_ok() {
        return Inherited::Unix(unix);
    }
    let tcp = TcpListener::from(OwnedFd::from(unix));
    match tcp.local_addr() {
        Ok(_) => Inherited::Tcp(tcp),
        Err(_) => Inherited::Other(number),
    }
}

fn is_listening_stream(descriptor: &impl AsFd) -> bool {
    getsockopt(descriptor, sockopt::AcceptConn) == Ok(true)
        && getsockopt(descriptor, sockopt::SockType) == Ok(SockType::Stream)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn sockets_are_told_apart_by_what_they_are() {
        let directory = tempfile::tempdir().unwrap();
        let unix = UnixListener::bind(directory.path().join("s")).unwrap();
        assert!(matches!(recognise(unix.into()), Inherited::Unix(_)));
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(matches!(recognise(tcp.into()), Inherited::Tcp(_)));
        let (connected, _other) = UnixStream::pair().unwrap();
        assert!(matches!(recognise(connected.into()), Inherited::Other(_)));
        let file = std::fs::File::open("/").unwrap();
        assert!(matches!(recognise(file.into()), Inherited::Other(_)));
    }
}
