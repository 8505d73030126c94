//! Readiness of sockets that other code reads and writes by itself.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A value whose descriptor stays open, and the same, for as long as it lives.
pub(crate) trait Socket: AsRawFd {}

impl Socket for Arc<UnixListener> {}
impl Socket for Arc<UnixStream> {}

/// Registers a socket with the runtime.
///
/// # Errors
/// Those of `epoll_ctl(2)`.
#[expect(
    deprecated,
    reason = "its successor is unsafe, since a caller has to promise what the trait above guarantees"
)]
pub(crate) fn watched<S: Socket>(socket: S, interest: Interest) -> io::Result<AsyncFd<S>> {
    AsyncFd::with_interest(socket, interest)
}
