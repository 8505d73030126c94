//! Documents from values of any age.

use super::*;
use crate::chip::ChipIdentity;
use crate::disk::DiskIdentity;
use crate::thermal::ZoneIdentity;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

const SECOND: Duration = Duration::from_secs(1);

fn entry(class: Class, name: &str) -> Entry {
    Entry {
        class,
        name: name.to_owned(),
    }
}

fn chip(name: &str, device: &str, degrees: f64) -> Arc<Reading> {
    Arc::new(Reading::Chip(ChipReading {
        identity: Arc::new(ChipIdentity {
            name: name.to_owned(),
            driver: name.to_owned(),
            adapter: None,
            device: Some(device.into()),
        }),
        features: vec![Feature {
            label: "temp1".into(),
            values: vec![("temp1_input".into(), degrees)],
        }],
        omitted: 0,
        is_device_gone: false,
    }))
}

fn zone(degrees: f64) -> Arc<Reading> {
    Arc::new(Reading::Zone(ZoneReading {
        identity: Arc::new(ZoneIdentity {
            driver: "soc".to_owned(),
            chip_name: "soc-virtual-0".to_owned(),
            directory: "/zone".into(),
        }),
        input: Ok(degrees),
        critical: None,
    }))
}

fn disk(serial: &str, wwn: &str, device: &str) -> Arc<Reading> {
    let disk = Disk {
        serial: serial.to_owned(),
        wwn: wwn.to_owned(),
        ..Disk::default()
    };
    Arc::new(Reading::Disk(DiskReading {
        identity: Arc::new(DiskIdentity::new(disk, vec![device.into()])),
        is_suspended: false,
    }))
}

fn assembled(
    devices: &[(&Entry, Option<&Arc<Reading>>, Freshness)],
    names: &mut ChipNames,
) -> Document {
    assembled_with(devices, &HashMap::new(), names)
}

/// With the chip names of entries that were scanned.
fn assembled_with(
    devices: &[(&Entry, Option<&Arc<Reading>>, Freshness)],
    scanned: &HashMap<Entry, String>,
    names: &mut ChipNames,
) -> Document {
    let views: Vec<_> = devices
        .iter()
        .map(|(key, value, freshness)| View {
            key: Arc::new((*key).clone()),
            value: (*value).cloned(),
            freshness: *freshness,
        })
        .collect();
    document(&views, scanned, names, UNIX_EPOCH + 1000 * SECOND)
}

/// The states as text.
fn states(document: &Document) -> Vec<String> {
    let states = document.state.chips.iter();
    states
        .map(|state| format!("{} {}", state.chip, state.answering.as_str()))
        .collect()
}

#[test]
fn old_value_leaves_the_document() {
    let (entry, reading) = (entry(Class::Hwmon, "hwmon0"), chip("x", "/x", 40.0));
    for (freshness, count, state) in [
        (Freshness::Current, 1, None),
        (Freshness::Slow(59 * SECOND), 1, Some("x slow")),
        (Freshness::Hanging(60 * SECOND), 1, Some("x stale")),
        (Freshness::Hanging(61 * SECOND), 0, Some("x unreadable")),
        (Freshness::Slow(61 * SECOND), 0, Some("x unreadable")),
    ] {
        let devices = [(&entry, Some(&reading), freshness)];
        let document = assembled(&devices, &mut ChipNames::default());
        assert_eq!(document.chips.len(), count, "{freshness:?}");
        assert_eq!(states(&document).first().map(String::as_str), state);
    }
}

#[test]
fn disk_has_the_time_of_its_value() {
    let entries = [entry(Class::Hwmon, "hwmon0"), entry(Class::Block, "sda")];
    let (chip, disk) = (chip("drivetemp", "/d", 40.4), disk("S", "", "/d"));
    for (age, temperature, at) in [
        (5, Some(40), Some("1970-01-01T00:16:35Z")),
        (61, None, None),
    ] {
        let devices = [
            (&entries[0], Some(&chip), Freshness::Hanging(age * SECOND)),
            (&entries[1], Some(&disk), Freshness::Current),
        ];
        let document = assembled(&devices, &mut ChipNames::default());
        assert_eq!(document.disks[0].temperature, temperature);
        assert_eq!(document.disks[0].last_updated.as_deref(), at);
    }
}

