//! What the thread does when there is nothing to write: it looks how much there is of
//! the log, and removes old segments where that is wanted.
//!
//! One step at a time, so that a record never waits for more than one slice of a segment
//! to be read. Whatever hinders a removal hinders nothing else: it is told and tried
//! again later. Only where the log itself cannot be written, that is the log's failure.

use super::driver::Driver;
use super::{Retention, Upkeep};
use crate::prune::{Obstacle, Outlook, Removed, Step};
use crate::recovery::Occasion;
use crate::storage::Storage;
use pulse_core::growth::{Growth, time_left};
use pulse_core::retention::{Hold, Limits, Reason};
use std::time::{Duration, Instant};

/// How often the log's directory is looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// A collector that is behind for less time than this does not count.
const HOLD_TOLERANCE: Duration = Duration::from_secs(600);
/// After a removal that was not possible, the next attempt comes no sooner.
const OBSTACLE_RETRY: Duration = Duration::from_secs(600);

/// When what is to be done, and what was found.
pub(super) struct Housekeeping {
    began: Instant,
    growth: Growth,
    look_at: Instant,
    prune_at: Instant,
    /// When room may be made next on a full disk.
    room_at: Instant,
    retention: Option<Retention>,
    /// Since when something has been holding the oldest segment.
    held_since: Option<Instant>,
    upkeep: Upkeep,
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
            held_since: None,
            upkeep: Upkeep::default(),
        }
    }

    /// When there is something to do.
    pub(super) fn wake_at(&self) -> Instant {
        match self.retention {
            Some(_) => self.look_at.min(self.prune_at),
            None => self.look_at,
        }
    }

    pub(super) fn upkeep(&self) -> &Upkeep {
        &self.upkeep
    }

    /// A segment has ended: there may be one too many now.
    pub(super) fn rotated(&mut self) {
        self.look_at = Instant::now();
        self.prune_at = self.prune_at.min(self.look_at);
    }

    pub(super) fn retain(&mut self, retention: Retention) {
        self.retention = retention.limits.are_set().then_some(retention);
        self.prune_at = Instant::now();
        if self.retention.is_none() {
            self.hold(None);
            self.upkeep.obstacle = None;
        }
    }

    fn hold(&mut self, hold: Option<Hold>) {
        let since = self.held_since.filter(|_| hold.is_some());
        self.held_since = hold.as_ref().map(|_| since.unwrap_or_else(Instant::now));
        self.upkeep.hold = hold;
    }

    /// The limits that are kept: none while something holds the oldest segment for long.
    fn limits_in_force(&self) -> Limits {
        let is_held = self.upkeep.held_for >= HOLD_TOLERANCE || self.upkeep.obstacle.is_some();
        let retention = self.retention.as_ref().filter(|_| !is_held);
        retention.map_or_else(Limits::default, |retention| retention.limits)
    }

    fn removed(&mut self, removed: Removed) {
        self.upkeep.removed_segments += 1;
        self.upkeep.removed_through = removed.last;
        self.look_at = Instant::now();
    }
}

impl<S: Storage> Driver<S> {
    /// Does what is due, and of a removal the next step.
    pub(super) fn keep_house(&mut self) {
        let now = Instant::now();
        if now >= self.house.look_at {
            self.look();
        }
        if now >= self.house.prune_at && self.is_well() {
            match self.step() {
                Ok(next) => self.house.prune_at = next,
                Err(Obstacle::Log(error)) => self.fail(&error),
                Err(obstacle) => self.hindered(&obstacle),
            }
        }
    }

    /// Measures the log and its disk. What cannot be measured now is measured later: if
    /// the disk is broken, the next record says so.
    pub(super) fn look(&mut self) {
        let now = Instant::now();
        self.house.look_at = now + LOOK_INTERVAL;
        let house = &mut self.house;
        house.growth.record(now - house.began, self.log.written());
        let Ok(extent) = self.log.extent() else {
            return;
        };
        house.upkeep.held_for = house.held_since.map_or(Duration::ZERO, |since| now - since);
        let limits = house.limits_in_force();
        let upkeep = &mut house.upkeep;
        upkeep.first = extent.first;
        upkeep.bytes = extent.bytes;
        upkeep.free = Some(extent.free);
        upkeep.rate = house.growth.rate();
        upkeep.left = time_left(upkeep.free, upkeep.bytes, upkeep.rate, &limits);
    }

    /// A step; gives when the next is due.
    fn step(&mut self) -> Result<Instant, Obstacle> {
        let now = Instant::now();
        let outlook = self.outlook()?;
        self.log.reserve_to_prune();
        match outlook {
            Outlook::Reading => return Ok(now),
            Outlook::Rest => self.house.hold(None),
            Outlook::Held(_, hold) => self.house.hold(Some(hold)),
            Outlook::Due(reason) => {
                self.house.hold(None);
                self.prune(reason)?;
                return Ok(now);
            }
        }
        self.house.upkeep.obstacle = None;
        Ok(now + LOOK_INTERVAL)
    }

    fn outlook(&mut self) -> Result<Outlook, Obstacle> {
        let Some(retention) = &self.house.retention else {
            return Ok(Outlook::Rest);
        };
        let streams = (retention.streams)();
        let now = (self.clock)();
        self.log.outlook(now, &retention.limits, &streams)
    }

    fn prune(&mut self, reason: Reason) -> Result<Step, Obstacle> {
        let step = self.log.prune((self.clock)(), reason)?;
        if let Step::Removed(removed) = step {
            self.house.upkeep.obstacle = None;
            self.house.removed(removed);
        }
        Ok(step)
    }

    fn hindered(&mut self, obstacle: &Obstacle) {
        self.house.prune_at = Instant::now() + OBSTACLE_RETRY;
        self.house.hold(None);
        self.house.upkeep.obstacle = Some(obstacle.to_string().into());
    }

    /// On a full disk: removes the oldest segment, if it is due, with the space that was
    /// kept free. True when one was removed.
    pub(super) fn make_room(&mut self) -> bool {
        let is_hindered = self.house.upkeep.obstacle.is_some();
        if self.house.retention.is_none() || (is_hindered && Instant::now() < self.house.prune_at) {
            return false;
        }
        match self.try_to_make_room() {
            Ok(step) => {
                self.house.prune_at = Instant::now();
                matches!(step, Step::Removed(_))
            }
            Err(Obstacle::Log(_)) => false,
            Err(obstacle) => {
                self.hindered(&obstacle);
                false
            }
        }
    }

    fn try_to_make_room(&mut self) -> Result<Step, Obstacle> {
        let reason = loop {
            match self.outlook()? {
                Outlook::Reading => (),
                Outlook::Due(reason) => break reason,
                Outlook::Rest | Outlook::Held(..) => return Ok(Step::Nothing),
            }
        };
        let now = Instant::now();
        if now < self.house.room_at {
            return Ok(Step::Nothing);
        }
        // Where there is no room even for the record, that takes reading all of the live
        // file, so not each second.
        self.house.room_at = now + LOOK_INTERVAL;
        self.log.recover((self.clock)(), Occasion::Pruning)?;
        loop {
            match self.prune(reason)? {
                Step::More => (),
                step => {
                    self.house.room_at = now;
                    return Ok(step);
                }
            }
        }
    }
}
