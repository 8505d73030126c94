//! The shape of a document, as both readers know it: which key leads to what.

use super::text::{is_number, without_number};

/// The key of a chip's adapter, which no feature can have as its label.
pub(super) const ADAPTER: &str = "Adapter";

/// Buses whose chips lm-sensors names `prefix-bus-address`.
const BUSES: [&str; 5] = ["isa", "pci", "virtual", "acpi", "mdio"];

/// Buses whose chips lm-sensors names `prefix-bus-number-address`.
const NUMBERED_BUSES: [&str; 4] = ["i2c", "spi", "hid", "scsi"];

/// What a member of the outermost object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Member {
    /// All chips, in the documents that have disks too.
    Sensors,
    /// All disks.
    Smart,
    /// Which helper answered.
    Helper,
    /// A text about the document itself.
    Field,
    /// What other programs put there; of no use here.
    Foreign,
    /// A chip, in what `sensors -j` prints.
    Chip,
}

impl Member {
    /// What the member with this key is.
    pub(super) fn of(key: &str) -> Self {
        match key {
            "sensors" => Self::Sensors,
            "smart" => Self::Smart,
            "node_helper" => Self::Helper,
            "collected_at" | "error" => Self::Field,
            "ipmi" | "pulse_sensor_node" => Self::Foreign,
            _ => Self::Chip,
        }
    }
}

/// Whether lm-sensors would give a chip this name (`nvme-pci-0100`).
///
/// This is what a reader that has lost its way in a damaged document looks for:
/// braces may be missing or too many, but a name like this starts a chip.
pub(super) fn is_chip_name(name: &str) -> bool {
    let mut parts = without_number(name).0.rsplitn(4, '-');
    let address = parts.next().unwrap_or_default();
    let (bus, before) = (parts.next().unwrap_or_default(), parts.next());
    let known = BUSES.contains(&bus) && before.is_some_and(|prefix| !prefix.is_empty())
        || is_number(bus) && before.is_some_and(|bus| NUMBERED_BUSES.contains(&bus));
    known && is_address(address) && !name.contains(['"', '\n', '{', '}'])
}

fn is_address(text: &str) -> bool {
    (1..=8).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether this key can only stand among the chips or around them.
pub(super) fn is_landmark(key: &str) -> bool {
    is_chip_name(key) || Member::of(key) != Member::Chip
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bus_of_lm_sensors_names_a_chip() {
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
