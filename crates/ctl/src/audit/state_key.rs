//! How far a log must have come: what its private directory says.
//!
//! The key of the next seal is made before a seal is written, so a log that ends
//! before that epoch had more once.

use std::io;
use std::path::{Path, PathBuf};

/// What the private directory says of where the log must have come to.
pub(crate) enum StateKey {
    /// Which one belongs to the log is not known.
    Unknown,
    /// It was read: the epoch, if there is a key.
    Read(PathBuf, Option<u64>),
    /// It cannot be read.
    Unreadable(PathBuf, io::Error),
}

impl StateKey {
    /// Looks.
    pub(crate) fn read(state: Option<&Path>) -> Self {
        let Some(state) = state else {
            return Self::Unknown;
        };
        match pulse_audit::current_epoch(state) {
            Ok(epoch) => Self::Read(state.to_owned(), epoch),
            Err(error) => Self::Unreadable(state.to_owned(), error),
        }
    }

    /// The directory, where it is known.
    pub(crate) fn directory(&self) -> Option<&Path> {
        match self {
            Self::Unknown => None,
            Self::Read(path, _) | Self::Unreadable(path, _) => Some(path),
        }
    }

    /// What the log must have reached.
    pub(crate) fn epoch(&self) -> Option<u64> {
        match self {
            Self::Read(_, epoch) => *epoch,
            Self::Unknown | Self::Unreadable(..) => None,
        }
    }

    /// Why it does not tell whether an older state was put back.
    pub(crate) fn gap(&self) -> Option<String> {
        let why = match self {
            Self::Read(_, Some(_)) => return None,
            Self::Unknown => "no --state-dir was given".to_owned(),
            Self::Read(path, None) => format!("{} holds no key", path.display()),
            Self::Unreadable(path, error) => format!("{}: {error}", path.display()),
        };
        Some(format!(
            "whether the log's end was cut off cannot be told: {why}"
        ))
    }
}
