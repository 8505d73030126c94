//! Devices that are slow or never answer, read by the helper as sshd runs it.
//!
//! The times of readings are promised by the benchmarks and by the schedule's own tests, which
//! have simulated time; here a reading only must not wait for the device.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Serving, Tree, helper, json};
use pulse_simnode::slow_files::{NEVER, SlowFiles};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A wait that a device which never answers would exceed by far.
const PATIENCE: Duration = Duration::from_secs(20);

/// A tree with these files slow, and a helper that reads it; `None` without root.
fn start(tree: &Tree, files: &[(&str, Duration)]) -> Option<(SlowFiles, Serving)> {
    let paths: Vec<_> = files
        .iter()
        .map(|(file, time)| (tree.path(file), *time))
        .collect();
    let Some(slow) = SlowFiles::mark(&paths) else {
        eprintln!("skipped: only root can make a file slow");
        return None;
    };
    let mut serving = Serving::start(tree.root());
    serving.line();
    Some((slow, serving))
}

fn ask(serving: &mut Serving) -> Value {
    let began = Instant::now();
    let document = json(serving.ask(b"read\n"));
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    document
}

/// The state of a chip.
fn state<'a>(document: &'a Value, chip: &str) -> Option<&'a str> {
    let chips = document["sensor_state"]["chips"].as_array()?;
    chips.iter().find(|state| state["chip"] == chip)?["state"].as_str()
}

#[test]
fn hung_card_does_not_cost_the_node() {
    let tree = Tree::of("xeon");
    let card = "devices/pci0000:00/0000:05:00.0/hwmon/hwmon9";
    tree.add(&format!(
        "[class/hwmon]\nhwmon9 -> ../../{card}\n\
         [{card}]\nname = nouveau\ntemp1_input = 48000\ndevice -> ../../../0000:05:00.0\n\
         [devices/pci0000:00/0000:05:00.0]\nsubsystem -> ../../../bus/pci\n"
    ));
    let input = format!("{card}/temp1_input");
    let Some((slow, mut serving)) = start(&tree, &[(&input, NEVER)]) else {
        return;
    };
    for _ in 0..3 {
        let document = ask(&mut serving);
        assert_eq!(document["sensors"].as_object().unwrap().len(), 4);
        assert_eq!(document["smart"][0]["temperature"], 35);
        assert_eq!(
            document["sensor_state"],
            json!({"chips": [{"chip": "nouveau-pci-0500", "state": "unreadable"}]})
        );
    }
    // The helper ends although the read is under way.
    let output = serving.finish(b"");
    assert_eq!(output.status.code(), Some(0));
    drop(slow);
}

#[test]
fn any_file_can_hang() {
    // A chip's name, a label that the scan reads, an input, a disk, a zone.
    let core = "devices/platform/coretemp.1/hwmon/hwmon4";
    let disk = "devices/pci0000:00/0000:00:01.2/0000:02:00.1/ata1/host0/target0:0:0/0:0:0:0";
    for (node, file, name) in [
        (
            "xeon",
            "devices/platform/coretemp.0/hwmon/hwmon3/name",
            "hwmon3",
        ),
        ("xeon", &format!("{core}/temp2_label"), "hwmon4"),
        ("xeon", &format!("{core}/temp2_input"), "coretemp-isa-0001"),
        ("ryzen", &format!("{disk}/model"), "/dev/sda"),
        (
            "pi",
            "devices/virtual/thermal/thermal_zone0/temp",
            "thermal_zone0",
        ),
    ] {
        let tree = Tree::of(node);
        let Some((_slow, mut serving)) = start(&tree, &[(file, NEVER)]) else {
            return;
        };
        let document = ask(&mut serving);
        assert_eq!(state(&document, name), Some("unreadable"), "{document}");
        assert!(document["sensors"].as_object().unwrap().len() >= 2);
        assert_eq!(serving.finish(b"").status.code(), Some(0));
    }
}

#[test]
fn one_reading_ends_too() {
    let tree = Tree::of("xeon");
    let file = "devices/platform/coretemp.0/hwmon/hwmon3/temp1_input";
    let Some(_slow) = SlowFiles::mark(&[(tree.path(file), NEVER)]) else {
        eprintln!("skipped: only root can make a file slow");
        return;
    };
    let began = Instant::now();
    let output = helper(tree.root()).arg("read").output().unwrap();
    assert!(output.status.success() && began.elapsed() < PATIENCE);
    assert_eq!(
        state(&json(output.stdout), "coretemp-isa-0000"),
        Some("unreadable")
    );
}

#[test]
fn slow_disks_are_all_read() {
    let tree = Tree::empty();
    tree.add(&pulse_simnode::tree::disks(60));
    let inputs: Vec<String> = (0..60).map(pulse_simnode::tree::disk_input).collect();
    let files: Vec<_> = inputs
        .iter()
        .map(|input| (input.as_str(), Duration::from_millis(60)))
        .collect();
    let Some((_slow, mut serving)) = start(&tree, &files) else {
        return;
    };
    let began = Instant::now();
    loop {
        let document = ask(&mut serving);
        let disks = document["smart"].as_array().unwrap();
        if disks.len() == 60 && disks.iter().all(|disk| disk["temperature"] == 30) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{document}");
    }
}

#[test]
fn slow_sensor_has_its_age() {
    let tree = Tree::of("pi");
    let sensor = "devices/w1_bus_master1/28-000000000000/hwmon/hwmon7";
    tree.add(&format!(
        "[class/hwmon]\nhwmon7 -> ../../{sensor}\n\
         [{sensor}]\nname = w1_slave_temp\ntemp1_input = 20500\n"
    ));
    let input = format!("{sensor}/temp1_input");
    let Some((_slow, mut serving)) = start(&tree, &[(&input, Duration::from_millis(300))]) else {
        return;
    };
    let name = "w1_slave_temp-virtual-0";
    let began = Instant::now();
    loop {
        let document = ask(&mut serving);
        let is_there = document["sensors"][name]["temp1"]["temp1_input"] == 20.5;
        if is_there && state(&document, name) == Some("slow") {
            assert!(document["sensor_state"]["chips"][0]["age_ms"].is_u64());
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{document}");
    }
}
