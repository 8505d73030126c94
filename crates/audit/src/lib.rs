//! The audit log: a hash chain of records, with seals of forward security.
//!
//! Each record holds the hash of the previous one. At most a minute of records is followed
//! by a seal: a signature with a key that is erased at once. So any change is detectable
//! with the first public key, and an attacker who obtains today's key cannot rewrite earlier
//! records. `docs/audit-format.md` specifies the format; the modules give the reasons.
//!
//! | part | contents |
//! |---|---|
//! | [`Body`], [`Head`], [`RecordLine`] | a record: encoded, chained, parsed |
//! | [`Storage`], [`Directory`] | the file system that the log needs |
//! | [`RegularFile`] | opening of files |
//! | [`Log`] | append, seal, rotate, recover, prune: durable when they return |
//! | [`Writer`] | the writing thread: group commit, fail closed, retries |
//! | [`verify`] | verification, and what was done to a log that fails it |
//! | [`HeadLine`] | the last record in one line, for keeping elsewhere |
//! | [`LogReader`] | records on disk, for forwarding |
//! | [`mod@show`], [`init()`], [`rename_live`] | for the operator's tool |
//!
//! [`Log`] decides the order of writes, syncs and key operations. Time and disk are its
//! arguments, so tests simulate a power failure at each single operation.
#![forbid(unsafe_code)]
#![allow(
    clippy::disallowed_methods,
    reason = "`RegularFile` opens its files, and each read has a limit (`Take`)"
)]

mod directory;
mod error;
#[cfg(fuzzing)]
pub mod fuzzing;
mod growing;
mod handover;
mod head_line;
mod init;
mod inventory;
mod key;
mod line;
mod log;
mod log_event;
mod members;
mod prune;
mod queue;
mod reader;
mod record;
mod recovery;
mod regular;
mod settings;
pub mod show;
mod stop;
mod storage;
mod tail;
mod text;
mod time;
pub mod verify;
mod watch;
mod worker;
mod writer;

pub use directory::Directory;
pub use error::LogError;
pub use handover::rename_live;
pub use head_line::{HeadError, HeadLine, InvalidHead};
pub use init::{InitError, init};
pub use key::{InvalidKey, PublicKey};
pub use line::RecordLine;
pub use log::{Log, Rotation};
pub use log_event::LogEventType;
pub use prune::{PruneError, PruneStatus, PruneStep, RemovedSegment};
pub use reader::{LogReader, Record, Resume};
pub use record::{Body, Head, MAX_LINE_BYTES};
pub use recovery::RecoveryReason;
pub use regular::RegularFile;
pub use settings::Settings;
pub use storage::{Dir, FileState, LIVE, Live, SEALS, Storage, segment_start};
pub use tail::MAX_WRITE_BYTES;
pub use time::Timestamp;
pub use watch::{Change, ChangedFile};
pub use worker::{ThreadEnd, Worker};
pub use writer::{
    Blocked, Health, Incident, OnDisk, Receipt, Retention, Unavailable, Upkeep, Writer,
};
