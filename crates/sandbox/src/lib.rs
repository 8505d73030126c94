//! What the kernel holds this process to.
//!
//! The daemon is confined by four layers: it becomes a user without privileges,
//! Landlock says which files and ports it may use, limits keep it from growing, and
//! seccomp says which system calls it may make. The helper on the nodes is such a user
//! from the start; Landlock and seccomp hold it too.
//! What they permit stands in [`tables`]. This is the one crate where `unsafe` is
//! allowed, for calls that nobody wraps.

mod descriptors;
#[cfg(fuzzing)]
pub mod fuzzing;
mod landlock;
mod layers;
mod limits;
mod outside;
mod priority;
mod privileges;
pub mod probe;
#[cfg(feature = "render")]
pub mod render;
mod rules;
mod seccomp;
pub mod tables;

pub use descriptors::{Handed, Inherited, inherited_sockets, raise_descriptor_limit};
pub use layers::{Hold, Kernel, Layer, Layers};
pub use outside::Outside;
pub use priority::take_priority;
pub use privileges::{ServiceUser, group_id};
pub use rules::{Places, Rules};
pub use seccomp::permit_only;

/// The host's name (uname(2)); empty when it is no text.
#[must_use]
pub fn host_name() -> String {
    let name = nix::unistd::gethostname().unwrap_or_default();
    name.into_string().unwrap_or_default()
}

/// The user this process acts as (geteuid(2)).
#[must_use]
pub fn own_uid() -> u32 {
    nix::unistd::geteuid().as_raw()
}
