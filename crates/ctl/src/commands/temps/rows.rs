//! The rows of a node's document: the processor first, a row for each other chip, then the
//! disks by their names.
//!
//! The rows keep their order from reading to reading, so that `--watch` changes numbers only.

use super::heat::{Heat, Kind, Limits, driver};
use pulse_sensors::document::{Chip, Disk, Document, Feature};

/// One temperature.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    /// The chip, or the disk's device.
    pub(super) source: String,
    /// The sensor's label, or the disk's model.
    pub(super) label: String,
    pub(super) value: Value,
    /// The sensor's own limits.
    pub(super) limits: Limits,
    pub(super) heat: Heat,
}

/// What a sensor says, in °C.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    Degrees(f64),
    /// Disks know no fractions.
    Whole(i32),
    /// The disk sleeps and was left so.
    Asleep,
    Unknown,
}

/// The temperature that stands for a whole NVMe disk.
const COMPOSITE: &str = "Composite";

/// What is in the label of a processor's package temperature.
const PACKAGES: [&str; 3] = ["Package id", "Tdie", "Tctl"];

/// The rows of a document: every sensor, or a summary.
pub(super) fn rows(document: &Document, all: bool) -> Vec<Row> {
    let mut chips: Vec<&Chip> = document.chips.iter().collect();
    chips.sort_by_key(|chip| Kind::of(chip) != Kind::Processor);
    let of_chips = chips.iter().flat_map(|chip| {
        if all {
            each(chip, &chip.features)
        } else {
            summary(&named_shortly(chip, &document.chips), document)
        }
    });
    let disks = document.disks.iter();
    let disks = disks.filter(|disk| all || disk.temperature.is_some());
    of_chips
        .chain(disks.map(|disk| Row::of_disk(disk, &document.chips)))
        .collect()
}

fn each<'a>(chip: &Chip, features: impl IntoIterator<Item = &'a Feature>) -> Vec<Row> {
    let rows = features.into_iter();
    rows.filter_map(|feature| Row::of_feature(chip, feature))
        .collect()
}

fn summary(chip: &Chip, document: &Document) -> Vec<Row> {
    match Kind::of(chip) {
        Kind::Processor => {
            let is_package = |f: &&Feature| PACKAGES.iter().any(|label| f.label.contains(label));
            let (packages, rest): (Vec<_>, Vec<_>) = chip.features.iter().partition(is_package);
            let mut rows = each(chip, packages);
            rows.extend(hottest(chip, rest));
            rows
        }
        Kind::Disk if has_rows_as_disks(chip, document) => Vec::new(),
        Kind::Disk | Kind::Other => hottest(chip, &chip.features).into_iter().collect(),
    }
}

/// A chip under its driver's name, where that says which one it is.
fn named_shortly(chip: &Chip, chips: &[Chip]) -> Chip {
    let same = chips.iter().filter(|other| driver(other) == driver(chip));
    let name = match same.count() {
        1 => driver(chip).to_owned(),
        _ => chip.name.clone(),
    };
    Chip {
        name,
        ..chip.clone()
    }
}

/// One row for several sensors, with how many they are.
fn hottest<'a>(chip: &Chip, features: impl IntoIterator<Item = &'a Feature>) -> Option<Row> {
    let rows = each(chip, features);
    let count = rows.len();
    let degrees = |row: &Row| match row.value {
        Value::Degrees(degrees) => degrees,
        _ => f64::MIN,
    };
    let hottest = rows.into_iter().reduce(|best, next| {
        let hotter = degrees(&next) > degrees(&best);
        if hotter { next } else { best }
    });
    hottest.map(|row| match count {
        1 => row,
        count => Row {
            label: format!("{}, hottest of {count}", row.label),
            ..row
        },
    })
}

/// Whether the disks of a chip's kind are all there with their temperatures, so
/// that their names and models say more than the chips do.
fn has_rows_as_disks(chip: &Chip, document: &Document) -> bool {
    let chips = document.chips.iter();
    let chips = chips.filter(|other| driver(other) == driver(chip)).count();
    let disks = document.disks.iter();
    let disks = disks.filter(|disk| disk.temperature.is_some() && measures(chip, disk));
    disks.count() >= chips
}

fn measures(chip: &Chip, disk: &Disk) -> bool {
    Kind::of(chip) == Kind::Disk && (driver(chip) == "nvme") == (disk.kind == "nvme")
}

impl Row {
    fn of_feature(chip: &Chip, feature: &Feature) -> Option<Self> {
        let degrees = feature.input()?;
        let limits = Limits::of(feature);
        Some(Self {
            source: chip.name.clone(),
            label: feature.label.to_string(),
            value: Value::Degrees(degrees),
            limits,
            heat: Heat::judge(degrees, limits, Kind::of(chip)),
        })
    }

