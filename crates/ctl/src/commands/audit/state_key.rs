//! The private directory, as proof of where its log ends.

use super::snapshots;
use crate::error::file_remedy;
use pulse_audit::verify::StateKeys;
use std::io;
use std::path::{Path, PathBuf};

/// The private directory and its keys.
pub(super) enum StateKey {
    /// No directory is known.
    Unknown,
    /// It was read.
    Read {
        directory: PathBuf,
        keys: StateKeys,
        /// The name of its file system, if that keeps older states of files.
        snapshots: Option<&'static str>,
    },
    /// It cannot be read. The error names it.
    Unreadable(PathBuf, io::Error),
}

impl StateKey {
    /// Reads the directory.
    pub(super) fn read(state: Option<&Path>) -> Self {
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
    pub(super) fn directory(&self) -> Option<&Path> {
        match self {
            Self::Unknown => None,
            Self::Read { directory, .. } | Self::Unreadable(directory, _) => Some(directory),
        }
    }

    /// Its keys, where they could be read.
    pub(super) fn keys(&self) -> Option<&StateKeys> {
        match self {
            Self::Read { keys, .. } => Some(keys),
            Self::Unknown | Self::Unreadable(..) => None,
        }
    }

    /// The name of a file system that keeps older states of the directory.
    pub(super) fn snapshots(&self) -> Option<&'static str> {
        match self {
            Self::Read { snapshots, .. } => *snapshots,
            Self::Unknown | Self::Unreadable(..) => None,
        }
    }

    /// The reason that it does not prove where the log ends.
    pub(super) fn why_no_proof(&self) -> String {
        match self {
            Self::Unknown => "no --state-dir was given".to_owned(),
            Self::Read { keys, .. } => keys
                .why_unknown()
                .unwrap_or_else(|| "no record that was read names its key".to_owned()),
            Self::Unreadable(_, error) => match file_remedy(error) {
                Some(remedy) => format!("{error}: {remedy}"),
                None => error.to_string(),
            },
        }
    }
}
