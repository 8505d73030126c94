//! What the kernel knows of a caller, behind small safe wrappers.
//!
//! The privilege drop, Landlock and seccomp move in here; then this is the one
//! crate where `unsafe` is allowed. So far it has none.

mod caller;

pub use caller::{credentials, surroundings};
