//! Recovery: finding the end of the log after a start, a crash or a failure, and continuing
//! there.
//!
//! First everything is read: the complete records, and the private key that the last one
//! requires. Only then are files changed: torn bytes are copied to a file of their own and
//! cut off, and records that account for them are written. A crash in between leaves a state
//! that the next attempt handles the same way. Old keys are erased last, when everything that
//! they have sealed is on disk.

mod displaced;
mod end;
mod keys;
mod opening;
mod torn;

use crate::error::LogError;
use crate::key::{SealKey, new_log_id};
use crate::log::{LiveRename, Log, Position};
use crate::log_event::{LogEvent, ResumeReason};
use crate::record::Head;
use crate::settings::Settings;
use crate::stop::STOP_FILE;
use crate::storage::{Dir, LIVE, SEALS, Storage, segment_start};
use crate::tail::{Epoch, Tail};
use crate::time::Timestamp;
use crate::watch::{Change, ChangedFile};
use end::read_tail;
pub(crate) use end::{LogEnd, Source, find};
use keys::{key_epochs, matching_key, read_key};
use std::io;
use torn::{TornFiles, set_aside};

/// The position of the next record.
enum Continuation {
    /// After the last record of the live file.
    Record,
    /// In the live file, after torn bytes that could not be cut off or a record without its
    /// newline. In both cases a newline must be written first.
    Unended,
    /// At the beginning of the live file, after this segment.
    Segment(String),
}

/// The reason for a recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecoveryReason<'a> {
    /// The program starts.
    Start,
    /// Writing failed with this error, which is put on record. The log does not resume yet.
    Failure(&'a str),
    /// Writing is possible again, after this many refused records.
    Resumption(u64),
    /// The disk is full, and a segment will be removed. The log does not resume yet.
    Pruning,
    /// The program starts, and other programs have changed files. The log does not resume.
    Refusal,
    /// An operator accepted the loss of what other programs changed.
    Acceptance {
        /// The operator, as records name a peer.
        by: &'a str,
        /// Records refused since the log stopped.
        refused: u64,
    },
}

impl<S: Storage> Log<S> {
    /// Continues after a failure, from the last record that is known to be on disk.
    ///
    /// # Errors
    /// [`LogError`]; it can be called again.
    pub fn recover(
        &mut self,
        now: Timestamp,
        occasion: RecoveryReason<'_>,
    ) -> Result<(), LogError> {
        let is_accepted = matches!(occasion, RecoveryReason::Acceptance { .. });
        let found = match self.find_again() {
            Err(error) if is_accepted && self.is_unusable(&error) => {
                self.check_others()?;
                self.displace()?;
                self.remembered_end()?
            }
            Err(error) => {
                // The signal has its answer: there is no such rename.
                if matches!(error, LogError::Disturbed(_)) && self.rename == LiveRename::Signalled {
                    self.rename = LiveRename::None;
                }
                return Err(error);
            }
            Ok(found) => {
                if is_accepted || matches!(occasion, RecoveryReason::Resumption(_)) {
                    self.check_others()?;
                }
                found
            }
        };
        if matches!(found.source, Source::Live) {
            self.rename = LiveRename::None;
        }
        // Before anything is written.
        self.reopen_end()?;
        let (position, torn, continuation) = go_on(&mut self.storage, found, now, &self.unwritten)?;
        self.at = position;
        self.has_unfinished = false;
        self.learn_live();
        if let Err(error) = self.account_for(now, occasion, &torn, &continuation) {
            self.unwritten.clone_from(&self.lines);
            return Err(error);
        }
        self.unwritten.clear();
        // Not under a name that another program gave, as in `begin_segment`.
        if let Continuation::Segment(name) = &continuation
            && segment_start(name).is_some()
        {
            self.watch.learn(&self.storage, name);
            self.remember_files();
        }
        match occasion {
            RecoveryReason::Failure(_) | RecoveryReason::Pruning | RecoveryReason::Refusal => {
                Ok(())
            }
            RecoveryReason::Start
            | RecoveryReason::Resumption(_)
            | RecoveryReason::Acceptance { .. } => self.continued(now),
        }
    }

    /// True when the live file cannot be continued after this error, which an operator accepts.
    fn is_unusable(&self, error: &LogError) -> bool {
        match error {
            LogError::Disturbed(changed) => self.has_stopped_for(&changed.file),
            // The file that replaced it is another user's.
            LogError::Storage { source, .. } => {
                source.kind() == io::ErrorKind::PermissionDenied
                    && self.stopped.iter().any(ChangedFile::is_live)
            }
            _ => false,
        }
    }

