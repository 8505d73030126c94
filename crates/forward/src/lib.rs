//! Forwards the audit log to collectors, without losing a record.
//!
//! The log itself is the queue: nothing is copied, and the position of a collector is a
//! number in a small file, its cursor. The daemon's own messages have a smaller queue and
//! cursors of their own. Unreachable collectors are retried for ever. All of it runs on one
//! thread that nothing waits for, so a slow collector, a slow disk or a large backlog does
//! not delay a reading.
//!
//! | module | contents |
//! |---|---|
//! | [`cursor`] | the position of a stream, on disk |
//! | [`credentials`] | certificates and key, renewed at run time |
//! | [`message`] | the syslog messages of records |
//! | [`problem`] | failures of a collector, and their remedies |
//! | [`status`] | the status, for operators and metrics |
//! | [`journal`] | the latest of the daemon's own messages, in memory |
//! | `loss` | records that were removed from the log before they were delivered |
//! | `orphaned` | losses of streams that are not configured any more |
//! | `growth` | records that remain unacknowledged for too long |
//! | `state_file` | files of a later release, and unreadable ones |
//! | `spool` | the daemon's own messages on disk |
//! | [`rsyslog`] | configurations of rsyslog, as collector and as sender |
//! | [`route`] | connecting to a collector |
//! | `stream` | reading, sending, acknowledgements |
//! | [`forwarder`] | the thread of all streams, and its commands |

pub mod credentials;
pub mod cursor;
pub mod forwarder;
#[cfg(fuzzing)]
pub mod fuzzing;
mod growth;
pub mod journal;
mod loss;
pub mod message;
mod orphaned;
pub mod problem;
pub mod route;
pub mod rsyslog;
mod spool;
mod state_file;
pub mod status;
mod stream;

pub use forwarder::{Forwarder, PrepareError, Prepared, Settings};
pub use journal::Journal;
pub use state_file::StateFileError;
