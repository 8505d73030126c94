//! Nodes: names, addresses, look-ups, host keys and the delay after a failure.
//!
//! Collectors use the same names, addresses and delays.

pub mod address;
pub mod backoff;
pub mod clock;
pub mod hosts;
pub mod known_hosts;
pub mod lookup;
pub mod name;
