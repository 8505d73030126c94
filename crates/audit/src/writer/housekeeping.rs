//! The writing thread's work between records: measuring the log and removing old segments.
//!
//! One step at a time, so that a record waits for the reading of one slice at most. A removal
//! that fails is reported and tried again later; writing continues. Only a failure to write
//! the log itself is a failure of the log.

use super::driver::Driver;
use super::{Blocked, Retention, Upkeep};
use crate::prune::{PruneError, PruneStatus, PruneStep, RemovedSegment};
use crate::recovery::RecoveryReason;
use crate::storage::Storage;
use pulse_core::audit_log::growth::{Growth, time_left};
use pulse_core::audit_log::retention::{Hold, Limits, Reason};
use pulse_core::causes::Causes;
use std::time::{Duration, Instant};

/// The interval of measuring the log's directory.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// While a segment is held for less time than this, growth is predicted as if it could be
/// removed.
const HOLD_TOLERANCE: Duration = Duration::from_secs(600);
/// The delay before the next attempt after a removal failed.
const OBSTACLE_RETRY: Duration = Duration::from_secs(600);

/// The schedule of this work, and its results.
pub(super) struct Housekeeping {
    began: Instant,
    growth: Growth,
    look_at: Instant,
    prune_at: Instant,
    /// The earliest time for the next attempt to free space on a full disk.
    room_at: Instant,
    retention: Option<Retention>,
    upkeep: Upkeep,
    /// Bytes written when the log was measured.
    measured: u64,
}

impl Housekeeping {
    pub(super) fn new((age, bytes): (Duration, u64)) -> Self {
        let now = Instant::now();
        Self {
            began: now,
            growth: Growth::new(age, bytes),
            look_at: now,
            prune_at: now,
            room_at: now,
            retention: None,
            upkeep: Upkeep::default(),
            measured: 0,
        }
    }

    /// The time of the next due work.
    pub(super) fn wake_at(&self) -> Instant {
        match self.retention {
            Some(_) => self.look_at.min(self.prune_at),
            None => self.look_at,
        }
    }

    /// The size and retention of the log, after this many bytes were written to it since it was
    /// opened. Other changes of its size wait for the next measuring.
    pub(super) fn upkeep(&self, written: u64) -> Upkeep {
        Upkeep {
            bytes: self.upkeep.bytes + (written - self.measured),
            ..self.upkeep.clone()
        }
    }

    /// A rotation has made a segment, which may exceed a limit.
    pub(super) fn rotated(&mut self) {
        self.look_at = Instant::now();
        // Not later than it is due already.
        self.prune_at = self.prune_at.min(self.look_at);
    }

    pub(super) fn retain(&mut self, retention: Retention) {
        self.retention = retention.limits.are_set().then_some(retention);
        self.prune_at = Instant::now();
        if self.retention.is_none() {
            self.upkeep.blocked = None;
        }
    }

    fn hold(&mut self, hold: Hold) {
        let since = match self.upkeep.blocked {
            Some(Blocked::Held { since, .. }) => since,
            _ => Instant::now(),
        };
        self.upkeep.blocked = Some(Blocked::Held { hold, since });
    }

    fn removed(&mut self, removed: RemovedSegment) {
        self.upkeep.removed_segments += 1;
        self.upkeep.removed_through = removed.last;
        self.look_at = Instant::now();
    }
}

impl<S: Storage> Driver<S> {
    /// Performs the work that is due; of a removal, the next step.
    pub(super) fn run_housekeeping(&mut self) {
        let now = Instant::now();
        if now >= self.house.look_at {
            self.measure();
            if self.is_well() {
                self.log.restore_reserve();
            }
        }
        if now >= self.house.prune_at && self.is_well() {
            match self.step() {
                Ok(next) => self.house.prune_at = next,
                Err(PruneError::Log(error)) => self.fail(&error),
                Err(obstacle) => self.record_prune_failure(&obstacle),
            }
        }
    }

