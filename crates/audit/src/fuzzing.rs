//! Private parsers, for fuzz targets.

use crate::inventory::{END_FILE, EndFile, FILES_FILE, FilesFile, parse, to_file};
use crate::key::SealKey;
use crate::stop::{STOP_FILE, StopFile};
use crate::storage;

/// The log and epoch in a key file, and the file that is written for that key.
#[must_use]
pub fn seal_key(text: &[u8]) -> Option<(String, u64, Vec<u8>)> {
    let key = SealKey::from_file(text)?;
    Some((key.log_id.clone(), key.epoch, key.to_file().to_vec()))
}

/// The epoch in the name of a seal key's file, and the name of the file of that epoch.
#[must_use]
pub fn seal_key_name(name: &str) -> Option<(u64, String)> {
    let epoch = SealKey::epoch_of(name)?;
    Some((epoch, SealKey::file_name(epoch)))
}

/// The last record in the file that says why a log stopped, and the file with the same content.
#[must_use]
pub fn stop_file(text: &[u8]) -> Option<(u64, Vec<u8>)> {
    let stop: StopFile = parse(STOP_FILE, text).ok()?;
    Some((stop.end.head()?.seq, to_file(&stop)))
}

/// The last record in the file with the end of a log, and the file with the same content.
#[must_use]
pub fn end_file(text: &[u8]) -> Option<(u64, Vec<u8>)> {
    let file: EndFile = parse(END_FILE, text).ok()?;
    Some((file.end.head()?.seq, to_file(&file)))
}

/// The file that lists a log's other files, with the same content.
#[must_use]
pub fn files_file(text: &[u8]) -> Option<Vec<u8>> {
    let file: FilesFile = parse(FILES_FILE, text).ok()?;
    Some(to_file(&file))
}

/// The number of the first record in a segment's name, and the name of that segment.
#[must_use]
pub fn segment_name(name: &str) -> Option<(u64, String)> {
    let first = storage::segment_start(name)?;
    Some((first, storage::segment_name(first)))
}

/// The name of a log's live file and the order of its segments.
#[must_use]
pub fn segments(names: &[String]) -> Vec<String> {
    storage::segments(names)
}