    /// Finds the last record that was written, where it was written. Anything else was done by
    /// another program, and is [`LogError::Disturbed`].
    fn find_again(&self) -> Result<LogEnd, LogError> {
        let changed = |change| LogError::Disturbed(self.live_change(change));
        let renamed = self.find_renamed()?;
        let found = match find(&self.storage, Some(&self.at.head), renamed.as_deref()) {
            Err(LogError::Damaged { .. }) => return Err(changed(Change::Replaced)),
            // A directory, a link or a FIFO has the file's name.
            Err(LogError::Storage { source, .. })
                if source.kind() == io::ErrorKind::InvalidInput =>
            {
                return Err(changed(Change::Replaced));
            }
            found => found?,
        };
        let is_it = found.tail.head == self.at.head;
        match &found.source {
            Source::Live if is_it => Ok(found),
            Source::Live
                if found.tail.head.seq < self.at.head.seq
                    && found.tail.first.map(|(first, _)| first) == Some(self.at.first) =>
            {
                Err(changed(Change::Cut))
            }
            Source::Live => Err(changed(Change::Replaced)),
            // This process renamed the file, or an operator has said that it was a rotation.
            Source::Segment { name, .. } if is_it && renamed.as_ref() == Some(name) => Ok(found),
            Source::Segment { .. } if is_it => Err(changed(Change::Renamed)),
            Source::Segment { .. } | Source::Memory => Err(changed(if found.has_live {
                Change::Cut
            } else {
                Change::Removed
            })),
        }
    }

    /// The end of the log where no file has it: the chain continues in a new file, and a verifier
    /// reports the missing records.
    fn remembered_end(&self) -> Result<LogEnd, LogError> {
        let names = self
            .storage
            .list(Dir::Log)
            .map_err(LogError::while_doing("list the audit log's directory"))?;
        let mut tail = Tail::empty();
        tail.head = self.at.head;
        tail.epoch = Some(Epoch {
            log_id: self.log_id().to_owned(),
            number: self.epoch(),
            key: self.public_key(),
        });
        tail.unsealed = self.at.unsealed;
        let has_live = names.iter().any(|name| name == LIVE);
        if has_live {
            // What an attempt that failed has written there.
            tail.torn = read_tail(&self.storage, LIVE, Some(self.at.head.seq))?.torn;
        }
        Ok(LogEnd {
            source: Source::Memory,
            tail,
            has_live,
        })
    }

    /// The log continues: changed files are taken as they are, and what stopped it is over.
    fn continued(&mut self, now: Timestamp) -> Result<(), LogError> {
        self.rename = LiveRename::None;
        if self.stopped.is_empty() {
            return Ok(());
        }
        // Only these: the others have been compared. Before the reason is removed: a start after a
        // crash must not find what is accepted.
        for one in self.stopped.iter().filter(|one| !one.is_live()) {
            self.watch.relearn(&self.storage, &one.file);
        }
        self.replace_files();
        // Before the seal: with the file, a start continues after the record that it names, and
        // needs the key of that time. What is after that record is the recovery's own.
        self.storage
            .remove(Dir::State, STOP_FILE)
            .map_err(LogError::while_doing("remove why the audit log stopped"))?;
        (self.is_stop_stored, self.is_end_bound) = (true, false);
        self.stopped.clear();
        // At once: the seal before may be of long ago.
        self.seal(now).map(drop)
    }

    /// Writes the records that account for the recovery, then erases old keys.
    fn account_for(
        &mut self,
        now: Timestamp,
        occasion: RecoveryReason<'_>,
        torn: &TornFiles,
        continuation: &Continuation,
    ) -> Result<(), LogError> {
        let mut bodies = torn.bodies(occasion);
        bodies.extend(self.bodies_of_changes());
        if let RecoveryReason::Acceptance { by: peer, .. } = occasion {
            let files = self.stopped.len() as u64;
            bodies.push(LogEvent::LossAccepted { peer, files }.body());
        }
        let reason = match occasion {
            RecoveryReason::Failure(_) => ResumeReason::Failure,
            RecoveryReason::Pruning => ResumeReason::Pruning,
            RecoveryReason::Start | RecoveryReason::Refusal => ResumeReason::Start,
            RecoveryReason::Resumption(refused) | RecoveryReason::Acceptance { refused, .. } => {
                ResumeReason::Recovery { refused }
            }
        };
        let segment = if let Continuation::Segment(segment) = continuation {
            Some(segment.as_str())
        } else {
            None
        };
        let resumed = self.resumed(reason, segment);
        let is_unended = matches!(continuation, Continuation::Unended);
        let is_resuming = !matches!(
            occasion,
            RecoveryReason::Failure(_) | RecoveryReason::Pruning | RecoveryReason::Refusal
        );
        if self.at.length == 0 && !is_unended {
            // A file begins with the record that names the log and the key.
            bodies.insert(0, resumed);
            // The last record says that the log continues: an acceptance, or this one.
            let is_accepted = matches!(occasion, RecoveryReason::Acceptance { .. });
            if is_resuming && !self.stopped.is_empty() && !is_accepted {
                bodies.push(self.resumed(ResumeReason::Recovery { refused: 0 }, None));
            }
        } else if is_resuming {
            bodies.push(resumed);
        }
        if is_unended {
            self.write_after_torn(now, &bodies)?;
        } else if !bodies.is_empty() {
            self.write(now, &bodies)?;
        }
        for one in &mut self.stopped {
            one.is_recorded = true;
        }
        // Last: until here a crash may require one of them again.
        for epoch in key_epochs(&self.storage)? {
            if epoch != self.epoch() {
                self.erase(epoch)?;
            }
        }
        Ok(())
    }
}

