//! Thermal zones without a hwmon chip (`/sys/class/thermal`).
//!
//! The kernel registers a hwmon chip for most thermal zones; those are left to [`crate::hwmon`]. On
//! small boards the processor's zone can be the only sensor. It gets the name of the hwmon chip
//! that the kernel would have registered, so that names do not depend on the kernel's
//! configuration.

use crate::attribute::NoValue;
use crate::bus::Bus;
use crate::chip::{FoundValue, MILLI};
use crate::quota::{Permit, Quotas};
use crate::sysfs::{self, Sysfs};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The directory of zones.
pub(crate) const DIRECTORY: &str = "class/thermal";

/// Zones whose temperature a chip of this driver also reports: that of the package.
const REPEATED: [(&str, &str); 1] = [("x86_pkg_temp", "coretemp")];

/// Zones without a sensor, which report a constant 20 °C.
const NOT_SENSORS: [&str; 1] = ["INT3400_Thermal"];

/// The number of trip points that are searched for the critical one.
const MAX_TRIP_POINTS: usize = 16;

/// A zone that a scan found.
#[derive(Debug)]
pub(crate) struct FoundZone {
    pub(crate) identity: Arc<ZoneIdentity>,
    input: FoundValue,
    critical: Option<f64>,
    /// Counts it against the limit of all devices.
    _permit: Permit,
}

/// The driver and the place of a zone.
#[derive(Debug)]
pub(crate) struct ZoneIdentity {
    /// The driver's name of the chip that the kernel registers for such a zone.
    pub(crate) driver: String,
    /// The name of that chip.
    pub(crate) chip_name: String,
    /// The real path of its directory.
    pub(crate) directory: PathBuf,
}

/// A reading of a zone.
#[derive(Debug)]
pub(crate) struct ZoneReading {
    pub(crate) identity: Arc<ZoneIdentity>,
    /// The temperature in degrees Celsius, or the reason why there is none.
    pub(crate) input: Result<f64, NoValue>,
    /// The critical temperature.
    pub(crate) critical: Option<f64>,
}

/// True if an entry of the directory is a zone: it lists cooling devices too.
pub(crate) fn is_zone(entry: &str) -> bool {
    entry.starts_with("thermal_zone")
}

/// Scans an entry of the directory; `None` if it has no temperature.
pub(crate) fn scan(sysfs: &Sysfs, entry: &str, quotas: &Quotas) -> Option<FoundZone> {
    let directory = sysfs.resolve(&sysfs.path(DIRECTORY).join(entry))?;
    let driver = driver_name(&sysfs::text(&directory.join("type"))?);
    let input = directory.join("temp");
    if NOT_SENSORS.contains(&driver.as_str()) || !input.is_file() {
        return None;
    }
    // The type of a trip point decides; their order is the driver's.
    let critical = (0..MAX_TRIP_POINTS).find(|n| {
        sysfs::text(&directory.join(format!("trip_point_{n}_type"))).as_deref() == Some("critical")
    });
    let critical =
        critical.and_then(|n| sysfs::number(&directory.join(format!("trip_point_{n}_temp"))));
    Some(FoundZone {
        input: FoundValue::live(String::new(), input, MILLI, &quotas.open_files),
        critical: critical.map(|millidegrees| millidegrees / MILLI),
        identity: Arc::new(ZoneIdentity {
            chip_name: Bus::Virtual.chip_name(&driver),
            driver,
            directory,
        }),
        _permit: quotas.features.take()?,
    })
}

impl FoundZone {
    /// Reads the temperature.
    pub(crate) fn read(&self) -> ZoneReading {
        ZoneReading {
            identity: Arc::clone(&self.identity),
            input: self.input.read(),
            critical: self.critical,
        }
    }
}

impl ZoneReading {
    /// True if the zone was removed since the scan.
    pub(crate) fn is_device_gone(&self) -> bool {
        self.input == Err(NoValue::DeviceGone)
    }
}

impl ZoneIdentity {
    /// True if a chip with this driver and device already reports the zone's temperature.
    pub(crate) fn is_reported_by(&self, driver: &str, device: Option<&Path>) -> bool {
        self.driver == driver
            || device == Some(&self.directory)
            || REPEATED.contains(&(&self.driver, driver))
    }
}

/// The name of the chip that the kernel registers for a zone: the zone's type, without dashes and
/// blanks, which hwmon does not permit.
fn driver_name(kind: &str) -> String {
    kind.chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect()
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
