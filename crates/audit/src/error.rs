//! Errors of the log, with what an operator can do about them.

use crate::regular::is_out_of_descriptors;
use crate::storage::SEALS;
use crate::watch::ChangedFile;
use pulse_core::causes::Causes;
use pulse_core::state_format::UnknownFormat;
use std::io;

/// The log cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The storage failed.
    #[error("cannot {doing}")]
    Storage {
        /// The operation that failed.
        doing: &'static str,
        /// The operating system's reason.
        source: io::Error,
    },
    /// The private key of the current epoch is missing.
    #[error(
        "the seal's private key of epoch {epoch} is missing: put the state directory back, \
         or move the log aside and begin a new one with `pulse-sensorctl audit init`"
    )]
    KeyMissing {
        /// The epoch whose key is needed.
        epoch: u64,
    },
    /// The private key is in a format of a later release.
    #[error("the seal's private key of epoch {epoch} needs a later release: start that one again")]
    KeyFormat {
        /// The epoch whose key is needed.
        epoch: u64,
        /// The format and the release.
        source: UnknownFormat,
    },
    /// The private key is another log's.
    #[error(
        "the seal's private key of epoch {epoch} belongs to another log: put back the state \
         directory that belongs to this log"
    )]
    ForeignKey {
        /// The epoch whose key is needed.
        epoch: u64,
    },
    /// The log ends before the last seal.
    #[error(
        "the log was rolled back: it ends at record {seq}, in epoch {epoch}, but later records \
         were written; put the missing part back, or move the log aside"
    )]
    RolledBack {
        /// The last record.
        seq: u64,
        /// The epoch that the log is in.
        epoch: u64,
    },
    /// Bytes after a record are neither records nor a torn write.
    #[error(
        "the log is damaged after record {seq}: `pulse-sensorctl audit verify` says how; \
         move it aside after you have looked"
    )]
    Damaged {
        /// The last good record.
        seq: u64,
    },
    /// There is a private key of a later epoch, but no log.
    #[error(
        "the log is missing, but there is a private key of it: put the log back, or move the key aside"
    )]
    Missing,
    /// The next number would be over [`Ordinal::MAX`](pulse_core::ordinal::Ordinal::MAX).
    #[error(
        "the log's numbers are exhausted after record {seq}, epoch {epoch}, which no log reaches in \
         its lifetime: it was tampered with; `pulse-sensorctl audit verify` says how; move it aside"
    )]
    Exhausted {
        /// The last record.
        seq: u64,
        /// The epoch that the log is in.
        epoch: u64,
    },
    /// The seals of removed segments are there, but no log.
    #[error("the log is missing, but its {SEALS} is here: put the log back, or move {SEALS} aside")]
    SealsLeft,
    /// Another program changed a file of the log.
    #[error(
        "{0}: put it back as it was, or accept the loss with `pulse-sensorctl audit accept-loss`"
    )]
    Disturbed(ChangedFile),
    /// No other program changed the log's files, so there is no loss to accept.
    #[error("no file of the log was changed by another program: there is no loss to accept")]
    NothingLost,
    /// Files were changed that had not been reported when the loss was accepted.
    #[error("{}: look at them, and accept the loss again", listed(.0))]
    Unseen(Vec<ChangedFile>),
    /// A file of the state directory cannot be used.
    #[error(
        "the file \"{file}\" in the state directory cannot be used ({reason}): move it aside after \
         you have looked at it, and verify the log with `pulse-sensorctl audit verify`"
    )]
    StateFile {
        /// Its name.
        file: &'static str,
        /// The reason.
        reason: String,
    },
    /// The kernel has no random bytes.
    #[error("cannot make a key")]
    Random(#[from] getrandom::Error),
}

/// The most files in a sentence.
const MAX_NAMED: usize = 10;

/// The changes, as a sentence.
fn listed(changed: &[ChangedFile]) -> String {
    let named = changed.iter().take(MAX_NAMED).map(ToString::to_string);
    let mut sentences: Vec<String> = named.collect();
    if changed.len() > MAX_NAMED {
        sentences.push(format!("{} more files", changed.len() - MAX_NAMED));
    }
    sentences.join("; ")
}

impl LogError {
    /// Adds the operation that failed to an error of the storage.
    pub(crate) fn while_doing(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Storage { doing, source }
    }

    /// The remedy, as the end of the sentence; `None` if the error's own text ends with it.
    #[must_use]
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Storage { source, .. } => {
                if let Some(remedy) = pulse_files::disk_remedy(source) {
                    return Some(remedy);
                }
                Some(match source.kind() {
                    io::ErrorKind::PermissionDenied => {
                        "the log's directory, its files and state_dir must belong to the daemon's \
                         user (chown)"
                    }
                    io::ErrorKind::NotFound => {
                        "is the directory there, and its file system mounted? The daemon makes it \
                         when it starts"
                    }
                    _ if is_out_of_descriptors(source) => {
                        "raise LimitNOFILE= of the service, or the sysctl fs.file-max"
                    }
                    _ => {
                        "the kernel's log (dmesg) may say more: a disk that fails has to be \
                         replaced"
                    }
                })
            }
            Self::Random(_) => {
                Some("try again when the host has booted; the kernel's log (dmesg) may say more")
            }
            Self::KeyMissing { .. }
            | Self::KeyFormat { .. }
            | Self::ForeignKey { .. }
            | Self::RolledBack { .. }
            | Self::Damaged { .. }
            | Self::Missing
            | Self::Exhausted { .. }
            | Self::SealsLeft
            | Self::Disturbed(_)
            | Self::NothingLost
            | Self::Unseen(_)
            | Self::StateFile { .. } => None,
        }
    }

    /// The error with its causes and its remedy in one sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self.remedy() {
            Some(remedy) => format!("{}: {remedy}", Causes(self)),
            None => Causes(self).to_string(),
        }
    }

    /// True when the disk or the user's quota is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        matches!(self, Self::Storage { source, .. }
            if matches!(source.kind(), StorageFull | QuotaExceeded))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storage_errors_have_remedies() {
        for (code, part) in [
            (libc::ENOSPC, "df -i"),
            (libc::EDQUOT, "quota"),
            (libc::EROFS, "writable again"),
            (libc::EACCES, "chown"),
            (libc::ENOENT, "mounted"),
            (libc::EMFILE, "LimitNOFILE="),
            (libc::EIO, "dmesg"),
        ] {
            let source = io::Error::from_raw_os_error(code);
            let named = crate::regular::with_name("/log/audit.log", source);
            let cause = named.to_string();
            let sentence = LogError::while_doing("write the audit log")(named).sentence();
            let (before, remedy) = sentence.split_once(&cause).unwrap();
            assert_eq!(before, "cannot write the audit log: ");
            assert!(
                remedy.starts_with(": ") && remedy.contains(part),
                "{sentence}"
            );
            assert!(cause.starts_with("/log/audit.log: "), "{cause}");
        }
    }
}
