//! Temperature chips: `class/hwmon`.
//!
//! What is a feature, what belongs to it and in which order is lm-sensors'
//! choice, so that both show the same. Fans and voltages are not for Pulse.

use crate::attribute::{Budget, take_one};
use crate::bus::Bus;
use crate::chip::{FoundChip, FoundFeature, FoundValue, MILLI, Names};
use crate::sysfs::{self, Sysfs};
use std::collections::BTreeMap;
use std::path::Path;

/// Where the kernel lists the chips.
pub(crate) const DIRECTORY: &str = "class/hwmon";

/// The highest channel number that lm-sensors takes.
const MAX_CHANNEL: u16 = 1024;

/// How a subfeature's file is to be read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Changes by itself, in thousandths of a degree.
    Reading,
    /// Set by somebody, in thousandths of a degree.
    Limit,
    /// Changes by itself, 0 or 1.
    Alarm,
    /// Set by somebody, a plain number.
    Setting,
}

/// The subfeatures of a temperature, in the order of lm-sensors.
const SUBFEATURES: [(&str, Kind); 23] = [
    ("input", Kind::Reading),
    ("max", Kind::Limit),
    ("max_hyst", Kind::Limit),
    ("min", Kind::Limit),
    ("crit", Kind::Limit),
    ("crit_hyst", Kind::Limit),
    ("lcrit", Kind::Limit),
    ("emergency", Kind::Limit),
    ("emergency_hyst", Kind::Limit),
    ("lowest", Kind::Reading),
    ("highest", Kind::Reading),
    ("min_hyst", Kind::Limit),
    ("lcrit_hyst", Kind::Limit),
    ("alarm", Kind::Alarm),
    ("max_alarm", Kind::Alarm),
    ("min_alarm", Kind::Alarm),
    ("crit_alarm", Kind::Alarm),
    ("fault", Kind::Alarm),
    ("type", Kind::Setting),
    ("offset", Kind::Limit),
    ("beep", Kind::Setting),
    ("emergency_alarm", Kind::Alarm),
    ("lcrit_alarm", Kind::Alarm),
];

/// Finds every chip that has a temperature.
pub(crate) fn scan(sysfs: &Sysfs, names: &mut Names, budget: &mut Budget) -> Vec<FoundChip> {
    let mut chips = Vec::new();
    for entry in sysfs::names(&sysfs.path(DIRECTORY)) {
        if budget.chips == 0 || budget.features == 0 {
            break;
        }
        let link = sysfs.path(DIRECTORY).join(entry);
        if let Some(chip) = chip(sysfs, &link, names, budget) {
            chips.push(chip);
            budget.chips -= 1;
        }
    }
    chips
}

fn chip(sysfs: &Sysfs, link: &Path, names: &mut Names, budget: &mut Budget) -> Option<FoundChip> {
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

/// Newer drivers have their files in the chip's directory, older ones in the
/// device's.
fn named_features(directory: &Path, budget: &mut Budget) -> Option<(String, Vec<FoundFeature>)> {
    let driver = sysfs::text(&directory.join("name"))?;
    let features = features(directory, budget);
    (!features.is_empty()).then_some((driver, features))
}

fn features(directory: &Path, budget: &mut Budget) -> Vec<FoundFeature> {
    let mut labels = Names::of_features();
    let mut features = Vec::new();
    for (channel, present) in channels(directory) {
        if !present[0] || !take_one(&mut budget.features) {
            continue;
        }
        let label = sysfs::text(&directory.join(format!("temp{channel}_label")));
        let label = label.unwrap_or_else(|| format!("temp{channel}"));
        features.push(FoundFeature {
            label: labels.unique(&label).into(),
            values: values(directory, channel, &present, budget),
        });
    }
    features
}

/// Which subfeatures each channel has, by their place in [`SUBFEATURES`].
fn channels(directory: &Path) -> BTreeMap<u16, [bool; SUBFEATURES.len()]> {
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

/// `temp3_crit_alarm` is channel 3 and a place in [`SUBFEATURES`].
fn parse(file: &str) -> Option<(u16, usize)> {
    let (channel, suffix) = file.strip_prefix("temp")?.split_once('_')?;
    let channel = channel
        .parse()
        .ok()
        .filter(|n| (1..=MAX_CHANNEL).contains(n))?;
    let place = SUBFEATURES.iter().position(|(name, _)| *name == suffix)?;
    Some((channel, place))
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
            values.extend(value(directory, name, *kind, budget));
        }
    }
    values
}

fn value(directory: &Path, name: String, kind: Kind, budget: &mut Budget) -> Option<FoundValue> {
    let path = directory.join(&name);
    match kind {
        Kind::Reading => Some(FoundValue::live(name, path, MILLI, budget)),
        Kind::Alarm => Some(FoundValue::live(name, path, 1.0, budget)),
        Kind::Limit => FoundValue::fixed(name, &path, MILLI),
        Kind::Setting => FoundValue::fixed(name, &path, 1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_temperatures_are_taken() {
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
