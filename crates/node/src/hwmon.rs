//! Hardware monitoring chips (`/sys/class/hwmon`).
//!
//! Features, their values and the order of both are those of lm-sensors. Fans and voltages are left
//! out: Pulse does not use them.

use crate::bus::Bus;
use crate::chip::{
    ChipIdentity, FoundChip, FoundFeature, FoundValue, MILLI, PowerStatus, UniqueNames,
};
use crate::quota::{Quota, Quotas};
use crate::sysfs::{self, Sysfs};
use pulse_sensors::document::MAX_FEATURES;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

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

/// Drivers of disks, which a read of the temperature would wake.
const DISK_DRIVERS: [&str; 2] = ["drivetemp", "nvme"];

/// Scans an entry of the directory; `None` if it has no temperature.
pub(crate) fn scan(sysfs: &Sysfs, entry: &str, quotas: &Quotas) -> Option<FoundChip> {
    let directory = sysfs.resolve(&sysfs.path(DIRECTORY).join(entry))?;
    let device = sysfs.resolve(&directory.join("device"));
    let (driver, features) = named_features(&directory, quotas)
        .or_else(|| named_features(device.as_deref()?, quotas))?;
    let bus = Bus::find(sysfs, &directory);
    let is_disk =
        |device: &&Path| DISK_DRIVERS.contains(&driver.as_str()) || device.join("block").is_dir();
    Some(FoundChip {
        power: device
            .as_deref()
            .filter(is_disk)
            .and_then(|device| PowerStatus::find(device, &quotas.open_files)),
        omitted: features.omitted,
        features: features.kept,
        identity: Arc::new(ChipIdentity {
            name: bus.chip_name(&driver),
            adapter: bus.adapter(sysfs),
            driver,
            device,
        }),
    })
}

/// The features of a chip, and the number of those over the limits.
#[derive(Default)]
struct Features {
    kept: Vec<FoundFeature>,
    omitted: u64,
}

/// The driver's name and the features in a directory. Drivers before hwmon's class device have
/// their files in the directory of the device.
fn named_features(directory: &Path, quotas: &Quotas) -> Option<(String, Features)> {
    let driver = sysfs::text(&directory.join("name"))?;
    let features = features(directory, quotas);
    (!features.kept.is_empty() || features.omitted > 0).then_some((driver, features))
}

fn features(directory: &Path, quotas: &Quotas) -> Features {
    let mut labels = UniqueNames::for_labels();
    let mut features = Features::default();
    for (channel, present) in channels(directory) {
        // Index 0 is `input`. lm-sensors shows no feature without it.
        if !present[0] {
            continue;
        }
        let Some(permit) = quotas
            .features
            .take()
            .filter(|_| features.kept.len() < MAX_FEATURES)
        else {
            features.omitted += 1;
            continue;
        };
        // The label of a sensor without one is its own name, as in lm-sensors.
        let label = sysfs::text(&directory.join(format!("temp{channel}_label")))
            .unwrap_or_else(|| format!("temp{channel}"));
        features.kept.push(FoundFeature {
            label: labels.unique(&label).into(),
            values: values(directory, channel, &present, &quotas.open_files),
            _permit: permit,
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
    open_files: &Quota,
) -> Vec<FoundValue> {
    let found = SUBFEATURES
        .iter()
        .zip(present)
        .filter(|(_, present)| **present);
    let value = |((suffix, kind), _): (&(&str, SubfeatureKind), _)| {
        let name = format!("temp{channel}_{suffix}");
        let path = directory.join(&name);
        match kind {
            SubfeatureKind::Reading => Some(FoundValue::live(name, path, MILLI, open_files)),
            SubfeatureKind::Alarm => Some(FoundValue::live(name, path, 1.0, open_files)),
            SubfeatureKind::Limit => FoundValue::fixed(name, &path, MILLI),
            SubfeatureKind::Setting => FoundValue::fixed(name, &path, 1.0),
        }
    };
    found.filter_map(value).collect()
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