#[test]
fn ambiguous_names_are_left_out() {
    let entries: Vec<_> = ["a", "b", "c", "d"]
        .map(|name| entry(Class::Block, name))
        .into();
    let chips = [entry(Class::Hwmon, "hwmon0"), entry(Class::Hwmon, "hwmon1")];
    let readings = [chip("nvme", "/0", 42.0), chip("nvme", "/1", 56.0)];
    let disks = [
        disk("S0", "eui.1", "/0"),
        disk("S1", "eui.1", "/1"),
        // Another namespace of the first disk, and one without a sensor.
        disk("S0", "eui.2", "/0"),
        disk("", "", "/none"),
    ];
    let mut devices: Vec<_> = chips
        .iter()
        .zip(&readings)
        .map(|(entry, reading)| (entry, Some(reading), Freshness::Current))
        .collect();
    devices.extend(
        entries
            .iter()
            .zip(&disks)
            .map(|(entry, disk)| (entry, Some(disk), Freshness::Current)),
    );
    let document = assembled(&devices, &mut ChipNames::default());
    let names: Vec<_> = document
        .disks
        .iter()
        .map(|disk| (disk.serial.as_str(), disk.wwn.as_str()))
        .collect();
    assert_eq!(names, [("S0", ""), ("S1", ""), ("S0", "eui.2"), ("", "")]);
}

#[test]
fn chip_keeps_its_name() {
    let entries = [entry(Class::Hwmon, "hwmon0"), entry(Class::Hwmon, "hwmon1")];
    let readings = [chip("w1", "/0", 1.0), chip("w1", "/1", 2.0)];
    let mut names = ChipNames::default();
    // The first one does not answer at first.
    let late = [
        (&entries[0], None, Freshness::Silent),
        (&entries[1], Some(&readings[1]), Freshness::Current),
    ];
    let document = assembled(&late, &mut names);
    assert_eq!(document.chips[0].name, "w1");
    assert_eq!(states(&document), ["hwmon0 unreadable"]);
    // One that was scanned has its place before the others, and keeps it.
    let scanned = HashMap::from([(entries[0].clone(), "w1".to_owned())]);
    let document = assembled_with(&late, &scanned, &mut ChipNames::default());
    assert_eq!(document.chips[0].name, "w1#2");
    assert_eq!(states(&document), ["w1 unreadable"]);
    let both = [
        (&entries[0], Some(&readings[0]), Freshness::Current),
        (&entries[1], Some(&readings[1]), Freshness::Current),
    ];
    for _ in 0..2 {
        let document = assembled(&both, &mut names);
        let named: Vec<_> = document
            .chips
            .iter()
            .map(|chip| (chip.name.as_str(), chip.features[0].input()))
            .collect();
        assert_eq!(named, [("w1#2", Some(1.0)), ("w1", Some(2.0))]);
    }
}

#[test]
fn hung_zone_leaves_the_others() {
    let entries = [
        entry(Class::Thermal, "thermal_zone0"),
        entry(Class::Thermal, "thermal_zone1"),
    ];
    let readings = [zone(1.0), zone(2.0)];
    let devices = [
        (
            &entries[0],
            Some(&readings[0]),
            Freshness::Hanging(61 * SECOND),
        ),
        (&entries[1], Some(&readings[1]), Freshness::Slow(SECOND)),
    ];
    let document = assembled(&devices, &mut ChipNames::default());
    let features = &document.chips[0].features;
    assert_eq!((features.len(), features[0].label.as_str()), (1, "temp2"));
    assert_eq!(
        states(&document),
        ["soc-virtual-0 slow", "thermal_zone0 unreadable"]
    );
}

#[test]
fn zone_keeps_its_channel() {
    let entries = [
        entry(Class::Thermal, "thermal_zone0"),
        entry(Class::Thermal, "thermal_zone1"),
    ];
    let readings = [zone(1.0), zone(2.0)];
    let mut names = ChipNames::default();
    let late = [
        (&entries[0], None, Freshness::Unread),
        (&entries[1], Some(&readings[1]), Freshness::Current),
    ];
    let document = assembled(&late, &mut names);
    assert_eq!(document.chips[0].features[0].label, "temp1");
    assert_eq!(states(&document), ["thermal_zone0 pending"]);
    let both = [
        (&entries[0], Some(&readings[0]), Freshness::Current),
        (&entries[1], Some(&readings[1]), Freshness::Current),
    ];
    let document = assembled(&both, &mut names);
    let labels: Vec<_> = document.chips[0]
        .features
        .iter()
        .map(|feature| (feature.label.as_str(), feature.input()))
        .collect();
    assert_eq!(labels, [("temp2", Some(1.0)), ("temp1", Some(2.0))]);
}

#[test]
fn hung_device_without_values_is_named() {
    let entries = [entry(Class::Hwmon, "hwmon0"), entry(Class::Block, "sda")];
    let mut gpu = chip("nouveau", "/g", 40.0);
    if let Some(Reading::Chip(reading)) = Arc::get_mut(&mut gpu) {
        reading.features.clear();
    }
    for (freshness, expected) in [
        (
            Freshness::Hanging(SECOND),
            ["nouveau unreadable", "/dev/sda unreadable"].as_slice(),
        ),
        (Freshness::Current, &["/dev/sda unreadable"]),
    ] {
        let devices = [
            (&entries[0], Some(&gpu), freshness),
            (&entries[1], None, Freshness::Silent),
        ];
        let document = assembled(&devices, &mut ChipNames::default());
        assert_eq!(states(&document), expected);
    }
}
