//! The document of a reading, put together from the last value of each device.
//!
//! A value has its place in the document whether it was read just now or a while ago: a device that
//! stops answering keeps its name, and so do the others. Its state is in the document too.

use crate::bus::Bus;
use crate::chip::{ChipReading, UniqueNames};
use crate::clock;
use crate::device::{Class, Entry, Reading};
use crate::disk::{self, DiskReading};
use crate::schedule::{Freshness, MAX_AGE, View};
use crate::thermal::ZoneReading;
use pulse_sensors::document::{
    Answering, Chip, ChipState, Disk, Document, Feature, HelperInfo, MAX_CHIPS, MAX_DISKS,
    MAX_FEATURES_IN_ALL, MAX_STATE_ENTRIES, Omitted, SensorState, SmolStr, level,
};
use std::collections::{HashMap, HashSet};
use std::mem;
use std::time::{Duration, SystemTime};

/// The label of the overall temperature of an NVMe disk.
const COMPOSITE: &str = "Composite";

/// Names given to chips, and channels given to zones. Each keeps its own for as long as it is found.
///
/// They are given in the order of the listing to all devices that were scanned. A device whose scan
/// takes long gets the next free one, so that the others keep theirs.
#[derive(Default)]
pub(crate) struct ChipNames {
    names: Given<String>,
    channels: Given<usize>,
}

/// The values that devices were given.
struct Given<T> {
    /// The devices in the order of the listing, with the names of their chips before they were
    /// made unique.
    devices: Vec<(Entry, String)>,
    values: HashMap<Entry, T>,
}

/// The values of one kind of device.
struct Value<'a, R> {
    entry: &'a Entry,
    reading: &'a R,
    freshness: Freshness,
}

/// The last values of all devices.
#[derive(Default)]
struct Values<'a> {
    chips: Vec<Value<'a, ChipReading>>,
    zones: Vec<Value<'a, ZoneReading>>,
    disks: Vec<Value<'a, DiskReading>>,
    /// Devices without a value.
    silent: Vec<(&'a Entry, Freshness)>,
}

/// Puts a document together. It has the time `wall`; `scanned` has the chip names of entries
/// that can have no value yet.
pub(crate) fn document(
    devices: &[View<Entry, Reading>],
    scanned: &HashMap<Entry, String>,
    names: &mut ChipNames,
    wall: SystemTime,
) -> Document {
    let mut values = Values::default();
    for device in devices {
        values.add(device);
    }
    let chips = &values.chips;
    values
        .zones
        .retain(|zone| !chips.iter().any(|chip| zone.is_reported_by(chip)));
    let ChipNames { names, channels } = names;
    let of_class = |class: Class| {
        let devices = devices.iter().filter(move |view| view.key.class == class);
        devices.filter_map(|view| {
            // The name that lm-sensors gives the device's chip; none before its scan.
            let name = match view.value.as_deref() {
                Some(Reading::Chip(chip)) => &chip.identity.name,
                Some(Reading::Zone(zone)) => &zone.identity.chip_name,
                Some(Reading::Disk(_) | Reading::Nothing) => return None,
                None => scanned.get(&*view.key)?,
            };
            Some((&*view.key, name.as_str()))
        })
    };
    channels.set_devices(of_class(Class::Thermal));
    let groups = zone_groups(&values.zones);
    let of_zones = groups
        .iter()
        .filter_map(|(chip, zones)| Some((chip, &*zones.first()?.reading.identity.chip_name)));
    names.set_devices(of_class(Class::Hwmon).chain(of_zones));
    let name = |entry: &Entry| names.values.get(entry).unwrap_or(&entry.name).clone();

    let mut document = Document {
        disks: values.disks(wall),
        collected_at: Some(clock::rfc3339(wall)),
        helper: Some(HelperInfo {
            version: crate::VERSION.to_owned(),
        }),
        ..Document::default()
    };
    for value in &values.chips {
        value.add_to(&mut document, &name(value.entry));
    }
    for (chip, zones) in &groups {
        add_zones(&mut document, zones, &name(chip), &channels.values);
    }
    let silent = values.silent.iter().map(|(entry, freshness)| ChipState {
        chip: match entry.class {
            Class::Hwmon => name(entry),
            Class::Thermal => entry.name.clone(),
            Class::Block => disk::device(&entry.name),
        },
        answering: match freshness {
            Freshness::Unread => Answering::Pending,
            _ => Answering::Unreadable,
        },
        age_ms: None,
    });
    document.state.chips.extend(silent);
    limit(&mut document, MAX_FEATURES_IN_ALL);
    document
}

