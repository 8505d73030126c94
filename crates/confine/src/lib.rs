//! What the kernel knows of a caller, behind small safe wrappers.
//!
//! The privilege drop, Landlock and seccomp move in here; then this is the one
//! crate where `unsafe` is allowed. So far it has none.

mod caller;
mod descriptors;

use pulse_core::peer::Credentials;

pub use caller::{credentials, surroundings};
pub use descriptors::raise_descriptor_limit;

/// Who this process is.
#[must_use]
pub fn own_credentials() -> Credentials {
    Credentials {
        uid: own_uid(),
        gid: nix::unistd::getegid().as_raw(),
        pid: std::process::id(),
    }
}

/// The user this process acts as (geteuid(2)).
#[must_use]
pub fn own_uid() -> u32 {
    nix::unistd::geteuid().as_raw()
}
