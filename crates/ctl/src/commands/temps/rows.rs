//! The rows of a node's document: the processor first, a row for each other chip, then the
//! disks by their names.
//!
//! The rows keep their order from reading to reading, so that `--watch` changes numbers only.

use super::heat::{Heat, Limits};
use super::state::{own_age, rows_about};
use pulse_sensors::document::{Chip, Component, Disk, Document, DropReason, Feature};
use std::collections::BTreeSet;
use std::time::Duration;

/// One temperature, or a fact about a chip.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Row {
    /// The chip, or the disk's device.
    pub(super) source: String,
    /// The sensor's label, or the disk's model.
    pub(super) label: String,
    pub(super) value: Value,
    /// The sensor's own limits.
    pub(super) limits: Limits,
    pub(super) heat: Heat,
    /// The age at the time of the reading, if the value is older than that.
    pub(super) age: Option<Duration>,
}

/// A sensor's value, in °C.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Value {
    Degrees(f64),
    /// Disks know no fractions.
    Whole(i32),
    /// The disk sleeps and was left so.
    Asleep,
    #[default]
    Unknown,
    /// The daemon dropped it, because it means nothing.
    Dropped(f64, DropReason),
    /// A text in place of values.
    Note(String),
}

/// The temperature that stands for a whole NVMe disk.
const COMPOSITE: &str = "Composite";

/// Parts of the labels of processors' package temperatures.
const PACKAGES: [&str; 3] = ["Package id", "Tdie", "Tctl"];

/// The rows of a document: every sensor, or a summary.
pub(super) fn rows(document: &Document, all: bool) -> Vec<Row> {
    let mut chips: Vec<&Chip> = document.chips.iter().collect();
    // The sort is stable: chips of one kind keep the document's order.
    chips.sort_by_key(|chip| chip.component() != Component::Processor);
    let of_chip = |chip: &Chip| {
        let mut rows = if all {
            each(chip, &chip.features)
        } else {
            summary(chip, document)
        };
        let age = own_age(&document.state, &chip.name);
        for row in &mut rows {
            row.age = age;
        }
        rows
    };
    let disks = document.disks.iter();
    if !all {
        let of_chips = chips.into_iter().flat_map(of_chip);
        // A sleeping disk has no temperature, which is worth a row only where all is asked for.
        let of_disks = disks
            .filter(|disk| disk.temperature.is_some())
            .map(|disk| Row::of_disk(disk, document));
        return of_chips.chain(of_disks).collect();
    }
    // Everything about a chip stands together. What is left is about chips without a value.
    let mut rows = Vec::new();
    let mut left = named(document);
    for chip in chips {
        rows.extend(of_chip(chip));
        if left.remove(chip.name.as_str()) {
            rows.extend(rows_about(&document.state, &chip.name));
        }
    }
    for disk in disks {
        rows.push(Row::of_disk(disk, document));
        if left.remove(disk.device.as_str()) {
            rows.extend(rows_about(&document.state, &disk.device));
        }
    }
    let of_others = left
        .into_iter()
        .flat_map(|chip| rows_about(&document.state, chip));
    rows.extend(of_others);
    rows
}

/// The chips and devices that a document says something about.
fn named(document: &Document) -> BTreeSet<&str> {
    let state = &document.state;
    let of_states = state.chips.iter().map(|state| &state.chip);
    of_states
        .chain(state.dropped.iter().map(|dropped| &dropped.chip))
        .chain(state.omitted.iter().map(|omitted| &omitted.chip))
        .map(String::as_str)
        .collect()
}

/// A row for each of these features of a chip that has a temperature.
fn each<'a>(chip: &Chip, features: impl IntoIterator<Item = &'a Feature>) -> Vec<Row> {
    features
        .into_iter()
        .filter_map(|feature| {
            let degrees = feature.input()?;
            let limits = Limits::of(feature);
            Some(Row {
                source: chip.name.clone(),
                label: feature.label.to_string(),
                value: Value::Degrees(degrees),
                limits,
                heat: Heat::judge(degrees, limits, chip.component()),
                age: None,
            })
        })
        .collect()
}

