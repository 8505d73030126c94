//! Sensor documents, node commands and dates: the code that the daemon shares with the helper on
//! a node.
//!
//! The crate is pure, as `pulse-core` is: no clock, file, socket or async. It depends on no other
//! crate of this workspace, so the helper's dependency tree stays small.
//!
//! | module | contents |
//! |---|---|
//! | [`document`] | a node's sensor document: reading, normalising, writing |
//! | [`command`] | the commands that may reach a node |
//! | [`output`] | bounded output of a command on a node |
//! | [`lines`] | lines from a byte stream |
//! | [`calendar`] | dates and times of day from seconds since 1970 |
//! | [`shown`] | replacement of characters that are not safe to display |

pub mod calendar;
pub mod command;
pub mod document;
pub mod lines;
pub mod output;
pub mod shown;
