//! Pruning: removal of the oldest segment, which is put on record first.
//!
//! The order lets a verifier distinguish pruning from deletion. First the segment is read, to
//! check its chain and to learn its end. Then a `log.pruned` record that names its records is
//! written and sealed. Then its `log.sealed` lines, which prove every later key, are appended
//! to `audit.seals`. Last, the file is removed. Each step can be repeated: after a crash the
//! segment is still there, and pruning starts again. The log may then have two records of one
//! removal, which verifiers accept.
//!
//! A segment has tens of megabytes, and the thread also writes records, so it is read in
//! slices. A segment that was changed is kept: removing it would destroy the evidence.

mod scan;
mod seals;

use crate::error::LogError;
use crate::log::Log;
use crate::log_event::LogEvent;
use crate::record::Head;
use crate::storage::{Dir, LIVE, SEALS, Storage, segment_start, segments, torn_before};
use crate::time::Timestamp;
use pulse_core::audit_log::retention::{Hold, Limits, Oldest, Reason, Stream, Verdict, judge};
use scan::{Scan, Seal, Slice};
use seals::SealsFile;
use std::io;

/// Why a segment that exceeds a limit cannot be removed.
#[derive(Debug, thiserror::Error)]
pub enum PruneError {
    /// The segment is not an unbroken chain from the number in its name to the next file.
    #[error(
        "{segment} is not as it was written after record {seq}: `pulse-sensorctl audit verify` \
         says how; no segment is removed until you have examined it, moved it away, and accepted \
         the loss with `pulse-sensorctl audit accept-loss`"
    )]
    Damaged {
        /// The segment's name.
        segment: String,
        /// The last record of its chain.
        seq: u64,
    },
    /// The seals in `audit.seals` do not lead to those of the segment.
    #[error(
        "{SEALS} does not lead to the seals of {segment}: `pulse-sensorctl audit verify` says \
         what is wrong with it; put back the file that belongs to this log, and accept the change \
         with `pulse-sensorctl audit accept-loss`"
    )]
    OtherSeals {
        /// The segment's name.
        segment: String,
    },
    /// A file beside the log cannot be read, written or removed.
    #[error("cannot {doing}")]
    Storage {
        /// The operation that failed.
        doing: &'static str,
        /// The operating system's reason, with the file's name.
        source: io::Error,
    },
    /// The log cannot be written.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl PruneError {
    fn while_doing(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Storage { doing, source }
    }
}

/// The size of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    /// The first record that the log holds.
    pub(crate) first: u64,
    /// The bytes of all segments and the live file.
    pub(crate) bytes: u64,
    /// The free bytes of its disk.
    pub(crate) free: u64,
}

/// The state of the oldest segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PruneStatus {
    /// There is none, or it exceeds no limit.
    NotDue,
    /// It is being read; the status is known after more calls.
    Reading,
    /// It exceeds a limit and can be removed.
    Due(Reason),
    /// It exceeds a limit and is still needed.
    Held(Reason, Hold),
}

/// The outcome of a step of a removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PruneStep {
    /// There is no segment to remove.
    Nothing,
    /// More steps are needed.
    More,
    /// The segment was removed.
    Removed(RemovedSegment),
}

/// A segment that was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemovedSegment {
    /// Its first record.
    pub first: u64,
    /// Its last record.
    pub last: u64,
    /// The limit that it exceeded.
    pub reason: Reason,
}

/// The progress of removing the oldest segment.
#[derive(Default)]
pub(crate) struct Pruning {
    stage: Stage,
    /// Records up to this one are on record as removed, and that record is sealed.
    recorded: u64,
    /// The first record of the segment for whose seals space is reserved.
    reserved_for: Option<u64>,
    /// A failed append: bytes of `audit.seals` beyond this length may not be on disk.
    synced: Option<u64>,
}

