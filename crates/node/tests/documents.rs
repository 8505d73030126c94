//! Documents of simulated nodes, and of trees with faults.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Tree, json, wall};
use pulse_sensor_node::sensors_json::to_sensors_json;
use pulse_sensor_node::{MAX_DOCUMENT_BYTES, SensorReader, VERSION, to_line};
use pulse_sensors::document::{Chip, Document, MAX_CHIPS, MAX_DISKS, MAX_FEATURES_IN_ALL};
use std::fmt::Write;
use std::time::{Duration, Instant};

fn reading(tree: &Tree) -> Document {
    let mut reader = SensorReader::open(tree.root()).unwrap();
    reader.read(wall(), Instant::now())
}

fn chip<'a>(document: &'a Document, name: &str) -> &'a Chip {
    let mut chips = document.chips.iter();
    chips
        .find(|chip| chip.name == name)
        .unwrap_or_else(|| panic!("no {name}"))
}

fn input(document: &Document, name: &str, label: &str) -> Option<f64> {
    let mut features = chip(document, name).features.iter();
    features.find(|feature| feature.label == label)?.input()
}

fn names(document: &Document) -> Vec<&str> {
    document
        .chips
        .iter()
        .map(|chip| chip.name.as_str())
        .collect()
}

#[test]
fn documents_match_expected_ones() {
    for (node, expected) in [
        ("xeon", include_str!("expected/xeon.json")),
        ("ryzen", include_str!("expected/ryzen.json")),
        ("pi", include_str!("expected/pi.json")),
    ] {
        let mut expected = json(expected);
        expected["node_helper"]["version"] = VERSION.into();
        let line = to_line(reading(&Tree::of(node)));
        assert_eq!(json(&line), expected, "{node}");
        assert_eq!(line.find('\n'), Some(line.len() - 1), "{node}: one line");
    }
}

#[test]
fn daemon_reads_helper_documents() {
    for node in ["xeon", "ryzen", "pi"] {
        let written = reading(&Tree::of(node));
        let legacy = to_sensors_json(written.clone());
        let read = pulse_sensors::document::read(to_line(written.clone()).as_bytes()).unwrap();
        assert_eq!(read.dropped.malformed, 0, "{node}");
        assert_eq!(inputs(&read.document), inputs(&written), "{node}");
        assert_eq!(read.document.disks, written.disks, "{node}");
        assert_eq!(read.document.collected_at, written.collected_at, "{node}");
        assert_eq!(read.document.helper, written.helper, "{node}");

        let read = pulse_sensors::document::read(legacy.as_bytes()).unwrap();
        assert_eq!(read.dropped.malformed, 0, "{node}");
        assert_eq!(inputs(&read.document), inputs(&written), "{node}");
    }
}

/// Every temperature with its chip, adapter and label.
fn inputs(document: &Document) -> Vec<(&str, Option<&str>, &str, Option<f64>)> {
    let mut rows = Vec::new();
    for chip in &document.chips {
        let adapter = chip.adapter.as_deref();
        for feature in &chip.features {
            rows.push((
                chip.name.as_str(),
                adapter,
                feature.label.as_str(),
                feature.input(),
            ));
        }
    }
    rows
}

#[test]
fn sensors_j_matches_the_document() {
    for node in ["xeon", "ryzen", "pi"] {
        let document = reading(&Tree::of(node));
        let legacy = json(to_sensors_json(document.clone()));
        assert_eq!(legacy, json(to_line(document))["sensors"], "{node}");
    }
}

#[test]
fn unreadable_sensor_is_left_out() {
    let tree = Tree::of("xeon");
    let core = "devices/platform/coretemp.0/hwmon/hwmon3";
    tree.set(&format!("{core}/temp2_input"), "N/A");
    tree.remove(&format!("{core}/temp3_input"));
    tree.set(&format!("{core}/temp4_crit"), "");
    tree.remove("class/hwmon/hwmon2");
    let document = reading(&tree);
    let name = "coretemp-isa-0000";
    assert_eq!(input(&document, name, "Core 0"), None);
    assert_eq!(input(&document, name, "Core 1"), None);
    assert_eq!(input(&document, name, "Core 2"), Some(43.0));
    let values = &chip(&document, name).features[1].values;
    assert!(values.iter().all(|(value, _)| value != "temp4_crit"));
    assert!(!names(&document).contains(&"nvme-pci-8100"));
    assert_eq!(document.disks[0].temperature, Some(35));
    assert_eq!(document.disks[1].temperature, None);
    assert_eq!(document.disks[1].serial, "S64FNE0R512345");
}

