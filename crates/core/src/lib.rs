//! Every decision of `pulse-sensor-proxy`, as pure functions and state machines.
//!
//! Nothing here reads a clock, opens a file or a socket, or awaits: time is an
//! argument, bytes come in, decisions go out. The drivers in the other crates
//! only carry them out. That is what makes the limiter, the command parser and
//! the readers testable in microseconds, and fuzzable.
//!
//! | module | decides |
//! |---|---|
//! | [`name`] | which texts are node names |
//! | [`command`] | what may reach a node |
//! | [`document`] | what a node's answer says |

pub mod command;
pub mod document;
pub mod name;
