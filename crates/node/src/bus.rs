//! Chip names, identical to those of lm-sensors.
//!
//! Pulse, dashboards and alert rules identify a chip by the name that `sensors` prints
//! (`coretemp-isa-0000`, `nvme-pci-0100`). It consists of the driver's name, the device's bus and
//! its address there. They are found through two links: the `device` of a hwmon chip, and the
//! `subsystem` of that device. If lm-sensors does not know the subsystem (`nvme0` belongs to a
//! class and not to a bus), the device's own `device` link leads to its parent device.

use crate::sysfs::{self, Sysfs};
use std::path::Path;

/// The number of `device` links that are followed before a chip counts as virtual.
const MAX_STEPS: usize = 8;

/// The bus and address of a chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bus {
    /// A platform device. lm-sensors calls the bus ISA.
    Isa(u32),
    /// Domain, bus, slot and function in one number.
    Pci(u32),
    /// Adapter and address.
    I2c(u16, u32),
    /// Bus and chip select.
    Spi(u16, u32),
    /// No hardware address.
    Virtual,
    /// A device of the ACPI tables.
    Acpi,
    /// Bus type and number of a human interface device.
    Hid(u16, u32),
    /// Address on the management bus of a network card.
    Mdio(u32),
    /// Host; channel, target and unit in one number.
    Scsi(u16, u32),
}

impl Bus {
    /// The adapter name of a chip without hardware.
    pub(crate) const VIRTUAL_ADAPTER: &str = "Virtual device";

    /// Finds the bus of a chip from its directory's `device` link.
    pub(crate) fn find(sysfs: &Sysfs, chip: &Path) -> Self {
        let link = chip.join("device");
        // The name is that of the link's target: its parents can be links themselves.
        let mut name = sysfs::link_name(&link);
        let mut device = sysfs.resolve(&link);
        for _ in 0..MAX_STEPS {
            let (Some(path), Some(on_bus)) = (device, name) else {
                break;
            };
            let subsystem = sysfs::link_name(&path.join("subsystem"));
            if let Some(bus) = Self::classify(subsystem.as_deref(), &on_bus) {
                return bus;
            }
            device = sysfs.resolve(&path.join("device"));
            name = device.as_deref().and_then(sysfs::base_name);
        }
        Self::Virtual
    }

    /// The bus for a device's subsystem and name; `None` if lm-sensors does not know it. Without a
    /// subsystem, the name alone decides.
    fn classify(subsystem: Option<&str>, device: &str) -> Option<Self> {
        match subsystem {
            // libsensors tries the formats in this order.
            None => i2c(device)
                .or_else(|| spi(device))
                .or_else(|| pci(device))
                .or_else(|| Some(platform(device))),
            Some("i2c") => i2c(device),
            Some("spi") => spi(device),
            Some("pci") => pci(device),
            Some("platform" | "of_platform") => Some(platform(device)),
            Some("acpi") => Some(Self::Acpi),
            // `0003:1E71:2007.0005`: bus type, vendor, product, number.
            Some("hid") => {
                let [bus, _, _, id] = four_hex(device)?;
                Some(Self::Hid(u16::try_from(bus).ok()?, id))
            }
            // `stmmac-0:01`.
            Some("mdio_bus") => {
                let address = device
                    .split_once(':')
                    .and_then(|(_, number)| leading_digits(number).parse().ok());
                Some(Self::Mdio(address.unwrap_or(0)))
            }
            // `2:0:1:0`: host, channel, target, unit.
            Some("scsi") => {
                let mut parts = device.splitn(4, ':');
                let host = parts.next()?.parse().ok()?;
                let channel: u32 = parts.next()?.parse().ok()?;
                let target: u32 = parts.next()?.parse().ok()?;
                let address = (channel << 8)
                    .wrapping_add(target << 4)
                    .wrapping_add(hex(parts.next()?)?);
                Some(Self::Scsi(host, address))
            }
            Some(_) => None,
        }
    }

    /// The chip's name for a driver's name.
    pub(crate) fn chip_name(self, driver: &str) -> String {
        match self {
            Self::Isa(address) => format!("{driver}-isa-{address:04x}"),
            Self::Pci(address) => format!("{driver}-pci-{address:04x}"),
            Self::I2c(adapter, address) => format!("{driver}-i2c-{adapter}-{address:02x}"),
            Self::Spi(bus, select) => format!("{driver}-spi-{bus}-{select:x}"),
            Self::Virtual => format!("{driver}-virtual-0"),
            Self::Acpi => format!("{driver}-acpi-0"),
            Self::Hid(bus, id) => format!("{driver}-hid-{bus}-{id:x}"),
            Self::Mdio(address) => format!("{driver}-mdio-{address:x}"),
            Self::Scsi(host, address) => format!("{driver}-scsi-{host}-{address:x}"),
        }
    }

    /// The adapter name of lm-sensors. I²C adapters have individual names.
    pub(crate) fn adapter(self, sysfs: &Sysfs) -> Option<String> {
        let fixed = match self {
            Self::Isa(_) => "ISA adapter",
            Self::Pci(_) => "PCI adapter",
            Self::I2c(adapter, _) => {
                return sysfs::first_text(&[
                    sysfs.path(&format!("class/i2c-adapter/i2c-{adapter}/name")),
                    sysfs.path(&format!("bus/i2c/devices/i2c-{adapter}/name")),
                    sysfs.path(&format!("class/i2c-dev/i2c-{adapter}/name")),
                ]);
            }
            Self::Spi(..) => "SPI adapter",
            Self::Virtual => Self::VIRTUAL_ADAPTER,
            Self::Acpi => "ACPI interface",
            Self::Hid(..) => "HID adapter",
            Self::Mdio(_) => "MDIO adapter",
            Self::Scsi(..) => "SCSI adapter",
        };
        Some(fixed.to_owned())
    }
}

