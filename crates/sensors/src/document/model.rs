//! The model: chips with features with values, and disks.

use smol_str::SmolStr;

/// One reading of one node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Document {
    /// Sensor chips in the order they were found; names are unique.
    pub chips: Vec<Chip>,
    /// Disks, NVMe among them.
    pub disks: Vec<Disk>,
    /// When the node read its sensors, RFC 3339, as the node's clock says.
    pub collected_at: Option<String>,
    /// The helper that made this document; absent for bare `sensors -j`.
    pub helper: Option<HelperInfo>,
}

/// A sensor chip, named as lm-sensors names it (`coretemp-isa-0000`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chip {
    /// The chip's name; unique in a document.
    pub name: String,
    /// The bus it sits on, as lm-sensors says it (`ISA adapter`).
    pub adapter: Option<String>,
    /// Its features; labels are unique in a chip.
    pub features: Vec<Feature>,
}

/// One feature of a chip: a label with its values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Feature {
    /// What the chip or the operator calls it (`Package id 0`).
    pub label: SmolStr,
    /// Subfeatures in order (`temp1_input`, `temp1_max`), every value finite;
    /// temperatures in degrees Celsius.
    pub values: Vec<(SmolStr, f64)>,
}

/// A disk, as Pulse knows them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disk {
    /// The device's path (`/dev/sda`, `/dev/nvme0n1`).
    pub device: String,
    /// Serial number; empty when unknown.
    pub serial: String,
    /// World wide name, `0x` and 16 hexadecimal digits; empty when unknown.
    pub wwn: String,
    /// Model; empty when unknown.
    pub model: String,
    /// `nvme`, `sata`, `sas`, …; empty when unknown.
    pub kind: String,
    /// Whole degrees Celsius; `None` when unknown.
    pub temperature: Option<i32>,
    /// When the temperature was read, RFC 3339.
    pub last_updated: Option<String>,
    /// The disk was asleep and was left so.
    pub standby_skipped: bool,
}

/// Which helper answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HelperInfo {
    /// The helper's version.
    pub version: String,
}

impl Feature {
    /// The value of the feature's `*_input`, its current reading.
    #[must_use]
    pub fn input(&self) -> Option<f64> {
        let is_input = |(name, _): &&(SmolStr, f64)| name.ends_with("_input");
        self.values.iter().find(is_input).map(|(_, value)| *value)
    }
}
