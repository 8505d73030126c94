//! One reading after another: finds the layout once, then reads its values.
//!
//! Finding out what a tree holds costs far more than reading its values, and
//! hardware rarely changes. So the layout is kept until the kernel lists other
//! devices, a value is gone, or a minute has passed (limits are set by hand,
//! and links may come to point elsewhere).
#![expect(
    clippy::indexing_slicing,
    reason = "a place is of a list that was made here, and that does not shrink"
)]

use crate::chip::{ChipReading, FoundChip};
use crate::clock;
use crate::disk::FoundDisk;
use crate::failure::Failure;
use crate::lane::{Job, Lane, Patience};
use crate::layout::{Layout, ReadBy, listings};
use crate::sysfs::Sysfs;
use pulse_sensors::document::{Chip, Disk, Document, HelperInfo};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// How long a layout is used without another look at every device.
const LAYOUT_AGE: Duration = Duration::from_secs(60);

/// How often the listings of devices are looked at, at most.
const LISTING_AGE: Duration = Duration::from_secs(1);

/// A document's line has fewer bytes than this, its newline included.
pub const MAX_DOCUMENT_BYTES: usize = 256 * 1024;

/// The label of the temperature that stands for a whole NVMe disk.
const COMPOSITE: &str = "Composite";

/// Reads the sensors below one root.
pub struct Reader {
    sysfs: Sysfs,
    layout: Option<Arc<Layout>>,
    /// When the listings were last looked at.
    listed: Option<Instant>,
    /// In the last reading, something that was found was gone.
    gone: bool,
    lane: Lane<String, ChipReading>,
}

impl Reader {
    /// Opens the tree at `root`, usually `/sys`; what it holds is found out by
    /// the first reading.
    ///
    /// # Errors
    /// [`Failure::Root`] when it is no directory that can be entered.
    pub fn open(root: &Path) -> Result<Self, Failure> {
        let sysfs = Sysfs::open(root).map_err(|error| Failure::Root(root.to_owned(), error))?;
        Ok(Self {
            sysfs,
            layout: None,
            listed: None,
            gone: false,
            lane: Lane::new(Patience::DEFAULT),
        })
    }

    /// Reads everything now. The document says `wall`; whether to look for other
    /// devices first is decided by `monotonic`.
    pub fn read(&mut self, wall: SystemTime, monotonic: Instant) -> Document {
        let layout = self.layout(monotonic);
        let asleep: Vec<bool> = layout.disks.iter().map(FoundDisk::is_asleep).collect();
        let readings = self.read_chips(&layout, &asleep);
        self.gone = readings.iter().flatten().any(|reading| reading.gone);
        let at = clock::rfc3339(wall);
        Document {
            disks: disks(&layout, &asleep, &readings, &at),
            chips: chips(readings),
            collected_at: Some(at),
            helper: Some(HelperInfo {
                version: crate::VERSION.to_owned(),
            }),
        }
    }

    fn layout(&mut self, now: Instant) -> Arc<Layout> {
        let kept = self.layout.take();
        let layout = kept.filter(|layout| self.is_current(layout, now));
        let layout = layout.unwrap_or_else(|| {
            self.listed = Some(now);
            Arc::new(Layout::find(&self.sysfs, now))
        });
        Arc::clone(self.layout.insert(layout))
    }

    fn is_current(&mut self, layout: &Layout, now: Instant) -> bool {
        let age = |then: Instant| now.saturating_duration_since(then);
        if age(layout.found) >= LAYOUT_AGE {
            return false;
        }
        if self.listed.is_some_and(|then| age(then) < LISTING_AGE) {
            return true;
        }
        self.listed = Some(now);
        !self.gone && layout.listings == listings(&self.sysfs)
    }

    /// What each chip of the layout says; `None` for those that sleep or hang.
    fn read_chips(&mut self, layout: &Arc<Layout>, asleep: &[bool]) -> Vec<Option<ChipReading>> {
        let readers = layout.readers(asleep);
        let in_lane = |place: &usize| readers[*place] == ReadBy::Lane;
        let places: Vec<usize> = (0..readers.len()).filter(in_lane).collect();
        let name = |place: &usize| layout.chips[*place].name.clone();
        let names: Vec<String> = places.iter().map(name).collect();

        let job = |number: usize| -> Job<ChipReading> {
            let (layout, place) = (Arc::clone(layout), places[number]);
            Box::new(move || layout.chips[place].read())
        };
        let mut readings = Vec::new();
        let of_disks = self
            .lane
            .run(&names, job, || readings = read_ours(layout, &readers));
        for (place, reading) in places.iter().zip(of_disks) {
            readings[*place] = reading;
        }
        readings
    }
}

/// The chips that this thread reads; the places of others are empty.
fn read_ours(layout: &Layout, readers: &[ReadBy]) -> Vec<Option<ChipReading>> {
    let read = |(chip, by): (&FoundChip, &ReadBy)| (*by == ReadBy::Us).then(|| chip.read());
    layout.chips.iter().zip(readers).map(read).collect()
}

/// The document as one line, newline included, shorter than
/// [`MAX_DOCUMENT_BYTES`]: no real machine comes near it, and the last disks and
/// chips of one that does are left out.
#[must_use]
pub fn to_line(mut document: Document) -> String {
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

/// The chips that said something.
fn chips(readings: Vec<Option<ChipReading>>) -> Vec<Chip> {
    let chips = readings.into_iter().flatten().map(|reading| reading.chip);
    chips.filter(|chip| !chip.features.is_empty()).collect()
}

fn disks(
    layout: &Layout,
    asleep: &[bool],
    readings: &[Option<ChipReading>],
    at: &str,
) -> Vec<Disk> {
    let disk = |(found, asleep): (&FoundDisk, &bool)| {
        let reading = found.chip.and_then(|place| readings[place].as_ref());
        let temperature = reading.and_then(|reading| temperature(&reading.chip));
        Disk {
            temperature,
            last_updated: temperature.map(|_| at.to_owned()),
            standby_skipped: *asleep,
            ..found.identity.clone()
        }
    };
    layout.disks.iter().zip(asleep).map(disk).collect()
}

/// The temperature that stands for a disk, in whole degrees.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a cast saturates, and no disk has such a temperature"
)]
fn temperature(chip: &Chip) -> Option<i32> {
    let mut features = chip.features.iter();
    let composite = features.find(|feature| feature.label == COMPOSITE);
    let degrees = composite.or(chip.features.first())?.input()?;
    Some(degrees.round() as i32)
}
