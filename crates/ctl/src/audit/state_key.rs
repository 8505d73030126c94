//! The private directory, as evidence of where its log ends.

use super::snapshots;
use crate::failure::file_remedy;
use pulse_audit::verify::StateKeys;
use std::io;
use std::path::{Path, PathBuf};

/// What the private directory holds.
pub(crate) enum StateKey {
    /// Which one belongs to the log is not known.
    Unknown,
    /// It was read.
    Read {
        /// It.
        directory: PathBuf,
        /// Its keys.
        keys: StateKeys,
        /// Its file system's name, where that keeps older states of its files.
        snapshots: Option<&'static str>,
    },
    /// It cannot be read. The error names it.
    Unreadable(PathBuf, io::Error),
}

impl StateKey {
    /// Looks.
    pub(crate) fn read(state: Option<&Path>) -> Self {
        let Some(state) = state else {
            return Self::Unknown;
        };
        match StateKeys::read(state) {
            Ok(keys) => Self::Read {
                directory: state.to_owned(),
                keys,
                snapshots: snapshots::of(state),
            },
            Err(error) => Self::Unreadable(state.to_owned(), error),
        }
    }

    /// The directory, where it is known.
    pub(crate) fn directory(&self) -> Option<&Path> {
        match self {
            Self::Unknown => None,
            Self::Read { directory, .. } | Self::Unreadable(directory, _) => Some(directory),
        }
    }

    /// Its keys, where they could be read.
    pub(crate) fn keys(&self) -> Option<&StateKeys> {
        match self {
            Self::Read { keys, .. } => Some(keys),
            Self::Unknown | Self::Unreadable(..) => None,
        }
    }

    /// The name of a file system that keeps older states of the directory.
    pub(crate) fn snapshots(&self) -> Option<&'static str> {
        match self {
            Self::Read { snapshots, .. } => *snapshots,
            Self::Unknown | Self::Unreadable(..) => None,
        }
    }

    /// Why it does not prove where the log ends.
    pub(crate) fn why_no_proof(&self) -> String {
        match self {
            Self::Unknown => "no --state-dir was given".to_owned(),
            Self::Read { keys, .. } => keys
                .why_unknown()
                .unwrap_or_else(|| "no record that was read names its key".to_owned()),
            Self::Unreadable(_, error) => format!("{error}{}", file_remedy(error)),
        }
    }
}
