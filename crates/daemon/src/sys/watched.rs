//! Sockets that the runtime watches, without owning how they are used.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// What keeps one descriptor open for as long as it lives.
pub(crate) trait Socket: AsRawFd {}

impl Socket for Arc<UnixListener> {}
impl Socket for Arc<UnixStream> {}

/// Has the runtime watch a socket.
///
/// # Errors
/// Whatever `epoll_ctl(2)` says.
#[expect(
    deprecated,
    reason = "its successor leaves the descriptor's constancy to the caller's word; here the types give it"
)]
pub(crate) fn watched<S: Socket>(socket: S, interest: Interest) -> io::Result<AsyncFd<S>> {
    AsyncFd::with_interest(socket, interest)
}
