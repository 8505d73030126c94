//! Disks (`/sys/block`). Their temperature is that of their hwmon chip.
//!
//! Pulse matches disks by serial number and world wide name, so both are read from the attributes
//! in which the kernel keeps the disk's own data. A disk in runtime suspend is listed without a
//! temperature, since reading that would wake the disk.

use crate::chip::{ChipIdentity, PowerStatus};
use crate::quota::Quotas;
use crate::sysfs::{self, Sysfs};
use pulse_sensors::document::Disk;
use std::path::PathBuf;
use std::sync::Arc;

/// The directory of block devices, without partitions.
pub(crate) const DIRECTORY: &str = "block";

/// Name prefixes of block devices that are not physical disks.
const NOT_DISKS: [&str; 15] = [
    "bcache", "dm-", "drbd", "fd", "loop", "md", "mtd", "nbd", "nullb", "pmem", "ram", "rbd", "sr",
    "zd", "zram",
];

/// The type of a disk on the NVMe bus.
const NVME: &str = "nvme";

/// The header of a vital product data page: type, page and length.
const PAGE_HEADER_BYTES: usize = 4;

/// A disk that a scan found.
#[derive(Debug)]
pub(crate) struct FoundDisk {
    identity: Arc<DiskIdentity>,
    power: Option<PowerStatus>,
}

/// The names and the place of a disk.
#[derive(Debug)]
pub(crate) struct DiskIdentity {
    /// Device, serial number, world wide name, model and type.
    pub(crate) disk: Disk,
    /// The real paths of the devices to which its chip can belong, the most likely one first.
    devices: Vec<PathBuf>,
}

/// A reading of a disk.
#[derive(Debug)]
pub(crate) struct DiskReading {
    pub(crate) identity: Arc<DiskIdentity>,
    /// The disk is in runtime suspend.
    pub(crate) is_suspended: bool,
}

impl FoundDisk {
    /// Reads the power status.
    pub(crate) fn read(&self) -> DiskReading {
        DiskReading {
            identity: Arc::clone(&self.identity),
            is_suspended: self.power.as_ref().is_some_and(PowerStatus::is_suspended),
        }
    }
}

impl DiskIdentity {
    pub(crate) fn new(disk: Disk, devices: Vec<PathBuf>) -> Self {
        Self { disk, devices }
    }

    /// The index of the disk's chip.
    pub(crate) fn chip(&self, chips: &[&ChipIdentity]) -> Option<usize> {
        let belongs_to = |device: &PathBuf| {
            chips
                .iter()
                .position(|chip| chip.device.as_ref() == Some(device))
        };
        self.devices.iter().find_map(belongs_to)
    }
}

/// The path of a block device. The kernel writes a slash in its name as '!'.
pub(crate) fn device(entry: &str) -> String {
    format!("/dev/{}", entry.replace('!', "/"))
}

/// Scans an entry of the directory; `None` if it is no disk.
pub(crate) fn scan(sysfs: &Sysfs, entry: &str, quotas: &Quotas) -> Option<FoundDisk> {
    let paths = DiskPaths::resolve(sysfs, entry)?;
    let kind = paths.kind(entry);
    let disk = Disk {
        device: device(entry),
        serial: paths.serial(),
        wwn: paths.wwn(kind),
        model: sysfs::first_text(&[paths.device.join("model"), paths.device.join("name")])
            .unwrap_or_default(),
        kind: kind.to_owned(),
        ..Disk::default()
    };
    Some(FoundDisk {
        power: PowerStatus::find(&paths.device, &quotas.open_files),
        identity: Arc::new(DiskIdentity::new(disk, paths.devices(sysfs, kind))),
    })
}

/// The directories with a disk's attributes.
struct DiskPaths {
    block: PathBuf,
    device: PathBuf,
}

