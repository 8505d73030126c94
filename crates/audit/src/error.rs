//! Why the log cannot be written, in sentences for whoever has to mend it.

use crate::storage::SEALS;
use std::io;

/// The log cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The storage failed.
    #[error("cannot {doing}: {source}")]
    Storage {
        /// What was being done.
        doing: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
    /// No private key for the epoch that the log is in.
    #[error(
        "the seal's private key of epoch {epoch} is missing: put the state directory back, \
         or move the log aside and begin a new one with `pulse-sensorctl audit init`"
    )]
    KeyMissing {
        /// The epoch whose key is needed.
        epoch: u64,
    },
    /// The private key is not the one that the log names.
    #[error(
        "the seal's private key of epoch {epoch} belongs to another log: put back the state \
         directory that belongs to this log"
    )]
    ForeignKey {
        /// The epoch whose key is needed.
        epoch: u64,
    },
    /// The log ends before a seal that was made.
    #[error(
        "the log was rolled back: it ends at record {seq}, in epoch {epoch}, but later records \
         were written; put the missing part back, or move the log aside"
    )]
    RolledBack {
        /// The last record there is.
        seq: u64,
        /// The epoch that the log is in.
        epoch: u64,
    },
    /// What follows a record is neither records nor a torn write.
    #[error(
        "the log is damaged after record {seq}: `pulse-sensorctl audit verify` says how; \
         move it aside once you have looked"
    )]
    Damaged {
        /// The last good record.
        seq: u64,
    },
    /// There is a key of a later epoch, but no log.
    #[error(
        "the log is missing, but the seal's key says there was one: put it back, or move the key aside"
    )]
    Missing,
    /// The next number would be over [`Ordinal::MAX`](pulse_core::ordinal::Ordinal::MAX).
    #[error(
        "the log's numbers are used up after record {seq}, epoch {epoch}, where no log gets by \
         itself: it was tampered with; `pulse-sensorctl audit verify` says how; move it aside"
    )]
    Exhausted {
        /// The last record.
        seq: u64,
        /// The epoch that the log is in.
        epoch: u64,
    },
    /// The seals of removed segments are there, but no log.
    #[error(
        "the log is missing, but {SEALS} beside it says there was one: put it back, or move \
         {SEALS} aside with it"
    )]
    SealsLeft,
    /// The file was removed or cut while it was being written.
    #[error("the log was removed or changed by somebody else")]
    Disturbed,
    /// The kernel gave no random bytes.
    #[error("cannot make a key: {0}")]
    Random(#[from] getrandom::Error),
}

impl LogError {
    /// Turns the storage's error into one that says what was being done.
    pub(crate) fn while_doing(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Storage { doing, source }
    }

    /// Whether the disk is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        matches!(self, Self::Storage { source, .. }
            if matches!(source.kind(), StorageFull | QuotaExceeded))
    }
}
