//! Simulated nodes: real SSH servers on loopback, inside the caller's process.
//!
//! The demo must run where there is no sshd, the tests need nodes that misbehave
//! in ways no sshd does, and the benchmarks need ten thousand nodes on one
//! machine. All of them talk to the daemon over real TCP and real SSH, so the
//! daemon has no special path for any of them.
//!
//! A [`SimNode`] is one listener with one host key. What it does with a client
//! is its [`Behaviour`], which can be changed while it runs; what clients did to
//! it is in its [`Counters`].
//!
//! | module | is about |
//! |---|---|
//! | [`behaviour`] | what a node answers: pure decisions |
//! | `server` | listening, and the knobs of a running node |
//! | `connection` | cutting and stalling one TCP connection |
//! | `session` | SSH: logins, channels, commands |
//! | `program` | what runs behind a channel |
//! | `helper` | the real node helper as a child process |
//! | `outlet` | sending to a channel from a task |
//! | `faults` | the misbehaviour that goes on by itself |
//! | [`tree`] | the made-up `/sys` trees that a helper reads |

pub mod behaviour;
mod config;
mod connection;
mod counters;
mod faults;
mod helper;
mod outlet;
mod program;
mod server;
mod session;
pub mod tree;

pub use behaviour::Behaviour;
pub use config::{HostAuthority, SimConfig, fresh_key};
pub use counters::Counters;
pub use russh::keys::{PrivateKey, PublicKey};
pub use server::SimNode;
