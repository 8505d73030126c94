//! What the kernel knows of a caller, and what it holds us to.
//!
//! The daemon is confined by three layers: it becomes a user without privileges,
//! Landlock says which files and ports it may use, and seccomp which system calls.
//! What they permit stands in [`tables`]. This is the one crate where `unsafe` is
//! allowed, for calls that nobody wraps.

mod caller;
mod descriptors;
mod landlock;
mod layers;
mod privileges;
pub mod probe;
mod seccomp;
pub mod tables;

use pulse_core::peer::Credentials;

pub use caller::{credentials, surroundings};
pub use descriptors::raise_descriptor_limit;
pub use landlock::{Places, permit_paths};
pub use layers::{Hold, Kernel, Layer, Layers};
pub use privileges::ServiceUser;
pub use seccomp::permit_only;

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
