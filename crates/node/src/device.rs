//! The entries of the three directories that list devices, and their reads.
//!
//! Whatever touches a device happens in [`SysDevice::read`], the scan of its files included: a
//! driver can block there too.

use crate::chip::{ChipReading, FoundChip};
use crate::disk::{self, DiskReading, FoundDisk};
use crate::hwmon;
use crate::pool::Device;
use crate::quota::Quotas;
use crate::schedule::{Bus, Found};
use crate::sysfs::{self, Sysfs};
use crate::thermal::{self, FoundZone, ZoneReading};
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The maximum age of a scan: operators change limits, and links can change their target.
const SCAN_AGE: Duration = Duration::from_mins(1);

/// The minimum interval between the scans of a device that was gone.
const RETRY: Duration = Duration::from_secs(1);

/// The maximum number of entries in each directory that are devices.
const MAX_DEVICES: usize = 1024;

/// A directory that lists devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Class {
    /// Hardware monitoring chips.
    Hwmon,
    /// Thermal zones.
    Thermal,
    /// Block devices.
    Block,
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Entry {
    pub(crate) class: Class,
    pub(crate) name: String,
}

impl Class {
    const ALL: [Self; 3] = [Self::Hwmon, Self::Thermal, Self::Block];

    fn directory(self) -> &'static str {
        match self {
            Self::Hwmon => hwmon::DIRECTORY,
            Self::Thermal => thermal::DIRECTORY,
            Self::Block => disk::DIRECTORY,
        }
    }
}

/// The entries that can be devices. Listing them touches no device.
pub(crate) fn entries(sysfs: &Sysfs) -> Vec<Entry> {
    let of_class = |class: Class| {
        sysfs::names(&sysfs.path(class.directory()))
            .into_iter()
            .filter(move |name| match class {
                Class::Hwmon => true,
                Class::Thermal => thermal::is_zone(name),
                Class::Block => disk::is_disk(name),
            })
            .take(MAX_DEVICES)
            .map(move |name| Entry { class, name })
    };
    Class::ALL.into_iter().flat_map(of_class).collect()
}

/// What all devices share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) sysfs: Sysfs,
    pub(crate) quotas: Quotas,
    /// The number of changes of the entries; a device is scanned again after each.
    pub(crate) generation: Arc<AtomicU64>,
    /// The chip names of the entries that were scanned, for the case that their first read hangs.
    pub(crate) names: Arc<Mutex<HashMap<Entry, String>>>,
}

impl Shared {
    pub(crate) fn new(sysfs: Sysfs) -> Self {
        Self {
            sysfs,
            quotas: Quotas::full(),
            generation: Arc::default(),
            names: Arc::default(),
        }
    }

    /// The names, which a panic leaves whole.
    pub(crate) fn names(&self) -> MutexGuard<'_, HashMap<Entry, String>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The device of an entry.
pub(crate) struct SysDevice {
    entry: Entry,
    shared: Shared,
    scan: Option<Scan>,
    is_gone: bool,
}

struct Scan {
    at: Instant,
    generation: u64,
    found: FoundDevice,
}

enum FoundDevice {
    Chip(FoundChip),
    Zone(FoundZone),
    Disk(FoundDisk),
    /// The entry has no sensor.
    Nothing,
}

impl FoundDevice {
    /// The name that lm-sensors gives it, or that of the device.
    fn chip_name(&self) -> Option<String> {
        match self {
            Self::Chip(chip) => Some(chip.identity.name.clone()),
            Self::Zone(zone) => Some(zone.identity.chip_name.clone()),
            Self::Disk(_) | Self::Nothing => None,
        }
    }
}

/// The outcome of a read.
#[derive(Debug)]
pub(crate) enum Reading {
    /// Of a hwmon chip.
    Chip(ChipReading),
    /// Of a thermal zone.
    Zone(ZoneReading),
    /// Of a disk.
    Disk(DiskReading),
    /// Of an entry without a sensor.
    Nothing,
}

impl SysDevice {
    /// The device of an entry, for the schedule. Nothing of it is read yet.
    pub(crate) fn find(entry: &Entry, shared: &Shared) -> Found<Self> {
        let sysfs = &shared.sysfs;
        let path = sysfs.path(entry.class.directory()).join(&entry.name);
        Found {
            bus: sysfs.resolve(&path).as_deref().and_then(bus),
            device: Self {
                entry: entry.clone(),
                shared: shared.clone(),
                scan: None,
                is_gone: false,
            },
        }
    }

