//! Thermal zones: `class/thermal`, for what has no chip.
//!
//! The kernel makes a hwmon chip of most thermal zones, and those are left to
//! [`crate::hwmon`]. On small boards the zone of the processor may be all there
//! is; it is then shown as the chip that the kernel would have made of it, so
//! that a node keeps its names when its kernel is built differently.

use crate::attribute::{Budget, take_one};
use crate::bus::Bus;
use crate::chip::{FoundChip, FoundFeature, FoundValue, MILLI, Names};
use crate::sysfs::{self, Sysfs};
use std::path::{Path, PathBuf};

/// Where the kernel lists the zones.
pub(crate) const DIRECTORY: &str = "class/thermal";

/// Zones that repeat what a chip of this driver says: the package's temperature.
const REPEATED: [(&str, &str); 1] = [("x86_pkg_temp", "coretemp")];

/// Zones that measure nothing: a fixed 20 °C.
const NOT_SENSORS: [&str; 1] = ["INT3400_Thermal"];

/// How many trip points are looked at for the critical one.
const MAX_TRIP_POINTS: usize = 16;

/// Finds every zone that none of the `chips` stands for.
///
/// Zones of one type become one chip, as the kernel does it.
pub(crate) fn scan(
    sysfs: &Sysfs,
    chips: &[FoundChip],
    names: &mut Names,
    budget: &mut Budget,
) -> Vec<FoundChip> {
    let mut found: Vec<FoundChip> = Vec::new();
    for (zone, driver) in zones(sysfs, chips) {
        if !found.iter().any(|chip| chip.driver == driver) {
            if !take_one(&mut budget.chips) {
                break;
            }
            found.push(chip(sysfs, driver.clone(), names));
        }
        if let Some(chip) = found.iter_mut().find(|chip| chip.driver == driver)
            && take_one(&mut budget.features)
        {
            let channel = chip.features.len() + 1;
            chip.features.push(feature(&zone, channel, budget));
        }
    }
    found
}

/// The directories of the zones that count, each with its driver's name.
fn zones(sysfs: &Sysfs, chips: &[FoundChip]) -> Vec<(PathBuf, String)> {
    let entries = sysfs::names(&sysfs.path(DIRECTORY));
    let zones = entries
        .iter()
        .filter(|name| name.starts_with("thermal_zone"));
    zones
        .filter_map(|name| sysfs.resolve(&sysfs.path(DIRECTORY).join(name)))
        .filter_map(|zone| Some((driver_name(&sysfs::text(&zone.join("type"))?), zone)))
        .filter(|(driver, zone)| counts(driver, zone, chips))
        .map(|(driver, zone)| (zone, driver))
        .collect()
}

/// The kernel gives a zone's chip the zone's type, but no name of a chip may
/// have a dash or a blank.
fn driver_name(kind: &str) -> String {
    let fit = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    kind.chars().map(fit).collect()
}

fn counts(driver: &str, zone: &Path, chips: &[FoundChip]) -> bool {
    let has_chip = |chip: &FoundChip| {
        chip.driver == driver
            || chip.device.as_deref() == Some(zone)
            || REPEATED.contains(&(driver, &chip.driver))
    };
    !NOT_SENSORS.contains(&driver) && zone.join("temp").is_file() && !chips.iter().any(has_chip)
}

fn chip(sysfs: &Sysfs, driver: String, names: &mut Names) -> FoundChip {
    FoundChip {
        name: names.unique(&Bus::Virtual.chip_name(&driver)),
        adapter: Bus::Virtual.adapter(sysfs),
        driver,
        device: None,
        features: Vec::new(),
    }
}

fn feature(zone: &Path, channel: usize, budget: &mut Budget) -> FoundFeature {
    let name = |suffix: &str| format!("temp{channel}_{suffix}");
    let mut values = Vec::new();
    if take_one(&mut budget.values) {
        let path = zone.join("temp");
        values.push(FoundValue::live(name("input"), path, MILLI, budget));
    }
    if take_one(&mut budget.values) {
        let critical = critical_point(zone);
        values.extend(critical.and_then(|path| FoundValue::fixed(name("crit"), &path, MILLI)));
    }
    FoundFeature {
        label: format!("temp{channel}").into(),
        values,
    }
}

fn critical_point(zone: &Path) -> Option<PathBuf> {
    let is_critical = |n: &usize| {
        let kind = sysfs::text(&zone.join(format!("trip_point_{n}_type")));
        kind.as_deref() == Some("critical")
    };
    let point = (0..MAX_TRIP_POINTS).find(is_critical)?;
    Some(zone.join(format!("trip_point_{point}_temp")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_named_as_the_kernel_would_name_its_chip() {
        assert_eq!(driver_name("cpu-thermal"), "cpu_thermal");
        assert_eq!(driver_name("INT3400 Thermal"), "INT3400_Thermal");
        assert_eq!(driver_name("x86_pkg_temp"), "x86_pkg_temp");
        assert_eq!(driver_name("../\u{e9}*"), "_____");
    }
}