impl DiskPaths {
    fn resolve(sysfs: &Sysfs, name: &str) -> Option<Self> {
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

    fn wwn(&self, kind: &str) -> String {
        // NVMe has the name in the block device, SCSI in the device below it.
        let paths = [
            self.block.join("wwid"),
            self.device.join("wwid"),
            self.block.join("eui"),
        ];
        let name = if kind == NVME { namespace_id } else { wwn };
        // The first that is a world wide name: some disks have another identifier in `wwid`.
        paths
            .iter()
            .find_map(|path| name(&sysfs::text(path)?))
            .unwrap_or_default()
    }

    /// The disk's transport, from its name, its vendor and its path.
    fn kind(&self, name: &str) -> &'static str {
        let vendor = sysfs::text(&self.device.join("vendor"));
        let mut ancestors = self.device.iter().filter_map(|name| name.to_str());
        if name.starts_with("nvme") {
            NVME
        } else if name.starts_with("mmcblk") {
            "mmc"
        } else if name.starts_with("vd") {
            "virtio"
        } else if ancestors.any(|name| sysfs::is_numbered(name, "usb")) {
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

    /// The devices to which the disk's chip can belong.
    fn devices(&self, sysfs: &Sysfs, kind: &str) -> Vec<PathBuf> {
        let mut devices = vec![self.device.clone()];
        if kind == NVME {
            // Behind the multipath layer, `device` is the subsystem, which lists its controllers.
            let controllers = sysfs::names(&self.device)
                .into_iter()
                .filter(|name| sysfs::is_numbered(name, "nvme"))
                .filter_map(|name| sysfs.resolve(&self.device.join(name)));
            devices.extend(controllers);
            // Older kernels register the chip for the PCI function and not for the controller
            // (drivers/nvme/host/hwmon.c).
            let functions: Vec<PathBuf> = devices
                .iter()
                .filter_map(|controller| sysfs.resolve(&controller.join("device")))
                .collect();
            devices.extend(functions);
        }
        devices
    }
}

/// True if a block device can be a physical disk, by its name.
pub(crate) fn is_disk(name: &str) -> bool {
    let card = name.strip_prefix("mmcblk");
    // A boot or RPMB partition of an MMC card (`mmcblk0boot0`) is a block device of its own.
    let is_part_of_card =
        card.is_some_and(|number| !number.bytes().all(|byte| byte.is_ascii_digit()));
    let is_virtual = NOT_DISKS.iter().any(|prefix| name.starts_with(prefix));
    // `nvme0c1n1` is a path to `nvme0n1` through one controller.
    let is_nvme_path = name
        .split_once('c')
        .is_some_and(|(subsystem, _)| sysfs::is_numbered(subsystem, "nvme"));
    !is_virtual && !is_part_of_card && !is_nvme_path
}

/// The text of a unit serial number page.
fn serial_page(page: &[u8]) -> Option<String> {
    let text = sysfs::clean(page.get(PAGE_HEADER_BYTES..)?);
    Some(text).filter(|text| !text.is_empty())
}

/// `0x` and 16 digits, from `naa.` and digits; `None` if it has not 64 bits.
fn wwn(text: &str) -> Option<String> {
    let digits = text.strip_prefix("naa.")?;
    (digits.len() == 16 && is_hex(digits)).then(|| format!("0x{}", digits.to_ascii_lowercase()))
}

/// The identifier of an NVMe namespace as udev and Proxmox write it, `eui.` and 16 or 32 digits.
/// The attribute `eui` has pairs of digits instead.
fn namespace_id(text: &str) -> Option<String> {
    let digits = match text.strip_prefix("eui.") {
        Some(digits) => digits.to_owned(),
        None => text.replace(' ', ""),
    };
    (matches!(digits.len(), 16 | 32) && is_hex(&digits))
        .then(|| format!("eui.{}", digits.to_ascii_lowercase()))
}

fn is_hex(digits: &str) -> bool {
    digits.bytes().all(|byte| byte.is_ascii_hexdigit())
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
        let name = wwn("naa.5000C500a1b2c3d4");
        assert_eq!(name.as_deref(), Some("0x5000c500a1b2c3d4"));
        for text in [
            "",
            "naa.",
            "5000c500a1b2c3d4",
            "naa.600508b1001c5a1e7f4b1d2c3a4b5c6d",
            "t10.ATA     ST4000VN008-2DR166      ZDH1ABCD",
            "naa.5000c500a1b2c3dg",
        ] {
            assert_eq!(wwn(text), None, "{text}");
        }
    }

    #[test]
    fn namespace_id_is_as_udev_has_it() {
        for (text, id) in [
            ("eui.5CD2e4a1b2c30100", "eui.5cd2e4a1b2c30100"),
            ("00 25 38 51 00 a1 b2 c3", "eui.0025385100a1b2c3"),
            (
                "eui.36344630525123450025384e00000001",
                "eui.36344630525123450025384e00000001",
            ),
        ] {
            assert_eq!(namespace_id(text).as_deref(), Some(id));
        }
        for text in [
            "",
            "eui.",
            "nvme.8086-50484c4a-494e54454c-00000001",
            "eui.5cd2e4a1b2c3010g",
        ] {
            assert_eq!(namespace_id(text), None, "{text}");
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
