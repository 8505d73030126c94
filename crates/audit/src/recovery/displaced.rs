//! A live file that another program changed: it is kept under another name.

use super::end::read_tail;
use crate::error::LogError;
use crate::log::Log;
use crate::storage::{LIVE, Storage, segment_name};
use std::io;

/// The prefix of the names of live files that another program changed. The number of the next
/// record follows.
const DISPLACED: &str = "audit.log.displaced-";
/// The most such files before one record.
const MAX_DISPLACED: u32 = 64;

impl<S: Storage> Log<S> {
    /// Gives a live file that was changed another name, unless it is empty: it is evidence, and
    /// the log continues in a new file. As a segment, if it begins with a record, so that
    /// verifiers read what is left of it.
    pub(super) fn displace(&mut self) -> Result<(), LogError> {
        let doing = || LogError::while_doing("move the changed file aside");
        match self.storage.length(LIVE) {
            Ok(0) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            _ => (),
        }
        let seq = self.at.head.seq + 1;
        let first = read_tail(&self.storage, LIVE, None)
            .ok()
            .and_then(|tail| tail.first)
            .map(|(first, _)| first);
        if first == Some(seq) {
            // The records of an acceptance that was interrupted.
            return Ok(());
        }
        let mut names: Vec<String> = first.map(segment_name).into_iter().collect();
        names.extend((1..=MAX_DISPLACED).map(|number| format!("{DISPLACED}{seq}.{number}")));
        for name in names {
            match self.storage.rename_live(&name) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => (),
                renamed => return renamed.map_err(doing()),
            }
        }
        Err(doing()(io::ErrorKind::AlreadyExists.into()))
    }
}
