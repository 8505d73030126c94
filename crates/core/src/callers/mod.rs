//! Callers: identities, capabilities and limits.

pub mod accept;
pub mod bucket;
pub mod capability;
pub mod connection_limits;
pub mod container;
pub mod limiter;
pub mod peer;
pub mod subid;