/// Creates a log. The first key is stored before the first record names it; if it exists, an
/// earlier attempt was interrupted after storing it.
fn begin<S: Storage>(
    mut storage: S,
    settings: Settings,
    now: Timestamp,
    found: &LogEnd,
) -> Result<Log<S>, LogError> {
    // A later key or kept seals mean that there was a log: a new one in its place would hide that
    // it was removed.
    if key_epochs(&storage)?.iter().any(|epoch| *epoch > 0) {
        return Err(LogError::Missing);
    }
    if storage.length(SEALS).is_ok() {
        return Err(LogError::SealsLeft);
    }
    let key = match read_key(&storage, 0)?.filter(|key| key.epoch == 0) {
        Some(key) => key,
        None => {
            let key = SealKey::generate(&new_log_id()?, 0)?;
            storage
                .store(Dir::State, &SealKey::file_name(0), &key.to_file())
                .map_err(LogError::while_doing("store the first key"))?;
            key
        }
    };
    let torn = set_aside(&mut storage, LIVE, 1, 0, &found.tail, &[])?;
    if !torn.are_cut {
        return Err(LogError::Damaged { seq: 0 });
    }
    open_live(&mut storage, !found.has_live)?;
    let mut log = Log::new(storage, settings, Position::new(Head::START, key, now));
    log.learn_live();
    let mut bodies = torn.bodies(RecoveryReason::Start);
    let opened = LogEvent::Open {
        log: log.log_key(),
        host: &log.settings.host,
    };
    bodies.insert(0, opened.body());
    log.write(now, &bodies)?;
    Ok(log)
}

impl Position {
    fn new(head: Head, key: SealKey, now: Timestamp) -> Self {
        Self {
            head,
            key,
            unsealed: None,
            first: head.seq + 1,
            began: now,
            length: 0,
        }
    }
}

/// Finds the key, copies torn bytes to a file, cuts them off, and opens the live file for
/// appending.
fn go_on(
    storage: &mut impl Storage,
    found: LogEnd,
    now: Timestamp,
    own: &[u8],
) -> Result<(Position, TornFiles, Continuation), LogError> {
    let LogEnd {
        source,
        mut tail,
        has_live,
    } = found;
    // Before any change: a log whose key is missing is left as it is.
    let mut position = Position::new(tail.head, matching_key(storage, &tail)?, now);
    let next = tail.head.seq + 1;
    let (torn, continuation) = match source {
        Source::Live => {
            let mut torn = set_aside(storage, LIVE, next, tail.length, &tail, own)?;
            if !torn.are_cut {
                // The file is append-only (`chattr +a`): what is torn stays in it, and may
                // hold whole records of the write that failed. They count now, for nothing
                // can take them out again.
                tail = read_tail(storage, LIVE, None)?;
                tail.complete();
                // One of them may be a seal that was written and failed to be synced.
                position.key = matching_key(storage, &tail)?;
                torn = set_aside(storage, LIVE, tail.head.seq + 1, tail.length, &tail, &[])?;
            }
            let is_unended = !torn.are_cut || tail.is_unended;
            position.head = tail.head;
            position.length = tail.length;
            if is_unended {
                position.length += tail.torn.bytes().len() as u64;
            }
            if let Some((first, began)) = tail.first {
                (position.first, position.began) = (first, began);
            }
            let continuation = if is_unended {
                Continuation::Unended
            } else {
                Continuation::Record
            };
            (torn, continuation)
        }
        Source::Segment { name, torn_in_live } => {
            let torn = if torn_in_live {
                set_aside(storage, LIVE, next, 0, &tail, own)?
            } else {
                set_aside(storage, &name, next, tail.length, &tail, own)?
            };
            // Cutting syncs the file, even when nothing is torn: the record after it will name its
            // last record's hash.
            storage
                .cut(&name, tail.length)
                .map_err(LogError::while_doing("cut torn bytes off the audit log"))?;
            (torn, Continuation::Segment(name))
        }
        Source::Memory => (
            set_aside(storage, LIVE, next, 0, &tail, own)?,
            Continuation::Record,
        ),
    };
    // The newline and the record that accounts for torn bytes follow them in the same file; in a
    // file before, nothing more is written.
    if !torn.are_cut && !matches!(continuation, Continuation::Unended) {
        return Err(LogError::Damaged { seq: tail.head.seq });
    }
    position.unsealed = tail.unsealed;
    open_live(storage, !has_live)?;
    Ok((position, torn, continuation))
}

fn open_live(storage: &mut impl Storage, create: bool) -> Result<(), LogError> {
    storage
        .open(create)
        .map_err(LogError::while_doing("open the audit log"))
}
