//! Any values of attributes in `/sys`: the helper's output is one line that the daemon accepts,
//! without control characters for a terminal.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pulse_sensor_node::fuzzing::{is_status, number, text};
use pulse_sensor_node::{MAX_DOCUMENT_BYTES, SensorReader, to_line};
use pulse_sensors::document;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant, UNIX_EPOCH};

#[path = "../common/disk.rs"]
mod disk;

const DIRECTORIES: [&str; 6] = [
    "devices/platform/a/hwmon/hwmon0",
    "devices/platform/a/hwmon/hwmon1",
    "devices/virtual/thermal/thermal_zone0",
    "devices/pci0/nvme/nvme0/nvme0n1/device",
    "devices/pci0/ata1/host0/target0/0:0:0:0/block/sda/device",
    "devices/pci0/ata1/host0/target0/0:0:0:0/hwmon/hwmon2",
];
const LINKS: [(&str, &str); 7] = [
    (
        "class/hwmon/hwmon0",
        "../../devices/platform/a/hwmon/hwmon0",
    ),
    (
        "class/hwmon/hwmon1",
        "../../devices/platform/a/hwmon/hwmon1",
    ),
    (
        "class/hwmon/hwmon2",
        "../../devices/pci0/ata1/host0/target0/0:0:0:0/hwmon/hwmon2",
    ),
    (
        "class/thermal/thermal_zone0",
        "../../devices/virtual/thermal/thermal_zone0",
    ),
    ("block/nvme0n1", "../devices/pci0/nvme/nvme0/nvme0n1"),
    (
        "block/sda",
        "../devices/pci0/ata1/host0/target0/0:0:0:0/block/sda",
    ),
    // It leads out of the root.
    ("class/hwmon/hwmon3", "../../../outside"),
];
/// Files, each in one of the directories.
const FILES: [&str; 16] = [
    "name",
    "temp1_input",
    "temp1_label",
    "temp1_crit",
    "temp1_max",
    "temp2_input",
    "temp2_label",
    "temp17_input",
    "temp1_crit_alarm",
    "fan1_input",
    "type",
    "temp",
    "model",
    "serial",
    "wwid",
    "vendor",
];

fuzz_target!(|bytes: &[u8]| {
    // The parsers by themselves, with bytes that may be longer than one attribute below.
    if let Some(number) = number(bytes) {
        assert!(number.is_finite());
    }
    let shown = text(bytes);
    assert!(shown.chars().count() <= 64 && !shown.chars().any(char::is_control));
    assert_eq!(shown.trim(), shown);
    assert_eq!(text(shown.as_bytes()), shown, "clean is clean");

    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    // Directories and links stay; each input replaces the files.
    let root = ROOT.get_or_init(|| {
        let root = disk::directory().join("sys");
        for directory in DIRECTORIES {
            fs::create_dir_all(root.join(directory)).expect("a disk in memory");
        }
        for (name, target) in LINKS {
            let link = root.join(name);
            fs::create_dir_all(link.parent().expect("it has one")).expect("a disk in memory");
            symlink(target, link).expect("a disk in memory");
        }
        root
    });
    // A status needs three members.
    let content = String::from_utf8_lossy(bytes);
    assert!(!is_status(&content) || content.contains("State:\t"));
    fill(root, bytes);
    // Opened again: it scans for devices, which depend on the files.
    let mut reader = SensorReader::open(root).expect("a disk in memory");
    // A fixed time: an input has the same document each time.
    let wall = UNIX_EPOCH + Duration::from_secs(1_795_255_203);
    let line = to_line(reader.read(wall, Instant::now()));
    assert!(line.len() <= MAX_DOCUMENT_BYTES && line.ends_with('\n'));
    let line = line.trim_end_matches('\n');
    assert!(!line.contains(char::is_control), "{line:?}");
    let read = document::read(line.as_bytes()).expect("the helper's own document");
    assert_eq!(read.dropped.malformed, 0, "{line}");
});

/// Pieces of the input, each preceded by a directory, a name and a length.
fn fill(root: &Path, mut bytes: &[u8]) {
    for directory in DIRECTORIES {
        for file in FILES {
            // Most of them do not exist.
            let _ = fs::remove_file(root.join(directory).join(file));
        }
    }
    while let [place, length, rest @ ..] = bytes {
        let (content, rest) = rest.split_at(usize::from(*length).min(rest.len()));
        bytes = rest;
        let directory = DIRECTORIES[usize::from(place >> 4) % DIRECTORIES.len()];
        let file = FILES[usize::from(place & 15)];
        fs::write(root.join(directory).join(file), content).expect("a disk in memory");
    }
}
