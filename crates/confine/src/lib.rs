//! What the kernel knows of a caller, behind small safe wrappers.
//!
//! The privilege drop, Landlock and seccomp move in here; then this is the one
//! crate where `unsafe` is allowed. So far it has none.

mod caller;

pub use caller::{credentials, surroundings};

/// The user this process acts as (geteuid(2)).
#[must_use]
pub fn own_uid() -> u32 {
    nix::unistd::geteuid().as_raw()
}