/// `1-004c`.
fn i2c(device: &str) -> Option<Bus> {
    let (adapter, address) = device.split_once('-')?;
    Some(Bus::I2c(adapter.parse().ok()?, hex(address)?))
}

/// `spi0.1`.
fn spi(device: &str) -> Option<Bus> {
    let (bus, select) = device.strip_prefix("spi")?.split_once('.')?;
    Some(Bus::Spi(bus.parse().ok()?, select.parse().ok()?))
}

/// `0000:03:00.0`: domain, bus, slot, function.
fn pci(device: &str) -> Option<Bus> {
    let [domain, bus, slot, function] = four_hex(device)?;
    // Wrapping, as libsensors does: an absurd address gives an absurd name and no panic.
    let within = (bus << 8).wrapping_add(slot << 3).wrapping_add(function);
    Some(Bus::Pci((domain << 16).wrapping_add(within)))
}

/// `nct6775.656`, or a name without a number.
fn platform(device: &str) -> Bus {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let address = device
        .trim_start_matches(word)
        .strip_prefix(['.', ':'])
        .and_then(|number| leading_digits(number).parse().ok());
    Bus::Isa(address.unwrap_or(0))
}

fn four_hex(device: &str) -> Option<[u32; 4]> {
    let (front, last) = device.split_once('.')?;
    let mut parts = front.splitn(3, ':');
    let mut next = || hex(parts.next()?);
    Some([next()?, next()?, next()?, hex(last)?])
}

fn hex(digits: &str) -> Option<u32> {
    u32::from_str_radix(digits, 16).ok()
}

fn leading_digits(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_digit());
    end.and_then(|end| text.get(..end)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_lm_sensors() {
        for (driver, subsystem, device, name) in [
            ("coretemp", "platform", "coretemp.1", "coretemp-isa-0001"),
            ("nct6798", "platform", "nct6775.656", "nct6798-isa-0290"),
            ("rp1_adc", "platform", "1f000c8000.adc", "rp1_adc-isa-0000"),
            ("w", "of_platform", "soc:firmware:adc", "w-isa-0000"),
            ("k10temp", "pci", "0000:00:18.3", "k10temp-pci-00c3"),
            ("nvme", "pci", "0000:81:00.0", "nvme-pci-8100"),
            ("nvme", "pci", "0001:01:00.0", "nvme-pci-10100"),
            ("amdgpu", "pci", "0000:0b:00.0", "amdgpu-pci-0b00"),
            ("jc42", "i2c", "0-0019", "jc42-i2c-0-19"),
            ("lm75", "i2c", "10-004c", "lm75-i2c-10-4c"),
            ("adt7310", "spi", "spi1.2", "adt7310-spi-1-2"),
            ("acpitz", "acpi", "LNXTHERM:00", "acpitz-acpi-0"),
            ("kraken3", "hid", "0003:1E71:2014.0005", "kraken3-hid-3-5"),
            ("drivetemp", "scsi", "2:0:0:0", "drivetemp-scsi-2-0"),
            ("drivetemp", "scsi", "0:1:2:3", "drivetemp-scsi-0-123"),
            ("phy", "mdio_bus", "stmmac-0:12", "phy-mdio-c"),
        ] {
            let bus = Bus::classify(Some(subsystem), device);
            assert_eq!(bus.map(|b| b.chip_name(driver)).as_deref(), Some(name));
        }
    }

    #[test]
    fn unknown_bus_follows_next_link() {
        for (subsystem, device) in [
            ("nvme", "nvme0"),
            ("thermal", "thermal_zone0"),
            ("i2c", "i2c-PNP0C0A:00"),
            ("pci", "pci0000:00"),
            ("scsi", "host0"),
        ] {
            assert_eq!(Bus::classify(Some(subsystem), device), None, "{device}");
        }
    }

    #[test]
    fn name_decides_without_subsystem() {
        assert_eq!(Bus::classify(None, "0000:00:18.3"), Some(Bus::Pci(0xc3)));
        assert_eq!(Bus::classify(None, "3-0050"), Some(Bus::I2c(3, 0x50)));
        assert_eq!(Bus::classify(None, "it87.2608"), Some(Bus::Isa(0xa30)));
    }

    #[test]
    fn absurd_numbers_do_no_harm() {
        for subsystem in ["i2c", "spi", "pci", "platform", "hid", "mdio_bus", "scsi"] {
            for device in [
                "",
                "-",
                "ffffffff:ffffffff:ffffffff.ffffffff",
                "99999999999:1:1:1",
                "4294967295:4294967295:4294967295:ffffffff",
                "1:4294967295:4294967295:ffffffff",
                "a.99999999999999999999",
                "spi99999999.1",
                "\u{e9}.\u{e9}",
            ] {
                let bus = Bus::classify(Some(subsystem), device);
                let _ = bus.map(|b| b.chip_name("x"));
            }
        }
    }
}