#[test]
fn failed_sensor_comes_back() {
    let tree = Tree::of("ryzen");
    let mut reader = SensorReader::open(tree.root()).unwrap();
    let tdie = "devices/pci0000:00/0000:00:18.3/hwmon/hwmon1/temp1_input";
    for (text, expected) in [("58000", Some(58.0)), ("x", None), ("59125", Some(59.125))] {
        tree.set(tdie, text);
        let document = reader.read(wall(), Instant::now());
        assert_eq!(input(&document, "k10temp-pci-00c3", "Tctl"), expected);
        assert_eq!(input(&document, "k10temp-pci-00c3", "Tccd1"), Some(51.25));
    }
}

#[test]
fn disk_suspends_without_a_scan() {
    let tree = Tree::of("ryzen");
    let mut reader = SensorReader::open(tree.root()).unwrap();
    let device = "devices/pci0000:00/0000:00:01.2/0000:02:00.1/ata1/host0/target0:0:0/0:0:0:0";
    let start = Instant::now();
    for (status, temperature) in [
        ("active", Some(31)),
        ("suspended", None),
        ("suspending", Some(31)),
        ("active", Some(31)),
    ] {
        tree.set(&format!("{device}/power/runtime_status"), status);
        let document = reader.read(wall(), start);
        let disk = &document.disks[0];
        assert_eq!(disk.temperature, temperature, "{status}");
        assert_eq!(disk.standby_skipped, status == "suspended");
        assert_eq!(disk.last_updated.is_some(), temperature.is_some());
        let shown = names(&document).contains(&"drivetemp-scsi-0-0");
        assert_eq!(shown, temperature.is_some(), "{status}");
    }
}

#[test]
fn changes_are_noticed_in_time() {
    let tree = Tree::of("pi");
    let mut reader = SensorReader::open(tree.root()).unwrap();
    let start = Instant::now();
    let mut at = |milliseconds| reader.read(wall(), start + Duration::from_millis(milliseconds));
    let crit = |document: &Document| chip(document, "nvme-pci-10100").features[0].values[3].1;
    assert_eq!(at(0).chips.len(), 3);
    let nvme = "class/hwmon/hwmon1/temp1_crit";
    tree.set(nvme, "70000");
    tree.add("[class/hwmon/hwmon7]\nname = virtual\ntemp1_input = 1000\n");
    assert_eq!(at(999).chips.len(), 3);
    let document = at(1000);
    assert_eq!(input(&document, "virtual-virtual-0", "temp1"), Some(1.0));
    assert!((crit(&document) - 70.0).abs() < 1e-9);
    tree.set(nvme, "71000");
    assert!((crit(&at(60_999)) - 70.0).abs() < 1e-9);
    assert!((crit(&at(61_000)) - 71.0).abs() < 1e-9);
    std::fs::remove_dir_all(tree.path("class/hwmon/hwmon7")).unwrap();
    assert_eq!(at(62_000).chips.len(), 3);
}

#[test]
fn missing_file_triggers_a_scan() {
    let tree = Tree::of("xeon");
    let directory = "devices/platform/coretemp.1/hwmon/hwmon4";
    // More files than are kept open.
    let mut manifest = format!("[{directory}]\n");
    for channel in 100..700 {
        writeln!(manifest, "temp{channel}_input = 1000").unwrap();
    }
    tree.add(&manifest);
    let mut reader = SensorReader::open(tree.root()).unwrap();
    let start = Instant::now();
    let before = reader.read(wall(), start);
    let last = chip(&before, "coretemp-isa-0001").features.last().unwrap();
    let file = format!("{directory}/{}_input", last.label);
    tree.remove(&file);
    let missing = reader.read(wall(), start);
    tree.add(&format!("{file} = 2000\n"));
    assert_eq!(input(&missing, "coretemp-isa-0001", &last.label), None);
    let again = reader.read(wall(), start + Duration::from_secs(1));
    assert_eq!(input(&again, "coretemp-isa-0001", &last.label), Some(2.0));
}

#[test]
fn repeated_names_are_all_kept() {
    let tree = Tree::empty();
    tree.add(
        "[class/hwmon/hwmon0]\nname = same\ntemp1_input = 1000\ntemp1_label = Adapter\n\
         [class/hwmon/hwmon1]\nname = same\ntemp1_input = 2000\ntemp1_label = x\n\
         temp2_input = 3000\ntemp2_label = x\n",
    );
    let document = reading(&tree);
    assert_eq!(names(&document), ["same-virtual-0", "same-virtual-0#2"]);
    assert_eq!(input(&document, "same-virtual-0", "Adapter#2"), Some(1.0));
    assert_eq!(input(&document, "same-virtual-0#2", "x"), Some(2.0));
    assert_eq!(input(&document, "same-virtual-0#2", "x#2"), Some(3.0));
}

