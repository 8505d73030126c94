//! Callers: from the listening sockets to the reply.
//!
//! `backlog` and `listener` accept, `session` admits and reads requests from a
//! `connection`, `dispatch` answers them, `request` records and carries out a reading, `sweep`
//! several; `health` and `registered` say what is known without one.

mod backlog;
mod connection;
mod dispatch;
mod health;
mod listener;
mod registered;
mod request;
mod session;
mod socket;
mod sweep;

pub(crate) use backlog::Guards;
pub(crate) use health::ConfinementHealth;
pub(crate) use listener::{serve_administrators, serve_callers};
pub(crate) use request::Request;
pub(crate) use socket::{Binder, BoundSocket};

#[cfg(test)]
mod tests;