fn summary(chip: &Chip, document: &Document) -> Vec<Row> {
    let same = document.chips.iter();
    let same = same.filter(|other| other.driver() == chip.driver()).count();
    let mut chip = chip.clone();
    // A chip goes by its driver's name, where that says which one it is.
    if same == 1 {
        chip.name = chip.driver().into();
    }
    let chip = &chip;
    // Every disk of this kind has a row with its temperature: disks' names and models say more
    // than the chips' names.
    let has_rows_as_disks = || {
        let disks = document.disks.iter();
        let disks = disks.filter(|disk| disk.temperature.is_some() && measures(chip, disk));
        disks.count() >= same
    };
    match chip.component() {
        // The package, and one row for the cores: dozens of them have about the same temperature.
        Component::Processor => {
            let is_package = |f: &&Feature| PACKAGES.iter().any(|label| f.label.contains(label));
            let (packages, rest): (Vec<_>, Vec<_>) = chip.features.iter().partition(is_package);
            let mut rows = each(chip, packages);
            rows.extend(hottest(chip, rest));
            rows
        }
        Component::Disk if has_rows_as_disks() => Vec::new(),
        Component::Disk | Component::Other => hottest(chip, &chip.features).into_iter().collect(),
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
    // The first of several that are equally hot: the row stays with its sensor.
    let hottest = rows.into_iter().reduce(|best, next| {
        if degrees(&next) > degrees(&best) {
            next
        } else {
            best
        }
    });
    hottest.map(|row| match count {
        1 => row,
        count => Row {
            label: format!("{}, hottest of {count}", row.label),
            ..row
        },
    })
}

fn measures(chip: &Chip, disk: &Disk) -> bool {
    chip.component() == Component::Disk && (chip.driver() == "nvme") == (disk.kind == "nvme")
}

impl Row {
    fn of_disk(disk: &Disk, document: &Document) -> Self {
        // A document does not say which chip a disk's temperature is from. Every chip of the disk's
        // kind with the same temperature is a candidate, and the strictest of their limits counts.
        // The disk's temperature is rounded to whole degrees, so half a degree of difference is
        // allowed.
        let reads_the_same = |feature: &&Feature| {
            feature
                .input()
                .zip(disk.temperature)
                .is_some_and(|(chip, disk)| (chip - f64::from(disk)).abs() <= 0.5)
        };
        let limits = document
            .chips
            .iter()
            .filter(|chip| measures(chip, disk))
            .filter_map(|chip| {
                chip.features
                    .iter()
                    .find(|feature| feature.label == COMPOSITE)
                    .or(chip.features.first())
            })
            .filter(reads_the_same)
            .map(Limits::of)
            .fold(Limits::default(), Limits::stricter);
        let judge = |degrees: i32| Heat::judge(f64::from(degrees), limits, Component::Disk);
        let value = match disk.temperature {
            Some(degrees) => Value::Whole(degrees),
            None if disk.standby_skipped => Value::Asleep,
            None => Value::Unknown,
        };
        Self {
            source: disk
                .device
                .strip_prefix("/dev/")
                .unwrap_or(&disk.device)
                .to_owned(),
            label: disk.model.clone(),
            value,
            limits,
            heat: disk.temperature.map_or(Heat::Unknown, judge),
            age: document
                .disk_age(disk)
                .filter(|seconds| *seconds > 0)
                .map(Duration::from_secs),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulse_sensors::document::{History, normalise};

    /// What `sensors -j` printed on a node.
    macro_rules! corpus {
        ($name:literal) => {
            include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../sensors/tests/corpus/documents/",
                $name,
                ".txt"
            ))
        };
    }

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

    /// The document as the daemon answers after the first reading of a node.
    fn answer(printed: &str) -> Document {
        let mut document = document(printed);
        History::default().drop_meaningless(&mut document);
        normalise(document)
    }

    #[test]
    fn meaningless_values_are_shown_with_all_alone() {
        let document = answer(corpus!("open_input_216"));
        let dropped =
            "asus_wmi_sensors-virtual-0 Tsensor 1 Temperature Dropped(216.0, OpenInput) Unknown";
        assert!(seen(&document, true).contains(&dropped.to_owned()));
        let summary = seen(&document, false);
        assert!(
            summary.iter().all(|row| !row.contains("216")),
            "{summary:?}"
        );
    }

    /// Pulse takes the same values (`document_pulse` of the sensors crate).
    #[test]
    fn processor_is_the_first_row() {
        for (printed, degrees) in [
            (corpus!("coretemp_renamed"), 45.0),
            (corpus!("coretemp_without_package_renamed"), 52.0),
            (corpus!("dies_without_labels"), 68.75),
            (corpus!("boards_without_labels"), 52.0),
            (corpus!("acpitz_six_zones"), 45.0),
            (corpus!("open_input_216"), 42.5),
        ] {
            let document = answer(printed);
            let first = rows(&document, false).into_iter().next().unwrap();
            assert_eq!(first.value, Value::Degrees(degrees), "{first:?}");
        }
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
        let disk = Row::of_disk(&document.disks[0], &document);
        assert_eq!(disk.limits.max, Some(69.85));
    }

    #[test]
    fn a_disk_has_its_own_age() {
        let document = document(
            r#"{"sensors":{},"smart":[
                {"device":"/dev/sda","temperature":41,"lastUpdated":"2026-11-21T10:00:00Z"},
                {"device":"/dev/sdb","temperature":41,"lastUpdated":"2026-11-21T10:00:07Z"}],
                "collected_at":"2026-11-21T10:00:07Z","node_helper":{"version":"0.2.0"}}"#,
        );
        let rows = rows(&document, false).into_iter();
        let ages: Vec<_> = rows.map(|row| row.age).collect();
        assert_eq!(ages, [Some(Duration::from_secs(7)), None]);
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
