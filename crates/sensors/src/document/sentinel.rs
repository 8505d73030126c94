//! Values that drivers report for a sensor that measures nothing.
//!
//! Each row has its source: the kernel's documentation, a data sheet, or reports of users. A real
//! sensor can have any of these temperatures, so a row alone decides nothing: see
//! [`history`](super::history). docs/protocol.md has the same table.
//!
//! Constants that a board reports as its ambient temperature (27.8 °C of many `acpitz` zones) are no
//! sentinels: nothing says that they are wrong. The choice of the processor's temperature ranks such
//! sensors last. Open inputs that float, so that their values vary, cannot be told from sensors.

use super::component::Component;
use super::state::DropReason;
use super::text::contains_word;
use std::ops::RangeInclusive;

/// The range of sensors in computers, in degrees Celsius. Outside of it are −128 °C of an eight-bit
/// sensor, −273.15 °C of a reading or limit of 0 K, 65261.85 °C of an NVMe limit that is not set
/// (65535 K), 511 °C of a Radeon that is powered off, 255 °C of SMART's unsigned −1.
pub(super) const RANGE: RangeInclusive<f64> = -100.0..=250.0;

/// The driver that stands for the temperatures of disks in the member `smart`.
pub(super) const SMART: &str = "smart";

/// Drivers give thousandths of a degree, and lm-sensors rounds them.
const TOLERANCE: f64 = 0.01;

/// A row of the table.
#[derive(Debug)]
pub(super) struct Sentinel {
    /// The beginnings of the drivers' names. Empty for all drivers but those of processors' and
    /// disks' own digital sensors, which have no open inputs.
    pub(super) drivers: &'static [&'static str],
    /// Parts of the sensors' labels, in any case; empty for all sensors.
    pub(super) labels: &'static [&'static str],
    /// The values, in degrees Celsius.
    pub(super) values: &'static [f64],
    /// Only where the value is not between the sensor's own limits.
    pub(super) beyond_limits: bool,
    /// The meaning of the values.
    pub(super) reason: DropReason,
    /// The document or the reports that the row is from.
    #[cfg_attr(
        not(test),
        expect(
            dead_code,
            reason = "for readers; a test compares it with the documentation"
        )
    )]
    pub(super) source: &'static str,
}

