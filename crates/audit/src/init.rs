//! Creating a log before the daemon does, to obtain its verification key.

use crate::directory::Directory;
use crate::error::LogError;
use crate::key::PublicKey;
use crate::log::Log;
use crate::settings::Settings;
use crate::storage::{Dir, LIVE, Storage, segments};
use crate::time::Timestamp;
use std::io;
use std::path::Path;

/// Why a log cannot be created.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// There is a log already.
    #[error(
        "there is an audit log already: its verification key was printed when it was created, \
         and the collector has it; to create another, move the log and its state directory aside"
    )]
    Exists,
    /// The directories cannot be used.
    #[error("cannot use the log's directories")]
    Directory(#[from] io::Error),
    /// The log cannot be written.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Creates a log and gives its verification key.
///
/// # Errors
/// [`InitError`], also while a daemon has locked the directories.
pub fn init(log: &Path, state: &Path, settings: Settings) -> Result<PublicKey, InitError> {
    // Locked before the files are listed, so that a daemon that starts meanwhile cannot create
    // the log in between.
    let storage = Directory::lock(log, state)?;
    let names = storage.list(Dir::Log)?;
    if names.iter().any(|name| name == LIVE) || !segments(&names).is_empty() {
        return Err(InitError::Exists);
    }
    let log = Log::open(storage, settings, Timestamp::now())?;
    Ok(log.public_key())
}