    /// Measures the log and its disk. Errors are ignored: if the disk is broken, writing the
    /// next record fails.
    pub(super) fn measure(&mut self) {
        let now = Instant::now();
        self.house.look_at = now + LOOK_INTERVAL;
        let house = &mut self.house;
        house.growth.record(now - house.began, self.log.written());
        let Ok(extent) = self.log.extent() else {
            return;
        };
        // Limits free no space while the oldest segment is blocked for long.
        let effective = match &house.upkeep.blocked {
            Some(Blocked::Failed(_)) => None,
            Some(Blocked::Held { since, .. }) if since.elapsed() >= HOLD_TOLERANCE => None,
            _ => house.retention.as_ref(),
        };
        let limits = effective.map_or_else(Limits::default, |retention| retention.limits);
        house.measured = self.log.written();
        let upkeep = &mut house.upkeep;
        upkeep.first = extent.first;
        upkeep.bytes = extent.bytes;
        upkeep.free = Some(extent.free);
        upkeep.rate = house.growth.rate();
        upkeep.left = time_left(upkeep.free, upkeep.bytes, upkeep.rate, &limits);
    }

    /// The next step of a removal. Gives the time of the one after it.
    fn step(&mut self) -> Result<Instant, PruneError> {
        let now = Instant::now();
        let status = self.prune_status()?;
        self.log.reserve_to_prune();
        match status {
            PruneStatus::Reading => return Ok(now),
            PruneStatus::NotDue => self.house.upkeep.blocked = None,
            PruneStatus::Held(_, hold) => self.house.hold(hold),
            PruneStatus::Due(reason) => {
                // A failure is reported until the segment is gone.
                if let Some(Blocked::Held { .. }) = self.house.upkeep.blocked {
                    self.house.upkeep.blocked = None;
                }
                self.prune(reason)?;
                return Ok(now);
            }
        }
        Ok(now + LOOK_INTERVAL)
    }

    fn prune_status(&mut self) -> Result<PruneStatus, PruneError> {
        let Some(retention) = &self.house.retention else {
            return Ok(PruneStatus::NotDue);
        };
        let streams = (retention.streams)();
        self.log
            .prune_status((self.clock)(), &retention.limits, &streams)
    }

    fn prune(&mut self, reason: Reason) -> Result<PruneStep, PruneError> {
        let step = self.log.prune((self.clock)(), reason);
        // Also after an error: the removal may be on record.
        self.house.upkeep.pruned_through = self.log.pruned_through();
        let step = step?;
        if let PruneStep::Removed(removed) = step {
            self.house.upkeep.blocked = None;
            self.house.removed(removed);
        }
        Ok(step)
    }

    fn record_prune_failure(&mut self, obstacle: &PruneError) {
        self.house.prune_at = Instant::now() + OBSTACLE_RETRY;
        self.house.upkeep.blocked = Some(Blocked::Failed(Causes(obstacle).to_string().into()));
    }

    /// On a full disk, removes the oldest segment if it is due, using the reserved space. True
    /// when it was removed.
    pub(super) fn make_room(&mut self) -> bool {
        // A removal that failed is not tried again with every retry of writing.
        if self.house.retention.is_none()
            || (self.house.upkeep.failure().is_some() && Instant::now() < self.house.prune_at)
        {
            return false;
        }
        match self.try_to_make_room() {
            Ok(step) => {
                self.house.prune_at = Instant::now();
                matches!(step, PruneStep::Removed(_))
            }
            Err(PruneError::Log(_)) => false,
            Err(obstacle) => {
                self.record_prune_failure(&obstacle);
                false
            }
        }
    }

    fn try_to_make_room(&mut self) -> Result<PruneStep, PruneError> {
        let reason = loop {
            match self.prune_status()? {
                PruneStatus::Reading => (),
                PruneStatus::Due(reason) => break reason,
                PruneStatus::NotDue | PruneStatus::Held(..) => return Ok(PruneStep::Nothing),
            }
        };
        let now = Instant::now();
        if now < self.house.room_at {
            return Ok(PruneStep::Nothing);
        }
        // If there is no space even for the record of the removal, each attempt reads the whole
        // live file, so not with every retry.
        self.house.room_at = now + LOOK_INTERVAL;
        self.log.recover((self.clock)(), RecoveryReason::Pruning)?;
        loop {
            match self.prune(reason)? {
                PruneStep::More => (),
                step => {
                    self.house.room_at = now;
                    return Ok(step);
                }
            }
        }
    }
}
