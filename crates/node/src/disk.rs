//! Disks: `block`, for their identity; their temperature is that of their chip.
//!
//! Pulse matches disks by serial number and World Wide Name, so both are read
//! from where the kernel keeps what the disk itself said. A disk that the kernel
//! has put to sleep is listed, and left asleep: asking for its temperature would
//! wake it.

use crate::attribute::{Attribute, Budget, take_one};
use crate::chip::FoundChip;
use crate::sysfs::{self, Sysfs};
use pulse_sensors::document::Disk;
use std::path::{Path, PathBuf};

/// Where the kernel lists whole disks.
pub(crate) const DIRECTORY: &str = "block";

/// Block devices that are no disk, by the beginning of their name.
const NOT_DISKS: [&str; 15] = [
    "bcache", "dm-", "drbd", "fd", "loop", "md", "mtd", "nbd", "nullb", "pmem", "ram", "rbd", "sr",
    "zd", "zram",
];

/// What power management says of a disk that sleeps.
const ASLEEP: &str = "suspended";

/// A vital product data page begins with four bytes: type, page, and length.
const PAGE_HEADER_BYTES: usize = 4;

/// A disk, found.
#[derive(Debug)]
pub(crate) struct FoundDisk {
    /// Who it is.
    pub(crate) identity: Disk,
    /// Which of the layout's chips measures it.
    pub(crate) chip: Option<usize>,
    power: Option<Attribute>,
}

impl FoundDisk {
    /// Whether the kernel has put it to sleep.
    pub(crate) fn is_asleep(&self) -> bool {
        self.power.as_ref().is_some_and(|power| power.is(ASLEEP))
    }
}

/// Finds every disk, and its chip among the `chips`.
pub(crate) fn scan(sysfs: &Sysfs, chips: &[FoundChip], budget: &mut Budget) -> Vec<FoundDisk> {
    let mut disks = Vec::new();
    for name in sysfs::names(&sysfs.path(DIRECTORY)) {
        let Some(paths) = Paths::of(sysfs, &name) else {
            continue;
        };
        if !take_one(&mut budget.disks) {
            break;
        }
        disks.push(FoundDisk {
            identity: paths.identity(&name),
            chip: paths.chip(sysfs, chips),
            power: paths.power(budget),
        });
    }
    disks
}

/// The directories that know something of a disk.
struct Paths {
    block: PathBuf,
    device: PathBuf,
}

impl Paths {
    fn of(sysfs: &Sysfs, name: &str) -> Option<Self> {
        if !is_disk(name) {
            return None;
        }
        let block = sysfs.resolve(&sysfs.path(DIRECTORY).join(name))?;
        let device = sysfs.resolve(&block.join("device"))?;
        Some(Self { block, device })
    }

    fn identity(&self, name: &str) -> Disk {
        Disk {
            // The kernel writes a slash in a device's name as '!'.
            device: format!("/dev/{}", name.replace('!', "/")),
            serial: self.serial(),
            wwn: self.wwn(),
            model: self.model(),
            kind: self.kind(name).to_owned(),
            ..Disk::default()
        }
    }

    fn serial(&self) -> String {
        let page = || serial_page(&sysfs::bytes(&self.device.join("vpd_pg80"))?);
        let places = [self.device.join("serial"), self.block.join("serial")];
        let text = places.iter().find_map(|path| sysfs::text(path));
        let bridge = || sysfs::text(&self.device.parent()?.join("serial"));
        text.or_else(page).or_else(bridge).unwrap_or_default()
    }

    fn model(&self) -> String {
        let places = [self.device.join("model"), self.device.join("name")];
        let text = places.iter().find_map(|path| sysfs::text(path));
        text.unwrap_or_default()
    }

    fn wwn(&self) -> String {
        let places = [
            self.block.join("wwid"),
            self.device.join("wwid"),
            self.block.join("eui"),
        ];
        let wwn = places.iter().find_map(|path| wwn(&sysfs::text(path)?));
        wwn.unwrap_or_default()
    }

