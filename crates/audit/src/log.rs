//! The log on its storage: append, seal, rotate.
//!
//! When a method succeeds, its effect is durable. After a failure nothing is written until
//! [`Log::recover`] has examined the files. Time is an argument. A seal precedes any record
//! that would be too much later than the first unsealed one, whatever the clock does: so a
//! verifier can report missing seals.

mod changes;

use crate::error::LogError;
use crate::key::{PublicKey, SealKey};
use crate::log_event::{LogEvent, LogKey, ResumeReason};
use crate::prune::Pruning;
use crate::record::{Body, Head, MAX_BODY_BYTES};
use crate::settings::Settings;
use crate::storage::{Dir, LIVE, Live, RESERVE, Storage, segment_name, segment_start};
use crate::tail::Unsealed;
use crate::time::Timestamp;
use crate::watch::{ChangedFile, Watch};
use pulse_core::ordinal::Ordinal;
use std::io;
use std::time::Duration;

/// The granularity of the space that is reserved for pruning, in bytes.
const RESERVE_STEP: u64 = 256 * 1024;

/// The outcome of a rotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// The segment's name.
    Done(String),
    /// The file may not be renamed (`chattr +a`), or the name is taken; the log continues in it.
    NotPermitted(String),
}

/// The state of the log on disk.
pub(crate) struct Position {
    pub(crate) head: Head,
    pub(crate) key: SealKey,
    pub(crate) unsealed: Option<Unsealed>,
    /// The live file: its first record, that record's time, and its bytes.
    pub(crate) first: u64,
    pub(crate) began: Timestamp,
    pub(crate) length: u64,
}

/// A rename of the live file after which the log continues in a new one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LiveRename {
    /// None: a live file without its name was renamed by another program.
    None,
    /// An operator has said (`SIGUSR1`) that the file was renamed, while it was not written. The
    /// file is looked for when the log continues.
    Signalled,
    /// This process gives the file this name, or another program did and an operator has said so,
    /// and the new file does not have its first record yet. A rename can be done although it
    /// failed, so the file with this name has to end with the last record.
    To(String),
}

/// The log, open for writing.
pub struct Log<S> {
    pub(crate) storage: S,
    pub(crate) settings: Settings,
    pub(crate) at: Position,
    pub(crate) pruning: Pruning,
    /// The other files, as they were left.
    pub(crate) watch: Watch,
    /// The files that another program changed, until they are as they were or the loss is
    /// accepted. Nothing else is written meanwhile.
    pub(crate) stopped: Vec<ChangedFile>,
    /// The log may have had records after its position when it stopped.
    pub(crate) is_end_bound: bool,
    /// The state directory names all of `stopped`.
    pub(crate) is_stop_stored: bool,
    /// The rename of the live file that has to be completed.
    pub(crate) rename: LiveRename,
    /// The stored end may say that nothing follows it.
    pub(crate) is_end_last: bool,
    /// Bytes of a write that did not succeed may follow the position.
    pub(crate) has_unfinished: bool,
    /// The files that this process is changing, which are on no stored list.
    pub(crate) changing: Vec<String>,
    /// The live file's device and inode; none if they could not be read.
    pub(crate) live_identity: Option<(u64, u64)>,
    /// Records that the last recovery could not write, or only in part.
    pub(crate) unwritten: Vec<u8>,
    /// Bytes written since it was opened.
    written: u64,
    pub(crate) lines: Vec<u8>,
}

impl<S: Storage> Log<S> {
    pub(crate) fn new(storage: S, settings: Settings, at: Position) -> Self {
        Self {
            storage,
            settings,
            at,
            pruning: Pruning::default(),
            watch: Watch::default(),
            stopped: Vec::new(),
            is_end_bound: false,
            is_stop_stored: true,
            rename: LiveRename::None,
            is_end_last: false,
            has_unfinished: false,
            changing: Vec::new(),
            live_identity: None,
            unwritten: Vec::new(),
            written: 0,
            lines: Vec::with_capacity(64 * 1024),
        }
    }

    /// The last record.
    #[must_use]
    pub fn head(&self) -> Head {
        self.at.head
    }

    /// The log's id, which is random.
    #[must_use]
    pub fn log_id(&self) -> &str {
        &self.at.key.log_id
    }

