//! What one look at every device found, and who reads which part of it.
#![expect(
    clippy::indexing_slicing,
    reason = "a place is of a list that was made here, and that does not shrink"
)]

use crate::attribute::Budget;
use crate::chip::{FoundChip, Names};
use crate::disk::{self, FoundDisk};
use crate::hwmon;
use crate::sysfs::{self, Sysfs};
use crate::thermal;
use std::time::Instant;

/// The names of the devices that the kernel lists.
pub(crate) type Listings = [Vec<String>; 3];

/// Everything that was found.
pub(crate) struct Layout {
    /// Chips of hwmon, then those made of thermal zones.
    pub(crate) chips: Vec<FoundChip>,
    /// Disks, which refer to the chips by their place.
    pub(crate) disks: Vec<FoundDisk>,
    /// What the kernel listed before the search.
    pub(crate) listings: Listings,
    /// When the search was made.
    pub(crate) found: Instant,
}

/// Who reads a chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadBy {
    /// The thread that answers: the chip does so at once.
    Us,
    /// The lane: a disk may hang.
    Lane,
    /// Nobody: the disk is asleep.
    Nobody,
}

impl Layout {
    /// Looks at every device.
    pub(crate) fn find(sysfs: &Sysfs, now: Instant) -> Self {
        // Listed first: what appears during the search then shows as a change.
        let listings = listings(sysfs);
        let (mut names, mut budget) = (Names::default(), Budget::FULL);
        let mut chips = hwmon::scan(sysfs, &mut names, &mut budget);
        let zones = thermal::scan(sysfs, &chips, &mut names, &mut budget);
        let disks = disk::scan(sysfs, &chips, &mut budget);
        chips.extend(zones);
        Self {
            chips,
            disks,
            listings,
            found: now,
        }
    }

    /// Who reads each chip, when these of the disks are asleep.
    pub(crate) fn readers(&self, asleep: &[bool]) -> Vec<ReadBy> {
        let mut readers = vec![ReadBy::Us; self.chips.len()];
        for (disk, asleep) in self.disks.iter().zip(asleep) {
            let Some(place) = disk.chip else { continue };
            let left_alone = *asleep || readers[place] == ReadBy::Nobody;
            readers[place] = if left_alone {
                ReadBy::Nobody
            } else {
                ReadBy::Lane
            };
        }
        readers
    }
}

/// What the kernel lists now.
pub(crate) fn listings(sysfs: &Sysfs) -> Listings {
    let directories = [hwmon::DIRECTORY, thermal::DIRECTORY, disk::DIRECTORY];
    directories.map(|directory| sysfs::names(&sysfs.path(directory)))
}