#[derive(Default)]
enum Stage {
    #[default]
    Unknown,
    Reading(Box<Scan>),
    Scanned(Box<ScannedSegment>),
    /// Its removal is on record and sealed.
    Copying(Box<Copying>),
}

/// A segment whose seals are being copied.
struct Copying {
    segment: Box<ScannedSegment>,
    reason: Reason,
    scan: Scan,
    kept: SealsFile,
}

/// A segment that was read and found whole.
#[derive(Clone, Debug)]
struct ScannedSegment {
    name: String,
    first: u64,
    /// Its last record, and the time of that.
    end: Head,
    ts: Timestamp,
    /// The epoch after it.
    epoch: u64,
    /// Its first seal, and the bytes of all of them.
    first_seal: Option<Seal>,
    seal_bytes: u64,
}

impl Pruning {
    fn known(&self) -> Option<&ScannedSegment> {
        match &self.stage {
            Stage::Scanned(segment) => Some(segment),
            Stage::Copying(copying) => Some(&copying.segment),
            Stage::Unknown | Stage::Reading(_) => None,
        }
    }
}

/// The segments, and the bytes of all files of the log.
struct Files {
    segments: Vec<String>,
    bytes: u64,
}

impl<S: Storage> Log<S> {
    /// The size of the log and the free space.
    pub(crate) fn extent(&self) -> io::Result<Extent> {
        let Files { segments, bytes } = self.files()?;
        let oldest = segments.first().and_then(|name| segment_start(name));
        Ok(Extent {
            first: oldest.unwrap_or(self.at.first),
            bytes,
            free: self.storage.free()?,
        })
    }

    fn files(&self) -> io::Result<Files> {
        let mut segments = segments(&self.storage.list(Dir::Log)?);
        // All segments of this log precede the live file.
        segments.retain(|name| segment_start(name).is_some_and(|first| first < self.at.first));
        let mut bytes = self.at.length;
        for name in &segments {
            bytes += self.storage.length(name)?;
        }
        Ok(Files { segments, bytes })
    }

    /// The status of the oldest segment. Reads at most a slice of it, and changes nothing.
    ///
    /// # Errors
    /// [`PruneError`] when it cannot be removed.
    pub fn prune_status(
        &mut self,
        now: Timestamp,
        limits: &Limits,
        streams: &[Stream],
    ) -> Result<PruneStatus, PruneError> {
        if !limits.are_set() {
            self.pruning.stage = Stage::Unknown;
            return Ok(PruneStatus::NotDue);
        }
        if let Stage::Reading(_) = self.pruning.stage {
            self.read_slice()?;
            return Ok(PruneStatus::Reading);
        }
        let files = self
            .files()
            .map_err(PruneError::while_doing("list the audit log's directory"))?;
        let Some(oldest) = files.segments.first() else {
            self.pruning.stage = Stage::Unknown;
            return Ok(PruneStatus::NotDue);
        };
        let Some(known) = self.pruning.known() else {
            // Segments have no gap between them: the next file's name tells the last record.
            let next = files.segments.get(1).and_then(|name| segment_start(name));
            self.pruning.stage = Stage::Reading(Box::new(
                self.scan(oldest, next.unwrap_or(self.at.first) - 1)?,
            ));
            return Ok(PruneStatus::Reading);
        };
        if known.name != *oldest {
            // Another program removed it, or an older one was put back.
            self.pruning.stage = Stage::Unknown;
            return Ok(PruneStatus::Reading);
        }
        let judged = Oldest {
            last: known.end.seq,
            age: now.since(known.ts),
            total: files.bytes,
            sealed: self.at.head.seq - self.unsealed(),
        };
        Ok(match judge(&judged, limits, streams) {
            Verdict::Keep => PruneStatus::NotDue,
            Verdict::Remove(reason) => PruneStatus::Due(reason),
            Verdict::Hold(reason, hold) => PruneStatus::Held(reason, hold),
        })
    }

