//! The daemon: thin drivers around `pulse-core`.
//!
//! `startup` opens, confines and starts everything; `supervisor` watches over it. A
//! request goes through `serve`, `readings` and `node`; `observe` has the records
//! and metrics of it, `sys` the system calls. `state` is what the tasks share.

#[cfg(fuzzing)]
pub mod fuzzing;
mod node;
mod observe;
mod readings;
mod serve;
mod startup;
mod state;
mod supervisor;
mod sys;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod troubleshooting;

pub use observe::recorder::Nothing;
pub use startup::cli::{Flag, USAGE};
pub use startup::{Parts, main, main_with};