#[test]
fn redundant_zones_are_left_out() {
    let tree = Tree::empty();
    tree.add(
        "[class/hwmon/hwmon0]\nname = acpitz\ntemp1_input = 1000\n\
         [class/hwmon/hwmon1]\nname = renamed\ntemp1_input = 1000\ndevice -> ../../thermal/thermal_zone4\n\
         [class/thermal/thermal_zone0]\ntype = acpitz\ntemp = 1000\n\
         [class/thermal/thermal_zone1]\ntype = INT3400 Thermal\ntemp = 20000\n\
         [class/thermal/thermal_zone2]\ntype = soc-thermal\ntemp = 2000\n\
         [class/thermal/thermal_zone3]\ntype = soc-thermal\ntemp = 3000\n\
         [class/thermal/thermal_zone4]\ntype = other\ntemp = 1000\n\
         subsystem -> ../../../class/thermal\n\
         [class/thermal/thermal_zone5]\ntype = silent\n\
         [class/thermal/cooling_device0]\ntype = fan\ntemp = 1\n",
    );
    let document = reading(&tree);
    let expected = [
        "acpitz-virtual-0",
        "renamed-virtual-0",
        "soc_thermal-virtual-0",
    ];
    assert_eq!(names(&document), expected);
    assert_eq!(
        input(&document, "soc_thermal-virtual-0", "temp1"),
        Some(2.0)
    );
    assert_eq!(
        input(&document, "soc_thermal-virtual-0", "temp2"),
        Some(3.0)
    );
}

#[test]
fn old_drivers_files_are_found() {
    let tree = Tree::empty();
    tree.add(
        "[devices/platform/w83627.656]\nname = w83627hf\ntemp1_input = 30000\n\
         subsystem -> ../../../bus/platform\n\
         [class/hwmon/hwmon0]\ndevice -> ../../../devices/platform/w83627.656\n",
    );
    let document = reading(&tree);
    assert_eq!(input(&document, "w83627hf-isa-0290", "temp1"), Some(30.0));
}

#[test]
fn empty_tree_gives_empty_document() {
    let document = reading(&Tree::empty());
    let value = json(to_line(document));
    assert_eq!(value["sensors"], serde_json::json!({}));
    assert_eq!(value["smart"], serde_json::json!([]));
}

#[test]
fn links_out_of_the_tree_are_ignored() {
    let outside = Tree::empty();
    outside.add("[hwmon0]\nname = evil\ntemp1_input = 1000\n");
    let tree = Tree::of("pi");
    let link = tree.path("class/hwmon/hwmon9");
    std::os::unix::fs::symlink(outside.path("hwmon0"), link).unwrap();
    std::os::unix::fs::symlink("/etc", tree.path("block/sda")).unwrap();
    assert_eq!(reading(&tree).chips.len(), 3);
    assert_eq!(reading(&tree).disks.len(), 2);
}

#[test]
fn huge_tree_gives_bounded_document() {
    let tree = Tree::empty();
    let (name, label) = ("n".repeat(200), "\"\\".repeat(100));
    let mut manifest = format!("[devices/chip]\nname = {name}\ntemp1000_label = {label}\n");
    for suffix in [
        "input",
        "max",
        "crit",
        "emergency_hyst",
        "lowest",
        "crit_alarm",
    ] {
        writeln!(manifest, "temp1000_{suffix} = -273150123.4567").unwrap();
    }
    manifest.push_str("temp2_input = 1\ntemp3_input = 1\ntemp4_input = 1\ntemp5_input = 1\n");
    manifest.push_str("[devices/disk/device]\n");
    writeln!(manifest, "serial = {label}\nmodel = {label}").unwrap();
    manifest.push_str("wwid = naa.5000c500a1b2c3d4\n[class]\n");
    for number in 0..3000 {
        writeln!(manifest, "hwmon/hwmon{number} -> ../../devices/chip").unwrap();
        writeln!(
            manifest,
            "thermal/thermal_zone{number} -> ../../devices/chip"
        )
        .unwrap();
    }
    manifest.push_str("[block]\n");
    for number in 0..3000 {
        writeln!(manifest, "sd{number} -> ../devices/disk").unwrap();
    }
    tree.add(&manifest);
    let mut reader = SensorReader::open(tree.root()).unwrap();
    // Scanning all takes longer than a reading waits.
    let document = loop {
        let document = reader.read(wall(), Instant::now());
        if document.state.chips.is_empty() {
            break document;
        }
    };
    assert_eq!(document.chips.len(), MAX_CHIPS);
    assert_eq!(document.disks.len(), MAX_DISKS);
    let features: usize = document.chips.iter().map(|chip| chip.features.len()).sum();
    assert_eq!(features, MAX_FEATURES_IN_ALL);
    let cut: u64 = document.state.omitted.iter().map(|chip| chip.sensors).sum();
    assert_eq!(cut, 5 * MAX_CHIPS as u64 - MAX_FEATURES_IN_ALL as u64);
    let legacy = to_sensors_json(document.clone());
    let line = to_line(document);
    for text in [&legacy, &line] {
        let length = text.len();
        assert!(
            length <= MAX_DOCUMENT_BYTES && length > MAX_DOCUMENT_BYTES / 4,
            "{length}"
        );
    }
    let line = json(&line);
    assert!(line["smart"].as_array().unwrap().len() > 100);
    assert!(line["sensor_state"]["omitted"].as_array().unwrap().len() > 100);
}

