//! Confinement of this process.
//!
//! The daemon applies four layers to itself: it changes to an unprivileged user, Landlock
//! restricts files and TCP ports, resource limits forbid new tasks and executable memory, and
//! a seccomp filter restricts system calls. The helper on the nodes already runs as an
//! unprivileged user; it applies Landlock and seccomp.
//!
//! [`tables`] lists what is permitted. `unsafe` is allowed in this crate alone, for system
//! calls that no dependency wraps.

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

pub use descriptors::{InheritedSocket, NamedSocket, inherited_sockets, raise_descriptor_limit};
pub use layers::{Kernel, Layer, LayerStatus, Layers};
pub use outside::OuterConfinement;
pub use priority::raise_priority;
pub use privileges::{ServiceUser, group_id};
pub use rules::{DaemonPaths, LandlockRules};
pub use seccomp::permit_only;

/// The host's name (uname(2)); empty if it is not UTF-8.
#[must_use]
pub fn host_name() -> String {
    nix::unistd::gethostname()
        .unwrap_or_default()
        .into_string()
        .unwrap_or_default()
}

/// Sets the name of this thread (`PR_SET_NAME` of prctl(2)), which the kernel cuts to 15 bytes. It
/// is for others to see; if it cannot be set, the thread keeps the name it has.
pub fn name_thread(name: &str) {
    if let Ok(name) = std::ffi::CString::new(name) {
        let _ = nix::sys::prctl::set_name(&name);
    }
}

/// The effective user ID of this process (geteuid(2)).
#[must_use]
pub fn own_uid() -> u32 {
    nix::unistd::geteuid().as_raw()
}
