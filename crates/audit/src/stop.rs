//! The reason that the log stopped, in a file of the state directory.
//!
//! Without it a restart would hide a change of the files: the new process knows only what is
//! there now. The file also has the end of the log, which the live file may have lost, so that
//! the chain can continue from its true last record after an operator has accepted the loss.

use crate::error::LogError;
use crate::record::Head;
use crate::storage::{Dir, Storage};
use crate::watch::ChangedFile;
use pulse_core::state_format::{Stamp, parse_format};
use serde::{Deserialize, Serialize};
use std::io::{self, Read};

/// Its name.
pub(crate) const STOP_FILE: &str = "stopped";
/// More bytes than the file has: 1,000 changed files, some 150 bytes each.
const MAX_BYTES: u64 = 1 << 20;

/// The end of the log when it stopped, and the files that another program changed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StopFile {
    pub(crate) log_id: String,
    pub(crate) epoch: u64,
    /// The last record.
    seq: u64,
    hash: String,
    /// The first record of the live file.
    pub(crate) first: u64,
    /// The length of the live file in bytes.
    pub(crate) length: u64,
    pub(crate) files: Vec<ChangedFile>,
}

/// The file with its format.
#[derive(Serialize)]
struct Stamped<'a> {
    #[serde(flatten)]
    stamp: Stamp,
    #[serde(flatten)]
    stop: &'a StopFile,
}

impl StopFile {
    pub(crate) fn new(log_id: &str, epoch: u64, head: &Head) -> Self {
        Self {
            log_id: log_id.to_owned(),
            epoch,
            seq: head.seq,
            hash: head.hash().to_owned(),
            first: 0,
            length: 0,
            files: Vec::new(),
        }
    }

    /// The last record; none when the file does not name one.
    pub(crate) fn head(&self) -> Option<Head> {
        Head::from_parts(self.seq, &self.hash)
    }

    /// Reads the file. None when the log did not stop.
    ///
    /// # Errors
    /// [`LogError`]; [`LogError::StopFile`] when it is not such a file.
    pub(crate) fn load(storage: &impl Storage) -> Result<Option<Self>, LogError> {
        let doing = LogError::while_doing("read why the audit log stopped");
        let file = match storage.read(Dir::State, STOP_FILE) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file,
        };
        let mut text = Vec::new();
        file.and_then(|file| file.take(MAX_BYTES).read_to_end(&mut text))
            .map_err(doing)?;
        Self::parse(&text).map(Some)
    }

    /// Parses the content of the file.
    ///
    /// # Errors
    /// [`LogError::StopFile`].
    pub(crate) fn parse(text: &[u8]) -> Result<Self, LogError> {
        parse_format(text).map_err(|error| LogError::StopFile(error.to_string()))?;
        serde_json::from_slice(text).map_err(|error| LogError::StopFile(error.to_string()))
    }

    /// The content of the file.
    pub(crate) fn to_file(&self) -> Vec<u8> {
        let stamped = Stamped {
            stamp: Stamp::CURRENT,
            stop: self,
        };
        // Numbers and strings cannot fail to serialise into memory.
        let mut text = serde_json::to_vec(&stamped).unwrap_or_default();
        text.push(b'\n');
        text
    }

    /// Writes the file.
    ///
    /// # Errors
    /// [`LogError`].
    pub(crate) fn store(&self, storage: &mut impl Storage) -> Result<(), LogError> {
        storage
            .store(Dir::State, STOP_FILE, &self.to_file())
            .map_err(LogError::while_doing("store why the audit log stopped"))
    }
}
