//! Hardware monitoring chips (`/sys/class/hwmon`).
//!
//! Features, their values and the order of both are those of lm-sensors. Fans and voltages are left
//! out: Pulse does not use them.

use crate::attribute::{Budget, take_one};
use crate::bus::Bus;
use crate::chip::{FoundChip, FoundFeature, FoundValue, MILLI, UniqueNames};
use crate::sysfs::{self, Sysfs};
use std::collections::BTreeMap;
use std::path::Path;

/// The directory of chips.
pub(crate) const DIRECTORY: &str = "class/hwmon";

/// The highest channel number of lm-sensors.
const MAX_CHANNEL: u16 = 1024;

/// The unit of a subfeature, and whether it changes by itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SubfeatureKind {
    /// Changes by itself, in thousandths of a degree.
    Reading,
    /// Configured, in thousandths of a degree.
    Limit,
    /// Changes by itself, 0 or 1.
    Alarm,
    /// Configured, without a unit.
    Setting,
}

/// The subfeatures of a temperature, in the order of lm-sensors.
const SUBFEATURES: [(&str, SubfeatureKind); 23] = [
    ("input", SubfeatureKind::Reading),
    ("max", SubfeatureKind::Limit),
    ("max_hyst", SubfeatureKind::Limit),
    ("min", SubfeatureKind::Limit),
    ("crit", SubfeatureKind::Limit),
    ("crit_hyst", SubfeatureKind::Limit),
    ("lcrit", SubfeatureKind::Limit),
    ("emergency", SubfeatureKind::Limit),
    ("emergency_hyst", SubfeatureKind::Limit),
    ("lowest", SubfeatureKind::Reading),
    ("highest", SubfeatureKind::Reading),
    ("min_hyst", SubfeatureKind::Limit),
    ("lcrit_hyst", SubfeatureKind::Limit),
    ("alarm", SubfeatureKind::Alarm),
    ("max_alarm", SubfeatureKind::Alarm),
    ("min_alarm", SubfeatureKind::Alarm),
    ("crit_alarm", SubfeatureKind::Alarm),
    ("fault", SubfeatureKind::Alarm),
    ("type", SubfeatureKind::Setting),
    ("offset", SubfeatureKind::Limit),
    ("beep", SubfeatureKind::Setting),
    ("emergency_alarm", SubfeatureKind::Alarm),
    ("lcrit_alarm", SubfeatureKind::Alarm),
];

/// Finds every chip with a temperature.
pub(crate) fn scan(sysfs: &Sysfs, names: &mut UniqueNames, budget: &mut Budget) -> Vec<FoundChip> {
    let mut chips = Vec::new();
    for entry in sysfs::names(&sysfs.path(DIRECTORY)) {
        if budget.chips == 0 || budget.features == 0 {
            break;
        }
        if let Some(chip) = chip(sysfs, &sysfs.path(DIRECTORY).join(entry), names, budget) {
            chips.push(chip);
            budget.chips -= 1;
        }
    }
    chips
}

fn chip(
    sysfs: &Sysfs,
    link: &Path,
    names: &mut UniqueNames,
    budget: &mut Budget,
) -> Option<FoundChip> {
    let directory = sysfs.resolve(link)?;
    let device = sysfs.resolve(&directory.join("device"));
    let (driver, features) = named_features(&directory, budget)
        .or_else(|| named_features(device.as_deref()?, budget))?;
    let bus = Bus::find(sysfs, &directory);
    Some(FoundChip {
        name: names.unique(&bus.chip_name(&driver)),
        adapter: bus.adapter(sysfs),
        driver,
        device,
        features,
    })
}

/// The driver's name and the features in a directory. Drivers before hwmon's class device have
/// their files in the directory of the device.
fn named_features(directory: &Path, budget: &mut Budget) -> Option<(String, Vec<FoundFeature>)> {
    let driver = sysfs::text(&directory.join("name"))?;
    let features = features(directory, budget);
    (!features.is_empty()).then_some((driver, features))
}

fn features(directory: &Path, budget: &mut Budget) -> Vec<FoundFeature> {
    let mut labels = UniqueNames::for_labels();
    let mut features = Vec::new();
    for (channel, present) in channels(directory) {
        // Index 0 is `input`. lm-sensors shows no feature without it.
        if !present[0] || !take_one(&mut budget.features) {
            continue;
        }
        // The label of a sensor without one is its own name, as in lm-sensors.
        let label = sysfs::text(&directory.join(format!("temp{channel}_label")))
            .unwrap_or_else(|| format!("temp{channel}"));
        features.push(FoundFeature {
            label: labels.unique(&label).into(),
            values: values(directory, channel, &present, budget),
        });
    }
    features
}

/// The subfeatures that each channel has, by their index in [`SUBFEATURES`].
fn channels(directory: &Path) -> BTreeMap<u16, [bool; SUBFEATURES.len()]> {
    // One listing instead of a lookup of each name that could exist.
    let mut channels = BTreeMap::new();
    for file in sysfs::files(directory) {
        if let Some((channel, subfeature)) = parse(&file) {
            let present = channels
                .entry(channel)
                .or_insert([false; SUBFEATURES.len()]);
            if let Some(present) = present.get_mut(subfeature) {
                *present = true;
            }
        }
    }
    channels
}

/// The channel and the index in [`SUBFEATURES`] of a file (`temp3_crit_alarm`).
fn parse(file: &str) -> Option<(u16, usize)> {
    let (channel, suffix) = file.strip_prefix("temp")?.split_once('_')?;
    let channel = channel
        .parse()
        .ok()
        .filter(|n| (1..=MAX_CHANNEL).contains(n))?;
    let index = SUBFEATURES.iter().position(|(name, _)| *name == suffix)?;
    Some((channel, index))
}

fn values(
    directory: &Path,
    channel: u16,
    present: &[bool; SUBFEATURES.len()],
    budget: &mut Budget,
) -> Vec<FoundValue> {
    let found = SUBFEATURES
        .iter()
        .zip(present)
        .filter(|(_, present)| **present);
    let mut values = Vec::new();
    for ((suffix, kind), _) in found {
        if take_one(&mut budget.values) {
            let name = format!("temp{channel}_{suffix}");
            let path = directory.join(&name);
            values.extend(match kind {
                SubfeatureKind::Reading => Some(FoundValue::live(name, path, MILLI, budget)),
                SubfeatureKind::Alarm => Some(FoundValue::live(name, path, 1.0, budget)),
                SubfeatureKind::Limit => FoundValue::fixed(name, &path, MILLI),
                SubfeatureKind::Setting => FoundValue::fixed(name, &path, 1.0),
            });
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_temperature_files_match() {
        assert_eq!(parse("temp1_input"), Some((1, 0)));
        assert_eq!(parse("temp12_crit_alarm"), Some((12, 16)));
        for file in [
            "temp_input",
            "temp0_input",
            "temp1025_input",
            "temp+_input",
            "temp1",
            "temp1_",
            "temp1_label",
            "temp1_input_",
            "fan1_input",
            "in0_input",
            "xtemp1_input",
        ] {
            assert_eq!(parse(file), None, "{file}");
        }
    }
}