    /// Performs the next step of removing the segment that [`Log::prune_status`] found due: puts
    /// it on record, copies the seals of a slice, or removes the file.
    ///
    /// # Errors
    /// [`PruneError`]; after [`PruneError::Log`] the log must [recover](Log::recover).
    pub fn prune(&mut self, now: Timestamp, reason: Reason) -> Result<PruneStep, PruneError> {
        // What another program did to the kept seals is not taken for a step of this process.
        let changed = self
            .watch
            .change_of(&self.storage, self.at.first, SEALS)
            .map_err(PruneError::while_doing("look at audit.seals"))?;
        match changed {
            Some(changed) => Err(LogError::Disturbed(changed).into()),
            None => {
                let outcome = self.prune_step(now, reason);
                if let Err(PruneError::Damaged { .. } | PruneError::OtherSeals { .. }) = &outcome
                    && self.pruning.synced.is_none()
                {
                    // What it has changed so far is on disk.
                    self.files_are_changed();
                }
                outcome
            }
        }
    }

    fn prune_step(&mut self, now: Timestamp, reason: Reason) -> Result<PruneStep, PruneError> {
        match std::mem::take(&mut self.pruning.stage) {
            Stage::Scanned(segment) => {
                self.forget_files(&[SEALS, &segment.name])
                    .map_err(PruneError::while_doing("store the list of the log's files"))?;
                // Checked before the removal is put on record: it must be possible to finish it.
                let kept = SealsFile::before(
                    &mut self.storage,
                    &mut self.watch,
                    &segment,
                    self.pruning.synced,
                )?;
                self.pruning.synced = None;
                let scan = self.scan(&segment.name, segment.end.seq)?;
                // An earlier attempt of this process may have put the removal on record already.
                if self.pruning.recorded < segment.end.seq {
                    let pruned = LogEvent::Pruned {
                        first_seq: segment.first,
                        end: segment.end,
                        epoch: segment.epoch,
                        reason,
                    };
                    self.append(now, &[pruned.body()])?;
                    // Verifiers accept a sealed record of a removal only: anybody who can write
                    // the file can make an unsealed one.
                    self.seal(now)?;
                    self.pruning.recorded = segment.end.seq;
                }
                self.pruning.stage = Stage::Copying(Box::new(Copying {
                    segment,
                    reason,
                    scan,
                    kept,
                }));
                Ok(PruneStep::More)
            }
            Stage::Copying(mut copying) => {
                if !self.copy_slice(&mut copying)? {
                    self.pruning.stage = Stage::Copying(copying);
                    return Ok(PruneStep::More);
                }
                let Copying {
                    segment, reason, ..
                } = *copying;
                self.remove(&segment)?;
                self.files_are_changed();
                Ok(PruneStep::Removed(RemovedSegment {
                    first: segment.first,
                    last: segment.end.seq,
                    reason,
                }))
            }
            other => {
                self.pruning.stage = other;
                Ok(PruneStep::Nothing)
            }
        }
    }

    /// Records up to this one were put on record as removed since the log was opened; 0 for none.
    #[must_use]
    pub fn pruned_through(&self) -> u64 {
        self.pruning.recorded
    }

    /// The bytes that removing the oldest segment needs on a full disk.
    pub(crate) fn bytes_to_prune(&self) -> u64 {
        self.pruning.known().map_or(0, |segment| segment.seal_bytes)
    }

    /// Reserves space for that, once for each segment. Without the space the log can still be
    /// written, so a failure leaves the reservation that the operator has configured.
    pub(crate) fn reserve_to_prune(&mut self) {
        let segment = self.pruning.known().map(|segment| segment.first);
        if segment.is_some() && segment != self.pruning.reserved_for {
            self.pruning.reserved_for = segment;
            if self.reserve().is_err() {
                // If not even that is free, writing the next record fails and reports it.
                let _ = self.reserve_bytes(self.settings.reserve_bytes);
            }
        }
    }

