//! Disks (`/sys/block`). Their temperature is that of their hwmon chip.
//!
//! Pulse matches disks by serial number and world wide name, so both are read from the attributes
//! in which the kernel keeps the disk's own data. A disk in runtime suspend is listed without a
//! temperature, since reading that would wake the disk.

use crate::attribute::{Attribute, Budget, take_one};
use crate::chip::FoundChip;
use crate::sysfs::{self, Sysfs};
use pulse_sensors::document::Disk;
use std::path::{Path, PathBuf};

/// The directory of block devices, without partitions.
pub(crate) const DIRECTORY: &str = "block";

/// Name prefixes of block devices that are not physical disks.
const NOT_DISKS: [&str; 15] = [
    "bcache", "dm-", "drbd", "fd", "loop", "md", "mtd", "nbd", "nullb", "pmem", "ram", "rbd", "sr",
    "zd", "zram",
];

/// The power status of a suspended disk.
const SUSPENDED: &str = "suspended";

/// The header of a vital product data page: type, page and length.
const PAGE_HEADER_BYTES: usize = 4;

/// A disk that a scan found.
#[derive(Debug)]
pub(crate) struct FoundDisk {
    /// Device, serial number, world wide name, model and type.
    pub(crate) identity: Disk,
    /// The index of its chip in the layout.
    pub(crate) chip: Option<usize>,
    power: Option<Attribute>,
}

impl FoundDisk {
    /// True if the disk is in runtime suspend.
    pub(crate) fn is_suspended(&self) -> bool {
        self.power.as_ref().is_some_and(|power| power.is(SUSPENDED))
    }
}

/// Finds every disk, and its chip among `chips`.
pub(crate) fn scan(sysfs: &Sysfs, chips: &[FoundChip], budget: &mut Budget) -> Vec<FoundDisk> {
    let mut disks = Vec::new();
    for name in sysfs::names(&sysfs.path(DIRECTORY)) {
        let Some(paths) = DiskPaths::resolve(sysfs, &name) else {
            continue;
        };
        if !take_one(&mut budget.disks) {
            break;
        }
        disks.push(FoundDisk {
            identity: Disk {
                // The kernel writes a slash in a device's name as '!'.
                device: format!("/dev/{}", name.replace('!', "/")),
                serial: paths.serial(),
                wwn: paths.wwn(),
                model: sysfs::first_text(&[paths.device.join("model"), paths.device.join("name")])
                    .unwrap_or_default(),
                kind: paths.kind(&name).to_owned(),
                ..Disk::default()
            },
            chip: paths.chip(sysfs, chips),
            power: paths.power(budget),
        });
    }
    disks
}

/// The directories with a disk's attributes.
struct DiskPaths {
    block: PathBuf,
    device: PathBuf,
}

impl DiskPaths {
    fn resolve(sysfs: &Sysfs, name: &str) -> Option<Self> {
        if !is_disk(name) {
            return None;
        }
        let block = sysfs.resolve(&sysfs.path(DIRECTORY).join(name))?;
        Some(Self {
            device: sysfs.resolve(&block.join("device"))?,
            block,
        })
    }

    fn serial(&self) -> String {
        sysfs::first_text(&[self.device.join("serial"), self.block.join("serial")])
            .or_else(|| serial_page(&sysfs::bytes(&self.device.join("vpd_pg80"))?))
            // A USB bridge has a serial number in the parent device. It comes last, because it
            // identifies the bridge and not the disk.
            .or_else(|| sysfs::text(&self.device.parent()?.join("serial")))
            .unwrap_or_default()
    }

    fn wwn(&self) -> String {
        // NVMe has the name in the block device, SCSI in the device below it.
        let paths = [
            self.block.join("wwid"),
            self.device.join("wwid"),
            self.block.join("eui"),
        ];
        // The first that is a world wide name: some disks have another identifier in `wwid`.
        paths
            .iter()
            .find_map(|path| wwn(&sysfs::text(path)?))
            .unwrap_or_default()
    }

    /// The disk's transport, from its name, its vendor and its path.
    fn kind(&self, name: &str) -> &'static str {
        let vendor = sysfs::text(&self.device.join("vendor"));
        let mut ancestors = self.device.iter().filter_map(|name| name.to_str());
        if name.starts_with("nvme") {
            "nvme"
        } else if name.starts_with("mmcblk") {
            "mmc"
        } else if name.starts_with("vd") {
            "virtio"
        } else if ancestors.any(|name| is_numbered(name, "usb")) {
            "usb"
        // libata presents SATA disks as SCSI disks of this vendor.
        } else if vendor.as_deref() == Some("ATA") {
            "sata"
        } else if self.device.join("sas_address").is_file() {
            "sas"
        } else {
            ""
        }
    }

    /// The chip of the same device or, for an NVMe disk behind the multipath layer, of one of its
    /// controllers.
    fn chip(&self, sysfs: &Sysfs, chips: &[FoundChip]) -> Option<usize> {
        let belongs_to = |device: &Path| {
            chips
                .iter()
                .position(|chip| chip.device.as_deref() == Some(device))
        };
        belongs_to(&self.device).or_else(|| {
            sysfs::names(&self.device)
                .iter()
                .filter(|name| is_numbered(name, "nvme"))
                .filter_map(|name| sysfs.resolve(&self.device.join(name)))
                .find_map(|device| belongs_to(&device))
        })
    }

    fn power(&self, budget: &mut Budget) -> Option<Attribute> {
        let path = self.device.join("power/runtime_status");
        path.is_file().then(|| Attribute::new(path, budget))
    }
}

fn is_disk(name: &str) -> bool {
    let card = name.strip_prefix("mmcblk");
    // A boot or RPMB partition of an MMC card (`mmcblk0boot0`) is a block device of its own.
    let is_part_of_card =
        card.is_some_and(|number| !number.bytes().all(|byte| byte.is_ascii_digit()));
    let is_virtual = NOT_DISKS.iter().any(|prefix| name.starts_with(prefix));
    // `nvme0c1n1` is a path to `nvme0n1` through one controller.
    let is_nvme_path = name
        .split_once('c')
        .is_some_and(|(subsystem, _)| is_numbered(subsystem, "nvme"));
    !is_virtual && !is_part_of_card && !is_nvme_path
}

/// True if the name is the prefix and a number.
fn is_numbered(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix)
        .is_some_and(|n| !n.is_empty() && n.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The text of a unit serial number page.
fn serial_page(page: &[u8]) -> Option<String> {
    let text = sysfs::clean(page.get(PAGE_HEADER_BYTES..)?);
    Some(text).filter(|text| !text.is_empty())
}

/// `0x` and 16 digits, from `naa.` or `eui.` and digits, or from pairs of digits; `None` if it has
/// not 64 bits.
fn wwn(text: &str) -> Option<String> {
    let digits = text
        .strip_prefix("naa.")
        .or_else(|| text.strip_prefix("eui."))
        .map_or_else(|| text.replace(' ', ""), str::to_owned);
    (digits.len() == 16 && digits.bytes().all(|b| b.is_ascii_hexdigit()))
        .then(|| format!("0x{}", digits.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_physical_disks_are_listed() {
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
    fn wwn_has_64_bits() {
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
    fn short_serial_page_has_no_text() {
        let page = b"\0\x80\0\x0c    ZDH1ABCD";
        assert_eq!(serial_page(page).as_deref(), Some("ZDH1ABCD"));
        for length in 0..=4 {
            assert_eq!(serial_page(&page[..length]), None);
        }
    }
}
