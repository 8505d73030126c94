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
use crate::thermal::{ZoneIdentity, ZoneReading};
use pulse_sensors::document::{
    Answering, Chip, ChipState, Disk, Document, Feature, HelperInfo, MAX_CHIPS, MAX_DISKS,
    MAX_FEATURES_IN_ALL, MAX_STATE_ENTRIES, Omitted, SensorState, SmolStr, level,
};
use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime};

/// The label of the overall temperature of an NVMe disk.
const COMPOSITE: &str = "Composite";

/// Names given to chips, and channels given to zones. Each keeps its own for as long as it is found.
///
/// They are given in the order of the listing to all devices that were scanned. A device whose scan
/// takes long gets the next free one, so that the others keep theirs.
#[derive(Default)]
pub(crate) struct ChipNames {
    names: HashMap<Entry, Given<String>>,
    channels: HashMap<Entry, Given<usize>>,
}

struct Given<T> {
    /// The name of the chip before it was made unique.
    base: String,
    value: T,
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
    let base = |device: &View<Entry, Reading>| device.chip_name(scanned);
    let of_class = |class: Class| {
        let devices = devices.iter().filter(move |view| view.key.class == class);
        devices.filter_map(|view| Some(((*view.key).clone(), base(view)?)))
    };
    let channels = names.channels(of_class(Class::Thermal).collect());
    let groups = zone_groups(&values.zones);
    let of_zones = groups.iter().filter_map(|zones| {
        let identity = &zones.first()?.reading.identity;
        Some((identity.entry(), identity.chip_name()))
    });
    let names = names.names(of_class(Class::Hwmon).chain(of_zones).collect());
    let name = |entry: &Entry| names.get(entry).unwrap_or(&entry.name).clone();

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
    for zones in &groups {
        if let Some(first) = zones.first() {
            let name = name(&first.reading.identity.entry());
            add_zones(&mut document, zones, &name, &channels);
        }
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

impl View<Entry, Reading> {
    /// The name that lm-sensors gives the device's chip; `None` before its scan.
    fn chip_name(&self, scanned: &HashMap<Entry, String>) -> Option<String> {
        match self.value.as_deref() {
            Some(Reading::Chip(chip)) => Some(chip.identity.name.clone()),
            Some(Reading::Zone(zone)) => Some(zone.identity.chip_name()),
            Some(Reading::Disk(_) | Reading::Nothing) => None,
            None => scanned.get(&*self.key).cloned(),
        }
    }
}

impl ZoneIdentity {
    /// The key of the chip that all zones of this type are.
    fn entry(&self) -> Entry {
        Entry {
            class: Class::Thermal,
            name: self.driver.clone(),
        }
    }
}

impl ChipNames {
    /// A unique name for each chip.
    fn names(&mut self, chips: Vec<(Entry, String)>) -> HashMap<Entry, String> {
        let kept = kept(&mut self.names, &chips);
        let mut unique = UniqueNames::with(
            kept.iter()
                .flatten()
                .map(|given| given.value.clone())
                .collect(),
        );
        for ((entry, base), kept) in chips.into_iter().zip(kept) {
            let given = kept.unwrap_or_else(|| Given {
                value: unique.unique(&base),
                base,
            });
            self.names.insert(entry, given);
        }
        values(&self.names)
    }

    /// The channel of each zone in the chip of its type, from 1.
    fn channels(&mut self, zones: Vec<(Entry, String)>) -> HashMap<Entry, usize> {
        let kept = kept(&mut self.channels, &zones);
        let taken = kept.iter().flatten();
        let mut taken: HashSet<_> = taken
            .map(|given| (given.base.clone(), given.value))
            .collect();
        for ((entry, base), kept) in zones.into_iter().zip(kept) {
            let given = kept.unwrap_or_else(|| {
                // There is one number more than there are others, so one is free.
                let mut channels = 1..=taken.len() + 1;
                let free = channels.find(|channel| taken.insert((base.clone(), *channel)));
                Given {
                    value: free.unwrap_or_default(),
                    base,
                }
            });
            self.channels.insert(entry, given);
        }
        values(&self.channels)
    }
}

/// Takes out the given values of devices that still have the same base name; the rest is
/// forgotten.
fn kept<T>(
    given: &mut HashMap<Entry, Given<T>>,
    devices: &[(Entry, String)],
) -> Vec<Option<Given<T>>> {
    let mut before = std::mem::take(given);
    let kept = devices
        .iter()
        .map(|(entry, base)| before.remove(entry).filter(|given| given.base == *base));
    kept.collect()
}

fn values<T: Clone>(given: &HashMap<Entry, Given<T>>) -> HashMap<Entry, T> {
    given
        .iter()
        .map(|(entry, given)| (entry.clone(), given.value.clone()))
        .collect()
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

/// The zones of each type: as in the kernel, they are one chip.
fn zone_groups<'a>(zones: &'a [Value<'a, ZoneReading>]) -> Vec<Vec<&'a Value<'a, ZoneReading>>> {
    let mut groups: Vec<Vec<&Value<'_, ZoneReading>>> = Vec::new();
    for zone in zones {
        let driver = &zone.reading.identity.driver;
        let is_same = |other: &&Value<'_, ZoneReading>| other.reading.identity.driver == *driver;
        match groups.iter_mut().find(|zones| zones.iter().all(is_same)) {
            Some(group) => group.push(zone),
            None => groups.push(vec![zone]),
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
