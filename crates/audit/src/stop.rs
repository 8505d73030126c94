//! The reason that the log stopped, in a file of the state directory.
//!
//! Without it a restart would hide a change of the files: the new process knows only what is
//! there now. The file also has the end of the log, which the live file may have lost, so that
//! the chain can continue from its true last record after an operator has accepted the loss.

use crate::error::LogError;
use crate::inventory::{EndFile, SavedEnd, load, store};
use crate::recovery::find;
use crate::storage::Storage;
use crate::watch::ChangedFile;
use serde::{Deserialize, Serialize};

/// Its name.
pub(crate) const STOP_FILE: &str = "stopped";

/// The end of the log when it stopped, and the files that another program changed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StopFile {
    #[serde(flatten)]
    pub(crate) end: SavedEnd,
    pub(crate) files: Vec<ChangedFile>,
    /// There may have been later records than the last one of `end`: the writer did not end in
    /// order, and the change was found by the start after it.
    #[serde(default)]
    pub(crate) is_lower_bound: bool,
    /// An operator has accepted the loss, and the log has not continued yet.
    #[serde(default)]
    pub(crate) is_accepted: bool,
}

impl StopFile {
    /// True while the live file ends before the log did.
    ///
    /// # Errors
    /// [`LogError`].
    pub(crate) fn is_live_lost(&self, storage: &impl Storage) -> Result<bool, LogError> {
        let found = find(storage, None, None);
        let change = EndFile::at_least(&self.end).change(storage, &found)?;
        Ok(change.is_some())
    }

    /// Reads the file. None when the log did not stop.
    ///
    /// # Errors
    /// [`LogError`]; [`LogError::StateFile`] when it is not such a file.
    pub(crate) fn load(storage: &impl Storage) -> Result<Option<Self>, LogError> {
        load(storage, STOP_FILE)
    }

    /// Writes the file.
    ///
    /// # Errors
    /// [`LogError`].
    pub(crate) fn store(&self, storage: &mut impl Storage) -> Result<(), LogError> {
        store(storage, STOP_FILE, self)
            .map_err(LogError::while_doing("store why the audit log stopped"))
    }
}