/// Applies the limits of a document, with this number of features at most. What is cut becomes
/// part of the document.
pub(crate) fn limit(document: &mut Document, max_features: usize) {
    let Document {
        chips,
        disks,
        state,
        ..
    } = document;
    let beyond = chips.split_off(chips.len().min(MAX_CHIPS));
    let beyond = beyond.into_iter().map(|chip| Omitted {
        sensors: chip.features.len() as u64,
        chip: chip.name,
    });
    for omitted in level(chips, max_features).into_iter().chain(beyond) {
        state.omit(omitted);
    }
    cut_disks(disks, MAX_DISKS, state);
    state.chips.truncate(MAX_STATE_ENTRIES);
}

/// Cuts the last disks.
pub(crate) fn cut_disks(disks: &mut Vec<Disk>, max: usize, state: &mut SensorState) {
    for disk in disks.split_off(disks.len().min(max)) {
        state.omit(Omitted {
            chip: disk.device,
            sensors: 1,
        });
    }
}

impl Given<String> {
    /// Gives each device a unique name for its chip.
    fn set_devices<'a>(&mut self, chips: impl Iterator<Item = (&'a Entry, &'a str)> + Clone) {
        let Some(chips) = self.take_changed(chips) else {
            return;
        };
        let mut unique = UniqueNames::with(
            chips
                .iter()
                .filter_map(|(_, _, kept)| kept.clone())
                .collect(),
        );
        for (entry, base, kept) in chips {
            let name = kept.unwrap_or_else(|| unique.unique(&base));
            self.give(entry, base, name);
        }
    }
}

impl Given<usize> {
    /// Gives each zone a channel in the chip of its type, from 1.
    fn set_devices<'a>(&mut self, zones: impl Iterator<Item = (&'a Entry, &'a str)> + Clone) {
        let Some(zones) = self.take_changed(zones) else {
            return;
        };
        let mut taken: HashSet<_> = zones
            .iter()
            .filter_map(|(_, base, kept)| Some((base.clone(), (*kept)?)))
            .collect();
        for (entry, base, kept) in zones {
            let channel = kept.unwrap_or_else(|| {
                // There is one number more than there are others, so one is free.
                let mut channels = 1..=taken.len() + 1;
                let free = channels.find(|channel| taken.insert((base.clone(), *channel)));
                free.unwrap_or_default()
            });
            self.give(entry, base, channel);
        }
    }
}

impl<T> Default for Given<T> {
    fn default() -> Self {
        Self {
            devices: Vec::new(),
            values: HashMap::new(),
        }
    }
}

impl<T> Given<T> {
    /// Takes the devices out, each with the value that it keeps: that of a device with the same
    /// name. `None` if they are the same as before, as in nearly every reading.
    fn take_changed<'a>(
        &mut self,
        devices: impl Iterator<Item = (&'a Entry, &'a str)> + Clone,
    ) -> Option<Vec<(Entry, String, Option<T>)>> {
        let mut listed = devices.clone();
        let is_same = self.devices.iter().all(|(entry, base)| {
            let device = listed.next();
            device.is_some_and(|device| device == (entry, base))
        });
        if is_same && listed.next().is_none() {
            return None;
        }
        let before: HashMap<Entry, String> = mem::take(&mut self.devices).into_iter().collect();
        let mut values = mem::take(&mut self.values);
        let changed = devices.map(|(entry, base)| {
            let kept = match before.get(entry) {
                Some(before) if before == base => values.remove(entry),
                _ => None,
            };
            (entry.clone(), base.to_owned(), kept)
        });
        Some(changed.collect())
    }

    fn give(&mut self, entry: Entry, base: String, value: T) {
        self.values.insert(entry.clone(), value);
        self.devices.push((entry, base));
    }
}

