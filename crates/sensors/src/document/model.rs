//! The document model: chips, their features and values, and disks.

use super::state::SensorState;
use smol_str::SmolStr;

/// The sensor values of a node at one time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Document {
    /// Sensor chips, in the order in which they were found. Names are unique.
    pub chips: Vec<Chip>,
    /// Disks, NVMe among them.
    pub disks: Vec<Disk>,
    /// The time of the reading by the node's clock (RFC 3339).
    pub collected_at: Option<String>,
    /// The helper that wrote the document; `None` for plain `sensors -j`.
    pub helper: Option<HelperInfo>,
    /// The states of single sensors.
    pub state: SensorState,
}

/// A sensor chip, named as lm-sensors names it (`coretemp-isa-0000`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chip {
    /// The name, unique in a document.
    pub name: String,
    /// The bus adapter, as lm-sensors names it (`ISA adapter`).
    pub adapter: Option<String>,
    /// Features. Labels are unique in a chip.
    pub features: Vec<Feature>,
}

/// A feature of a chip: a label and its values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Feature {
    /// The label that the driver or the operator gave it (`Package id 0`).
    pub label: SmolStr,
    /// Subfeatures in order (`temp1_input`, `temp1_max`). Every value is finite; temperatures are
    /// in degrees Celsius.
    pub values: Vec<(SmolStr, f64)>,
}

/// A disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disk {
    /// The path of the device (`/dev/sda`, `/dev/nvme0n1`).
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
    /// The time of the temperature's reading (RFC 3339).
    pub last_updated: Option<String>,
    /// The disk was in standby, and was not woken for a reading.
    pub standby_skipped: bool,
}

/// The helper that wrote a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HelperInfo {
    /// Its version.
    pub version: String,
}

impl Chip {
    /// The name of its driver, or of its thermal zone: `coretemp` of `coretemp-isa-0000`.
    #[must_use]
    pub fn driver(&self) -> &str {
        self.name.split('-').next().unwrap_or_default()
    }
}

impl Feature {
    /// The value of the feature's `*_input`, its current reading.
    #[must_use]
    pub fn input(&self) -> Option<f64> {
        self.values
            .iter()
            .find(|(name, _)| name.ends_with("_input"))
            .map(|(_, value)| *value)
    }
}