/// The table.
pub(super) const SENTINELS: [Sentinel; 17] = [
    Sentinel {
        drivers: &["acpitz"],
        labels: &[],
        values: &[127.0],
        beyond_limits: false,
        reason: DropReason::OpenInput,
        source: "reports of HP laptops: askubuntu.com 177698, ubuntuforums.org 2217658",
    },
    Sentinel {
        drivers: &["acpitz"],
        labels: &[],
        values: &[0.0],
        beyond_limits: false,
        reason: DropReason::NotSet,
        source: "reports: isDipesh/gnome-shell-extension-sensors#36, ubuntuforums.org 2217658",
    },
    Sentinel {
        drivers: &["asus"],
        labels: &[],
        values: &[216.0],
        beyond_limits: false,
        reason: DropReason::OpenInput,
        source: "reports: electrified/asus-wmi-sensors#10, #30 and #47, \
                 LibreHardwareMonitor/LibreHardwareMonitor#540",
    },
    Sentinel {
        drivers: &["asus"],
        labels: &["t_sensor", "tsensor", "water"],
        values: &[-40.0, 0.0],
        beyond_limits: false,
        reason: DropReason::OpenInput,
        source: "reports: zeule/asus-ec-sensors#12, #14 and #26",
    },
    Sentinel {
        drivers: &["asus"],
        labels: &["vrm"],
        values: &[0.0],
        beyond_limits: false,
        reason: DropReason::NotSet,
        source: "report: electrified/asus-wmi-sensors#47",
    },
    Sentinel {
        drivers: &["it8"],
        labels: &[],
        values: &[127.0, -55.0],
        beyond_limits: false,
        reason: DropReason::OpenInput,
        source: "the driver's author: groeck/it87#5 and #31; reports: groeck/it87#49, \
                 frankcrawford/it87#59, lm-sensors/lm-sensors#461",
    },
    Sentinel {
        drivers: &["nct6687"],
        labels: &[],
        values: &[0.0],
        beyond_limits: false,
        reason: DropReason::NotSet,
        source: "reports: Fred78290/nct6687d#31 and #98",
    },
    Sentinel {
        drivers: &["nct67", "nct610", "nct611"],
        labels: &["pch_"],
        values: &[0.0],
        beyond_limits: false,
        reason: DropReason::NotSet,
        source: "linux-hwmon mailing list, 2022-11-12, \"nct6775: Add chip ID for NCT6796D-S\"",
    },
    Sentinel {
        drivers: &["nct67", "nct610", "nct611"],
        labels: &["systin", "cputin", "auxtin"],
        values: &[127.0, 127.5],
        beyond_limits: false,
        reason: DropReason::OpenInput,
        source: "Documentation/hwmon/nct6775.rst (CPUTIN that is not connected); report: \
                 webmin/authentic-theme#1567",
    },
    Sentinel {
        drivers: &["w83"],
        labels: &[],
        values: &[127.0, 127.5, 208.0],
        beyond_limits: false,
        reason: DropReason::OpenInput,
        source: "report: HenryHu/bsdsensors#3; 127 and 127.5 as of its successors (nct67)",
    },
    Sentinel {
        drivers: &["w83"],
        labels: &["systin"],
        values: &[-90.0],
        beyond_limits: false,
        reason: DropReason::OpenInput,
        source: "report: openhardwaremonitor/openhardwaremonitor#483",
    },
    Sentinel {
        drivers: &["thinkpad"],
        labels: &[],
        values: &[0.0],
        beyond_limits: false,
        reason: DropReason::NotSet,
        source: "reports: fmujakitz/thinkpad-thermal#28, vmatare/thinkfan#77",
    },
    Sentinel {
        drivers: &["applesmc"],
        labels: &[],
        values: &[129.0],
        beyond_limits: false,
        reason: DropReason::OpenInput,
        source: "report: beltex/SMCKit#15",
    },
    Sentinel {
        drivers: &["w1_slave_temp"],
        labels: &[],
        values: &[85.0],
        beyond_limits: false,
        reason: DropReason::PowerOn,
        source: "DS18B20 data sheet; Documentation/w1/slaves/w1_therm.rst",
    },
    Sentinel {
        drivers: &["w1_slave_temp"],
        labels: &[],
        values: &[127.9375],
        beyond_limits: false,
        reason: DropReason::ReadError,
        source: "Documentation/w1/slaves/w1_therm.rst (insufficient power)",
    },
    Sentinel {
        drivers: &["drivetemp", SMART],
        labels: &[],
        values: &[0.0],
        beyond_limits: false,
        reason: DropReason::NotSet,
        source: "reports: smartmontools/smartmontools#565, Starosdev/scrutiny#587",
    },
    Sentinel {
        drivers: &[],
        labels: &[],
        values: &[127.0],
        beyond_limits: true,
        reason: DropReason::OpenInput,
        source: "the highest value of an eight-bit sensor, where the limits of the sensor \
                 contradict it; report: lm-sensors/lm-sensors#461",
    },
];

impl Sentinel {
    /// True if the row is of a chip's driver.
    pub(super) fn has_driver(&self, driver: &str, component: Component) -> bool {
        match self.drivers {
            [] => component == Component::Other,
            drivers => drivers.iter().any(|known| driver.starts_with(known)),
        }
    }

    /// True if the row is of a sensor with this label.
    pub(super) fn has_label(&self, label: &str) -> bool {
        self.labels.is_empty() || self.labels.iter().any(|part| contains_word(label, part))
    }

    /// True if the value is one of the row's.
    pub(super) fn has_value(&self, value: f64, is_within_limits: bool) -> bool {
        self.values
            .iter()
            .any(|known| (value - known).abs() < TOLERANCE)
            && !(self.beyond_limits && is_within_limits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table as docs/protocol.md has it.
    fn table() -> String {
        let row = |row: &Sentinel| {
            let list = |words: &[&str], none: &str| match words {
                [] => none.to_owned(),
                words => format!("`{}`", words.join("`, `")),
            };
            let values = row.values.iter().map(f64::to_string).collect::<Vec<_>>();
            let condition = if row.beyond_limits {
                ", not within its limits"
            } else {
                ""
            };
            format!(
                "| {} | {} | {}{condition} | `{}` | {} |\n",
                list(row.drivers, "any but processors and disks"),
                list(row.labels, "any"),
                values.join(", ").replace('-', "−"),
                row.reason.as_str(),
                row.source
            )
        };
        SENTINELS.iter().map(row).collect()
    }

    #[test]
    fn documentation_has_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol.md");
        let text = std::fs::read_to_string(path).unwrap();
        let table = table();
        assert!(
            text.contains(&table),
            "docs/protocol.md should have\n{table}"
        );
    }

    #[test]
    fn sentinels_are_in_range() {
        for row in &SENTINELS {
            assert!(
                row.values.iter().all(|value| RANGE.contains(value)),
                "{row:?}"
            );
            assert!(!row.source.is_empty() && !row.values.is_empty(), "{row:?}");
        }
    }
}
