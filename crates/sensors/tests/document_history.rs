//! Values that mean nothing are dropped, and those of a real sensor never.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use pulse_sensors::document::{
    Chip, Disk, Document, DropReason, DroppedValue, Feature, History, MAX_FEATURES_IN_ALL,
    MAX_STATE_ENTRIES,
};

const NAMES: [&str; 9] = [
    "acpitz-acpi-0",
    "asusec-isa-000a",
    "it8728-isa-0a30",
    "nct6798-isa-0290",
    "w1_slave_temp-virtual-0",
    "drivetemp-scsi-0-0",
    "lm75-i2c-0-48",
    "coretemp-isa-0000",
    "nvme-pci-0100",
];

/// Sentinels of all these drivers, and what is out of range.
const SENTINELS: [f64; 11] = [
    0.0, 127.0, 216.0, -40.0, -55.0, 127.5, 85.0, 127.938, -128.0, 511.0, 65261.85,
];

fn feature(label: &str, values: &[(&str, f64)]) -> Feature {
    Feature {
        label: label.into(),
        values: values
            .iter()
            .map(|(name, value)| ((*name).into(), *value))
            .collect(),
    }
}

fn chip(name: &str, features: Vec<Feature>) -> Chip {
    Chip {
        name: name.to_owned(),
        adapter: None,
        features,
    }
}

fn document(chips: Vec<Chip>) -> Document {
    Document {
        chips,
        ..Document::default()
    }
}

/// A document with one sensor.
fn one(name: &str, label: &str, values: &[(&str, f64)]) -> Document {
    document(vec![chip(name, vec![feature(label, values)])])
}

/// The reason why a sensor's first reading is dropped.
fn first(name: &str, label: &str, values: &[(&str, f64)]) -> Option<DropReason> {
    let mut document = one(name, label, values);
    let count = History::default().drop_meaningless(&mut document);
    assert_eq!(count, document.state.dropped.len() as u64);
    document.state.dropped.first().map(|dropped| dropped.reason)
}

/// True for each of a sensor's readings that is kept.
fn kept(name: &str, label: &str, readings: &[f64]) -> Vec<bool> {
    let mut history = History::default();
    let is_kept = |degrees: &f64| {
        let mut document = one(name, label, &[("temp1_input", *degrees)]);
        history.drop_meaningless(&mut document);
        document.chips[0].features[0].input().is_some()
    };
    readings.iter().map(is_kept).collect()
}

#[test]
fn sentinels_of_drivers_are_dropped() {
    use DropReason::{NotSet, OpenInput, OutOfRange, PowerOn, ReadError};
    for (name, label, degrees, reason) in [
        ("acpitz-acpi-0", "temp6", 127.0, Some(OpenInput)),
        ("acpitz-acpi-0", "temp2", 0.0, Some(NotSet)),
        ("acpitz-acpi-0", "temp1", 27.8, None),
        ("acpitz-acpi-0", "temp2", 29.8, None),
        ("acpitz-acpi-0", "temp1", -268.8, Some(OutOfRange)),
        (
            "asus_wmi_sensors-virtual-0",
            "Tsensor 1 Temperature",
            216.0,
            Some(OpenInput),
        ),
        ("asusec-isa-000a", "T_Sensor", -40.0, Some(OpenInput)),
        ("asusec-isa-000a", "Water_In", 0.0, Some(OpenInput)),
        ("asusec-isa-000a", "Motherboard", 0.0, None),
        (
            "asuswmisensors-isa-0000",
            "CPU VRM Temperature",
            0.0,
            Some(NotSet),
        ),
        ("it8628-isa-0a40", "temp2", -55.0, Some(OpenInput)),
        ("it8665-isa-0290", "temp2", 127.0, Some(OpenInput)),
        ("it8620-isa-0a40", "temp2", -128.0, Some(OutOfRange)),
        ("it8620-isa-0a40", "temp2", 255.0, Some(OutOfRange)),
        ("nct6687-isa-0a20", "M2_1", 0.0, Some(NotSet)),
        ("nct6798-isa-0290", "PCH_CPU_TEMP", 0.0, Some(NotSet)),
        ("nct6798-isa-0290", "AUXTIN1", 127.0, Some(OpenInput)),
        ("nct6779-isa-0a10", "CPUTIN", 127.5, Some(OpenInput)),
        ("nct6798-isa-0290", "SYSTIN", 0.0, None),
        ("w83627ehf-isa-0290", "SYSTIN", -90.0, Some(OpenInput)),
        ("thinkpad-isa-0000", "GPU", 0.0, Some(NotSet)),
        ("w1_slave_temp-virtual-0", "temp1", 85.0, Some(PowerOn)),
        ("w1_slave_temp-virtual-0", "temp1", 127.938, Some(ReadError)),
        ("drivetemp-scsi-0-0", "temp1", 0.0, Some(NotSet)),
        ("amdgpu-pci-0300", "edge", 511.0, Some(OutOfRange)),
        ("nvme-pci-0100", "Sensor 2", -273.15, Some(OutOfRange)),
        // A digital sensor has no open input.
        ("coretemp-isa-0000", "Package id 0", 127.0, None),
        ("k10temp-pci-00c3", "Tctl", 127.0, None),
        ("nvme-pci-0100", "Composite", 127.0, None),
    ] {
        let judged = first(name, label, &[("temp1_input", degrees)]);
        assert_eq!(judged, reason, "{name} {label} {degrees}");
    }
}

