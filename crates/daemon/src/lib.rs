//! The daemon: thin drivers around `pulse-core`.
//!
//! [`startup`] opens, confines and starts everything; [`supervisor`] watches over it. A
//! request goes through [`serve`], [`readings`] and [`node`]; [`observe`] has the records
//! and metrics of it, [`sys`] the system calls. [`state`] is what the tasks share.
#![cfg_attr(
    not(test),
    warn(
        clippy::cast_possible_wrap,
        clippy::disallowed_methods,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::string_slice,
        clippy::unreachable
    )
)]

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

pub use observe::recorder::Nothing;
pub use startup::{Parts, main, main_with};
