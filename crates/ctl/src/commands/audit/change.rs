//! Changes to files and directories of a log.

use crate::error::{CommandError, ErrorCode};
use std::borrow::Cow;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// A file or directory of a log or archive cannot be created or changed.
#[derive(Debug, thiserror::Error)]
#[error("{}cannot {doing}", name_before(path, source))]
pub(super) struct ChangeError {
    path: PathBuf,
    /// The action that failed, as a verb and its object.
    doing: &'static str,
    source: io::Error,
}

impl ChangeError {
    /// An error of the operating system about this path.
    pub(super) fn of(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self {
            path,
            doing,
            source,
        }
    }
}

/// The path, unless the error of the audit library begins with it.
fn name_before(path: &Path, error: &io::Error) -> String {
    let path = path.display().to_string();
    // io::Error does not say where it is from, so its text decides.
    if error.to_string().starts_with(&path) {
        String::new()
    } else {
        format!("{path}: ")
    }
}

impl CommandError for ChangeError {
    fn code(&self) -> ErrorCode {
        ErrorCode::CannotCreate
    }

    fn remedy(&self) -> Option<Cow<'static, str>> {
        (self.source.kind() == ErrorKind::PermissionDenied)
            .then(|| "run as root or as the daemon's user".into())
    }
}
