//! Simulated nodes: real SSH servers on loopback, inside the caller's process.
//!
//! The demo must run without sshd, the tests need nodes that misbehave as no sshd does, and the
//! benchmarks need ten thousand nodes on one machine. All of them use real TCP and real SSH,
//! so the daemon needs no code for them.
//!
//! A [`SimNode`] is one listener with one host key. Its [`Behaviour`] towards clients can be
//! changed while it runs; its [`Counters`] count what clients do.
//!
//! | module | is about |
//! |---|---|
//! | [`behaviour`] | a node's response to each event: pure decisions |
//! | `server` | listening, and control of a running node |
//! | `connection` | cutting and stalling one TCP connection |
//! | `session` | SSH: logins, channels, commands |
//! | `program` | the program of a channel |
//! | `helper` | the real node helper as a child process |
//! | `writer` | sending to a channel from a task |
//! | `faults` | misbehaviour that runs in a task |
//! | [`slow_files`] | files whose reads hang or take long |
//! | [`tree`] | the made-up `/sys` trees that a helper reads |

pub mod behaviour;
mod config;
mod connection;
mod counters;
mod faults;
mod helper;
mod program;
mod server;
mod session;
pub mod slow_files;
pub mod tree;
mod writer;

pub use behaviour::Behaviour;
pub use config::{HostAuthority, SimConfig, fresh_key};
pub use counters::Counters;
pub use russh::keys::{PrivateKey, PublicKey};
pub use server::SimNode;
