//! Files in the state directory that must not be replaced: those of a later release, and those
//! that might be.

use pulse_core::state_format::{UnknownFormat, parse_format};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// A state file that is not replaced.
#[derive(Debug, thiserror::Error)]
#[error("{}", path.display())]
pub struct StateFileError {
    path: PathBuf,
    kind: StateFileKind,
    source: StateFileProblem,
}

/// The reason that a state file is not replaced.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateFileProblem {
    /// A later release wrote it.
    #[error(transparent)]
    Format(#[from] UnknownFormat),
    /// It exists, and nobody knows which release wrote it.
    #[error("it cannot be read")]
    Unreadable(#[from] io::Error),
}

/// A kind of state file.
#[derive(Clone, Copy, Debug)]
pub(crate) enum StateFileKind {
    Cursor,
    Messages,
    Loss,
}

/// The first `limit` bytes of a state file; empty when it does not exist, or no release can have
/// written it (a directory or the like), which writing it reports.
///
/// # Errors
/// When a later release wrote it, or it exists and cannot be read: replacing it would lose
/// content that is perhaps good.
pub(crate) fn read(
    path: &Path,
    kind: StateFileKind,
    limit: usize,
) -> Result<Vec<u8>, StateFileError> {
    let content = match pulse_files::read_beginning(path, limit) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidInput) => {
            Ok(Vec::new())
        }
        content => content.map_err(|error| StateFileError::new(path, kind, error)),
    }?;
    parse_format(&content).map_err(|format| StateFileError::new(path, kind, format))?;
    Ok(content)
}

impl StateFileError {
    fn new(path: &Path, kind: StateFileKind, source: impl Into<StateFileProblem>) -> Self {
        Self {
            path: path.to_owned(),
            kind,
            source: source.into(),
        }
    }

    /// The advice to the operator.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match (&self.source, self.kind) {
            (StateFileProblem::Unreadable(_), StateFileKind::Cursor) => {
                "make it readable for the daemon's user, or move the file away: what it counts as acknowledged is then sent again"
            }
            (StateFileProblem::Unreadable(_), StateFileKind::Messages) => {
                "make it readable for the daemon's user, or move the file away: the messages in it are then not forwarded"
            }
            (StateFileProblem::Unreadable(_), StateFileKind::Loss) => {
                "make it readable for the daemon's user, or move the file away: the lost records that it names are then no longer shown"
            }
            (StateFileProblem::Format(_), StateFileKind::Cursor) => {
                "start that release again, or move the file away: what it counts as acknowledged is then sent again"
            }
            (StateFileProblem::Format(_), StateFileKind::Messages) => {
                "start that release again, or move the file away: the messages in it are then not forwarded"
            }
            (StateFileProblem::Format(_), StateFileKind::Loss) => {
                "start that release again, or move the file away: the lost records that it names are then no longer shown"
            }
        }
    }
}