    /// The current epoch.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.at.key.epoch
    }

    /// The current epoch's public key; in epoch 0 it is the verification key.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.at.key.public()
    }

    /// The number of records that are not sealed.
    #[must_use]
    pub fn unsealed(&self) -> u64 {
        self.at.unsealed.map_or(0, |unsealed| unsealed.records)
    }

    /// Writes records with one write and one sync, and gives the number of the first. Together
    /// they must not exceed [`MAX_WRITE_BYTES`](crate::MAX_WRITE_BYTES).
    ///
    /// # Errors
    /// [`LogError`]; then none of them counts as written.
    pub fn append(&mut self, now: Timestamp, bodies: &[Body]) -> Result<u64, LogError> {
        if self.seal_is_due(now) {
            self.seal(now)?;
        }
        let first = self.at.head.seq + 1;
        self.write(now, bodies)?;
        Ok(first)
    }

    /// True when the first unsealed record is old enough. By the records' times and not by a
    /// monotonic clock: a verifier has only the times.
    #[must_use]
    pub fn seal_is_due(&self, now: Timestamp) -> bool {
        self.at
            .unsealed
            .is_some_and(|unsealed| now.since(unsealed.since) >= self.settings.seal_after)
    }

    /// True when the size or age of the live file exceeds its limit.
    #[must_use]
    pub fn rotation_is_due(&self, now: Timestamp) -> bool {
        // By age alone, an idle log would rotate files that have `log.resumed` and its seal only.
        let has_more_than_its_beginning = self.at.head.seq > self.at.first + 1;
        self.at.length >= self.settings.segment_bytes
            || (has_more_than_its_beginning
                && now.since(self.at.began) >= self.settings.segment_age)
    }

    /// Seals the unsealed records and begins the next epoch. False when there were none.
    ///
    /// The order matters: the next key is stored before the seal announces it, and the old key
    /// is erased after the seal is on disk. A crash between any two steps leaves the key that
    /// the end of the log requires.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn seal(&mut self, now: Timestamp) -> Result<bool, LogError> {
        if self.at.unsealed.is_none() {
            return Ok(false);
        }
        self.check_numbers(1)?;
        let next = SealKey::generate(self.log_id(), self.epoch() + 1)?;
        self.storage
            .store(Dir::State, &SealKey::file_name(next.epoch), &next.to_file())
            .map_err(LogError::while_doing("store the seal's next key"))?;
        let sealed = LogEvent::Sealed {
            epoch: self.epoch(),
            key: self.public_key(),
            next_key: next.public(),
        };
        let mut head = self.at.head;
        self.lines.clear();
        head.extend_signed(&mut self.lines, now, &sealed.body(), |signed| {
            self.at.key.sign(signed)
        });
        self.commit()?;
        self.at.head = head;
        self.at.unsealed = None;
        let old = std::mem::replace(&mut self.at.key, next);
        self.store_end(false);
        self.erase(old.epoch)?;
        Ok(true)
    }

    pub(crate) fn erase(&mut self, epoch: u64) -> Result<(), LogError> {
        self.storage
            .erase(Dir::State, &SealKey::file_name(epoch))
            .map_err(LogError::while_doing("erase a seal's private key"))
    }

    /// Seals, renames the live file to its segment's name, and begins a new one.
    ///
    /// # Errors
    /// [`LogError`]. A file that may not be renamed is not an error.
    pub fn rotate(&mut self, now: Timestamp) -> Result<Rotation, LogError> {
        self.seal(now)?;
        let name = segment_name(self.at.first);
        // Before the rename, which may be done although its sync fails.
        self.rename = LiveRename::To(name.clone());
        if let Err(error) = self.storage.rename_live(&name) {
            let why = match error.kind() {
                // `chattr +a` forbids it.
                io::ErrorKind::PermissionDenied => error.to_string(),
                // By a file of another program: this log has no such segment yet.
                io::ErrorKind::AlreadyExists => format!("{name} exists: move it away"),
                _ => return Err(LogError::while_doing("rotate the audit log")(error)),
            };
            // Nothing was renamed: the log continues in the same file.
            self.rename = LiveRename::None;
            return Ok(Rotation::NotPermitted(why));
        }
        self.begin_segment(now, &name)?;
        Ok(Rotation::Done(name))
    }

    /// Begins a new live file after another program (logrotate) renamed the old one.
    ///
    /// # Errors
    /// [`LogError`], also when the file is gone, in another directory, or was changed.
    pub fn reopen(&mut self, now: Timestamp) -> Result<(), LogError> {
        self.allow_rename();
        let live = self.live()?;
        self.rename = LiveRename::None;
        self.check(&live, self.at.length)?;
        if let Live::Renamed {
            name: Some(name), ..
        } = live
        {
            self.rename = LiveRename::To(name.clone());
            self.begin_segment(now, &name)?;
        }
        // Otherwise SIGUSR1 without a rotation.
        Ok(())
    }

    /// Allows a rename of the live file while the log is not written: an operator has said
    /// (`SIGUSR1`) that it was a rotation.
    pub(crate) fn allow_rename(&mut self) {
        if self.rename == LiveRename::None {
            self.rename = LiveRename::Signalled;
        }
    }

    /// Makes the reserved space again if another program removed it.
    pub(crate) fn restore_reserve(&mut self) {
        let found = self.storage.length(RESERVE);
        if found.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
            && self.reserve().is_err()
        {
            // As in `reserve_to_prune`.
            let _ = self.reserve_bytes(self.settings.reserve_bytes);
        }
    }

    /// Ends the renamed file with `log.rotated` and begins a new one with `log.resumed`: the hash
    /// links the chain, the name tells a verifier which file comes before.
    fn begin_segment(&mut self, now: Timestamp, renamed: &str) -> Result<(), LogError> {
        self.lines.clear();
        self.check_numbers(1)?;
        let mut head = self.at.head;
        head.extend(
            &mut self.lines,
            now,
            &LogEvent::Rotated { segment: renamed }.body(),
        );
        // Without the check of `commit`: the open file has another name now.
        self.flush()?;
        self.count(now, head);
        self.storage
            .open(true)
            .map_err(LogError::while_doing("begin a new audit log file"))?;
        self.learn_live();
        (self.at.length, self.at.first, self.at.began) = (0, head.seq + 1, now);
        self.write(now, &[self.resumed(ResumeReason::Rotation, Some(renamed))])?;
        self.rename = LiveRename::None;
        // A name that another program gave may be none of a segment's; then the file is that
        // program's to keep.
        if segment_start(renamed).is_some() {
            self.watch.learn(&self.storage, renamed);
            self.remember_files();
        }
        self.store_end(false);
        Ok(())
    }

    /// The age and the bytes of the live file.
    pub(crate) fn live_file(&self, now: Timestamp) -> (Duration, u64) {
        (now.since(self.at.began), self.at.length)
    }

    /// Bytes written since the log was opened.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Reserves space: for the record of a failure, and for the seals of the oldest segment, so
    /// that it can be removed when the disk is full.
    pub(crate) fn reserve(&mut self) -> Result<(), LogError> {
        // Rounded up, so that the file is seldom written again.
        let seals = self.bytes_to_prune().next_multiple_of(RESERVE_STEP);
        self.reserve_bytes(self.settings.reserve_bytes.saturating_add(seals))
    }

    pub(crate) fn reserve_bytes(&mut self, bytes: u64) -> Result<(), LogError> {
        self.storage
            .reserve(bytes)
            .map_err(LogError::while_doing("keep space free for the audit log"))
    }

    /// Remembers the identity of the live file, by which it is found under another name.
    pub(crate) fn learn_live(&mut self) {
        self.live_identity = self.storage.state(LIVE).ok().map(|found| found.identity);
    }

    /// Frees the reserved space.
    pub(crate) fn release(&mut self) -> Result<(), LogError> {
        self.storage
            .release()
            .map_err(LogError::while_doing("free the space that was kept"))
    }

    /// The record that names the log, its epoch and its key where the log continues.
    pub(crate) fn resumed(&self, reason: ResumeReason, segment: Option<&str>) -> Body {
        let log = self.log_key();
        let resumed = LogEvent::Resumed {
            log,
            reason,
            segment,
        };
        resumed.body()
    }

    /// The log and its current key, as records name them.
    pub(crate) fn log_key(&self) -> LogKey<'_> {
        LogKey {
            log_id: self.log_id(),
            epoch: self.epoch(),
            key: self.public_key(),
        }
    }

    /// Encodes and writes records.
    pub(crate) fn write(&mut self, now: Timestamp, bodies: &[Body]) -> Result<(), LogError> {
        self.lines.clear();
        self.write_after(now, bodies)
    }

    /// As [`Log::write`], after the bytes in the buffer.
    fn write_after(&mut self, now: Timestamp, bodies: &[Body]) -> Result<(), LogError> {
        self.check_numbers(bodies.len())?;
        // A copy of the head: after a failed write the chain continues from the old one.
        let mut head = self.at.head;
        for body in bodies {
            debug_assert!(body.len() <= MAX_BODY_BYTES);
            head.extend(&mut self.lines, now, body);
        }
        self.commit()?;
        self.count(now, head);
        Ok(())
    }

    /// Writes a newline and records: the newline ends torn bytes that could not be cut off, and
    /// the records account for them. In one write, so that a crash cannot separate the two.
    pub(crate) fn write_after_torn(
        &mut self,
        now: Timestamp,
        bodies: &[Body],
    ) -> Result<(), LogError> {
        self.lines.clear();
        self.lines.push(b'\n');
        self.write_after(now, bodies)
    }

    /// Checks that numbers remain for this many records and a seal. A forged log may have numbers
    /// near the maximum; verifiers would not read what is written after it.
    fn check_numbers(&self, records: usize) -> Result<(), LogError> {
        let (seq, epoch) = (self.at.head.seq, self.epoch());
        let is_left = |last: u64, more: u64| Ordinal::MAX.saturating_sub(last) >= more;
        if is_left(seq, records as u64) && is_left(epoch, 1) {
            Ok(())
        } else {
            Err(LogError::Exhausted { seq, epoch })
        }
    }

    fn count(&mut self, now: Timestamp, head: Head) {
        self.at.unsealed = Some(Unsealed::with(
            self.at.unsealed,
            head.seq - self.at.head.seq,
            now,
        ));
        self.at.head = head;
    }

    /// Writes the lines, and checks that they are in the live file.
    fn commit(&mut self) -> Result<(), LogError> {
        // Before the write too: a record after a part that was cut off would look like another
        // change.
        self.check(&self.live()?, self.at.length)?;
        self.flush()?;
        let length = self.at.length + self.lines.len() as u64;
        // write(2) and fdatasync(2) also succeed on a file that was removed or truncated meanwhile.
        self.check(&self.live()?, length)?;
        self.at.length = length;
        self.has_unfinished = false;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), LogError> {
        self.has_unfinished = true;
        self.storage
            .append(&self.lines)
            .and_then(|()| self.storage.sync())
            .map_err(LogError::while_doing("write the audit log"))?;
        self.written += self.lines.len() as u64;
        Ok(())
    }

    pub(crate) fn live(&self) -> Result<Live, LogError> {
        self.storage
            .live()
            .map_err(LogError::while_doing("look at the audit log"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Directory;
    use crate::storage::LIVE;
    use std::fs;
    use std::path::Path;

    fn open(home: &Path) -> Result<Log<Directory>, LogError> {
        let storage = Directory::lock(home, &home.join("state")).unwrap();
        Log::open(storage, Settings::default(), Timestamp::default())
    }

    #[test]
    fn exhausted_numbers_are_refused() {
        let home = tempfile::tempdir().unwrap();
        let log = open(home.path()).unwrap();
        // A user who can write the file can forge these: no key is needed before a seal.
        let resumed = log.resumed(ResumeReason::Start, None);
        drop(log);
        let forged = |seq: u64| {
            let mut line = Vec::new();
            let mut head = Head {
                seq: seq - 1,
                ..Head::START
            };
            head.extend(&mut line, Timestamp::default(), &resumed);
            fs::write(home.path().join(LIVE), line).unwrap();
        };
        forged(Ordinal::MAX);
        let seq = Ordinal::MAX;
        let error = open(home.path()).err().unwrap();
        assert!(matches!(error, LogError::Exhausted { seq: last, epoch: 0 } if last == seq));
        // There is one more, for the record of the start.
        forged(Ordinal::MAX - 1);
        let mut log = open(home.path()).unwrap();
        let body = || Body::named("proxy.start").with_text("reason", "x");
        for outcome in [
            log.append(Timestamp::default(), &[body()]).map(drop),
            log.seal(Timestamp::default()).map(drop),
            log.rotate(Timestamp::default()).map(drop),
        ] {
            assert!(
                matches!(outcome, Err(LogError::Exhausted { .. })),
                "{outcome:?}"
            );
        }
    }
}