#[test]
fn limits_decide_about_other_drivers() {
    let lm75 = |limit: (&'static str, f64)| {
        first("lm75-i2c-0-48", "temp1", &[("temp1_input", 127.0), limit])
    };
    for limit in [
        ("temp1_max", 80.0),
        ("temp1_crit", 127.0),
        ("temp1_min", 127.0),
    ] {
        assert_eq!(lm75(limit), Some(DropReason::OpenInput), "{limit:?}");
    }
    for limit in [
        ("temp1_crit", 150.0),
        ("temp1_max_hyst", 75.0),
        ("temp10_max", 80.0),
    ] {
        assert_eq!(lm75(limit), None, "{limit:?}");
    }
    // A limit that is out of range is dropped, counted, and judges nothing.
    let mut document = one(
        "lm75-i2c-0-48",
        "temp1",
        &[("temp1_input", 127.0), ("temp1_min", 65261.85)],
    );
    assert_eq!(History::default().drop_meaningless(&mut document), 1);
    let values = &document.chips[0].features[0].values;
    assert_eq!(values.as_slice(), [("temp1_input".into(), 127.0)]);
    assert!(document.state.dropped.is_empty());
}

#[test]
fn faulty_sensor_has_no_value() {
    let faulty = [("temp1_input", 40.0), ("temp1_fault", 1.0)];
    let judged = first("lm90-i2c-0-4c", "temp1", &faulty);
    assert_eq!(judged, Some(DropReason::Fault));
    let sound = [
        ("temp1_input", 40.0),
        ("temp1_fault", 0.0),
        ("temp2_fault", 1.0),
    ];
    assert_eq!(first("lm90-i2c-0-4c", "temp1", &sound), None);
}

#[test]
fn other_sensors_are_not_judged() {
    let values = [
        ("fan1_input", 0.0),
        ("in0_input", 511.0),
        ("temp1_type", 3435.0),
        ("temp1_alarm", 1.0),
    ];
    assert_eq!(first("it8728-isa-0a30", "x", &values), None);
}

#[test]
fn fire_is_kept() {
    let fire = kept(
        "acpitz-acpi-0",
        "temp1",
        &[80.0, 95.0, 127.0, 127.0, 127.0, 0.0],
    );
    assert_eq!(fire, [true; 6]);
    // From the start, between its sentinels, and once it measures.
    let readings = [127.0, 0.0, 127.0, 45.0, 127.0, 0.0];
    let expected = [false, false, false, true, true, true];
    assert_eq!(kept("acpitz-acpi-0", "temp1", &readings), expected);
    // What is out of range is no reading.
    let radeon = kept("it8728-isa-0a30", "temp1", &[255.0, 127.0, 34.0, 127.0]);
    assert_eq!(radeon, [false, false, true, true]);
}

#[test]
fn sensors_have_histories_of_their_own() {
    let pair = |first: f64, second: f64| {
        let chip = |name: &str| {
            chip(
                name,
                vec![
                    feature("temp1", &[("temp1_input", first)]),
                    feature("temp2", &[("temp2_input", second)]),
                ],
            )
        };
        document(vec![chip("acpitz-acpi-0"), chip("acpitz-acpi-1")])
    };
    let mut history = History::default();
    history.drop_meaningless(&mut pair(45.0, 0.0));
    let mut later = pair(127.0, 127.0);
    assert_eq!(history.drop_meaningless(&mut later), 2);
    let dropped: Vec<_> = later
        .state
        .dropped
        .iter()
        .map(|dropped| dropped.sensor.as_str())
        .collect();
    assert_eq!(dropped, ["temp2", "temp2"]);
}

#[test]
fn disks_are_judged_too() {
    let disk = |serial: &str, temperature| Document {
        disks: vec![Disk {
            device: "/dev/sda".to_owned(),
            serial: serial.to_owned(),
            temperature: Some(temperature),
            ..Disk::default()
        }],
        ..Document::default()
    };
    let mut history = History::default();
    let mut document = disk("A", 0);
    assert_eq!(history.drop_meaningless(&mut document), 1);
    assert_eq!(document.disks[0].temperature, None);
    let expected = DroppedValue {
        chip: "/dev/sda".to_owned(),
        sensor: "temperature".into(),
        value: 0.0,
        reason: DropReason::NotSet,
    };
    assert_eq!(document.state.dropped, [expected]);
    // A disk in the cold.
    history.drop_meaningless(&mut disk("A", 2));
    let mut cold = disk("A", 0);
    assert_eq!(history.drop_meaningless(&mut cold), 0);
    assert_eq!(cold.disks[0].temperature, Some(0));
    // Another disk under the same name.
    assert_eq!(history.drop_meaningless(&mut disk("B", 0)), 1);
}

