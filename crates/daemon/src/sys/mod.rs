//! The operating system: callers' credentials, sockets, randomness, systemd.

pub(crate) mod accept;
mod binding;
mod caller;
pub(crate) mod random;
pub(crate) mod socket_name;
pub(crate) mod systemd;
pub(crate) mod watched;

pub(crate) use binding::bind_unix;
pub(crate) use caller::{credentials, process_facts, wait_readable};

use pulse_core::callers::peer::Credentials;
use std::time::Instant;

/// The credentials of this process.
pub(crate) fn own_credentials() -> Credentials {
    Credentials {
        uid: nix::unistd::geteuid().as_raw(),
        gid: nix::unistd::getegid().as_raw(),
        pid: std::process::id(),
    }
}

/// The monotonic clock of the runtime, which tests pause.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