#[test]
fn chip_of_the_pci_function_is_the_disks() {
    let mut manifest = String::from("[bus/pci]\ndevices/\n");
    for (disk, temperature) in [(0, 41850), (1, 55850)] {
        let function = format!("devices/pci0000:00/0000:0{}:00.0", disk + 1);
        writeln!(
            manifest,
            "[{function}]\nsubsystem -> ../../../bus/pci\n\
             [{function}/hwmon/hwmon{disk}]\nname = nvme\ntemp1_input = {temperature}\n\
             temp1_label = Composite\ndevice -> ../../../0000:0{number}:00.0\n\
             [{function}/nvme/nvme{disk}]\nmodel = SSD\nserial = S{disk}\n\
             device -> ../../../0000:0{number}:00.0\n\
             [{function}/nvme/nvme{disk}/nvme{disk}n1]\nwwid = eui.0025385b0000000{disk}\n\
             device -> ../../nvme{disk}\n\
             [class/hwmon]\nhwmon{disk} -> ../../{function}/hwmon/hwmon{disk}\n\
             [block]\nnvme{disk}n1 -> ../{function}/nvme/nvme{disk}/nvme{disk}n1",
            number = disk + 1
        )
        .unwrap();
    }
    let tree = Tree::empty();
    tree.add(&manifest);
    let document = reading(&tree);
    let disks: Vec<_> = document
        .disks
        .iter()
        .map(|disk| (disk.serial.as_str(), disk.wwn.as_str(), disk.temperature))
        .collect();
    assert_eq!(
        disks,
        [
            ("S0", "eui.0025385b00000000", Some(42)),
            ("S1", "eui.0025385b00000001", Some(56))
        ]
    );
}

#[test]
fn large_server_is_whole() {
    // Two sockets with 288 cores each, four disks and a board, in the order of the kernel.
    let mut manifest = String::from("[bus/platform]\ndevices/\n");
    for socket in 0..2 {
        let chip = format!("devices/platform/coretemp.{socket}/hwmon/hwmon{socket}");
        writeln!(
            manifest,
            "[class/hwmon]\nhwmon{socket} -> ../../{chip}\n\
             [devices/platform/coretemp.{socket}]\nsubsystem -> ../../../bus/platform\n\
             [{chip}]\nname = coretemp\ndevice -> ../../../coretemp.{socket}\n\
             temp1_label = Package id {socket}\ntemp1_input = 6{socket}000"
        )
        .unwrap();
        for core in 0..288 {
            let channel = core + 2;
            writeln!(
                manifest,
                "temp{channel}_label = Core {core}\ntemp{channel}_input = 58000\n\
                 temp{channel}_max = 90000\ntemp{channel}_crit = 100000\n\
                 temp{channel}_crit_alarm = 0"
            )
            .unwrap();
        }
    }
    for (number, name) in ["nvme", "nvme", "nvme", "nvme", "nct6798"]
        .iter()
        .enumerate()
    {
        let hwmon = number + 2;
        writeln!(
            manifest,
            "[class/hwmon/hwmon{hwmon}]\nname = {name}\ntemp1_input = 4{number}000"
        )
        .unwrap();
    }
    let tree = Tree::empty();
    tree.add(&manifest);
    let mut reader = SensorReader::open(tree.root()).unwrap();
    let document = loop {
        let document = reader.read(wall(), Instant::now());
        if document.state.chips.is_empty() {
            break document;
        }
    };
    let features: usize = document.chips.iter().map(|chip| chip.features.len()).sum();
    assert_eq!((document.chips.len(), features), (7, 2 * 289 + 5));
    // The daemon's document has one processor with the cores of both sockets.
    let read = pulse_sensors::document::read(to_line(document).as_bytes()).unwrap();
    let normalised = pulse_sensors::document::normalise(read.document);
    let features: usize = normalised
        .chips
        .iter()
        .map(|chip| chip.features.len())
        .sum();
    assert_eq!((normalised.chips.len(), features), (6, 1 + 2 * 288 + 5));
    assert_eq!(normalised.chips[0].features[0].input(), Some(61.0));
    assert_eq!(
        normalised.state,
        pulse_sensors::document::SensorState::default()
    );
}
