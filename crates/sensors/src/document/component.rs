//! The kind of component that a chip measures, by its driver.

use super::model::Chip;

/// The kind of component that a chip measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    /// A processor, by its own digital sensors.
    Processor,
    /// A disk, by its own sensors.
    Disk,
    /// A board, a memory module, a card, a thermal zone.
    Other,
}

/// Drivers and thermal zones of processors: Intel, AMD, VIA, and zones that Intel's firmware names.
/// Zones of systems on a chip are named `cpu_thermal`, `cpu0_thermal`, ….
const PROCESSORS: [&str; 8] = [
    "coretemp",
    "k10temp",
    "zenpower",
    "k8temp",
    "via_cputemp",
    "x86_pkg_temp",
    "TCPU",
    "B0D4",
];

/// Drivers of disks.
const DISKS: [&str; 2] = ["drivetemp", "nvme"];

impl Chip {
    /// The kind of component that the chip measures.
    #[must_use]
    pub fn component(&self) -> Component {
        match self.driver() {
            driver if PROCESSORS.contains(&driver) => Component::Processor,
            driver if driver.starts_with("cpu") && driver.ends_with("thermal") => {
                Component::Processor
            }
            driver if DISKS.contains(&driver) => Component::Disk,
            _ => Component::Other,
        }
    }
}