impl<'a> Values<'a> {
    fn add(&mut self, device: &'a View<Entry, Reading>) {
        let (entry, freshness) = (&*device.key, device.freshness);
        match device.value.as_deref() {
            Some(Reading::Chip(reading)) => self.chips.push(Value {
                entry,
                reading,
                freshness,
            }),
            Some(Reading::Zone(reading)) => self.zones.push(Value {
                entry,
                reading,
                freshness,
            }),
            Some(Reading::Disk(reading)) => self.disks.push(Value {
                entry,
                reading,
                freshness,
            }),
            Some(Reading::Nothing) => {}
            None => self.silent.push((entry, freshness)),
        }
    }

    fn disks(&self, wall: SystemTime) -> Vec<Disk> {
        let identities: Vec<_> = self
            .chips
            .iter()
            .map(|chip| &*chip.reading.identity)
            .collect();
        let chips: Vec<Option<usize>> = self
            .disks
            .iter()
            .map(|disk| disk.reading.identity.chip(&identities))
            .collect();
        let mut disks: Vec<Disk> = self
            .disks
            .iter()
            .zip(&chips)
            .map(|(disk, chip)| {
                let chip = chip.and_then(|index| self.chips.get(index));
                disk.reading.described(chip, wall)
            })
            .collect();
        blank_ambiguous(&mut disks, &chips, |disk| &mut disk.wwn);
        blank_ambiguous(&mut disks, &chips, |disk| &mut disk.serial);
        disks
    }
}

/// Blanks a name that disks with different chips share, as cheap bridges and some NVMe disks do:
/// Pulse would give both the temperature of one.
fn blank_ambiguous(
    disks: &mut [Disk],
    chips: &[Option<usize>],
    name: impl Fn(&mut Disk) -> &mut String,
) {
    let mut owners: HashMap<String, Option<usize>> = HashMap::new();
    let mut shared = HashSet::new();
    for (disk, chip) in disks.iter_mut().zip(chips) {
        let name = name(disk);
        if owners.get(name).is_some_and(|owner| owner != chip) {
            shared.insert(name.clone());
        }
        owners.insert(name.clone(), *chip);
    }
    for disk in disks {
        let name = name(disk);
        if shared.contains(name) {
            name.clear();
        }
    }
}

impl Freshness {
    /// The age of the value.
    fn age(self) -> Duration {
        match self {
            Self::Slow(age) | Self::Hanging(age) => age,
            Self::Current | Self::Silent | Self::Unread => Duration::ZERO,
        }
    }

    /// True if the value is young enough to be reported.
    fn is_reported(self) -> bool {
        self.age() <= MAX_AGE
    }

    /// The state of a chip with such a value; `None` if it was read just now.
    fn state(self, chip: &str) -> Option<ChipState> {
        let answering = match self {
            Self::Current | Self::Silent | Self::Unread => return None,
            _ if !self.is_reported() => Answering::Unreadable,
            Self::Slow(_) => Answering::Slow,
            Self::Hanging(_) => Answering::Stale,
        };
        Some(ChipState {
            chip: chip.to_owned(),
            answering,
            age_ms: u64::try_from(self.age().as_millis()).ok(),
        })
    }
}

impl Value<'_, ChipReading> {
    /// Adds the chip, or its state alone if its value is too old.
    fn add_to(&self, document: &mut Document, name: &str) {
        let ChipReading {
            identity,
            features,
            omitted,
            ..
        } = self.reading;
        if *omitted > 0 {
            let omitted = Omitted {
                chip: name.to_owned(),
                sensors: *omitted,
            };
            document.state.omit(omitted);
        }
        // A chip without a value is left out; if it hangs, it is named.
        if features.is_empty() {
            if let Freshness::Hanging(_) = self.freshness {
                document.state.chips.push(ChipState {
                    chip: name.to_owned(),
                    answering: Answering::Unreadable,
                    age_ms: None,
                });
            }
            return;
        }
        document.state.chips.extend(self.freshness.state(name));
        if self.freshness.is_reported() {
            document.chips.push(Chip {
                name: name.to_owned(),
                adapter: identity.adapter.clone(),
                features: features.clone(),
            });
        }
    }
}

