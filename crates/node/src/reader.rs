//! Repeated readings: the layout is scanned once, then its values are read.
//!
//! A scan takes far longer than reading the values, and hardware rarely changes. So a layout is
//! reused until the kernel lists other devices, a device is gone, or a minute has passed (operators
//! change limits, and links can change their target).
#![expect(
    clippy::indexing_slicing,
    reason = "the indices are of a list that this module builds and never shrinks"
)]

use crate::chip::ChipReading;
use crate::clock;
use crate::disk::FoundDisk;
use crate::error::HelperError;
use crate::layout::{Layout, ReadBy, listings};
use crate::read_queue::{Job, ReadQueue, Timeouts};
use crate::sysfs::Sysfs;
use pulse_sensors::document::{Chip, Disk, Document, HelperInfo};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// The maximum age of a layout.
const LAYOUT_AGE: Duration = Duration::from_secs(60);

/// The minimum interval between reads of the listings.
const LISTING_AGE: Duration = Duration::from_secs(1);

/// The length of a document with its newline is less than this, in bytes.
pub const MAX_DOCUMENT_BYTES: usize = 256 * 1024;

/// The label of the overall temperature of an NVMe disk.
const COMPOSITE: &str = "Composite";

/// Reads the sensors below one root.
pub struct SensorReader {
    sysfs: Sysfs,
    layout: Option<Arc<Layout>>,
    /// The time of the last read of the listings.
    listed: Option<Instant>,
    /// A device was gone in the last reading.
    is_device_gone: bool,
    queue: ReadQueue<String, ChipReading>,
}

impl SensorReader {
    /// Opens the tree at `root`, usually `/sys`. The first reading scans it.
    ///
    /// # Errors
    /// [`HelperError::Root`] if it is not a directory, or cannot be entered.
    pub fn open(root: &Path) -> Result<Self, HelperError> {
        let sysfs = Sysfs::open(root).map_err(|error| HelperError::Root(root.to_owned(), error))?;
        Ok(Self {
            sysfs,
            layout: None,
            listed: None,
            is_device_gone: false,
            queue: ReadQueue::new(Timeouts::DEFAULT),
        })
    }

    /// Reads all sensors. The document has the time `wall`; the ages of the layout and of the
    /// listings are measured by `monotonic`.
    pub fn read(&mut self, wall: SystemTime, monotonic: Instant) -> Document {
        let layout = self.layout(monotonic);
        let suspended: Vec<bool> = layout.disks.iter().map(FoundDisk::is_suspended).collect();
        let readings = self.read_chips(&layout, &suspended);
        self.is_device_gone = readings
            .iter()
            .flatten()
            .any(|reading| reading.is_device_gone);
        let at = clock::rfc3339(wall);
        let disk = |(found, suspended): (&FoundDisk, &bool)| {
            let reading = found.chip.and_then(|index| readings[index].as_ref());
            let temperature = reading.and_then(|reading| temperature(&reading.chip));
            Disk {
                temperature,
                // Only with a temperature: it is the time of that reading.
                last_updated: temperature.map(|_| at.clone()),
                standby_skipped: *suspended,
                ..found.identity.clone()
            }
        };
        Document {
            disks: layout.disks.iter().zip(&suspended).map(disk).collect(),
            // Chips without a value are left out.
            chips: readings
                .into_iter()
                .flatten()
                .map(|reading| reading.chip)
                .filter(|chip| !chip.features.is_empty())
                .collect(),
            collected_at: Some(at),
            helper: Some(HelperInfo {
                version: crate::VERSION.to_owned(),
            }),
            ..Document::default()
        }
    }

    fn layout(&mut self, now: Instant) -> Arc<Layout> {
        let age = |then: Instant| now.saturating_duration_since(then);
        if let Some(layout) = &self.layout
            && age(layout.scanned) < LAYOUT_AGE
        {
            // The listings are read once a second, so that frequent readings cost no more system
            // calls.
            if self.listed.is_some_and(|then| age(then) < LISTING_AGE) {
                return Arc::clone(layout);
            }
            self.listed = Some(now);
            if !self.is_device_gone && layout.listings == listings(&self.sysfs) {
                return Arc::clone(layout);
            }
        }
        // The old layout goes first: its open files count against the limit of the process.
        self.layout = None;
        self.listed = Some(now);
        Arc::clone(self.layout.insert(Arc::new(Layout::scan(&self.sysfs, now))))
    }

    /// The reading of each chip; `None` for a disk that is suspended or does not respond.
    fn read_chips(&mut self, layout: &Arc<Layout>, suspended: &[bool]) -> Vec<Option<ChipReading>> {
        let readers = layout.readers(suspended);
        let queued: Vec<usize> = (0..readers.len())
            .filter(|index| readers[*index] == ReadBy::Queue)
            .collect();
        // Names instead of indices identify a blocked read: it can outlast the layout.
        let names: Vec<String> = queued
            .iter()
            .map(|index| layout.chips[*index].name.clone())
            .collect();
        let job = |number: usize| -> Job<ChipReading> {
            let (layout, index) = (Arc::clone(layout), queued[number]);
            Box::new(move || layout.chips[index].read())
        };
        let mut readings = Vec::new();
        let of_disks = self.queue.run(&names, job, || {
            readings = layout
                .chips
                .iter()
                .zip(&readers)
                .map(|(chip, by)| (*by == ReadBy::MainThread).then(|| chip.read()))
                .collect();
        });
        for (index, reading) in queued.iter().zip(of_disks) {
            readings[*index] = reading;
        }
        readings
    }
}

/// The document as one line with its newline, shorter than [`MAX_DOCUMENT_BYTES`]. No real machine
/// comes near the limit; for one that exceeds it, the last disks and chips are left out.
#[must_use]
pub fn to_line(mut document: Document) -> String {
    // A quarter of each at a time: one by one, hundreds of documents would be serialised.
    let fewer = |count: usize| count - count.div_ceil(4);
    loop {
        let mut line = document.to_json();
        line.push('\n');
        if line.len() < MAX_DOCUMENT_BYTES {
            return line;
        }
        document.disks.truncate(fewer(document.disks.len()));
        document.chips.truncate(fewer(document.chips.len()));
    }
}

/// The temperature of a disk, in whole degrees.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the cast saturates, far beyond the temperature of a disk"
)]
fn temperature(chip: &Chip) -> Option<i32> {
    let mut features = chip.features.iter();
    let degrees = features
        .find(|feature| feature.label == COMPOSITE)
        .or(chip.features.first())?
        .input()?;
    Some(degrees.round() as i32)
}