    fn of_disk(disk: &Disk, chips: &[Chip]) -> Self {
        let limits = disk_limits(disk, chips);
        let judge = |degrees: i32| Heat::judge(f64::from(degrees), limits, Kind::Disk);
        let value = match disk.temperature {
            Some(degrees) => Value::Whole(degrees),
            None if disk.standby_skipped => Value::Asleep,
            None => Value::Unknown,
        };
        let device = disk.device.strip_prefix("/dev/").unwrap_or(&disk.device);
        Self {
            source: device.to_owned(),
            label: disk.model.clone(),
            value,
            limits,
            heat: disk.temperature.map_or(Heat::Unknown, judge),
        }
    }
}

/// A document does not say which chip a disk's temperature is from. Those of its
/// kind that read the same come into question, and of their limits the stricter.
fn disk_limits(disk: &Disk, chips: &[Chip]) -> Limits {
    let Some(degrees) = disk.temperature else {
        return Limits::default();
    };
    let mains = chips.iter().filter(|chip| measures(chip, disk));
    let mains = mains.filter_map(main_feature).filter(|feature| {
        let input = feature.input();
        input.is_some_and(|input| (input - f64::from(degrees)).abs() <= 0.5)
    });
    mains
        .map(Limits::of)
        .fold(Limits::default(), Limits::stricter)
}

fn main_feature(chip: &Chip) -> Option<&Feature> {
    let mut features = chip.features.iter();
    let composite = features.find(|feature| feature.label == COMPOSITE);
    composite.or(chip.features.first())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> Document {
        pulse_sensors::document::read(text.as_bytes())
            .unwrap()
            .document
    }

    fn seen(document: &Document, all: bool) -> Vec<String> {
        let row = |row: Row| {
            format!(
                "{} {} {:?} {:?}",
                row.source, row.label, row.value, row.heat
            )
        };
        rows(document, all).into_iter().map(row).collect()
    }

    const SERVER: &str = r#"{"sensors":{
        "jc42-i2c-0-19":{"temp1":{"temp1_input":33.75,"temp1_max":0.0}},
        "nct6798-isa-0290":{"SYSTIN":{"temp1_input":35.0},"CPUTIN":{"temp2_input":39.5}},
        "coretemp-isa-0000":{
            "Package id 0":{"temp1_input":85.0,"temp1_max":84.0,"temp1_crit":94.0},
            "Core 0":{"temp2_input":44.0},"Core 1":{"temp3_input":49.0}},
        "nvme-pci-0300":{"Sensor 1":{"temp2_input":60.0},"Composite":{"temp1_input":34.85,"temp1_max":69.85}}},
        "smart":[
            {"device":"/dev/nvme0n1","model":"Fast","type":"nvme","temperature":35},
            {"device":"/dev/sda","model":"Big","type":"sata","temperature":null,"standbySkipped":true}]}"#;

    #[test]
    fn summary_rows() {
        assert_eq!(
            seen(&document(SERVER), false),
            [
                "coretemp Package id 0 Degrees(85.0) Warm",
                "coretemp Core 1, hottest of 2 Degrees(49.0) Normal",
                "jc42 temp1 Degrees(33.75) Unknown",
                "nct6798 CPUTIN, hottest of 2 Degrees(39.5) Unknown",
                "nvme0n1 Fast Whole(35) Normal",
            ]
        );
    }

    #[test]
    fn all_sensors_and_disks() {
        let rows = seen(&document(SERVER), true);
        assert_eq!(rows.len(), 10, "{rows:#?}");
        assert!(rows.contains(&"nvme-pci-0300 Sensor 1 Degrees(60.0) Critical".to_owned()));
        assert!(rows.contains(&"sda Big Asleep Unknown".to_owned()));
    }

    #[test]
    fn a_disk_has_its_chips_limits() {
        let document = document(SERVER);
        let disk = Row::of_disk(&document.disks[0], &document.chips);
        assert_eq!(disk.limits.max, Some(69.85));
    }

    #[test]
    fn a_disk_chip_alone_has_a_row() {
        let only = document(
            r#"{"sensors":{"drivetemp-scsi-0-0":{"temp1":{"temp1_input":51.0}}},"smart":[]}"#,
        );
        let row = "temp1 Degrees(51.0) Warm";
        assert_eq!(seen(&only, false), [format!("drivetemp {row}")]);
        let two = document(
            r#"{"sensors":{"drivetemp-scsi-0-0":{"temp1":{"temp1_input":51.0}},
                "drivetemp-scsi-1-0":{"temp1":{"temp1_input":51.0}}},"smart":[]}"#,
        );
        let named =
            ["drivetemp-scsi-0-0", "drivetemp-scsi-1-0"].map(|name| format!("{name} {row}"));
        assert_eq!(seen(&two, false), named);
    }

    #[test]
    fn no_temperatures_no_rows() {
        assert!(rows(&document(r#"{"sensors":{}}"#), true).is_empty());
    }
}
