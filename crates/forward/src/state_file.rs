//! Files in the state directory that must not be replaced: those of a later release, and those
//! that might be.

use pulse_core::state_format::UnknownFormat;
use std::io;
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
}

impl StateFileError {
    pub(crate) fn new(
        path: &Path,
        kind: StateFileKind,
        source: impl Into<StateFileProblem>,
    ) -> Self {
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
            (StateFileProblem::Unreadable(_), _) => {
                "make it readable for the daemon's user, or move the file away: what it counts as acknowledged is then sent again"
            }
            (StateFileProblem::Format(_), StateFileKind::Cursor) => {
                "start that release again, or move the file away: what it counts as acknowledged is then sent again"
            }
            (StateFileProblem::Format(_), StateFileKind::Messages) => {
                "start that release again, or move the file away: the messages in it are then not forwarded"
            }
        }
    }
}
