//! Thermal zones without a hwmon chip (`/sys/class/thermal`).
//!
//! The kernel registers a hwmon chip for most thermal zones; those are left to [`crate::hwmon`]. On
//! small boards the processor's zone can be the only sensor. It gets the name of the hwmon chip
//! that the kernel would have registered, so that names do not depend on the kernel's
//! configuration.

use crate::attribute::{Budget, take_one};
use crate::bus::Bus;
use crate::chip::{FoundChip, FoundFeature, FoundValue, MILLI, UniqueNames};
use crate::sysfs::{self, Sysfs};
use std::path::{Path, PathBuf};

/// The directory of zones.
pub(crate) const DIRECTORY: &str = "class/thermal";

/// Zones whose temperature a chip of this driver also reports: that of the package.
const REPEATED: [(&str, &str); 1] = [("x86_pkg_temp", "coretemp")];

/// Zones without a sensor, which report a constant 20 °C.
const NOT_SENSORS: [&str; 1] = ["INT3400_Thermal"];

/// The number of trip points that are searched for the critical one.
const MAX_TRIP_POINTS: usize = 16;

/// Finds every zone without a chip among `chips`.
///
/// Zones of one type become one chip, as in the kernel.
pub(crate) fn scan(
    sysfs: &Sysfs,
    chips: &[FoundChip],
    names: &mut UniqueNames,
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
            chip.features
                .push(feature(&zone, chip.features.len() + 1, budget));
        }
    }
    found
}

/// The directories of zones that need a chip, with the names of their drivers.
fn zones(sysfs: &Sysfs, chips: &[FoundChip]) -> Vec<(PathBuf, String)> {
    let has_chip = |driver: &str, zone: &Path| {
        chips.iter().any(|chip| {
            chip.driver == driver
                || chip.device.as_deref() == Some(zone)
                || REPEATED.contains(&(driver, &chip.driver))
        })
    };
    sysfs::names(&sysfs.path(DIRECTORY))
        .iter()
        // The directory lists cooling devices too.
        .filter(|name| name.starts_with("thermal_zone"))
        .filter_map(|name| sysfs.resolve(&sysfs.path(DIRECTORY).join(name)))
        .filter_map(|zone| Some((driver_name(&sysfs::text(&zone.join("type"))?), zone)))
        .filter(|(driver, zone)| {
            !NOT_SENSORS.contains(&driver.as_str())
                && zone.join("temp").is_file()
                && !has_chip(driver, zone)
        })
        .map(|(driver, zone)| (zone, driver))
        .collect()
}

/// The name of the chip that the kernel registers for a zone: the zone's type, without dashes and
/// blanks, which hwmon does not permit.
fn driver_name(kind: &str) -> String {
    kind.chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect()
}

fn chip(sysfs: &Sysfs, driver: String, names: &mut UniqueNames) -> FoundChip {
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
        values.push(FoundValue::live(
            name("input"),
            zone.join("temp"),
            MILLI,
            budget,
        ));
    }
    if take_one(&mut budget.values) {
        // The type of a trip point decides; their order is the driver's.
        let critical = (0..MAX_TRIP_POINTS).find(|n| {
            sysfs::text(&zone.join(format!("trip_point_{n}_type"))).as_deref() == Some("critical")
        });
        values.extend(critical.and_then(|n| {
            let path = zone.join(format!("trip_point_{n}_temp"));
            FoundValue::fixed(name("crit"), &path, MILLI)
        }));
    }
    FoundFeature {
        label: format!("temp{channel}").into(),
        values,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zone_gets_the_kernels_chip_name() {
        assert_eq!(driver_name("cpu-thermal"), "cpu_thermal");
        assert_eq!(driver_name("INT3400 Thermal"), "INT3400_Thermal");
        assert_eq!(driver_name("x86_pkg_temp"), "x86_pkg_temp");
        assert_eq!(driver_name("../\u{e9}*"), "_____");
    }
}
