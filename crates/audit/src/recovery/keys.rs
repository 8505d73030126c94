//! Finding the private key for the next seal, among those in the state directory.

use crate::error::LogError;
use crate::key::SealKey;
use crate::storage::{Dir, Storage};
use crate::tail::Tail;
use pulse_core::state_format::parse_format;
use std::io::{self, Read};

/// The private key for the next seal.
pub(super) fn matching_key(storage: &impl Storage, tail: &Tail) -> Result<SealKey, LogError> {
    let seq = tail.head.seq;
    let Some(wanted) = &tail.epoch else {
        return Err(LogError::Damaged { seq });
    };
    let epoch = wanted.number;
    match read_key(storage, epoch)? {
        Some(key)
            if key.log_id == wanted.log_id && key.epoch == epoch && key.public() == wanted.key =>
        {
            Ok(key)
        }
        // A key of this log that no record announces is a later one, whatever its file's name:
        // the record that announced it was cut off.
        Some(key) if key.log_id == wanted.log_id => Err(LogError::RolledBack { seq, epoch }),
        Some(_) => Err(LogError::ForeignKey { epoch }),
        None if key_epochs(storage)?.iter().any(|other| *other > epoch) => {
            Err(LogError::RolledBack { seq, epoch })
        }
        None => Err(LogError::KeyMissing { epoch }),
    }
}

pub(super) fn key_epochs(storage: &impl Storage) -> Result<Vec<u64>, LogError> {
    let names = storage
        .list(Dir::State)
        .map_err(LogError::while_doing("list the state directory"))?;
    Ok(names
        .iter()
        .filter_map(|name| SealKey::epoch_of(name))
        .collect())
}

pub(super) fn read_key(storage: &impl Storage, epoch: u64) -> Result<Option<SealKey>, LogError> {
    let doing = LogError::while_doing("read the seal's private key");
    // The capacity is the limit of reading, so the buffer does not grow and leave a copy behind.
    let mut text = zeroize::Zeroizing::new(Vec::with_capacity(512));
    let file = match storage.read(Dir::State, &SealKey::file_name(epoch)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file,
    };
    match file.and_then(|file| file.take(512).read_to_end(&mut text)) {
        Ok(_) => parse_format(&text)
            .map(|()| SealKey::from_file(&text))
            .map_err(|source| LogError::KeyFormat { epoch, source }),
        Err(error) => Err(doing(error)),
    }
}
