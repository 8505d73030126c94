//! Recovery: finding the end of the log after a start, a crash or a failure, and continuing
//! there.
//!
//! First everything is read: the complete records, and the private key that the last one
//! requires. Only then are files changed: torn bytes are copied to a file of their own and
//! cut off, and records that account for them are written. A crash in between leaves a state
//! that the next attempt handles the same way. Old keys are erased last, when everything that
//! they have sealed is on disk.

mod end;
mod keys;
mod torn;

use crate::error::LogError;
use crate::key::{SealKey, new_log_id};
use crate::log::{Log, Position};
use crate::log_event::{LogEvent, ResumeReason};
use crate::record::Head;
use crate::settings::Settings;
use crate::storage::{Dir, LIVE, SEALS, Storage};
use crate::tail::Epoch;
use crate::time::Timestamp;
use end::{LogEnd, Source, astray, find, read_tail};
use keys::{key_epochs, matching_key, read_key};
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
}

impl<S: Storage> Log<S> {
    /// Opens the log, or creates it if there is none.
    ///
    /// # Errors
    /// [`LogError`]; a log that cannot be continued is not changed.
    pub fn open(mut storage: S, settings: Settings, now: Timestamp) -> Result<Self, LogError> {
        let found = find(&storage, None)?;
        if found.tail.first.is_none() {
            return begin(storage, settings, now, &found);
        }
        let (position, torn, continuation) = go_on(&mut storage, found, now)?;
        let mut log = Self::new(storage, settings, position);
        log.account_for(now, RecoveryReason::Start, &torn, &continuation)?;
        Ok(log)
    }

    /// Continues after a failure, from the last record that is known to be on disk.
    ///
    /// # Errors
    /// [`LogError`]; it can be called again.
    pub fn recover(
        &mut self,
        now: Timestamp,
        occasion: RecoveryReason<'_>,
    ) -> Result<(), LogError> {
        let mut found = find(&self.storage, Some(&self.at.head))?;
        if let Source::Memory = found.source {
            // The file is gone, but the chain is not: it continues in a new file, and a verifier
            // reports the missing records.
            found.tail.head = self.at.head;
            found.tail.epoch = Some(Epoch {
                log_id: self.log_id().to_owned(),
                number: self.epoch(),
                key: self.public_key(),
            });
            found.tail.unsealed = self.at.unsealed;
        } else if found.tail.head != self.at.head {
            return Err(astray(&found.tail, &self.at.head));
        }
        let (position, torn, continuation) = go_on(&mut self.storage, found, now)?;
        self.at = position;
        self.account_for(now, occasion, &torn, &continuation)
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
        let reason = match occasion {
            RecoveryReason::Failure(_) => ResumeReason::Failure,
            RecoveryReason::Pruning => ResumeReason::Pruning,
            RecoveryReason::Start => ResumeReason::Start,
            RecoveryReason::Resumption(refused) => ResumeReason::Recovery { refused },
        };
        let segment = if let Continuation::Segment(segment) = continuation {
            Some(segment.as_str())
        } else {
            None
        };
        let resumed = self.resumed(reason, segment);
        let is_unended = matches!(continuation, Continuation::Unended);
        if self.at.length == 0 && !is_unended {
            // A file begins with the record that names the log and the key.
            bodies.insert(0, resumed);
        } else if !matches!(
            occasion,
            RecoveryReason::Failure(_) | RecoveryReason::Pruning
        ) {
            bodies.push(resumed);
        }
        if is_unended {
            self.write_after_torn(now, &bodies)?;
        } else if !bodies.is_empty() {
            self.write(now, &bodies)?;
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
    let torn = set_aside(&mut storage, LIVE, 1, 0, &found.tail)?;
    if !torn.are_cut {
        return Err(LogError::Damaged { seq: 0 });
    }
    open_live(&mut storage, !found.has_live)?;
    let mut log = Log::new(storage, settings, Position::new(Head::START, key, now));
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
            let mut torn = set_aside(storage, LIVE, next, tail.length, &tail)?;
            if !torn.are_cut {
                // The file is append-only (`chattr +a`): what is torn stays in it, and may
                // hold whole records of the write that failed. They count now, for nothing
                // can take them out again.
                tail = read_tail(storage, LIVE, None)?;
                tail.complete();
                // One of them may be a seal that was written and failed to be synced.
                position.key = matching_key(storage, &tail)?;
                torn = set_aside(storage, LIVE, tail.head.seq + 1, tail.length, &tail)?;
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
                set_aside(storage, LIVE, next, 0, &tail)?
            } else {
                set_aside(storage, &name, next, tail.length, &tail)?
            };
            // Cutting syncs the file, even when nothing is torn: the record after it will name its
            // last record's hash.
            storage
                .cut(&name, tail.length)
                .map_err(LogError::while_doing("cut torn bytes off the audit log"))?;
            (torn, Continuation::Segment(name))
        }
        Source::Memory => (
            set_aside(storage, LIVE, next, 0, &tail)?,
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
