//! The devices found by a scan, and the thread that reads each chip.
#![expect(
    clippy::indexing_slicing,
    reason = "the indices are of a list that this module builds and never shrinks"
)]

use crate::attribute::Budget;
use crate::chip::{FoundChip, UniqueNames};
use crate::disk::{self, FoundDisk};
use crate::hwmon;
use crate::sysfs::{self, Sysfs};
use crate::thermal;
use std::time::Instant;

/// The entries of the three directories that list devices.
pub(crate) type Listings = [Vec<String>; 3];

/// The result of a scan.
pub(crate) struct Layout {
    /// Chips of hwmon, then those made from thermal zones.
    pub(crate) chips: Vec<FoundChip>,
    /// Disks, which refer to chips by index.
    pub(crate) disks: Vec<FoundDisk>,
    /// The listings before the scan.
    pub(crate) listings: Listings,
    /// The time of the scan.
    pub(crate) scanned: Instant,
}

/// The thread that reads a chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadBy {
    /// The main thread: the chip responds immediately.
    MainThread,
    /// The queue's thread: a disk can block.
    Queue,
    /// None: a read would wake the disk.
    None,
}

impl Layout {
    /// Scans all devices.
    pub(crate) fn scan(sysfs: &Sysfs, now: Instant) -> Self {
        // Before the scan: a device that appears meanwhile then counts as a change.
        let listings = listings(sysfs);
        let (mut names, mut budget) = (UniqueNames::default(), Budget::FULL);
        // Chips before zones and disks, which refer to them. One budget for all three.
        let mut chips = hwmon::scan(sysfs, &mut names, &mut budget);
        let zones = thermal::scan(sysfs, &chips, &mut names, &mut budget);
        let disks = disk::scan(sysfs, &chips, &mut budget);
        chips.extend(zones);
        Self {
            chips,
            disks,
            listings,
            scanned: now,
        }
    }

    /// The thread for each chip, given which disks are suspended.
    pub(crate) fn readers(&self, suspended: &[bool]) -> Vec<ReadBy> {
        let mut readers = vec![ReadBy::MainThread; self.chips.len()];
        for (disk, suspended) in self.disks.iter().zip(suspended) {
            let Some(index) = disk.chip else { continue };
            // Several disks can share a chip. If one of them is suspended, the chip is not read.
            readers[index] = if *suspended || readers[index] == ReadBy::None {
                ReadBy::None
            } else {
                ReadBy::Queue
            };
        }
        readers
    }
}

/// The current listings.
pub(crate) fn listings(sysfs: &Sysfs) -> Listings {
    [hwmon::DIRECTORY, thermal::DIRECTORY, disk::DIRECTORY]
        .map(|directory| sysfs::names(&sysfs.path(directory)))
}