#[test]
fn dropped_values_are_limited() {
    let features = |degrees: f64| {
        let features = (0..2_000).map(|n| feature(&format!("f{n}"), &[("temp1_input", degrees)]));
        document(vec![chip("acpitz-acpi-0", features.collect())])
    };
    let mut document = features(127.0);
    assert_eq!(History::default().drop_meaningless(&mut document), 2_000);
    assert_eq!(document.state.dropped.len(), MAX_STATE_ENTRIES);
}

/// A node that renames its sensors fills its history, and hides nothing by that.
#[test]
fn full_history_drops_nothing() {
    let mut history = History::default();
    for n in 0..=MAX_FEATURES_IN_ALL {
        history.drop_meaningless(&mut one(
            "acpitz-acpi-0",
            &format!("x{n}"),
            &[("temp1_input", 40.0)],
        ));
    }
    let mut document = one("acpitz-acpi-0", "temp1", &[("temp1_input", 127.0)]);
    assert_eq!(history.drop_meaningless(&mut document), 0);
}

fn degrees() -> impl Strategy<Value = f64> {
    prop_oneof![
        select(&SENTINELS[..]),
        (-90_000..240_000).prop_map(|m: i32| f64::from(m) / 1000.0)
    ]
}

/// Readings of some sensors, in order of time.
fn readings() -> impl Strategy<Value = Vec<Document>> {
    let names = proptest::sample::subsequence(&NAMES[..], 1..NAMES.len());
    let labels = select(&["temp1", "T_Sensor", "AUXTIN0", "PCH_CPU_TEMP"][..]);
    (names, labels, 1..6_usize).prop_flat_map(|(names, label, count)| {
        let reading = vec(degrees(), names.len()).prop_map(move |degrees| {
            let chips = names.iter().zip(degrees);
            let chips = chips.map(|(name, degrees)| {
                chip(
                    name,
                    vec![feature(
                        label,
                        &[("temp1_input", degrees), ("temp1_crit", 128.0)],
                    )],
                )
            });
            document(chips.collect())
        });
        vec(reading, count)
    })
}

fn in_order_of_names(mut document: Document) -> Document {
    document.chips.sort_by(|a, b| a.name.cmp(&b.name));
    document.state.dropped.sort_by(|a, b| a.chip.cmp(&b.chip));
    document
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn varying_sensor_is_never_dropped(
        name in select(&NAMES[..]),
        // 60 is no sentinel of any driver.
        before in vec(-90.0..200.0_f64, 0..4),
        after in vec(degrees(), 0..8),
    ) {
        let first = before.len();
        let readings = [before, vec![60.0], after].concat();
        let kept = kept(name, "T_Sensor", &readings);
        for (degrees, is_kept) in readings.iter().zip(kept).skip(first) {
            prop_assert_eq!(is_kept, (-100.0..=250.0).contains(degrees), "{}", degrees);
        }
    }

    #[test]
    fn order_of_sensors_is_irrelevant(readings in readings(), rotation in 0..9_usize) {
        let (mut one, mut other) = (History::default(), History::default());
        for reading in readings {
            let mut rotated = reading.clone();
            let rotation = rotation % rotated.chips.len();
            rotated.chips.rotate_left(rotation);
            let mut reading = reading;
            prop_assert_eq!(one.drop_meaningless(&mut reading), other.drop_meaningless(&mut rotated));
            prop_assert_eq!(in_order_of_names(reading), in_order_of_names(rotated));
            prop_assert_eq!(&one, &other);
        }
    }

    #[test]
    fn judging_is_idempotent(readings in readings()) {
        let mut history = History::default();
        for mut reading in readings {
            history.drop_meaningless(&mut reading);
            let (once, known) = (reading.clone(), history.clone());
            prop_assert_eq!(history.drop_meaningless(&mut reading), 0);
            prop_assert_eq!(&reading, &once);
            prop_assert_eq!(&history, &known);
        }
    }

    #[test]
    fn nothing_vanishes_unsaid(readings in readings()) {
        let mut history = History::default();
        for mut reading in readings {
            let before = reading.chips.clone();
            let count = history.drop_meaningless(&mut reading);
            prop_assert_eq!(reading.state.dropped.len() as u64, count);
            for (chip, before) in reading.chips.iter().zip(&before) {
                let said = reading.state.dropped.iter().find(|dropped| dropped.chip == chip.name);
                let left = chip.features[0].input().or(said.map(|dropped| dropped.value));
                prop_assert_eq!(left, before.features[0].input());
            }
        }
    }
}
