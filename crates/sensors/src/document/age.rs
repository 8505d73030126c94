//! Removal of values that are too old to be a temperature of now.
//!
//! The helper leaves them out itself. The daemon does not rely on that: a document with a value
//! that its own `sensor_state` says is old would show a temperature that is no longer true.

use super::limits::MAX_AGE_MS;
use super::model::{Disk, Document};
use super::state::Answering;
use super::timestamp::seconds;
use std::collections::BTreeSet;

/// Removes the chips whose values are older than [`MAX_AGE_MS`], and such temperatures of disks.
pub(super) fn remove_aged(document: &mut Document) {
    let mut aged = BTreeSet::new();
    for state in &mut document.state.chips {
        if state.age_ms.is_some_and(|age| age > MAX_AGE_MS) {
            state.answering = Answering::Unreadable;
            aged.insert(state.chip.clone());
        }
    }
    document
        .chips
        .retain(|chip| !aged.contains(chip.name.as_str()));
    let is_old = |disk: &Disk| {
        let age = document.disk_age(disk);
        age.is_some_and(|age| age > MAX_AGE_MS / 1_000) || aged.contains(disk.device.as_str())
    };
    let old: Vec<bool> = document.disks.iter().map(is_old).collect();
    for (disk, is_old) in document.disks.iter_mut().zip(old) {
        if is_old {
            disk.temperature = None;
        }
    }
}

impl Document {
    /// The age of a disk's temperature at the time of the document, in whole seconds; `None` if it
    /// is unknown.
    ///
    /// Older wrappers keep the temperatures of disks for minutes, and have no other. Only the helper
    /// gives the time of its document too, by the same clock.
    #[must_use]
    pub fn disk_age(&self, disk: &Disk) -> Option<u64> {
        let now = self.collected_seconds()?;
        Some(now.saturating_sub(seconds(disk.last_updated.as_deref()?)?))
    }

    /// The time of the reading by the node's clock, in seconds since 1970; `None` for a document
    /// that is not the helper's. A wrapper may print one that it kept.
    #[must_use]
    pub fn collected_seconds(&self) -> Option<u64> {
        seconds(self.helper.as_ref().and(self.collected_at.as_deref())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Chip, ChipState, HelperInfo};

    fn document(age_ms: Option<u64>, collected_at: &str, last_updated: &str) -> Document {
        let mut document = Document {
            chips: vec![Chip {
                name: "drivetemp-scsi-0-0".to_owned(),
                ..Chip::default()
            }],
            disks: vec![Disk {
                device: "/dev/sda".to_owned(),
                temperature: Some(41),
                last_updated: Some(last_updated.to_owned()),
                ..Disk::default()
            }],
            collected_at: Some(collected_at.to_owned()),
            helper: Some(HelperInfo::default()),
            ..Document::default()
        };
        document.state.chips = vec![ChipState {
            chip: "drivetemp-scsi-0-0".to_owned(),
            answering: Answering::Stale,
            age_ms,
        }];
        document
    }

    /// True if the chip is left; its state, and the disk's temperature.
    fn after(mut document: Document) -> (bool, Answering, Option<i32>) {
        remove_aged(&mut document);
        let state = document.state.chips[0].answering;
        (
            !document.chips.is_empty(),
            state,
            document.disks[0].temperature,
        )
    }

    #[test]
    fn old_values_are_removed() {
        let now = "2026-11-21T10:01:03Z";
        for (age_ms, updated, expected) in [
            (None, now, (true, Answering::Stale, Some(41))),
            (
                Some(60_000),
                "2026-11-21T11:00:03+01:00",
                (true, Answering::Stale, Some(41)),
            ),
            (
                Some(60_001),
                "2026-11-21T10:00:02.9Z",
                (false, Answering::Unreadable, None),
            ),
            // A clock that was set back.
            (
                Some(0),
                "2026-11-21T12:00:00Z",
                (true, Answering::Stale, Some(41)),
            ),
        ] {
            assert_eq!(after(document(age_ms, now, updated)), expected, "{updated}");
        }
    }

    #[test]
    fn wrapper_keeps_old_disks() {
        let mut document = document(None, "2026-11-21T10:01:03Z", "2026-11-21T09:55:00Z");
        document.helper = None;
        assert_eq!(after(document).2, Some(41));
    }
}