    fn scan(&self, segment: &str, last: u64) -> Result<Scan, PruneError> {
        let length = self
            .storage
            .length(segment)
            .map_err(PruneError::while_doing("look at the oldest segment"))?;
        Ok(Scan::of(segment, length, last))
    }

    /// Reads the next slice. After an error the stage is unknown, so the segment is read again.
    fn read_slice(&mut self) -> Result<(), PruneError> {
        let Stage::Reading(mut scan) = std::mem::take(&mut self.pruning.stage) else {
            return Ok(());
        };
        // This pass learns the end and the size of the seals; the seals are copied by a second
        // one, when the segment is due.
        self.pruning.stage = match scan.step(&self.storage, &mut |_, _| ())? {
            Slice::More => Stage::Reading(scan),
            Slice::End(end) => {
                // The next file must continue from its last record, as the record of its removal
                // will claim.
                let next = match end.head.seq + 1 {
                    first if first == self.at.first => LIVE.to_owned(),
                    first => crate::storage::segment_name(first),
                };
                let line = scan::first_line(&self.storage, &next)?;
                let record = line.strip_suffix(b"\n").and_then(crate::RecordLine::parse);
                if !record.is_some_and(|record| record.is_whole() && record.follows(&end.head)) {
                    return Err(PruneError::Damaged {
                        segment: scan.segment,
                        seq: end.head.seq,
                    });
                }
                Stage::Scanned(Box::new(ScannedSegment {
                    name: scan.segment,
                    first: scan.first,
                    end: end.head,
                    ts: end.ts,
                    epoch: end.epoch,
                    first_seal: scan.first_seal,
                    seal_bytes: scan.seal_bytes,
                }))
            }
        };
        Ok(())
    }

    /// Copies the seals of a slice; true when it was the last one.
    fn copy_slice(&mut self, copying: &mut Copying) -> Result<bool, PruneError> {
        let Copying {
            segment,
            scan,
            kept,
            ..
        } = copying;
        let (mut lines, mut fits) = (Vec::new(), true);
        let slice = scan.step(&self.storage, &mut |seal, line| {
            fits &= kept.take(seal, line, &mut lines);
        })?;
        let is_end = matches!(slice, Slice::End(_));
        // At the end the file's last seal must have been met, if it is one of this segment.
        if !fits || (is_end && !kept.is_passed()) {
            return Err(PruneError::OtherSeals {
                segment: segment.name.clone(),
            });
        }
        if !lines.is_empty() {
            // Noted before the append, and forgotten when it has succeeded: after an error the next
            // attempt cuts the file to this length.
            self.pruning.synced = Some(kept.length);
            let appended = self.storage.append_to(SEALS, &lines);
            // Also after an error: a part may have been appended.
            self.watch.learn(&self.storage, SEALS);
            appended.map_err(PruneError::while_doing("append to audit.seals"))?;
            self.pruning.synced = None;
            kept.length += lines.len() as u64;
        }
        Ok(is_end)
    }

    /// Removes the segment, and the files of torn bytes for which its records account.
    fn remove(&mut self, known: &ScannedSegment) -> Result<(), PruneError> {
        let removed = self.storage.remove(Dir::Log, &known.name);
        // Also after an error: the sync of the directory comes after the removal.
        self.watch.removed(&self.storage, &known.name);
        removed.map_err(PruneError::while_doing("remove the oldest segment"))?;
        let names = self
            .storage
            .list(Dir::Log)
            .map_err(PruneError::while_doing("list the audit log's directory"))?;
        // All files up to the segment's last record: a crash may have interrupted an earlier
        // removal before this step.
        let is_of_the_past =
            |name: &&String| torn_before(name).is_some_and(|seq| seq <= known.end.seq);
        for torn in names.iter().filter(is_of_the_past) {
            self.storage
                .remove(Dir::Log, torn)
                .map_err(PruneError::while_doing("remove the oldest torn bytes"))?;
        }
        Ok(())
    }
}