    /// How the disk is attached, from its name, its vendor and its place.
    fn kind(&self, name: &str) -> &'static str {
        let vendor = sysfs::text(&self.device.join("vendor"));
        let mut places = self.device.iter().filter_map(|place| place.to_str());
        if name.starts_with("nvme") {
            "nvme"
        } else if name.starts_with("mmcblk") {
            "mmc"
        } else if name.starts_with("vd") {
            "virtio"
        } else if places.any(is_usb_root) {
            "usb"
        } else if vendor.as_deref() == Some("ATA") {
            "sata"
        } else if self.device.join("sas_address").is_file() {
            "sas"
        } else {
            ""
        }
    }

    /// The chip belongs to the same device; or, when an NVMe disk is seen
    /// through the multipath layer, to one of its controllers.
    fn chip(&self, sysfs: &Sysfs, chips: &[FoundChip]) -> Option<usize> {
        let belongs_to = |device: &Path| {
            let same = |chip: &FoundChip| chip.device.as_deref() == Some(device);
            chips.iter().position(same)
        };
        belongs_to(&self.device).or_else(|| {
            let entries = sysfs::names(&self.device);
            let controllers = entries.iter().filter(|name| is_controller(name));
            let mut devices = controllers.filter_map(|name| sysfs.resolve(&self.device.join(name)));
            devices.find_map(|device| belongs_to(&device))
        })
    }

    fn power(&self, budget: &mut Budget) -> Option<Attribute> {
        let path = self.device.join("power/runtime_status");
        path.is_file().then(|| Attribute::new(path, budget))
    }
}

fn is_disk(name: &str) -> bool {
    let card = name.strip_prefix("mmcblk");
    let part_of_card = card.is_some_and(|number| !number.bytes().all(is_digit));
    let not_disk = NOT_DISKS.iter().any(|prefix| name.starts_with(prefix));
    !not_disk && !part_of_card && !is_nvme_path(name)
}

/// `nvme0c1n1` is one way to `nvme0n1`.
fn is_nvme_path(name: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(is_digit);
    let parts = name
        .strip_prefix("nvme")
        .and_then(|tail| tail.split_once('c'));
    parts.is_some_and(|(subsystem, _)| number(subsystem))
}

/// `nvme1`, in the directory of an NVMe subsystem.
fn is_controller(name: &str) -> bool {
    let number = name.strip_prefix("nvme");
    number.is_some_and(|n| !n.is_empty() && n.bytes().all(is_digit))
}

fn is_usb_root(place: &str) -> bool {
    let number = place.strip_prefix("usb");
    number.is_some_and(|n| !n.is_empty() && n.bytes().all(is_digit))
}

fn is_digit(byte: u8) -> bool {
    byte.is_ascii_digit()
}

/// The text of a unit serial number page.
fn serial_page(page: &[u8]) -> Option<String> {
    let text = sysfs::clean(page.get(PAGE_HEADER_BYTES..)?);
    Some(text).filter(|text| !text.is_empty())
}

/// `naa.`, `eui.` or bare pairs, when they are 64 bits, as `0x` and 16 digits.
fn wwn(text: &str) -> Option<String> {
    let digits = text
        .strip_prefix("naa.")
        .or_else(|| text.strip_prefix("eui."))
        .map_or_else(|| text.replace(' ', ""), str::to_owned);
    let valid = digits.len() == 16 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    valid.then(|| format!("0x{}", digits.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_physical_disks_are_disks() {
        for name in [
            "sda", "sdaa", "nvme0n1", "nvme10n2", "vda", "mmcblk0", "xvda",
        ] {
            assert!(is_disk(name), "{name}");
        }
        for name in [
            "loop0",
            "ram0",
            "dm-0",
            "md127",
            "sr0",
            "zram0",
            "nbd1",
            "rbd0",
            "zd16",
            "fd0",
            "drbd1",
            "nvme0c1n1",
            "mmcblk0boot0",
            "mmcblk0rpmb",
            "bcache0",
            "mtdblock0",
        ] {
            assert!(!is_disk(name), "{name}");
        }
    }

    #[test]
    fn a_world_wide_name_has_64_bits_or_is_none() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(wwn("naa.5000C500a1b2c3d4"), some("0x5000c500a1b2c3d4"));
        assert_eq!(wwn("eui.5cd2e4a1b2c30100"), some("0x5cd2e4a1b2c30100"));
        assert_eq!(
            wwn("00 25 38 51 00 a1 b2 c3"),
            some("0x00253851 00a1b2c3".replace(' ', "").as_str())
        );
        for text in [
            "",
            "naa.",
            "naa.600508b1001c5a1e7f4b1d2c3a4b5c6d",
            "nvme.8086-50484c4a-494e54454c-00000001",
            "t10.ATA     ST4000VN008-2DR166      ZDH1ABCD",
            "naa.5000c500a1b2c3dg",
        ] {
            assert_eq!(wwn(text), None, "{text}");
        }
    }

    #[test]
    fn a_serial_number_page_is_cut_short_without_harm() {
        let page = b"\0\x80\0\x0c    ZDH1ABCD";
        assert_eq!(serial_page(page).as_deref(), Some("ZDH1ABCD"));
        for length in 0..=4 {
            assert_eq!(serial_page(&page[..length]), None);
        }
    }
}
