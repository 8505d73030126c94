//! The document of a reading, put together from the last value of each device.
//!
//! A value has its place in the document whether it was read just now or a while ago: names do
//! not depend on which devices answer. The state of those that do not is in the document too.

use crate::bus::Bus;
use crate::chip::{ChipReading, UniqueNames};
use crate::clock;
use crate::device::{Class, Entry, Reading};
use crate::disk::DiskReading;
use crate::schedule::{Freshness, MAX_AGE, View};
use crate::thermal::ZoneReading;
use pulse_sensors::document::{
    Answering, Chip, ChipState, Disk, Document, Feature, HelperInfo, MAX_CHIPS, MAX_DISKS,
    MAX_FEATURES_IN_ALL, Omitted, SensorState, SmolStr, level,
};
use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime};

/// The label of the overall temperature of an NVMe disk.
const COMPOSITE: &str = "Composite";

/// Names given to chips. A chip keeps its name for as long as it is listed.
#[derive(Default)]
pub(crate) struct ChipNames(HashMap<Entry, Given>);

struct Given {
    /// The name before it was made unique.
    base: String,
    unique: String,
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
    silent: Vec<ChipState>,
}

/// Puts a document together. It has the time `wall`; `scanned` has the chip names of entries
/// that can have no value yet.
pub(crate) fn document(
    devices: &[View<'_, Entry, Reading>],
    scanned: &HashMap<Entry, String>,
    names: &mut ChipNames,
    wall: SystemTime,
) -> Document {
    let mut values = Values::default();
    for device in devices {
        values.add(device, scanned);
    }
    let chips = &values.chips;
    values
        .zones
        .retain(|zone| !chips.iter().any(|chip| zone.is_reported_by(chip)));
    let groups = zone_groups(&values.zones);
    let named = names.give(values.names(&groups));
    let (chip_names, zone_names) = named.split_at(values.chips.len());

    let mut document = Document {
        disks: values.disks(wall),
        collected_at: Some(clock::rfc3339(wall)),
        helper: Some(HelperInfo {
            version: crate::VERSION.to_owned(),
        }),
        ..Document::default()
    };
    for (value, name) in values.chips.iter().zip(chip_names) {
        value.add_to(&mut document, name);
    }
    for (zones, name) in groups.iter().zip(zone_names) {
        add_zones(&mut document, zones, name);
    }
    document.state.chips.extend(values.silent);
    limit(&mut document, MAX_FEATURES_IN_ALL);
    document
}

/// Applies the limits of a document, with this number of features at most. What is cut becomes
/// part of the document.
pub(crate) fn limit(document: &mut Document, max_features: usize) {
    let beyond = document
        .chips
        .split_off(document.chips.len().min(MAX_CHIPS));
    let beyond = beyond.into_iter().map(|chip| Omitted {
        sensors: chip.features.len() as u64,
        chip: chip.name,
    });
    let cut = level(&mut document.chips, max_features);
    for omitted in cut.into_iter().chain(beyond) {
        add_omitted(&mut document.state, omitted);
    }
    document.disks.truncate(MAX_DISKS);
}

fn add_omitted(state: &mut SensorState, more: Omitted) {
    let mut known = state.omitted.iter_mut();
    match known.find(|omitted| omitted.chip == more.chip) {
        Some(omitted) => omitted.sensors += more.sensors,
        None => state.omitted.push(more),
    }
}

impl ChipNames {
    /// The unique name for each chip, given those that lm-sensors gives it. Names of chips that
    /// are not among them are forgotten.
    fn give(&mut self, chips: Vec<(Entry, String)>) -> Vec<String> {
        let mut before = std::mem::take(&mut self.0);
        let mut kept: Vec<Option<Given>> = chips
            .iter()
            .map(|(entry, base)| before.remove(entry).filter(|given| given.base == *base))
            .collect();
        let taken = kept.iter().flatten().map(|given| given.unique.clone());
        let mut unique = UniqueNames::with(taken.collect());
        let mut names = Vec::with_capacity(chips.len());
        for ((entry, base), given) in chips.into_iter().zip(&mut kept) {
            let given = given.take().unwrap_or_else(|| Given {
                unique: unique.unique(&base),
                base,
            });
            names.push(given.unique.clone());
            self.0.insert(entry, given);
        }
        names
    }
}

impl<'a> Values<'a> {
    fn add(&mut self, device: &View<'a, Entry, Reading>, scanned: &HashMap<Entry, String>) {
        let (entry, freshness) = (device.key, device.freshness);
        match device.value {
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
            None => self.silent.push(ChipState {
                chip: scanned.get(entry).unwrap_or(&entry.name).clone(),
                answering: if freshness == Freshness::Unread {
                    Answering::Pending
                } else {
                    Answering::Unreadable
                },
                age_ms: None,
            }),
        }
    }

    /// The name that lm-sensors gives each chip, then each group of zones.
    fn names(&self, groups: &[Vec<&Value<'_, ZoneReading>>]) -> Vec<(Entry, String)> {
        let of_chips = self
            .chips
            .iter()
            .map(|chip| (chip.entry.clone(), chip.reading.identity.name.clone()));
        let of_zones = groups.iter().filter_map(|zones| {
            let identity = &zones.first()?.reading.identity;
            let entry = Entry {
                class: Class::Thermal,
                name: identity.driver.clone(),
            };
            Some((entry, identity.chip_name()))
        });
        of_chips.chain(of_zones).collect()
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
            document.state.omitted.push(omitted);
        }
        // Chips without a value are left out.
        if features.is_empty() {
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
fn add_zones(document: &mut Document, zones: &[&Value<'_, ZoneReading>], name: &str) {
    let feature = |(channel, zone): (usize, &&Value<'_, ZoneReading>)| {
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
    type Zones<'a> = Vec<&'a Value<'a, ZoneReading>>;
    let (reported, aged): (Zones<'_>, Zones<'_>) =
        zones.iter().partition(|zone| zone.freshness.is_reported());
    let oldest = reported.iter().max_by_key(|zone| zone.freshness.age());
    let state = oldest.and_then(|zone| zone.freshness.state(name));
    // By its own name: the chip's other zones are in the document.
    let aged = aged
        .iter()
        .filter_map(|zone| zone.freshness.state(&zone.entry.name));
    document.state.chips.extend(state.into_iter().chain(aged));
    let features: Vec<Feature> = (1..).zip(zones).filter_map(feature).collect();
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
    let composite = features.iter().find(|feature| feature.label == COMPOSITE);
    let degrees = composite.or(features.first())?.input()?;
    Some(degrees.round() as i32)
}

#[cfg(test)]
mod tests;
