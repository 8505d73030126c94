//! The shape of a document, for both readers.

use super::text::{is_number, without_number};

/// The key of a chip's adapter. No feature can have it as its label.
pub(super) const ADAPTER: &str = "Adapter";

/// Buses with chip names of the form `prefix-bus-address`.
const BUSES: [&str; 5] = ["isa", "pci", "virtual", "acpi", "mdio"];

/// Buses with chip names of the form `prefix-bus-number-address`.
const NUMBERED_BUSES: [&str; 4] = ["i2c", "spi", "hid", "scsi"];

/// A member of the outermost object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Member {
    /// The chips, in a document that also has disks.
    Sensors,
    /// The disks.
    Smart,
    /// The helper.
    Helper,
    /// The states of single sensors.
    State,
    /// A string about the document itself.
    Field,
    /// A member of another program, which is ignored.
    Foreign,
    /// A chip, in the output of `sensors -j`.
    Chip,
}

impl Member {
    /// The member with this key.
    pub(super) fn with_key(key: &str) -> Self {
        match key {
            "sensors" => Self::Sensors,
            "smart" => Self::Smart,
            "node_helper" => Self::Helper,
            "sensor_state" => Self::State,
            "collected_at" | "error" => Self::Field,
            "ipmi" | "pulse_sensor_node" => Self::Foreign,
            _ => Self::Chip,
        }
    }
}

/// True if the name has the form of lm-sensors' chip names (`nvme-pci-0100`).
///
/// The tolerant reader synchronises on these names: braces can be missing or repeated, but such a
/// name always starts a chip.
pub(super) fn is_chip_name(name: &str) -> bool {
    // From the end, where every bus has its address.
    let mut parts = without_number(name).0.rsplitn(4, '-');
    let address = parts.next().unwrap_or_default();
    let (bus, before) = (parts.next().unwrap_or_default(), parts.next());
    let known = BUSES.contains(&bus) && before.is_some_and(|prefix| !prefix.is_empty())
        || is_number(bus) && before.is_some_and(|bus| NUMBERED_BUSES.contains(&bus));
    let is_address =
        (1..=8).contains(&address.len()) && address.bytes().all(|byte| byte.is_ascii_hexdigit());
    known && is_address && !name.contains(['"', '\n', '{', '}'])
}

/// True if a key cannot occur inside a chip.
pub(super) fn is_landmark(key: &str) -> bool {
    is_chip_name(key) || Member::with_key(key) != Member::Chip
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chip_names_of_every_bus_match() {
        for name in [
            "coretemp-isa-0000",
            "nvme-pci-0100",
            "acpitz-acpi-0",
            "cpu_thermal-virtual-0",
            "jc42-i2c-0-1a",
            "lm70-spi-0-1",
            "corsaircpro-hid-3-1",
            "aqr-mdio-0",
            "drivetemp-scsi-0-0",
            "coretemp-isa-0000 #2",
        ] {
            assert!(is_chip_name(name), "{name}");
        }
    }

    #[test]
    fn labels_are_no_chip_names() {
        for name in [
            "Core 0",
            "temp1",
            "",
            "-isa-",
            "-isa-0000",
            "x-isa-zz",
            "isa-0000",
            "a-b-1",
        ] {
            assert!(!is_chip_name(name), "{name}");
        }
    }
}
