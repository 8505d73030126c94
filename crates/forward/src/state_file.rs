//! Files of a later release in the state directory.

use pulse_core::state_format::UnknownFormat;
use std::path::{Path, PathBuf};

/// A state file that another release must read. It is not replaced.
#[derive(Debug, thiserror::Error)]
#[error("{}", path.display())]
pub struct StateFileError {
    path: PathBuf,
    kind: StateFileKind,
    source: UnknownFormat,
}

/// A kind of state file.
#[derive(Clone, Copy, Debug)]
pub(crate) enum StateFileKind {
    Cursor,
    Messages,
}

impl StateFileError {
    pub(crate) fn new(path: &Path, kind: StateFileKind, source: UnknownFormat) -> Self {
        Self {
            path: path.to_owned(),
            kind,
            source,
        }
    }

    /// The advice to the operator.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self.kind {
            StateFileKind::Cursor => {
                "start that release again, or move the file away: what it counts as acknowledged is then sent again"
            }
            StateFileKind::Messages => {
                "start that release again, or move the file away: the messages in it are then not forwarded"
            }
        }
    }
}
