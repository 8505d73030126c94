//! Sensor documents, node commands and times: what the helper on a node and the daemon share.
//!
//! Pure, as `pulse-core` is: no clock, file, socket or async. It depends on no other crate of
//! this workspace, so the helper's dependency tree stays small.
//!
//! | module | contents |
//! |---|---|
//! | [`document`] | a node's sensors: read, normalise, write |
//! | [`command`] | the commands that may reach a node |
//! | [`printed`] | the part of a node's output that is accepted |
//! | [`lines`] | lines from bytes that arrive in pieces |
//! | [`calendar`] | dates and times of day from seconds since 1970 |
//! | [`shown`] | characters that are safe to display |

pub mod calendar;
pub mod command;
pub mod document;
pub mod lines;
pub mod printed;
pub mod shown;
