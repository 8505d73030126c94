//! Repeated readings of all sensors.
//!
//! A scan of a device takes far longer than reading its values, and hardware rarely changes. So
//! a scan is reused until the kernel lists other devices, the device is gone, or a minute has
//! passed.

use crate::assembly::{self, ChipNames};
use crate::device::{self, Entry, Shared, SysDevice};
use crate::error::HelperError;
use crate::leftover::Held;
use crate::pool::Pool;
use crate::sysfs::Sysfs;
use pulse_sensors::document::{
    Answering, ChipState, Document, MAX_FEATURES_IN_ALL, MAX_STATE_ENTRIES, SensorState,
};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

/// The number of features down to which chips are cut before disks.
const MIN_FEATURES: usize = 64;

/// The minimum interval between reads of the listings.
const LISTING_AGE: Duration = Duration::from_secs(1);

/// The maximum length of a document with its newline, in bytes. It is less than the daemon's
/// default for `max_ssh_output_bytes`.
pub const MAX_DOCUMENT_BYTES: usize = 1024 * 1024 - 1;

/// Reads the sensors below one root.
pub struct SensorReader {
    shared: Shared,
    entries: Vec<Entry>,
    /// The time of the last read of the listings.
    listed: Option<Instant>,
    pool: Pool<Entry, SysDevice>,
    names: ChipNames,
    /// Devices that are not read, since they hold an earlier helper.
    held: Vec<Held>,
}

impl SensorReader {
    /// Opens the tree at `root`, usually `/sys`. The first reading scans it.
    ///
    /// # Errors
    /// [`HelperError::Root`] if it is not a directory, or cannot be entered.
    pub fn open(root: &Path) -> Result<Self, HelperError> {
        Self::without(root, Vec::new())
    }

    /// As [`SensorReader::open`], without these devices for as long as they hold another helper.
    pub(crate) fn without(root: &Path, held: Vec<Held>) -> Result<Self, HelperError> {
        let sysfs = Sysfs::open(root).map_err(|error| HelperError::Root(root.to_owned(), error))?;
        Ok(Self {
            shared: Shared::new(sysfs),
            entries: Vec::new(),
            listed: None,
            pool: Pool::new(Instant::now()),
            names: ChipNames::default(),
            held,
        })
    }

    /// Reads all sensors, and waits at most a second for those that do not answer. The document
    /// has the time `wall`; the ages of scans and listings are measured by `monotonic`.
    pub fn read(&mut self, wall: SystemTime, monotonic: Instant) -> Document {
        self.list(monotonic);
        let devices = self.pool.read(monotonic);
        let mut document =
            assembly::document(&devices, &self.shared.names(), &mut self.names, wall);
        let held = self.held.iter().map(|held| ChipState {
            chip: held.name().to_owned(),
            answering: Answering::Unreadable,
            age_ms: None,
        });
        document.state.chips.extend(held);
        document.state.chips.truncate(MAX_STATE_ENTRIES);
        document
    }

    fn list(&mut self, now: Instant) {
        // Once a second, so that frequent readings cost no more system calls.
        let age = self.listed.map(|then| now.saturating_duration_since(then));
        if age.is_some_and(|age| age < LISTING_AGE) {
            return;
        }
        self.listed = Some(now);
        self.held.retain(Held::is_held);
        let mut entries = device::entries(&self.shared.sysfs);
        entries.retain(|entry| !self.held.iter().any(|held| held.is(&entry.name)));
        if entries == self.entries {
            return;
        }
        // Every device is scanned again: a driver that appeared can have changed others' links.
        self.shared.generation.fetch_add(1, Ordering::Relaxed);
        self.shared
            .names()
            .retain(|entry, _| entries.contains(entry));
        self.pool.set_devices(entries.clone(), |entry| {
            SysDevice::find(entry, &self.shared)
        });
        self.entries = entries;
    }
}

/// The document as one line with its newline, of at most [`MAX_DOCUMENT_BYTES`].
#[must_use]
pub fn to_line(document: Document) -> String {
    within_limit(document, |document| {
        let mut line = document.to_json();
        line.push('\n');
        line
    })
}

/// Writes a document in at most [`MAX_DOCUMENT_BYTES`]. No real machine comes near the limit; for
/// one that exceeds it, the longest chips are cut, and then disks.
pub(crate) fn within_limit(mut document: Document, write: impl Fn(&Document) -> String) -> String {
    // A quarter at a time: one by one, thousands of documents would be written.
    let fewer = |count: usize| count - count.div_ceil(4);
    let mut max_features = MAX_FEATURES_IN_ALL;
    loop {
        let text = write(&document);
        if text.len() <= MAX_DOCUMENT_BYTES {
            return text;
        }
        let Document { disks, state, .. } = &mut document;
        if max_features > MIN_FEATURES {
            max_features = fewer(max_features);
            assembly::limit(&mut document, max_features);
        } else if disks.is_empty() {
            // Nothing but names is left.
            document.chips.clear();
            document.state = SensorState::default();
        } else {
            let max = fewer(disks.len());
            assembly::cut_disks(disks, max, state);
        }
    }
}
