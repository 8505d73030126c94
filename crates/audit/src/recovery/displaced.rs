//! A live file that another program changed: it is kept under another name.

use super::end::read_tail;
use crate::error::LogError;
use crate::log::Log;
use crate::storage::{Dir, LIVE, Storage, segment_name, segment_start};
use crate::tail::MAX_TORN_BYTES;
use crate::watch::{Change, ChangedFile};
use std::io;

/// The prefix of the names of live files that another program changed. The number of the next
/// record follows.
const DISPLACED: &str = "audit.log.displaced-";
/// The most such files before one record.
const MAX_DISPLACED: u32 = 64;

impl<S: Storage> Log<S> {
    /// Gives a live file that was changed another name, unless it is empty: it is evidence, and
    /// the log continues in a new file. As a segment, if it begins with the record with which the
    /// live file began, so that verifiers read what is left of it; another number would be the
    /// word of whoever changed it.
    pub(super) fn displace(&mut self) -> Result<(), LogError> {
        self.rescue();
        let doing = || LogError::while_doing("move the changed file aside");
        let length = match self.storage.length(LIVE) {
            Ok(0) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            length => length,
        };
        let seq = self.at.head.seq + 1;
        let first = read_tail(&self.storage, LIVE, None)
            .ok()
            .and_then(|tail| tail.first)
            .map(|(first, _)| first);
        // The records of an acceptance that was interrupted are one write.
        let is_one_write = |length: &u64| *length <= MAX_TORN_BYTES as u64;
        if first == Some(seq) && length.as_ref().is_ok_and(is_one_write) {
            return Ok(());
        }
        let began = first.filter(|first| *first == self.at.first && *first < seq);
        let mut names: Vec<String> = began.map(segment_name).into_iter().collect();
        names.extend((1..=MAX_DISPLACED).map(|number| format!("{DISPLACED}{seq}.{number}")));
        for name in names {
            match self.storage.rename_live(&name) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => (),
                // Landlock permits the daemon to rename regular files only, and to remove links
                // and FIFOs. Neither is evidence: the record says that the file was replaced.
                Err(error)
                    if error.kind() == io::ErrorKind::PermissionDenied
                        && is_not_regular(&length) =>
                {
                    return self
                        .storage
                        .remove(Dir::Log, LIVE)
                        .map_err(LogError::while_doing(
                            "remove what is in the place of audit.log: move it away, and accept \
                             the loss again",
                        ));
                }
                Err(error) => return Err(doing()(error)),
                Ok(()) => {
                    if segment_start(&name).is_some() {
                        self.watch.learn(&self.storage, &name);
                    }
                    return Ok(());
                }
            }
        }
        Err(doing()(io::ErrorKind::AlreadyExists.into()))
    }
}

impl<S: Storage> Log<S> {
    /// Copies a live file that was removed or replaced, and is still open, to its segment's name: so
    /// its records are not lost. Without the space for it, or after a restart, they are.
    fn rescue(&mut self) {
        let is_gone = |one: &ChangedFile| {
            one.is_live() && matches!(one.change, Change::Removed | Change::Replaced)
        };
        if !self.stopped.iter().any(is_gone) || self.at.first > self.at.head.seq {
            return;
        }
        let name = segment_name(self.at.first);
        // After the acceptance the disk must still have room for its records.
        let (length, reserve) = (self.at.length, self.settings.reserve_bytes);
        if self.storage.copy_live(&name, length, reserve).is_ok() {
            self.watch.learn(&self.storage, &name);
        }
    }
}

fn is_not_regular(length: &io::Result<u64>) -> bool {
    matches!(length, Err(error) if error.kind() == io::ErrorKind::InvalidInput)
}
