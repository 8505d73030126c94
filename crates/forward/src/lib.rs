//! Brings the audit log to its collectors, record by record, and loses nothing.
//!
//! The log itself is the queue: nothing is copied, and what a collector has acknowledged
//! is a number in a small file, the cursor. The daemon's own messages have a smaller queue
//! and a cursor like it. Collectors are tried for ever. Everything happens on
//! one thread that nothing waits for, so a slow collector, a slow disk or a long way
//! back cannot slow a reading.
//!
//! | module | is about |
//! |---|---|
//! | [`cursor`] | how far a stream has come, on disk |
//! | [`credentials`] | certificates that may change while we run |
//! | [`message`] | what a collector is sent of a record |
//! | [`problem`] | what is wrong with a collector, and the remedy |
//! | [`status`] | what is told to operators and metrics |
//! | [`journal`] | the daemon's own messages, the latest of them |
//! | `spool` | the same on disk, for collectors that are away |
//! | [`rsyslog`] | rsyslog's configuration, for collectors and senders |
//! | [`route`] | from a collector's name to an open connection |
//! | `stream` | the work: read, send, move on what is acknowledged |
//! | [`forwarder`] | the thread, and what is asked of it |

pub mod credentials;
pub mod cursor;
pub mod forwarder;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod journal;
pub mod message;
pub mod problem;
pub mod route;
pub mod rsyslog;
mod spool;
pub mod status;
mod stream;

pub use forwarder::{Forwarder, Prepared, Settings};
pub use journal::Journal;
