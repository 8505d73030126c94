//! The audit log: every decision on record, in one chain that proves itself.
//!
//! Each record holds the hash of the one before; at most a minute of records is
//! followed by a seal, signed with a key that is erased at once. So whoever has
//! the first public key can tell whether anything was changed, and a thief of
//! today's key cannot rewrite yesterday. `docs/audit-format.md` says how the file
//! is made; the modules say why.
//!
//! | part | does |
//! |---|---|
//! | [`Body`], [`Head`], [`RecordLine`] | one record: written, chained, read |
//! | [`Storage`], [`Directory`] | what is asked of a file system |
//! | [`RegularFile`] | the one way in which files are opened |
//! | [`Log`] | append, seal, rotate, recover, prune: durably or not at all |
//! | [`Writer`] | the one thread: group commit, fail closed, back by itself |
//! | [`verify`] | is this the log that was written, and if not, what was done? |
//! | [`HeadLine`] | one record, noted elsewhere: the log must hold it for ever |
//! | [`LogReader`] | what is on disk, for whoever brings it elsewhere |
//! | [`mod@show`], [`init()`], [`rename_live`] | for the operator's tool |
//!
//! Order of bytes, of keys and of syncs is decided in [`Log`], which is told the
//! time and the disk; tests cut its power at every single operation.
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
mod key;
mod line;
mod log;
mod members;
mod prune;
mod queue;
mod reader;
mod record;
mod recovery;
mod regular;
mod settings;
pub mod show;
mod storage;
mod tail;
mod text;
mod time;
pub mod verify;
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
pub use prune::{Extent, PruneError, PruneStatus, PruneStep, RemovedSegment};
pub use reader::{LogReader, Record, Resume};
pub use record::{Body, Head, MAX_LINE_BYTES};
pub use recovery::RecoveryReason;
pub use regular::RegularFile;
pub use settings::Settings;
pub use storage::{Dir, LIVE, Live, SEALS, Storage, segment_start};
pub use tail::MAX_WRITE_BYTES;
pub use time::Timestamp;
pub use worker::{ThreadEnd, Worker};
pub use writer::{
    Blocked, Completion, Health, OnDisk, Receipt, Retention, Unavailable, Upkeep, Writer,
};