    fn scan(&mut self, now: Instant) -> Scan {
        // The old scan goes first: its open files count against the limit of the process.
        self.scan = None;
        // Before the scan, so that a change meanwhile leads to another one.
        let generation = self.shared.generation.load(Ordering::Relaxed);
        let (sysfs, quotas) = (&self.shared.sysfs, &self.shared.quotas);
        let name = &self.entry.name;
        let found = match self.entry.class {
            Class::Hwmon => hwmon::scan(sysfs, name, quotas).map(FoundDevice::Chip),
            Class::Thermal => thermal::scan(sysfs, name, quotas).map(FoundDevice::Zone),
            Class::Block => disk::scan(sysfs, name, quotas).map(FoundDevice::Disk),
        };
        let found = found.unwrap_or(FoundDevice::Nothing);
        if let Some(name) = found.chip_name() {
            self.shared.names().insert(self.entry.clone(), name);
        }
        Scan {
            at: now,
            generation,
            found,
        }
    }
}

impl Device for SysDevice {
    type Value = Reading;

    fn read(&mut self, request: Instant) -> (Reading, Duration) {
        // For operators, and for the next helper if this one cannot end.
        pulse_sandbox::name_thread(&self.entry.name);
        let is_scan_due = self.scan.as_ref().is_none_or(|scan| {
            let age = request.saturating_duration_since(scan.at);
            age >= SCAN_AGE
                || self.is_gone && age >= RETRY
                || scan.generation != self.shared.generation.load(Ordering::Relaxed)
        });
        if is_scan_due {
            self.scan = Some(self.scan(request));
        }
        let began = Instant::now();
        let reading = match self.scan.as_ref().map(|scan| &scan.found) {
            Some(FoundDevice::Chip(chip)) => Reading::Chip(chip.read()),
            Some(FoundDevice::Zone(zone)) => Reading::Zone(zone.read()),
            Some(FoundDevice::Disk(disk)) => Reading::Disk(disk.read()),
            Some(FoundDevice::Nothing) | None => Reading::Nothing,
        };
        let is_gone = reading.is_device_gone();
        if is_gone && !self.is_gone {
            // Another device can have taken its place and its names, with other entries: a disk
            // that was swapped is a new chip and a new block device.
            self.shared.generation.fetch_add(1, Ordering::Relaxed);
        }
        self.is_gone = is_gone;
        (reading, began.elapsed())
    }
}

impl Reading {
    fn is_device_gone(&self) -> bool {
        match self {
            Self::Chip(chip) => chip.is_device_gone,
            Self::Zone(zone) => zone.is_device_gone(),
            Self::Disk(_) | Self::Nothing => false,
        }
    }
}

/// The bus that a device shares with others, from its real path.
fn bus(path: &Path) -> Option<Bus> {
    let mut names = path.iter().filter_map(|name| name.to_str());
    names.find_map(|name| {
        if sysfs::is_numbered(name, "w1_bus_master") || sysfs::is_numbered(name, "i2c-") {
            Some(Bus::Serial(name.to_owned()))
        } else if sysfs::is_numbered(name, "host") {
            // Of SCSI, SATA included.
            Some(Bus::Host(name.to_owned()))
        } else {
            None
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quota::Quota;
    use std::fs;

    #[test]
    fn device_that_is_gone_changes_all() {
        let tree = tempfile::tempdir().unwrap();
        let chip = tree.path().join("class/hwmon/hwmon0");
        fs::create_dir_all(&chip).unwrap();
        fs::write(chip.join("name"), "x").unwrap();
        let input = chip.join("temp1_input");
        fs::write(&input, "1000").unwrap();
        let mut shared = Shared::new(Sysfs::open(tree.path()).unwrap());
        // Without an open file, its absence shows as that of the device.
        shared.quotas.open_files = Quota::new(0);
        let entry = entries(&shared.sysfs).remove(0);
        let mut device = SysDevice::find(&entry, &shared).device;
        let start = Instant::now();
        let mut generation_after = |second| {
            device.read(start + Duration::from_secs(second));
            shared.generation.load(Ordering::Relaxed)
        };
        assert_eq!(generation_after(0), 0);
        fs::remove_file(&input).unwrap();
        // Other devices are scanned again, once.
        assert_eq!([1, 2, 3].map(generation_after), [1, 1, 1]);
    }

    #[test]
    fn bus_is_in_the_path() {
        let serial = |name: &str| Some(Bus::Serial(name.to_owned()));
        for (path, expected) in [
            (
                "devices/w1_bus_master1/28-0/hwmon/hwmon2",
                serial("w1_bus_master1"),
            ),
            (
                "devices/pci0000:00/0000:00:14.0/i2c-0/0-0019/hwmon/hwmon3",
                serial("i2c-0"),
            ),
            (
                "devices/pci0000:00/ata1/host0/target0:0:0/0:0:0:0/hwmon/hwmon4",
                Some(Bus::Host("host0".to_owned())),
            ),
            ("devices/platform/coretemp.0/hwmon/hwmon0", None),
            ("devices/pci0000:00/i2c-designware/hostess/host/x", None),
        ] {
            assert_eq!(bus(Path::new(path)), expected, "{path}");
        }
    }
}