impl Value<'_, ZoneReading> {
    fn is_reported_by(&self, chip: &Value<'_, ChipReading>) -> bool {
        let chip = &chip.reading.identity;
        self.reading
            .identity
            .is_reported_by(&chip.driver, chip.device.as_deref())
    }
}

/// The zones of each type with the key of the chip that they are: as in the kernel, it is one.
fn zone_groups<'a>(
    zones: &'a [Value<'a, ZoneReading>],
) -> Vec<(Entry, Vec<&'a Value<'a, ZoneReading>>)> {
    let mut groups: Vec<(Entry, Vec<&Value<'_, ZoneReading>>)> = Vec::new();
    for zone in zones {
        let driver = &zone.reading.identity.driver;
        match groups.iter_mut().find(|(chip, _)| chip.name == *driver) {
            Some((_, group)) => group.push(zone),
            None => {
                let chip = Entry {
                    class: Class::Thermal,
                    name: driver.clone(),
                };
                groups.push((chip, vec![zone]));
            }
        }
    }
    groups
}

/// Adds the zones of a type as a chip, with the state of the oldest value that it has.
fn add_zones(
    document: &mut Document,
    zones: &[&Value<'_, ZoneReading>],
    name: &str,
    channels: &HashMap<Entry, usize>,
) {
    let feature = |zone: &&Value<'_, ZoneReading>| {
        let channel = channels.get(zone.entry)?;
        let input = zone.reading.input.ok()?;
        let value = |suffix: &str, degrees| {
            let name: SmolStr = format!("temp{channel}_{suffix}").into();
            (name, degrees)
        };
        let critical = zone.reading.critical.map(|degrees| value("crit", degrees));
        zone.freshness.is_reported().then(|| Feature {
            label: format!("temp{channel}").into(),
            values: std::iter::once(value("input", input))
                .chain(critical)
                .collect(),
        })
    };
    let of_age = |is_reported: bool| {
        let zones = zones.iter();
        zones.filter(move |zone| zone.freshness.is_reported() == is_reported)
    };
    let states = &mut document.state.chips;
    let oldest = of_age(true).max_by_key(|zone| zone.freshness.age());
    states.extend(oldest.and_then(|zone| zone.freshness.state(name)));
    // By its own name: the chip's other zones are in the document.
    states.extend(of_age(false).filter_map(|zone| zone.freshness.state(&zone.entry.name)));
    let features: Vec<Feature> = zones.iter().filter_map(feature).collect();
    if !features.is_empty() {
        document.chips.push(Chip {
            name: name.to_owned(),
            adapter: Some(Bus::VIRTUAL_ADAPTER.to_owned()),
            features,
        });
    }
}

impl DiskReading {
    /// The disk with the temperature of its chip.
    fn described(&self, chip: Option<&Value<'_, ChipReading>>, wall: SystemTime) -> Disk {
        let temperature = chip
            .filter(|chip| !self.is_suspended && chip.freshness.is_reported())
            .and_then(|chip| Some((temperature(&chip.reading.features)?, chip.freshness.age())));
        Disk {
            temperature: temperature.map(|(degrees, _)| degrees),
            // Only with a temperature: it is the time of that value.
            last_updated: temperature.map(|(_, age)| clock::rfc3339(wall - age)),
            standby_skipped: self.is_suspended,
            ..self.identity.disk.clone()
        }
    }
}

/// The temperature of a disk, in whole degrees.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the cast saturates, far beyond the temperature of a disk"
)]
fn temperature(features: &[Feature]) -> Option<i32> {
    let feature = features
        .iter()
        .find(|feature| feature.label == COMPOSITE)
        .or(features.first())?;
    Some(feature.input()?.round() as i32)
}

#[cfg(test)]
mod tests;
